//! AudioSpecificConfig of AAC (ISO/IEC 14496-3 section 1.6.2.1): what tells how
//! long a frame is. Refuses other audio; a program's own channel layout is not
//! looked at.

use super::bits::Bits;

/// Read from the head of a configuration; spectral band replication that it
/// tells of is not looked at: the decoder's doubled rate is the caller's to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// Of the core, in Hz, before any doubling.
    pub sample_rate: u32,
    /// 1..=7 by table 1.19, or 0 where the layout is told elsewhere.
    pub channel_configuration: u8,
    /// Per channel in a frame, at `sample_rate`: 1,024 or 960.
    pub frame_samples: u32,
}

/// By samplingFrequencyIndex (table 1.18).
const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Object types with a GASpecificConfig and frames of raw_data_block: main, low
/// complexity, scalable rate and long term prediction.
const PLAIN_TYPES: [u32; 4] = [1, 2, 3, 4];
/// Spectral band replication, and that with parametric stereo: the core's type
/// follows.
const EXTENSION_TYPES: [u32; 2] = [5, 29];

impl AacConfig {
    /// `None` of a configuration that is cut off or of another object type.
    pub fn parse(config: &[u8]) -> Option<AacConfig> {
        let mut bits = Bits::of_bytes(config);
        let mut object_type = object_type(&mut bits)?;
        let sample_rate = sample_rate(&mut bits)?;
        let channel_configuration = u8::try_from(bits.number(4)?).ok()?;
        if EXTENSION_TYPES.contains(&object_type) {
            self::sample_rate(&mut bits)?;
            object_type = self::object_type(&mut bits)?;
        }
        if !PLAIN_TYPES.contains(&object_type) {
            return None;
        }
        let is_short = bits.bit()?;
        Some(AacConfig {
            sample_rate,
            channel_configuration,
            frame_samples: if is_short { 960 } else { 1_024 },
        })
    }
}

/// GetAudioObjectType (table 1.16).
fn object_type(bits: &mut Bits) -> Option<u32> {
    const ESCAPE: u32 = 31;
    match bits.number(5)? {
        ESCAPE => Some(32 + bits.number(6)?),
        plain => Some(plain),
    }
}

fn sample_rate(bits: &mut Bits) -> Option<u32> {
    const ESCAPE: u32 = 15;
    match bits.number(4)? {
        ESCAPE => bits.number(24),
        index => SAMPLE_RATES.get(index as usize).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(config: &[u8]) -> Option<(u32, u8, u32)> {
        let config = AacConfig::parse(config)?;
        Some((
            config.sample_rate,
            config.channel_configuration,
            config.frame_samples,
        ))
    }

    #[test]
    fn what_encoders_send() {
        assert_eq!(parsed(&[0x12, 0x10]), Some((44_100, 2, 1_024)));
        assert_eq!(
            parsed(&[0x11, 0x88, 0x56, 0xe5, 0]),
            Some((48_000, 1, 1_024))
        );
        assert_eq!(parsed(&[0x15, 0x88]), Some((8_000, 1, 1_024)));
        // HE-AAC and that with parametric stereo, the core's rate first.
        assert_eq!(parsed(&[0x2b, 0x11, 0x88, 0]), Some((24_000, 2, 1_024)));
        assert_eq!(parsed(&[0xeb, 0x09, 0x88, 0]), Some((24_000, 1, 1_024)));
        // A rate in 24 bits, and short frames.
        assert_eq!(
            parsed(&[0x17, 0x80, 0x5d, 0xc0, 0x0c]),
            Some((48_000, 1, 960))
        );
    }

    #[test]
    fn zeros_are_no_emulation() {
        assert_eq!(parsed(&[0x17, 0x80, 0x00, 0x00, 0x08]), Some((0, 1, 1_024)));
        assert_eq!(parsed(&[0x17, 0x80, 0, 0, 3, 8]), Some((0, 0, 1_024)));
    }

    #[test]
    fn what_is_cut_off_or_other_audio() {
        let whole = [0x2b, 0x11, 0x88, 0];
        for cut in 0..3 {
            assert_eq!(parsed(&whole[..cut]), None);
        }
        // A rate without a meaning; CELP; an escaped type.
        assert_eq!(parsed(&[0x16, 0x90]), None);
        assert_eq!(parsed(&[0x41, 0x90]), None);
        assert_eq!(parsed(&[0xf9, 0x46, 0x40, 0]), None);
    }
}
