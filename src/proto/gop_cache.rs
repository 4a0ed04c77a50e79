//! The frames since the last key frame, for a player who joins late: owns a
//! bounded copy of them in the order they came, audio riding along. Refuses to
//! keep what a player could not start from: before a key frame, and after the
//! caps were passed until the next one, it is empty.

use std::collections::VecDeque;

use crate::base::limits::{GOP_CACHE_FRAMES_MAX, GOP_CACHE_MAX_BYTES, GOP_CACHE_MAX_MS};

/// A group of pictures as far as it came. `T` is what one frame is kept as.
#[derive(Clone, Debug)]
pub struct GopCache<T> {
    items: VecDeque<T>,
    bytes: usize,
    /// Timestamp of the key frame; `None` while closed.
    begun_ms: Option<u64>,
}

impl<T> Default for GopCache<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> GopCache<T> {
    /// An empty cache, closed until the first key frame.
    pub fn new() -> Self {
        GopCache {
            items: VecDeque::new(),
            bytes: 0,
            begun_ms: None,
        }
    }

    /// Takes the next frame: `is_key` for a key frame of the video, which
    /// starts the cache over; `bytes` is what `item` keeps in memory.
    pub fn push(&mut self, is_key: bool, timestamp_ms: u64, item: T, bytes: usize) {
        if is_key {
            self.clear();
            self.begun_ms = Some(timestamp_ms);
        }
        let Some(begun_ms) = self.begun_ms else {
            return;
        };
        self.bytes = self.bytes.saturating_add(bytes);
        // A timestamp before the key frame's is an audio frame interleaved late.
        let over = self.bytes > GOP_CACHE_MAX_BYTES
            || timestamp_ms.saturating_sub(begun_ms) > GOP_CACHE_MAX_MS
            || self.items.len() >= GOP_CACHE_FRAMES_MAX;
        if over {
            self.clear();
        } else {
            self.items.push_back(item);
        }
    }

    /// The frames kept, from the key frame on; none while closed.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Empties the cache and closes it until the next key frame: the stream's
    /// parameters changed, or it ended.
    pub fn clear(&mut self) {
        self.items.clear();
        self.bytes = 0;
        self.begun_ms = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(cache: &GopCache<u32>) -> Vec<u32> {
        cache.iter().copied().collect()
    }

    #[test]
    fn nothing_is_kept_before_a_key_frame() {
        let mut cache = GopCache::new();
        cache.push(false, 0, 1, 10);
        assert_eq!((kept(&cache), cache.bytes), (Vec::<u32>::new(), 0));
        cache.push(true, 20, 2, 10);
        cache.push(false, 10, 3, 5);
        assert_eq!((kept(&cache), cache.bytes), (vec![2, 3], 15));
    }

    #[test]
    fn each_key_frame_starts_over() {
        let mut cache = GopCache::new();
        for (is_key, item) in [(true, 1), (false, 2), (true, 3), (false, 4)] {
            cache.push(is_key, u64::from(item), item, 1);
        }
        assert_eq!((kept(&cache), cache.bytes), (vec![3, 4], 2));
        cache.clear();
        cache.push(false, 5, 5, 1);
        assert!(kept(&cache).is_empty());
    }

    #[test]
    fn past_each_cap_it_is_empty_until_the_next_key_frame() {
        let mut cache = GopCache::new();
        for (timestamp_ms, bytes) in [(0, GOP_CACHE_MAX_BYTES), (GOP_CACHE_MAX_MS + 1, 0)] {
            cache.push(true, 0, 1, 1);
            cache.push(false, timestamp_ms, 2, bytes);
            assert_eq!((kept(&cache), cache.bytes), (Vec::<u32>::new(), 0));
            cache.push(false, 0, 3, 0);
            assert!(kept(&cache).is_empty());
        }
        cache.push(true, 0, 0, GOP_CACHE_MAX_BYTES);
        for item in 1..GOP_CACHE_FRAMES_MAX as u32 {
            cache.push(false, GOP_CACHE_MAX_MS, item, 0);
        }
        assert_eq!(cache.iter().count(), GOP_CACHE_FRAMES_MAX);
        cache.push(false, 0, 0, 0);
        assert!(kept(&cache).is_empty());
        cache.push(true, 0, 1, GOP_CACHE_MAX_BYTES + 1);
        assert!(kept(&cache).is_empty());
    }
}
