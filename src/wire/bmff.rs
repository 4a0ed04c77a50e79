//! Boxes of the ISO base media file format (ISO/IEC 14496-12 section 4.2), of
//! which MP4 files are made: writing them nested, and walking them. Refuses
//! sizes that are shorter than their own header or reach past what holds them;
//! what is inside a box is its reader's business.

use super::bytes::{put, u32_at, u64_at};

/// A box's type, four characters.
pub type Kind = [u8; 4];

/// Bytes of a header whose size is in 32 bits, and of one in 64 bits.
pub const HEADER_BYTES: u64 = 8;
pub const LARGE_HEADER_BYTES: u64 = 16;

/// Where a box's type is, from its start.
pub const KIND_AT: u64 = 4;

/// A size field that says: see the 64 bits behind the type.
const SIZE_IS_LARGE: u32 = 1;

/// A size field that says: until the end of the file.
const SIZE_IS_REST: u32 = 0;

/// Appends a box that `fill` writes the inside of. Its size is patched in
/// afterwards; a box beyond 4 GiB does not exist here, as every caller's data is
/// capped far below.
pub fn write_box(out: &mut Vec<u8>, kind: &Kind, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(kind);
    fill(out);
    let size = u32::try_from(out.len().saturating_sub(start)).unwrap_or(u32::MAX);
    let _ = put(out, start, size.to_be_bytes());
}

/// Appends a box that begins with a version and 24 bits of flags (section 4.2,
/// `FullBox`).
pub fn write_full_box(
    out: &mut Vec<u8>,
    kind: &Kind,
    version: u8,
    flags: u32,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    write_box(out, kind, |out| {
        let word = u32::from(version) << 24 | flags & 0x00ff_ffff;
        out.extend(word.to_be_bytes());
        fill(out);
    });
}

/// The header of a box of `size_bytes` in all, its size in 64 bits.
pub fn large_header(kind: &Kind, size_bytes: u64) -> Vec<u8> {
    let mut out = SIZE_IS_LARGE.to_be_bytes().to_vec();
    out.extend(kind);
    out.extend(size_bytes.to_be_bytes());
    out
}

/// The header of a box that reaches to the end of the file, however long that
/// becomes.
pub fn open_header(kind: &Kind) -> Vec<u8> {
    let mut out = SIZE_IS_REST.to_be_bytes().to_vec();
    out.extend(kind);
    out
}

/// Why bytes are not boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoxError {
    /// The header is cut off.
    CutOff,
    /// The size is less than the header's own, or passes the end of what holds
    /// the box.
    BadSize,
    /// Two of a kind where one is meant.
    Twice(Kind),
}

/// How far a box reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Header included. Not less than the header's length.
    Bytes(u64),
    /// To the end of the file; at the top level only.
    Rest,
}

/// What stands before a box's inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    pub extent: Extent,
    /// 8, or 16 where the size is in 64 bits.
    pub header_bytes: u64,
}

impl Header {
    /// Reads the header that `bytes` begin with; 16 bytes always suffice.
    pub fn parse(bytes: &[u8]) -> Result<Header, BoxError> {
        let size = u32_at(bytes, 0).ok_or(BoxError::CutOff)?;
        let kind = bytes.get(4..8).and_then(|kind| kind.try_into().ok());
        let kind = kind.ok_or(BoxError::CutOff)?;
        let (extent, header_bytes) = match size {
            SIZE_IS_REST => (Extent::Rest, HEADER_BYTES),
            SIZE_IS_LARGE => {
                let size = u64_at(bytes, 8).ok_or(BoxError::CutOff)?;
                (Extent::Bytes(size), LARGE_HEADER_BYTES)
            }
            size => (Extent::Bytes(size.into()), HEADER_BYTES),
        };
        match extent {
            Extent::Bytes(size) if size < header_bytes => Err(BoxError::BadSize),
            extent => Ok(Header {
                kind,
                extent,
                header_bytes,
            }),
        }
    }
}

/// A box in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boxed<'a> {
    pub kind: Kind,
    /// Without the header.
    pub body: &'a [u8],
}

/// The boxes of `data`, one behind another, which they must fill. The first
/// error is the last item.
pub fn boxes(data: &[u8]) -> Boxes<'_> {
    Boxes { rest: data }
}

/// The walk of [`boxes`].
#[derive(Clone, Debug)]
pub struct Boxes<'a> {
    rest: &'a [u8],
}

impl<'a> Boxes<'a> {
    fn first(&mut self) -> Result<Boxed<'a>, BoxError> {
        let header = Header::parse(self.rest)?;
        let Extent::Bytes(size) = header.extent else {
            return Err(BoxError::BadSize);
        };
        let size = usize::try_from(size).map_err(|_| BoxError::BadSize)?;
        let (whole, rest) = self.rest.split_at_checked(size).ok_or(BoxError::BadSize)?;
        let body = usize::try_from(header.header_bytes)
            .ok()
            .and_then(|at| whole.get(at..));
        self.rest = rest;
        Ok(Boxed {
            kind: header.kind,
            body: body.ok_or(BoxError::BadSize)?,
        })
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<Boxed<'a>, BoxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let first = self.first();
        if first.is_err() {
            self.rest = &[];
        }
        Some(first)
    }
}

/// The body of the one box of `kind` among those of `data`.
pub fn only<'a>(data: &'a [u8], kind: &Kind) -> Result<Option<&'a [u8]>, BoxError> {
    let mut found = None;
    for boxed in boxes(data) {
        let boxed = boxed?;
        if boxed.kind == *kind && found.replace(boxed.body).is_some() {
            return Err(BoxError::Twice(*kind));
        }
    }
    Ok(found)
}

/// Version, flags and the rest of a full box's body; `None` where it is too
/// short.
pub fn full(body: &[u8]) -> Option<(u8, u32, &[u8])> {
    let word = u32_at(body, 0)?;
    let [version, ..] = word.to_be_bytes();
    Some((version, word & 0x00ff_ffff, body.get(4..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_boxes_are_walked_as_written() {
        let mut out = b"before".to_vec();
        write_box(&mut out, b"moov", |out| {
            write_full_box(out, b"mvhd", 1, 0x07_0809, |out| out.extend([1, 2]));
            write_box(out, b"free", |_| ());
        });
        let out = &out[6..];
        assert_eq!(out.len(), 8 + 14 + 8);
        let outer: Vec<_> = boxes(out).collect();
        let [Ok(moov)] = outer[..] else {
            panic!("{outer:?}");
        };
        assert_eq!(moov.kind, *b"moov");
        let inner: Result<Vec<_>, _> = boxes(moov.body).collect();
        let inner = inner.unwrap();
        assert_eq!((inner[0].kind, inner[1].kind), (*b"mvhd", *b"free"));
        assert_eq!(full(inner[0].body), Some((1, 0x07_0809, &[1, 2][..])));
        assert_eq!((inner[1].body, full(inner[1].body)), (&[][..], None));
        assert_eq!(only(moov.body, b"free"), Ok(Some(&[][..])));
        assert_eq!(only(moov.body, b"trak"), Ok(None));
        let twice = [out, out].concat();
        assert_eq!(only(&twice, b"moov"), Err(BoxError::Twice(*b"moov")));
    }

    #[test]
    fn every_cut_is_an_error_and_the_last_item() {
        let mut out = Vec::new();
        write_box(&mut out, b"free", |out| out.extend([0; 5]));
        let whole = out.len();
        write_box(&mut out, b"mdat", |out| out.extend([7; 9]));
        for cut in 0..out.len() {
            let walked: Vec<_> = boxes(&out[..cut]).collect();
            let is_whole = cut == 0 || cut == whole;
            assert_eq!(walked.iter().all(Result::is_ok), is_whole, "{cut}");
            let errors = walked.iter().filter(|item| item.is_err()).count();
            assert!(errors <= 1 && walked.last().is_none_or(|item| item.is_err() != is_whole));
        }
    }

    #[test]
    fn sizes_in_64_bits_and_to_the_end() {
        let large = large_header(b"mdat", 1 << 40);
        let header = Header::parse(&large).unwrap();
        assert_eq!(header.extent, Extent::Bytes(1 << 40));
        assert_eq!((header.kind, header.header_bytes), (*b"mdat", 16));
        assert_eq!(Header::parse(&large[..15]), Err(BoxError::CutOff));
        let open = Header::parse(&open_header(b"free")).unwrap();
        assert_eq!((open.extent, open.header_bytes), (Extent::Rest, 8));
        // Inside another box nothing is open.
        let open = open_header(b"free");
        assert_eq!(boxes(&open).next(), Some(Err(BoxError::BadSize)));
        let mut small = large_header(b"free", 18);
        small.extend([5, 6]);
        let small = boxes(&small).next().unwrap().unwrap();
        assert_eq!(small.body, [5, 6]);
    }

    #[test]
    fn sizes_below_the_header_never_loop() {
        for size in 2..8u8 {
            let bytes = [0, 0, 0, size, b'f', b'r', b'e', b'e'];
            assert_eq!(Header::parse(&bytes), Err(BoxError::BadSize));
            assert_eq!(boxes(&bytes).count(), 1);
        }
        for size in 0..16 {
            let bytes = large_header(b"free", size);
            assert_eq!(Header::parse(&bytes), Err(BoxError::BadSize));
        }
        let huge = large_header(b"free", u64::MAX);
        assert_eq!(boxes(&huge).last(), Some(Err(BoxError::BadSize)));
    }
}
