//! The boolean entropy coder of VP8 (RFC 6386 section 7.3).

/// Writes decisions, each with the probability that it is 0.
pub struct BoolWriter {
    bytes: Vec<u8>,
    /// 128 to 255.
    range: u32,
    /// What is not yet written of the code. Below bit 31, which a carry sets.
    bottom: u32,
    /// Shifts until another byte is whole.
    shifts_left: u32,
}

impl BoolWriter {
    pub fn new() -> BoolWriter {
        BoolWriter {
            bytes: Vec::new(),
            range: 255,
            bottom: 0,
            shifts_left: 24,
        }
    }

    /// A decision whose being 0 has the probability of `zero_in_256`.
    pub fn decision(&mut self, one: bool, zero_in_256: u8) {
        let split = 1 + (((self.range - 1) * u32::from(zero_in_256)) >> 8);
        if one {
            self.bottom += split;
            self.range -= split;
        } else {
            self.range = split;
        }
        while self.range < 128 {
            self.range <<= 1;
            self.shift();
        }
    }

    /// As many decisions of equal chances as `number` is asked to have bits, the
    /// highest first.
    pub fn number(&mut self, number: u32, bits: u32) {
        for at in (0..bits).rev() {
            self.decision(number >> at & 1 != 0, 128);
        }
    }

    /// The code up to its last bit. Never empty: libvpx takes a frame with an
    /// empty partition for a broken one.
    pub fn into_bytes(mut self) -> Vec<u8> {
        for _ in 0..self.shifts_left + 24 {
            self.shift();
        }
        self.bytes
    }

    fn shift(&mut self) {
        if self.bottom >> 31 != 0 {
            self.carry();
        }
        self.bottom <<= 1;
        self.shifts_left -= 1;
        if self.shifts_left == 0 {
            self.bytes.push((self.bottom >> 24) as u8);
            self.bottom &= (1 << 24) - 1;
            self.shifts_left = 8;
        }
    }

    /// Adds one to what is written. It never runs over: the code is below 1.
    fn carry(&mut self) {
        for byte in self.bytes.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Noise;

    /// Section 7.3's decoder.
    struct BoolReader<'a> {
        bytes: &'a [u8],
        value: u32,
        range: u32,
        shifts: u32,
    }

    impl BoolReader<'_> {
        fn of(bytes: &[u8]) -> BoolReader<'_> {
            BoolReader {
                value: u32::from(bytes[0]) << 8 | u32::from(bytes[1]),
                bytes: &bytes[2..],
                range: 255,
                shifts: 0,
            }
        }

        fn decision(&mut self, zero_in_256: u8) -> bool {
            let split = 1 + (((self.range - 1) * u32::from(zero_in_256)) >> 8);
            let one = self.value >= split << 8;
            if one {
                self.range -= split;
                self.value -= split << 8;
            } else {
                self.range = split;
            }
            while self.range < 128 {
                self.value <<= 1;
                self.range <<= 1;
                self.shifts += 1;
                if self.shifts == 8 {
                    self.shifts = 0;
                    let (first, rest) = self.bytes.split_first().unwrap();
                    self.value |= u32::from(*first);
                    self.bytes = rest;
                }
            }
            one
        }
    }

    #[test]
    fn what_is_decided_is_read() {
        let mut noise = Noise::new(6386);
        for _ in 0..200 {
            let decisions: Vec<(bool, u8)> = (0..noise.below(3_000))
                .map(|_| {
                    let zero_in_256 = 1 + noise.below(255) as u8;
                    (noise.below(256) as u8 >= zero_in_256, zero_in_256)
                })
                .collect();
            let mut writer = BoolWriter::new();
            for (one, zero_in_256) in &decisions {
                writer.decision(*one, *zero_in_256);
            }
            writer.number(0b1011, 4);
            let bytes = writer.into_bytes();
            let mut reader = BoolReader::of(&bytes);
            for (one, zero_in_256) in decisions {
                assert_eq!(reader.decision(zero_in_256), one);
            }
            for bit in [true, false, true, true] {
                assert_eq!(reader.decision(128), bit);
            }
        }
    }

    #[test]
    fn a_carry_goes_through_full_bytes() {
        let mut writer = BoolWriter::new();
        // Always the less likely: the code is close to 1.
        for _ in 0..100 {
            writer.decision(true, 255);
        }
        for _ in 0..100 {
            writer.decision(true, 1);
        }
        let bytes = writer.into_bytes();
        let mut reader = BoolReader::of(&bytes);
        assert!((0..100).all(|_| reader.decision(255)) && (0..100).all(|_| reader.decision(1)));
    }

    #[test]
    fn nothing_is_four_zero_bytes() {
        assert_eq!(BoolWriter::new().into_bytes(), [0; 4]);
    }
}
