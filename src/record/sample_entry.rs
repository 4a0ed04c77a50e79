//! What a track's samples are, as a sample description says it (ISO/IEC
//! 14496-12 section 8.5.2): one entry for each track, whatever changes later.
//! Players stop at a second entry; parameter sets that change come in band.

use super::layout::{AudioTrack, VideoTrack};
use crate::wire::bmff::{Kind, write_box, write_full_box};
use crate::wire::bytes::u8_at;
use crate::wire::flv::AvcConfig;

/// The kind of an Opus entry (Opus in ISOBMFF section 4.3.1).
pub(super) const OPUS: Kind = *b"Opus";

/// The inside of the `stsd` of a video track.
pub(super) fn video(track: &VideoTrack) -> Vec<u8> {
    description(|out| match track {
        VideoTrack::H264 {
            width,
            height,
            sps,
            pps,
        } => visual(out, b"avc1", *width, *height, |out| {
            write_box(out, b"avcC", |out| avc_config(out, sps, pps));
        }),
        VideoTrack::Vp8 { width, height } => visual(out, b"vp08", *width, *height, |out| {
            write_full_box(out, b"vpcC", 1, 0, vp8_config);
        }),
    })
}

/// The inside of the `stsd` of an audio track.
pub(super) fn audio(track: &AudioTrack) -> Vec<u8> {
    let rate = track.timescale();
    description(|out| match track {
        AudioTrack::Opus { channels } => sound(out, &OPUS, *channels, rate, |out| {
            write_box(out, b"dOps", |out| opus_config(out, *channels, rate));
        }),
        AudioTrack::Aac {
            config, channels, ..
        } => sound(out, b"mp4a", *channels, rate, |out| {
            write_full_box(out, b"esds", 0, 0, |out| aac_config(out, config));
        }),
        AudioTrack::Pcmu => sound(out, b"ulaw", 1, rate, |_| ()),
        AudioTrack::Pcma => sound(out, b"alaw", 1, rate, |_| ()),
    })
}

fn description(entry: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    // Version and flags, and the count of entries.
    let mut out = vec![0, 0, 0, 0, 0, 0, 0, 1];
    entry(&mut out);
    out
}

/// What begins every entry: six reserved bytes, and where the data is: in this
/// file.
const ENTRY_HEAD: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];

/// A `VisualSampleEntry` (section 12.1.3).
fn visual(
    out: &mut Vec<u8>,
    kind: &Kind,
    width: u16,
    height: u16,
    config: impl FnOnce(&mut Vec<u8>),
) {
    const DPI_72: [u8; 4] = [0, 72, 0, 0];
    write_box(out, kind, |out| {
        out.extend(ENTRY_HEAD);
        out.extend([0; 16]);
        out.extend(width.to_be_bytes());
        out.extend(height.to_be_bytes());
        out.extend(DPI_72);
        out.extend(DPI_72);
        out.extend([0; 4]);
        // Frames per sample, an empty compressor's name, depth, and -1.
        out.extend([0, 1]);
        out.extend([0; 32]);
        out.extend([0, 24, 0xff, 0xff]);
        config(out);
    });
}

/// An `AudioSampleEntry` (section 12.2.3).
fn sound(
    out: &mut Vec<u8>,
    kind: &Kind,
    channels: u8,
    rate: u32,
    config: impl FnOnce(&mut Vec<u8>),
) {
    const SAMPLE_BITS: [u8; 2] = [0, 16];
    write_box(out, kind, |out| {
        out.extend(ENTRY_HEAD);
        out.extend([0; 8]);
        out.extend(u16::from(channels).to_be_bytes());
        out.extend(SAMPLE_BITS);
        out.extend([0; 4]);
        // 16.16; a rate beyond it is told by the configuration only.
        out.extend(u16::try_from(rate).unwrap_or(0).to_be_bytes());
        out.extend([0; 2]);
        config(out);
    });
}

/// AVCDecoderConfigurationRecord; its profile and level are those of the first
/// set, the stream's own.
fn avc_config(out: &mut Vec<u8>, sps: &[Vec<u8>], pps: &[Vec<u8>]) {
    let first = sps.first().map_or(&[][..], Vec::as_slice);
    let byte = |at| u8_at(first, at).unwrap_or(0);
    let config = AvcConfig {
        profile: byte(1),
        compatibility: byte(2),
        level: byte(3),
        nal_length_bytes: 4,
        sps: sps.iter().map(Vec::as_slice).collect(),
        pps: pps.iter().map(Vec::as_slice).collect(),
    };
    config.write(out);
}

/// VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding, section
/// "VP Codec Configuration Box"): 8 bits, 4:2:0, limited range, nothing said
/// about colours, no initialisation data.
fn vp8_config(out: &mut Vec<u8>) {
    const PROFILE: u8 = 0;
    const LEVEL_3_1: u8 = 31;
    const UNSPECIFIED: u8 = 2;
    out.extend([PROFILE, LEVEL_3_1, 8 << 4]);
    out.extend([UNSPECIFIED; 3]);
    out.extend([0, 0]);
}

/// OpusSpecificBox (Opus in ISOBMFF section 4.3.2). Nothing is to be skipped at
/// the start: packets that came over the network begin anywhere, and times of
/// the file are then those of the stream.
fn opus_config(out: &mut Vec<u8>, channels: u8, rate: u32) {
    const PRE_SKIP: u16 = 0;
    const GAIN: u16 = 0;
    const MAPPING_FAMILY: u8 = 0;
    out.extend([0, channels]);
    out.extend(PRE_SKIP.to_be_bytes());
    out.extend(rate.to_be_bytes());
    out.extend(GAIN.to_be_bytes());
    out.push(MAPPING_FAMILY);
}

/// Descriptors of an elementary stream of AAC (ISO/IEC 14496-1 section 7.2.6).
fn aac_config(out: &mut Vec<u8>, config: &[u8]) {
    const ES: u8 = 3;
    const DECODER_CONFIG: u8 = 4;
    const DECODER_SPECIFIC: u8 = 5;
    const SYNC_LAYER: u8 = 6;
    const AAC: u8 = 0x40;
    /// Stream type audio, and a bit that is always one.
    const AUDIO: u8 = 5 << 2 | 1;
    const PREDEFINED_MP4: u8 = 2;
    let mut decoder = vec![AAC, AUDIO];
    // Buffer size, and the most and average bits a second: not known.
    decoder.extend([0; 3 + 4 + 4]);
    descriptor(&mut decoder, DECODER_SPECIFIC, config);
    // No id, no flags.
    let mut stream = vec![0, 0, 0];
    descriptor(&mut stream, DECODER_CONFIG, &decoder);
    descriptor(&mut stream, SYNC_LAYER, &[PREDEFINED_MP4]);
    descriptor(out, ES, &stream);
}

/// Tag, and a length of four bytes with seven bits each (section 8.3.3).
fn descriptor(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    let len = body.len();
    out.push(tag);
    out.extend([21, 14, 7].map(|shift| 0x80 | (len >> shift & 0x7f) as u8));
    out.push((len & 0x7f) as u8);
    out.extend(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bmff::boxes;

    fn entry(stsd: &[u8]) -> (Kind, Vec<u8>) {
        assert_eq!(stsd[..8], [0, 0, 0, 0, 0, 0, 0, 1]);
        let entries: Vec<_> = boxes(&stsd[8..]).collect();
        let [Ok(entry)] = entries[..] else {
            panic!("{entries:?}");
        };
        (entry.kind, entry.body.to_vec())
    }

    #[test]
    fn h264_tells_its_sets_and_a_high_profile_its_depths() {
        let high = b"\x67\x64\0\x28\xac\xd9\x40\x78\x02\x27\xe5\xc0".to_vec();
        let ours = b"\x67\x42\xc0\x1e\x04\x16\x80\xa0\x3d\x90".to_vec();
        let stsd = video(&VideoTrack::H264 {
            width: 640,
            height: 480,
            sps: vec![high.clone(), ours.clone()],
            pps: vec![vec![0x68, 0xef], vec![0x68, 0]],
        });
        let (kind, body) = entry(&stsd);
        assert_eq!((&kind, &body[24..28]), (b"avc1", &[2, 128, 1, 224][..]));
        let config: Vec<_> = boxes(&body[78..]).collect();
        let Ok(config) = config[0] else {
            panic!("{config:?}");
        };
        assert_eq!(config.kind, *b"avcC");
        let parsed = AvcConfig::parse(config.body).unwrap();
        assert_eq!((parsed.profile, parsed.level), (100, 40));
        assert_eq!(parsed.sps, [&high, &ours]);
        assert_eq!(config.body[config.body.len() - 4..], [0xfd, 0xf8, 0xf8, 0]);
    }

    #[test]
    fn sounds_tell_channels_and_rate() {
        let aac = AudioTrack::Aac {
            config: vec![0x12, 0x10],
            sample_rate: 44_100,
            channels: 2,
        };
        let cases = [
            (AudioTrack::Opus { channels: 2 }, b"Opus", 2, 48_000u16),
            (aac, b"mp4a", 2, 44_100),
            (AudioTrack::Pcmu, b"ulaw", 1, 8_000),
            (AudioTrack::Pcma, b"alaw", 1, 8_000),
        ];
        for (track, name, channels, rate) in cases {
            let (kind, body) = entry(&audio(&track));
            assert_eq!((&kind, body[17]), (name, channels));
            assert_eq!(body[24..26], rate.to_be_bytes());
        }
        let fast = AudioTrack::Aac {
            config: vec![0x10, 0x10],
            sample_rate: 96_000,
            channels: 2,
        };
        assert_eq!(entry(&audio(&fast)).1[24..28], [0; 4]);
    }

    #[test]
    fn aac_carries_its_configuration() {
        let stsd = audio(&AudioTrack::Aac {
            config: vec![0x11, 0x90],
            sample_rate: 48_000,
            channels: 2,
        });
        let (_, body) = entry(&stsd);
        let esds = &body[28..];
        let specific = [
            5, 0x80, 0x80, 0x80, 2, 0x11, 0x90, 6, 0x80, 0x80, 0x80, 1, 2,
        ];
        assert!(esds.ends_with(&specific));
        // 3 descriptors around: ES, its three bytes, DecoderConfig.
        assert_eq!(esds[12..17], [3, 0x80, 0x80, 0x80, 3 + 5 + 13 + 7 + 6]);
    }
}
