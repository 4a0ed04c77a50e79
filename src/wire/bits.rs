//! Bits, the highest first, of a NAL unit or of plain bytes, and the exponential
//! Golomb numbers of H.264 (ITU-T H.264 section 9.1). `None` past the end, and for numbers
//! beyond 32 bits, which no field has.

use super::bytes::u8_at;

/// Where in `bytes` the next bit is.
pub struct Bits<'a> {
    bytes: &'a [u8],
    /// Of the byte read last.
    current: u8,
    left_in_current: u32,
    at: usize,
    /// Zero bytes just before `at`.
    zeros: u32,
    has_emulation: bool,
}

impl<'a> Bits<'a> {
    /// Leaves out the bytes that keep start codes from appearing, a 3 behind two
    /// zeros (section 7.4.1).
    pub fn of_nal(bytes: &'a [u8]) -> Bits<'a> {
        Bits {
            has_emulation: true,
            ..Bits::of_bytes(bytes)
        }
    }

    pub fn of_bytes(bytes: &'a [u8]) -> Bits<'a> {
        Bits {
            bytes,
            current: 0,
            left_in_current: 0,
            at: 0,
            zeros: 0,
            has_emulation: false,
        }
    }

    pub fn bit(&mut self) -> Option<bool> {
        if self.left_in_current == 0 {
            self.current = self.next_byte()?;
            self.left_in_current = 8;
        }
        self.left_in_current -= 1;
        Some(self.current >> self.left_in_current & 1 != 0)
    }

    /// `count` bits, at most 32, as a number.
    pub fn number(&mut self, count: u32) -> Option<u32> {
        let mut number = 0;
        for _ in 0..count {
            number = number << 1 | u32::from(self.bit()?);
        }
        Some(number)
    }

    /// ue(v).
    pub fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros == 32 {
                return None;
            }
        }
        let low = self.number(zeros)?;
        Some((1 << zeros) - 1 + low)
    }

    fn next_byte(&mut self) -> Option<u8> {
        let mut byte = u8_at(self.bytes, self.at)?;
        if self.has_emulation && self.zeros >= 2 && byte == 3 {
            self.at += 1;
            self.zeros = 0;
            byte = u8_at(self.bytes, self.at)?;
        }
        self.at += 1;
        self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_width() {
        let mut bits = Bits::of_nal(&[0b1010_0001, 0xff, 0, 0, 0x80]);
        assert_eq!(bits.bit(), Some(true));
        assert_eq!(bits.number(3), Some(0b010));
        assert_eq!(bits.number(8), Some(0b0001_1111));
        assert_eq!(bits.number(29), None);
    }

    #[test]
    fn golomb_numbers() {
        // 1, 010, 011, 00100, 00110.
        let mut bits = Bits::of_nal(&[0b1010_0110, 0b0100_0011, 0]);
        assert_eq!(bits.golomb(), Some(0));
        assert_eq!(bits.golomb(), Some(1));
        assert_eq!(bits.golomb(), Some(2));
        assert_eq!(bits.golomb(), Some(3));
        assert_eq!(bits.golomb(), Some(5));
        assert_eq!(bits.golomb(), None);
    }

    #[test]
    fn golomb_numbers_end_at_32_bits() {
        let largest = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Bits::of_nal(&largest).golomb(), Some(u32::MAX - 1));
        assert_eq!(Bits::of_nal(&[0; 1_000]).golomb(), None);
        assert_eq!(Bits::of_nal(&[0; 2]).golomb(), None);
    }

    #[test]
    fn plain_bytes_have_no_emulation_bytes() {
        let mut bits = Bits::of_bytes(&[0, 0, 3, 1]);
        assert_eq!(bits.number(32), Some(0x0301));
    }

    #[test]
    fn emulation_bytes_are_left_out_of_nal_units() {
        let bytes = [0, 0, 3, 0, 0, 3, 1, 3];
        let mut bits = Bits::of_nal(&bytes);
        assert_eq!(bits.number(32), Some(0));
        assert_eq!(bits.number(16), Some(0x0103));
        assert_eq!(bits.number(1), None);
    }
}
