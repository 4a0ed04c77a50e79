//! Transcoding: whatever a publisher sends, at whatever times, comes out as
//! frames of the target in order of their times, each as long as it should be.

use ringhall::proto::audio::{AudioSource, AudioTarget, Transcoder};

/// Frames of one input that are looked at: enough for a decoder to carry harm
/// from one into the next.
const FRAMES_MAX: usize = 4;

/// An input is a byte of source, for AAC two of configuration, and frames: a
/// byte of time after the one before in 5 ms (signed), one of length, itself.
pub fn check(data: &[u8]) {
    let [kind, rest @ ..] = data else { return };
    let (source, mut rest) = match (kind % 4, rest) {
        (0, [a, b, rest @ ..]) => (
            AudioSource::Aac {
                config: vec![*a, *b],
            },
            rest,
        ),
        (1, rest) => (AudioSource::Speex, rest),
        (2, rest) => (AudioSource::Opus { channels: 1 }, rest),
        (3, rest) => (AudioSource::Opus { channels: 2 }, rest),
        _ => return,
    };
    let target = AudioTarget::Aac {
        bitrate_bps: 64_000,
    };
    let Ok(mut transcoder) = Transcoder::new(&source, &target) else {
        return;
    };
    assert_eq!(transcoder.header()[0], 0x11, "AAC-LC at 48 kHz");
    let (mut now, mut next, mut out) = (0_u64, None, 0);
    for _ in 0..FRAMES_MAX {
        let [after, length, tail @ ..] = rest else {
            break;
        };
        let (frame, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        now = now.saturating_add_signed(i64::from(after.cast_signed()) * 240);
        let jumps = transcoder.counts().jumps;
        let mut came = Vec::new();
        transcoder.push(now, frame, &mut |ticks, bytes| {
            assert!(!bytes.is_empty() && bytes.len() <= 2 * 6_144 / 8);
            came.push(ticks);
        });
        out += came.len() as u64;
        // Only a jump breaks the row.
        let jumped = transcoder.counts().jumps > jumps;
        for ticks in came {
            assert!(jumped || next.is_none_or(|next| next == ticks));
            next = Some(ticks + 1_024);
        }
        if jumped {
            next = None;
        }
    }
    let counts = transcoder.counts();
    assert_eq!((counts.unencoded, counts.frames_out), (0, out));
}

pub fn seeds() -> Vec<Vec<u8>> {
    let aac = include_bytes!("../vectors/audio/aac_44100.flv");
    let speex = include_bytes!("../vectors/audio/speex_16000.flv");
    let mut seeds = vec![
        seed(&[0, 0x12, 0x10], &frames_of(aac, 2)),
        seed(&[1], &frames_of(speex, 1)),
    ];
    // Silence of 20 ms, a code 3 packet of two frames, one of 60 ms.
    let opus: [&[u8]; 3] = [
        &[0xfc, 0xff, 0xfe],
        &[0xff, 0x02, 1, 2, 3, 4],
        &[0x18, 9, 8, 7],
    ];
    for kind in [2, 3] {
        seeds.push(seed(&[kind], &opus.map(<[u8]>::to_vec)));
    }
    seeds
}

fn seed(head: &[u8], frames: &[Vec<u8>]) -> Vec<u8> {
    let mut seed = head.to_vec();
    for frame in frames {
        seed.extend([4, frame.len() as u8]);
        seed.extend(frame);
    }
    seed
}

/// Some short frames out of the sound of an FLV file, without the bytes in
/// front of each.
fn frames_of(file: &[u8], head: usize) -> Vec<Vec<u8>> {
    let (mut frames, mut rest) = (Vec::new(), &file[13..]);
    while let [kind, a, b, c, _, _, _, _, _, _, _, tail @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let body = &tail[..length];
        if *kind == 8 && (head + 4..255).contains(&length) && body[1] != 0 {
            frames.push(body[head..].to_vec());
        }
        rest = &tail[length + 4..];
    }
    frames.drain(..frames.len() / 2);
    frames.truncate(FRAMES_MAX);
    frames
}
