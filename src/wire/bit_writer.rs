//! Writes what [`super::bits`] reads: bits of a NAL unit of H.264, the highest
//! first, and its exponential Golomb numbers (ITU-T H.264 section 9.1). Also
//! syntax of other standards that is written bit by bit. What is written is
//! ours, so nothing here fails.

/// Bits of a unit's payload, before emulation prevention.
#[derive(Clone, Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Of the last byte, not yet written.
    free: u32,
}

impl BitWriter {
    pub fn bit(&mut self, bit: bool) {
        if self.free == 0 {
            self.bytes.push(0);
            self.free = 8;
        }
        self.free -= 1;
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << self.free;
        }
    }

    /// The low `count` bits of `number`.
    pub fn number(&mut self, number: u32, count: u32) {
        self.wide(u64::from(number), count);
    }

    /// ue(v).
    pub fn golomb(&mut self, number: u32) {
        let code = u64::from(number) + 1;
        let zeros = code.ilog2();
        self.number(0, zeros);
        self.wide(code, zeros + 1);
    }

    /// Zero bits up to the next byte, and whole bytes from there.
    pub fn aligned(&mut self, bytes: &[u8]) {
        self.free = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// What is written, with zero bits up to the next byte.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The NAL unit of this payload: its header byte, the stop bit behind it
    /// (rbsp_trailing_bits, section 7.3.2.11), and a 3 wherever two zero bytes
    /// would otherwise have a byte of 0 to 3 behind them (section 7.4.1).
    pub fn into_nal(mut self, header: u8) -> Vec<u8> {
        self.bit(true);
        let mut unit = Vec::with_capacity(self.bytes.len() + self.bytes.len() / 64 + 1);
        unit.push(header);
        let mut zeros = 0;
        for byte in self.bytes {
            if zeros == 2 && byte <= 3 {
                unit.push(3);
                zeros = 0;
            }
            unit.push(byte);
            zeros = if byte == 0 { zeros + 1 } else { 0 };
        }
        unit
    }

    fn wide(&mut self, number: u64, count: u32) {
        for at in (0..count).rev() {
            self.bit(number >> at & 1 != 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bits::Bits;

    #[test]
    fn what_is_written_is_read() {
        let numbers = [0, 1, 2, 7, 8, 1_199, 65_534, u32::MAX - 1];
        let mut writer = BitWriter::default();
        for number in numbers {
            writer.golomb(number);
            writer.number(number, 32);
            writer.bit(true);
        }
        let unit = writer.into_nal(0x67);
        let mut bits = Bits::of_nal(&unit);
        assert_eq!(bits.number(8), Some(0x67));
        for number in numbers {
            assert_eq!(bits.golomb(), Some(number));
            assert_eq!(bits.number(32), Some(number));
            assert_eq!(bits.bit(), Some(true));
        }
        assert_eq!(bits.bit(), Some(true), "the stop bit");
    }

    #[test]
    fn the_largest_golomb_number() {
        let mut writer = BitWriter::default();
        writer.golomb(u32::MAX);
        // 32 zeros, a one and 32 zeros, which no reader needs to take.
        assert_eq!(writer.into_bytes(), [0, 0, 0, 0, 0x80, 0, 0, 0, 0]);
    }

    #[test]
    fn bytes_begin_at_a_byte() {
        let mut writer = BitWriter::default();
        writer.aligned(&[7]);
        writer.bit(true);
        writer.aligned(&[8, 9]);
        writer.number(0b101, 3);
        assert_eq!(writer.into_bytes(), [7, 0x80, 8, 9, 0b1010_0000]);
    }

    #[test]
    fn no_start_code_appears() {
        let mut writer = BitWriter::default();
        writer.aligned(&[0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0]);
        let unit = [
            0x65, 0, 0, 3, 0, 0, 3, 0, 1, 0, 0, 3, 2, 0, 0, 3, 3, 0, 0, 4, 0, 0, 0x80,
        ];
        assert_eq!(writer.into_nal(0x65), unit);
    }
}
