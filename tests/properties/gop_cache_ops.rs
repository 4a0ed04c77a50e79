//! Operations on a GOP cache against a plain list: it holds everything since
//! the last key frame, or nothing, and never more than its caps.

use ringhall::base::limits::{GOP_CACHE_FRAMES_MAX, GOP_CACHE_MAX_BYTES, GOP_CACHE_MAX_MS};
use ringhall::proto::gop_cache::GopCache;

/// Four bytes an operation: kind, a 16-bit number, a small number.
pub fn check(data: &[u8]) {
    let mut cache = GopCache::new();
    // Frames with their bytes, since a key frame; `None` while closed.
    let mut model: Option<(u64, Vec<(u64, usize)>)> = None;
    let (mut now_ms, mut number) = (1_000u64, 0u64);
    for op in data.chunks_exact(4) {
        let &[kind, high, low, small] = op else {
            continue;
        };
        let wide = usize::from(u16::from_be_bytes([high, low]));
        let (is_key, count, bytes) = match kind % 8 {
            0 => (true, 1, wide),
            1..=3 => (false, 1, wide),
            4 => (false, usize::from(small), wide * 64),
            5 => (false, usize::from(small) * 8, 0),
            6 => {
                cache.clear();
                model = None;
                (false, 1, 1)
            }
            _ => (kind & 0x80 != 0, 1, wide << 8),
        };
        now_ms = (now_ms + u64::from(small)).saturating_sub(u64::from(kind >> 5));
        for _ in 0..count {
            number += 1;
            cache.push(is_key, now_ms, number, bytes);
            if is_key {
                model = Some((now_ms, Vec::new()));
            }
            if let Some((begun_ms, frames)) = &mut model {
                frames.push((number, bytes));
                let total: usize = frames.iter().map(|(_, bytes)| bytes).sum();
                if total > GOP_CACHE_MAX_BYTES
                    || frames.len() > GOP_CACHE_FRAMES_MAX
                    || now_ms > *begun_ms + GOP_CACHE_MAX_MS
                {
                    model = None;
                }
            }
        }
        let frames = model.as_ref().map_or(&[][..], |(_, frames)| frames);
        assert!(cache.iter().eq(frames.iter().map(|(number, _)| number)));
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![1, 0, 9, 40, 0, 1, 0, 40, 1, 0, 80, 40, 0, 1, 0, 0],
        // Past the bytes, the frames, the time.
        vec![0, 1, 0, 40, 4, 0xff, 0xff, 3, 0, 1, 0, 40, 1, 0, 1, 0],
        vec![0, 1, 0, 0, 5, 0, 0, 255, 5, 0, 0, 255, 1, 0, 1, 0],
        [vec![0, 1, 0, 0], [1, 0, 1, 255].repeat(50)].concat(),
        vec![0, 1, 0, 1, 0x87, 0x80, 0, 1, 6, 0, 0, 0, 0xe1, 0, 1, 0],
    ]
}
