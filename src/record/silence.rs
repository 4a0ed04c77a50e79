//! Silence in a stream's own codec, written by hand. Every packet decodes alone
//! and leaves a decoder as a fresh one.

use super::layout::AudioTrack;
use crate::wire::aac_config::AacConfig;
use crate::wire::bit_writer::BitWriter;

/// Packets of silence for one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    timescale: u32,
    packets: Packets,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Packets {
    /// Of these durations in ticks, the longest first; each is a multiple of the
    /// last.
    Fixed(Vec<(u32, Vec<u8>)>),
    /// A byte for each tick.
    Bytes([u8; G711_PACKET_TICKS as usize]),
}

/// 20 ms, as in the packets of real streams.
const G711_PACKET_TICKS: u32 = 160;

impl Silence {
    pub fn of(track: &AudioTrack) -> Silence {
        let packets = match track {
            AudioTrack::Opus { channels } => Packets::Fixed(opus(*channels).into()),
            AudioTrack::Aac {
                config,
                sample_rate,
                channels,
            } => Packets::Fixed(vec![aac(config, *sample_rate, *channels)]),
            AudioTrack::Pcmu => Packets::Bytes([0xff; G711_PACKET_TICKS as usize]),
            // A-law has no zero: this is its least positive value.
            AudioTrack::Pcma => Packets::Bytes([0xd5; G711_PACKET_TICKS as usize]),
        };
        Silence {
            timescale: track.timescale(),
            packets,
        }
    }

    /// Ticks in a second, as the track has them.
    pub fn timescale(&self) -> u32 {
        self.timescale
    }

    /// Of the shortest packet: what is filled is a multiple of it.
    pub fn granule_ticks(&self) -> u32 {
        match &self.packets {
            Packets::Fixed(packets) => packets.last().map_or(1, |(ticks, _)| *ticks),
            Packets::Bytes(_) => 1,
        }
    }

    /// Of the longest packet.
    pub fn packet_ticks(&self) -> u32 {
        match &self.packets {
            Packets::Fixed(packets) => packets.first().map_or(1, |(ticks, _)| *ticks),
            Packets::Bytes(_) => G711_PACKET_TICKS,
        }
    }

    /// The longest packet that fits into `ticks`, and its duration in ticks.
    /// `None` when not even the shortest does.
    pub fn packet(&self, ticks: u64) -> Option<(u32, &[u8])> {
        match &self.packets {
            Packets::Fixed(packets) => packets
                .iter()
                .find(|(duration, _)| u64::from(*duration) <= ticks)
                .map(|(duration, bytes)| (*duration, bytes.as_slice())),
            Packets::Bytes(bytes) => {
                let duration = ticks.min(G711_PACKET_TICKS.into()) as u32;
                let bytes = bytes.get(..duration as usize)?;
                (duration > 0).then_some((duration, bytes))
            }
        }
    }

    /// Gives `f` as many packets as fit into `ticks`, each with its duration,
    /// and returns the ticks filled.
    pub fn fill(&self, ticks: u64, f: &mut impl FnMut(u32, &[u8])) -> u64 {
        let mut filled = 0;
        while let Some((duration, bytes)) = self.packet(ticks - filled) {
            f(duration, bytes);
            filled += u64::from(duration);
        }
        filled
    }
}

/// Packets of 20, 10, 5 and 2.5 ms: one frame of CELT at full band (RFC 6716
/// table 2), whose first symbol says silence (section 4.3).
fn opus(channels: u8) -> [(u32, Vec<u8>); 4] {
    const CELT_FULL_BAND_20_MS: u8 = 31;
    let stereo = u8::from(channels != 1) << 2;
    [960, 480, 240, 120].map(|ticks: u32| {
        let halvings = (960 / ticks).ilog2() as u8;
        let toc = (CELT_FULL_BAND_20_MS - halvings) << 3 | stereo;
        (ticks, vec![toc, 0xff, 0xfe])
    })
}

/// One access unit and its duration in ticks of the track: an AAC frame, which
/// lasts longer in ticks of the doubled rate that spectral band replication
/// gives.
fn aac(config: &[u8], sample_rate: u32, channels: u8) -> (u32, Vec<u8>) {
    let told = AacConfig::parse(config);
    let frame = told.map_or(1_024, |config| config.frame_samples);
    let is_doubled =
        told.is_some_and(|config| config.sample_rate.checked_mul(2) == Some(sample_rate));
    let ticks = if is_doubled { 2 * frame } else { frame };
    // Without a layout known by its number it is told elsewhere: what is heard
    // is the same.
    let layout = match told.map(|config| config.channel_configuration) {
        Some(layout @ 1..=7) => layout,
        _ => channels.clamp(1, 2),
    };
    (ticks, aac_access_unit(layout))
}

/// Syntactic elements of one channel, two, and the low frequencies (ISO/IEC
/// 14496-3 table 4.85).
const SINGLE: u32 = 0;
const PAIR: u32 = 1;
const LOW_FREQUENCY: u32 = 3;
const END: u32 = 7;

/// raw_data_block of a channel configuration (ISO/IEC 14496-3 tables 1.19 and
/// 4.3).
fn aac_access_unit(channel_configuration: u8) -> Vec<u8> {
    // Each element with its number among its like.
    let elements: &[(u32, u32)] = match channel_configuration {
        1 => &[(SINGLE, 0)],
        2 => &[(PAIR, 0)],
        3 => &[(SINGLE, 0), (PAIR, 0)],
        4 => &[(SINGLE, 0), (PAIR, 0), (SINGLE, 1)],
        5 => &[(SINGLE, 0), (PAIR, 0), (PAIR, 1)],
        6 => &[(SINGLE, 0), (PAIR, 0), (PAIR, 1), (LOW_FREQUENCY, 0)],
        _ => &[
            (SINGLE, 0),
            (PAIR, 0),
            (PAIR, 1),
            (PAIR, 2),
            (LOW_FREQUENCY, 0),
        ],
    };
    let mut bits = BitWriter::default();
    for (element, number) in elements {
        bits.number(*element, 3);
        bits.number(*number, 4);
        if *element == PAIR {
            // common_window, and ms_mask_present behind it
            bits.bit(true);
            write_window(&mut bits);
            bits.number(0, 2);
            for _channel in 0..2 {
                write_no_gain(&mut bits);
                write_no_effects(&mut bits);
            }
        } else {
            write_no_gain(&mut bits);
            write_window(&mut bits);
            write_no_effects(&mut bits);
        }
    }
    bits.number(END, 3);
    bits.into_bytes()
}

/// global_gain
fn write_no_gain(bits: &mut BitWriter) {
    bits.number(0, 8);
}

/// ics_info: a long window, of which no band has coefficients.
fn write_window(bits: &mut BitWriter) {
    // ics_reserved_bit, window_sequence, window_shape
    bits.number(0, 1 + 2 + 1);
    // max_sfb, predictor_data_present
    bits.number(0, 6 + 1);
}

/// No sections, as there are no bands; neither pulses nor noise shaping nor gain
/// control.
fn write_no_effects(bits: &mut BitWriter) {
    bits.number(0, 3);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aac_track(config: &[u8], sample_rate: u32, channels: u8) -> AudioTrack {
        AudioTrack::Aac {
            config: config.to_vec(),
            sample_rate,
            channels,
        }
    }

    fn filled(silence: &Silence, ticks: u64) -> (u64, Vec<(u32, Vec<u8>)>) {
        let mut packets = Vec::new();
        let ticks = silence.fill(ticks, &mut |duration, bytes| {
            packets.push((duration, bytes.to_vec()));
        });
        (ticks, packets)
    }

    #[test]
    fn opus_fills_to_the_next_lower_2_5_ms() {
        let silence = Silence::of(&AudioTrack::Opus { channels: 2 });
        assert_eq!(
            (silence.granule_ticks(), silence.packet_ticks()),
            (120, 960)
        );
        assert_eq!(silence.timescale(), 48_000);
        for ticks in [0, 119, 120, 959, 960, 961, 2_999, 48_000] {
            let (sum, packets) = filled(&silence, ticks);
            assert_eq!(sum, ticks / 120 * 120);
            assert_eq!(
                sum,
                packets
                    .iter()
                    .map(|(ticks, _)| u64::from(*ticks))
                    .sum::<u64>()
            );
        }
        let (_, packets) = filled(&silence, 2 * 960 - 1);
        let expected = [
            (960, vec![0xfc, 0xff, 0xfe]),
            (480, vec![0xf4, 0xff, 0xfe]),
            (240, vec![0xec, 0xff, 0xfe]),
            (120, vec![0xe4, 0xff, 0xfe]),
        ];
        assert_eq!(packets, expected);
        let (_, mono) = filled(&Silence::of(&AudioTrack::Opus { channels: 1 }), 960);
        assert_eq!(mono, [(960, vec![0xf8, 0xff, 0xfe])]);
    }

    #[test]
    fn g711_fills_exactly() {
        for (track, byte) in [(AudioTrack::Pcmu, 0xff), (AudioTrack::Pcma, 0xd5)] {
            let silence = Silence::of(&track);
            assert_eq!((silence.granule_ticks(), silence.packet_ticks()), (1, 160));
            let (ticks, packets) = filled(&silence, 321);
            assert_eq!(ticks, 321);
            let lens: Vec<usize> = packets.iter().map(|(_, bytes)| bytes.len()).collect();
            assert_eq!(lens, [160, 160, 1]);
            assert!(
                packets
                    .iter()
                    .all(|(ticks, bytes)| *ticks as usize == bytes.len())
            );
            assert!(
                packets
                    .iter()
                    .flat_map(|(_, bytes)| bytes)
                    .all(|sample| *sample == byte)
            );
        }
    }

    #[test]
    fn aac_fills_whole_frames() {
        // LC at 44.1 kHz in mono, at 48 kHz in stereo.
        let mono = Silence::of(&aac_track(&[0x12, 0x08], 44_100, 1));
        assert_eq!((mono.granule_ticks(), mono.packet_ticks()), (1_024, 1_024));
        let frame = (1_024, vec![0, 0, 0, 7]);
        assert_eq!(filled(&mono, 3_071), (2_048, vec![frame.clone(), frame]));
        let stereo = Silence::of(&aac_track(&[0x11, 0x90], 48_000, 2));
        let frame = (1_024, vec![0x21, 0, 0, 0, 0, 0x1c]);
        assert_eq!(filled(&stereo, 1_024), (1_024, vec![frame]));
        assert_eq!(filled(&stereo, 1_023), (0, vec![]));
    }

    #[test]
    fn aac_of_doubled_rate_lasts_twice_as_long() {
        // HE-AAC told first: type 5, core 24 kHz, stereo, doubled 48 kHz, type 2.
        let he = [0x2b, 0x11, 0x88, 0x00];
        assert_eq!(
            Silence::of(&aac_track(&he, 48_000, 2)).packet_ticks(),
            2_048
        );
        assert_eq!(
            Silence::of(&aac_track(&he, 24_000, 2)).packet_ticks(),
            1_024
        );
        // Told behind an LC configuration.
        let behind = [0x13, 0x10, 0x56, 0xe5, 0x98];
        assert_eq!(
            Silence::of(&aac_track(&behind, 48_000, 2)).packet_ticks(),
            2_048
        );
        // The rate of the container's header is seldom right.
        assert_eq!(
            Silence::of(&aac_track(&[0x11, 0x90], 44_100, 2)).packet_ticks(),
            1_024
        );
    }

    #[test]
    fn aac_of_other_layouts_and_broken_configurations() {
        let surround = Silence::of(&aac_track(&[0x11, 0xb0], 48_000, 6));
        let (_, packets) = filled(&surround, 1_024);
        let [(_, unit)] = packets.as_slice() else {
            panic!("{packets:?}");
        };
        // 29 bits, 43 and 43, 29, 3.
        assert_eq!(unit.len(), 19);
        for (config, channels, len) in [
            (&[][..], 1, 4),
            (&[], 0, 4),
            (&[], 9, 6),
            (&[0x11, 0x80], 2, 6),
        ] {
            let silence = Silence::of(&aac_track(config, 48_000, channels));
            let (ticks, packets) = filled(&silence, 1_024);
            assert_eq!((ticks, packets[0].1.len()), (1_024, len));
        }
    }
}
