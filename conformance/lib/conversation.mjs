// The conversation of the room manual's recording test: Alice publishes, Bob comes some
// seconds later and publishes too, Bob leaves, Alice leaves. Each has colours and a pitch
// of their own, and claps: white, and a third pitch, at an instant that can be found again.

import { published } from './calls.mjs';
import { FFMPEGS } from './clients.mjs';
import { PALETTE } from './fixtures.mjs';
import { freshRoom } from './guest.mjs';
import { OfficialGuest, officialOrigin } from './official.mjs';
import { Helper } from './python.mjs';
import { allWhole, recordingServer } from './records.mjs';
import { sleep } from './wait.mjs';

export const COLOUR_MS = 500;
export const CLAP_HZ = 1_500;
export const CLAP_MS = 400;
/** Where encoders clap, after their beginning, and how often again. */
export const FIRST_CLAP_S = 1;
const CLAP_EVERY_S = 4;
const FRAMES_PER_SECOND = 20;

/** How much later Bob comes, how long he stays, and how much longer Alice. */
const ALONE_MS = 3_000;
const TOGETHER_MS = 4_000;
const AFTERWARDS_MS = 2_000;

export const PEOPLE = {
  Alice: { login: 'Alice', colours: [0, 2], toneHz: 440, size: [640, 360] },
  Bob: { login: 'Bob', colours: [1, 4], toneHz: 660, size: [320, 240] },
};

const SOUNDS = {
  aac: ['-c:a', 'aac', '-ar', '48000', '-ac', '2', '-b:a', '128k'],
  alaw: ['-c:a', 'pcm_alaw', '-ar', '8000', '-ac', '1'],
};

/** What the official pages are given for a camera and a microphone. */
const source = ({ colours, toneHz, size }) => ({
  colours: colours.map((i) => PALETTE[i].rgb), toneHz, size, colourMs: COLOUR_MS, clapHz: CLAP_HZ, clapMs: CLAP_MS,
});

/** An ffmpeg that draws, sings, encodes and publishes one of the two. */
export async function personEncodes(t, ffmpeg, url, { colours, toneHz, size }, sound = 'aac') {
  const [first, second] = colours.map((i) => `0x${PALETTE[i].rgb.map((c) => c.toString(16).padStart(2, '0')).join('')}`);
  const clap = `between(mod(t,${CLAP_EVERY_S}),${FIRST_CLAP_S},${FIRST_CLAP_S + CLAP_MS / 1_000 - 0.01})`;
  const fill = (colour, when) => `drawbox=t=fill:w=iw:h=ih:color=${colour}:enable='${when}'`;
  const drawn = `color=c=${first}:s=${size.join('x')}:r=${FRAMES_PER_SECOND},${fill(second, `gte(mod(t,${(2 * COLOUR_MS) / 1_000}),${COLOUR_MS / 1_000})`)},${fill('white', clap)}`;
  const sung = `aevalsrc=exprs='0.4*sin(2*PI*t*if(${clap},${CLAP_HZ},${toneHz}))':s=48000`;
  // Not half a second at once at the beginning, as the newest does unasked.
  const paced = ['-re', ...(ffmpeg === 'ffmpeg-9' ? ['-readrate_initial_burst', '0.001'] : [])];
  return new Helper(t, await FFMPEGS[ffmpeg](t), [
    '-hide_banner', '-loglevel', 'info', ...paced, '-f', 'lavfi', '-i', drawn, ...paced, '-f', 'lavfi', '-i', sung,
    '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p', '-bf', '0', '-g', '20', '-b:v', '600k',
    ...SOUNDS[sound], '-f', 'flv', url,
  ]);
}

/**
 * What a conversation left.
 * @typedef {object} Conversation
 * @property {import('./server.mjs').Server} server
 * @property {string} folder
 * @property {Record<string, object>} records what `/api/records` tells, by login
 * @property {number} [clapAtMs] by this machine's clock, where both clapped at once
 * @property {number} [bobLaterS] how much later Bob published than Alice, seen from outside
 */

const SETTINGS = { enable_empty_shift_writer: true };

const byLogin = (records) => Object.fromEntries(records.map((record) => [record.login, record]));

/** At the official Conference page, with its box for recording ticked. @returns {Promise<Conversation>} */
export async function officialConversation(t, codec) {
  const { server, folder } = await recordingServer(t, { ...SETTINGS, video_codecs: codec });
  const origin = await officialOrigin(t, server);
  const open = (who, where) => OfficialGuest.open(t, { server, origin, ...where, login: who.login, instrument: { source: source(who) } });
  const alice = await open(PEOPLE.Alice, {});
  await alice.visitor.click('#recordCheckBox');
  await alice.enter();
  const invite = await alice.visitor.shows('#inviteAddress', /roomName=/);
  await sleep(ALONE_MS);
  const bob = await open(PEOPLE.Bob, { invite });
  await bob.enter();
  const clapAtMs = Date.now() + TOGETHER_MS / 2;
  for (const guest of [alice, bob]) await guest.visitor.evaluate((at) => window.clapAt(at), clapAtMs);
  await sleep(TOGETHER_MS);
  await bob.leave();
  await sleep(AFTERWARDS_MS);
  await alice.leave();
  for (const guest of [alice, bob]) guest.assertNoErrors();
  const records = byLogin(await allWhole(server, folder, 2));
  for (const guest of [alice, bob]) await guest.visitor.close();
  return { server, folder, records, clapAtMs };
}

/** Two encoders publish over RTMP. @returns {Promise<Conversation>} */
export async function encodersConversation(t, sound) {
  const { server, folder } = await recordingServer(t, { ...SETTINGS, record_rtmp_published_streams: true });
  const room = freshRoom();
  const publish = async (ffmpeg, who) => {
    const encoder = await personEncodes(t, ffmpeg, server.rtmpUrl(room, who.login), who, sound);
    await published(server, room, who.login);
    return { encoder, atMs: Date.now() };
  };
  const alice = await publish('ffmpeg-5', PEOPLE.Alice);
  await sleep(ALONE_MS);
  const bob = await publish('ffmpeg-9', PEOPLE.Bob);
  await sleep(TOGETHER_MS);
  await ends(bob.encoder, 'Bob');
  await sleep(AFTERWARDS_MS);
  await ends(alice.encoder, 'Alice');
  const records = byLogin(await allWhole(server, folder, 2));
  return { server, folder, records, bobLaterS: (bob.atMs - alice.atMs) / 1_000 };
}

async function ends(encoder, name) {
  encoder.quit();
  const code = await encoder.ended(10_000, `${name} quits`);
  if (code !== 0) throw new Error(`${name}'s encoder ended with ${code}: ${encoder.output.slice(-800)}`);
}
