//! Big-endian integers at an offset of a byte slice; `None` past its end.

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}

/// Three bytes as the low 24 bits.
pub fn u24_at(bytes: &[u8], at: usize) -> Option<u32> {
    let [a, b, c] = array_at(bytes, at)?;
    Some(u32::from_be_bytes([0, a, b, c]))
}

pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_be_bytes)
}

pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_be_bytes)
}

/// Writes `value` at `at`; `None`, with nothing written, where it does not fit.
pub fn put<const N: usize>(out: &mut [u8], at: usize, value: [u8; N]) -> Option<()> {
    *out.get_mut(at..)?.first_chunk_mut()? = value;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_stop_at_the_end() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(u8_at(&bytes, 7), Some(8));
        assert_eq!(u16_at(&bytes, 6), Some(0x0708));
        assert_eq!(u16_at(&bytes, 7), None);
        assert_eq!(u24_at(&bytes, 5), Some(0x06_0708));
        assert_eq!(u32_at(&bytes, 4), Some(0x0506_0708));
        assert_eq!(u32_at(&bytes, usize::MAX), None);
        assert_eq!(u64_at(&bytes, 0), Some(0x0102_0304_0506_0708));
        assert_eq!(u64_at(&bytes, 1), None);
        let mut out = [0u8; 3];
        assert_eq!(put(&mut out, 1, [7, 8]), Some(()));
        assert_eq!(put(&mut out, 2, [9, 9]), None);
        assert_eq!(out, [0, 7, 8]);
    }
}
