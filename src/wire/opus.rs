//! What the first byte of an Opus packet tells (RFC 6716 section 3.1): how long
//! its sound is. Refuses packets that no decoder takes.

use super::bytes::u8_at;

/// The longest packet, 120 ms, in ticks of 48 kHz.
const PACKET_MAX_TICKS: u32 = 5_760;

/// Ticks of 48 kHz that a packet's sound lasts; `None` for a broken one.
pub fn duration_ticks(packet: &[u8]) -> Option<u32> {
    let toc = u8_at(packet, 0)?;
    let frame = frame_ticks(toc >> 3);
    let frames = match toc & 0x03 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(u8_at(packet, 1)? & 0x3f),
    };
    let ticks = frame * frames;
    (1..=PACKET_MAX_TICKS).contains(&ticks).then_some(ticks)
}

/// Table 2: SILK of 10 to 60 ms, hybrid of 10 and 20, CELT of 2.5 to 20.
fn frame_ticks(config: u8) -> u32 {
    const MS: u32 = 48;
    match config {
        0..=11 => match config % 4 {
            0 => 10 * MS,
            1 => 20 * MS,
            2 => 40 * MS,
            _ => 60 * MS,
        },
        12..=15 => (10 + 10 * u32::from(config % 2)) * MS,
        _ => 120 << (config % 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_last_as_their_first_byte_says() {
        for (packet, ticks) in [
            (&[0xf8, 0xff, 0xfe][..], Some(960)),
            (&[0xe0][..], Some(120)),
            (&[0xe8, 0][..], Some(240)),
            (&[0x18, 0][..], Some(2_880)),
            (&[0x68, 0][..], Some(960)),
            (&[0xf9, 0, 0][..], Some(1_920)),
            (&[0xfb, 6, 0][..], Some(5_760)),
            (&[0xfb, 7, 0][..], None),
            (&[0xfb, 0, 0][..], None),
            (&[0xfb][..], None),
            (&[][..], None),
        ] {
            assert_eq!(duration_ticks(packet), ticks, "{packet:x?}");
        }
    }
}
