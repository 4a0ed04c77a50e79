// A bare application on the official SDK, in a page of its own: its core calls.

import { Visitor } from './browsers.mjs';
import { until } from './wait.mjs';

/**
 * A visitor connected and in the room; `window.visit` has the calls.
 * @param {{instrument?: object, join?: object}} [how] `join`: options besides the room's name
 */
export async function sdkVisitor(t, server, origin, login, room, { instrument, join = {} } = {}) {
  const visitor = await Visitor.open(t, 'chromium', { instrument });
  visitor.login = login;
  await visitor.goto(`${origin}/pages/sdk.html`);
  await visitor.evaluate(([url, login]) => window.visit.connect(url, login), [server.wsUrl, login]);
  await visitor.evaluate(([room, options]) => window.visit.join(room, options), [room, join]);
  return visitor;
}

/** The same, and publishes camera and microphone. @param {object} [options] of `publish` */
export async function sdkPublisher(t, server, origin, login, room, options = {}, how = {}) {
  const visitor = await sdkVisitor(t, server, origin, login, room, how);
  await visitor.evaluate((options) => window.visit.publish({ constraints: { audio: true, video: true }, ...options }), options);
  return visitor;
}

/** Waits until the page has noted a line of what the SDK reported. */
export const noted = (visitor, line) => until(`${visitor.login}'s SDK reports "${line}"`, async () => {
  const log = await visitor.evaluate(() => window.visit.log);
  if (log.includes(line)) return true;
  throw new Error(log.join('; '));
});
