//! A recording's samples found again in the fragments on disk. Walks the boxes
//! from the first `moov` on, in a file that grows and, as finalising leaves them
//! where they are, just as well inside the `mdat` of a whole one.
//!
//! Memory is the tables' and one fragment's boxes. A fragment that contradicts
//! itself or those before it is passed over, and no box is believed that reaches
//! past the end or past what this server writes.

use super::fmp4::{BRANDS_BYTES, INIT_AT};
use super::layout::Sample;
use super::moof::{self, TrackRun};
use super::movie::{Form, Movie};
use super::store::{FileFault, Store};
use super::table::TooManySamples;
use crate::base::limits::{
    RECORD_FRAGMENT_MAX_BYTES, RECORD_GAP_MAX, RECORD_INIT_MAX_BYTES, RECORD_MOOF_MAX_BYTES,
    RECORD_MOOV_MAX_BYTES,
};
use crate::wire::bmff::{BoxError, Extent, HEADER_BYTES, Header, LARGE_HEADER_BYTES, boxes};

/// Why the samples of a file cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexError {
    Disk(FileFault),
    /// It does not begin as this server's recordings do, or is cut off before
    /// it says what its tracks are.
    NotARecording,
    /// More samples than are kept.
    TooLong,
}

impl From<FileFault> for IndexError {
    fn from(fault: FileFault) -> Self {
        IndexError::Disk(fault)
    }
}

impl From<TooManySamples> for IndexError {
    fn from(_: TooManySamples) -> Self {
        IndexError::TooLong
    }
}

/// How far a recording has come, as the box behind the brands tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Fragments are told one by one.
    Growing,
    /// One `mdat` holds them, until `media_end` from the start of the file.
    Whole { media_end: u64 },
}

/// What the walk ended at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The end of the file.
    End,
    /// What was being written when the writing stopped: half a box, or room that
    /// was never written to.
    Cut,
    /// Bytes that are no box. What is behind them cannot be told.
    Damage,
}

/// What a recording holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    pub movie: Movie,
    /// Behind the last whole fragment, and behind whatever else is there to
    /// stay. What follows was never finished.
    pub end: u64,
    pub stop: Stop,
    /// Fragments that are there and not believed.
    pub lost_fragments: u32,
    /// Times that a sample was lengthened because those behind it are missing.
    pub gaps: u32,
    last_sequence: u32,
}

/// How far the recording in `store` has come.
pub fn stage(store: &mut impl Store) -> Result<Stage, IndexError> {
    let mut head = [0; INIT_AT as usize];
    if store.len()? < INIT_AT {
        return Err(IndexError::NotARecording);
    }
    store.read_at(0, &mut head)?;
    let (brands, placeholder) = head.split_at(BRANDS_BYTES as usize);
    let brands = Header::parse(brands).map_err(|_| IndexError::NotARecording)?;
    let placeholder = Header::parse(placeholder).map_err(|_| IndexError::NotARecording)?;
    if brands.kind != *b"ftyp" || brands.extent != Extent::Bytes(BRANDS_BYTES) {
        return Err(IndexError::NotARecording);
    }
    match placeholder.extent {
        // Whatever its type: finalising may have been stopped amid writing it.
        Extent::Bytes(LARGE_HEADER_BYTES) if placeholder.header_bytes == HEADER_BYTES => {
            Ok(Stage::Growing)
        }
        Extent::Bytes(size)
            if placeholder.kind == *b"mdat" && placeholder.header_bytes == LARGE_HEADER_BYTES =>
        {
            Ok(Stage::Whole {
                media_end: BRANDS_BYTES.saturating_add(size),
            })
        }
        _ => Err(IndexError::NotARecording),
    }
}

/// Walks the fragments of `store` from the first `moov` to the end.
pub fn index(store: &mut impl Store) -> Result<Index, IndexError> {
    stage(store)?;
    let len = store.len()?;
    let (movie, at) = first_movie(store, len)?;
    let mut walk = Walk {
        store,
        len,
        at,
        keeps: false,
        index: Index::going_on(movie, at),
    };
    loop {
        if let Some(stop) = walk.step()? {
            walk.index.stop = stop;
            return Ok(walk.index);
        }
    }
}

/// The `moov` without samples, and where it ends.
fn first_movie(store: &mut impl Store, len: u64) -> Result<(Movie, u64), IndexError> {
    let header = header_at(store, INIT_AT, len)?.map_err(|_| IndexError::NotARecording)?;
    let (Extent::Bytes(size), b"moov") = (header.extent, &header.kind) else {
        return Err(IndexError::NotARecording);
    };
    let end = INIT_AT.saturating_add(size);
    if size > RECORD_INIT_MAX_BYTES || end > len {
        return Err(IndexError::NotARecording);
    }
    let body = read(store, INIT_AT.saturating_add(header.header_bytes), end)?;
    let movie = Movie::parse(&body, Form::Init, len).map_err(|_| IndexError::NotARecording)?;
    Ok((movie, end))
}

/// The header of the box at `at`, in a file of `len` bytes.
pub(super) fn header_at(
    store: &mut impl Store,
    at: u64,
    len: u64,
) -> Result<Result<Header, BoxError>, FileFault> {
    let mut bytes = [0; LARGE_HEADER_BYTES as usize];
    let there = len.saturating_sub(at).min(LARGE_HEADER_BYTES) as usize;
    let Some(bytes) = bytes.get_mut(..there) else {
        return Ok(Err(BoxError::CutOff));
    };
    store.read_at(at, bytes)?;
    Ok(Header::parse(bytes))
}

/// The bytes from `from` to `to`, which the caller knows to be few.
pub(super) fn read(store: &mut impl Store, from: u64, to: u64) -> Result<Vec<u8>, FileFault> {
    let len = usize::try_from(to.saturating_sub(from)).map_err(|_| FileFault::Failed)?;
    let mut bytes = vec![0; len];
    store.read_at(from, &mut bytes)?;
    Ok(bytes)
}

/// Why a whole fragment is not believed, or not whole.
enum Doubt {
    /// Not a word of it.
    Lost,
    /// The file ends in it.
    Cut,
    /// Its `mdat` reaches nowhere.
    Damage,
}

/// The walk over the boxes of one file.
struct Walk<'a, S> {
    store: &'a mut S,
    len: u64,
    /// Of the next box.
    at: u64,
    /// Whether an `mdat` met now belongs to what stays, though not to a
    /// fragment that is believed.
    keeps: bool,
    index: Index,
}

impl<S: Store> Walk<'_, S> {
    /// Over one box; what ends the walk, if it does.
    fn step(&mut self) -> Result<Option<Stop>, IndexError> {
        if self.at >= self.len {
            return Ok(Some(Stop::End));
        }
        let header = match header_at(self.store, self.at, self.len)? {
            Ok(header) => header,
            Err(BoxError::CutOff) => return Ok(Some(Stop::Cut)),
            Err(_) => return Ok(Some(Stop::Damage)),
        };
        let Extent::Bytes(size) = header.extent else {
            return self.open_box(header);
        };
        let end = self.at.saturating_add(size);
        if end > self.len {
            return Ok(Some(cut_or_damage(&header, size)));
        }
        match &header.kind {
            b"moof" => return self.fragment(&header, end),
            b"mdat" if self.keeps => self.index.end = end,
            b"mdat" => {}
            // A fragment or a moov that was never finished, or its type half
            // written; a moov that one further on replaces.
            b"free" | b"mree" | b"moee" | b"mooe" | b"moov" => self.keeps = false,
            _ => self.keep_until(end),
        }
        self.at = end;
        Ok(None)
    }

    fn keep_until(&mut self, end: u64) {
        self.index.end = end;
        self.keeps = true;
    }

    /// A box without a size. Extending a recording puts what it appends into
    /// such a `free`; zeros are room that the file system gave and nobody wrote
    /// to before the power went.
    fn open_box(&mut self, header: Header) -> Result<Option<Stop>, IndexError> {
        if header.kind == *b"free" {
            self.keeps = false;
            self.at = self.at.saturating_add(header.header_bytes);
            return Ok(None);
        }
        let is_unwritten = header.kind == [0; 4] && self.is_zero_to_the_end()?;
        Ok(Some(if is_unwritten {
            Stop::Cut
        } else {
            Stop::Damage
        }))
    }

    fn is_zero_to_the_end(&mut self) -> Result<bool, FileFault> {
        const PIECE_BYTES: u64 = 64 << 10;
        let mut at = self.at;
        while at < self.len {
            let end = self.len.min(at.saturating_add(PIECE_BYTES));
            let piece = read(self.store, at, end)?;
            if piece.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at = end;
        }
        Ok(true)
    }

    /// The `moof` that ends at `end`, and its `mdat`.
    fn fragment(&mut self, header: &Header, end: u64) -> Result<Option<Stop>, IndexError> {
        match self.believed(header, end)? {
            Ok(fragment_end) => {
                self.at = fragment_end;
                self.index.end = fragment_end;
                self.keeps = false;
            }
            Err(Doubt::Lost) => {
                self.index.lost_fragments = self.index.lost_fragments.saturating_add(1);
                self.at = end;
                self.keep_until(end);
            }
            Err(Doubt::Cut) => return Ok(Some(Stop::Cut)),
            Err(Doubt::Damage) => return Ok(Some(Stop::Damage)),
        }
        Ok(None)
    }

    /// Takes over the samples of a fragment; where its `mdat` ends.
    fn believed(
        &mut self,
        header: &Header,
        moof_end: u64,
    ) -> Result<Result<u64, Doubt>, IndexError> {
        let moof_at = self.at;
        if moof_end.saturating_sub(moof_at) > RECORD_MOOF_MAX_BYTES {
            return Ok(Err(Doubt::Lost));
        }
        let body = read(
            self.store,
            moof_at.saturating_add(header.header_bytes),
            moof_end,
        )?;
        let Ok((sequence, runs)) = moof::parse(&body) else {
            return Ok(Err(Doubt::Lost));
        };
        let media = match header_at(self.store, moof_end, self.len)? {
            Err(BoxError::CutOff) => return Ok(Err(Doubt::Cut)),
            Ok(media) if media.kind == *b"mdat" => media,
            _ => return Ok(Err(Doubt::Lost)),
        };
        let Extent::Bytes(size) = media.extent else {
            return Ok(Err(Doubt::Damage));
        };
        let end = moof_end.saturating_add(size);
        let told: u64 = runs.iter().map(TrackRun::size_bytes).sum();
        if end > self.len {
            let is_credible = size == media.header_bytes.saturating_add(told);
            return Ok(Err(if is_credible {
                Doubt::Cut
            } else {
                Doubt::Damage
            }));
        }
        if !fills(
            &runs,
            moof_at,
            moof_end.saturating_add(media.header_bytes),
            end,
        ) {
            return Ok(Err(Doubt::Lost));
        }
        match self.index.add(moof_at, sequence, runs)? {
            Some(()) => Ok(Ok(end)),
            None => Ok(Err(Doubt::Lost)),
        }
    }
}

/// Whether the runs of the `moof` at `moof_at` lie one behind another and fill
/// the media from `from` to `to`.
fn fills(runs: &[TrackRun], moof_at: u64, from: u64, to: u64) -> bool {
    let mut next = from;
    for run in runs {
        if moof_at.saturating_add(run.data_offset.into()) != next {
            return false;
        }
        next = next.saturating_add(run.size_bytes());
    }
    next == to
}

/// Whether a box that reaches past the end is what the writing stopped at, or
/// has a size that nobody wrote.
fn cut_or_damage(header: &Header, size: u64) -> Stop {
    let cap = match &header.kind {
        b"moof" => RECORD_MOOF_MAX_BYTES,
        b"mdat" => RECORD_FRAGMENT_MAX_BYTES,
        b"free" | b"moov" => RECORD_MOOV_MAX_BYTES,
        _ => 0,
    };
    if size <= cap { Stop::Cut } else { Stop::Damage }
}

impl Index {
    /// Of what is known until `end`.
    pub(super) fn going_on(movie: Movie, end: u64) -> Index {
        Index {
            movie,
            end,
            stop: Stop::End,
            lost_fragments: 0,
            gaps: 0,
            last_sequence: 0,
        }
    }

    /// Takes over a fragment just made, which is to be written at `at`.
    pub(super) fn add_written(&mut self, at: u64, fragment: &[u8]) -> Result<(), IndexError> {
        let moof = boxes(fragment).next().and_then(Result::ok);
        let read = moof.and_then(|moof| moof::parse(moof.body).ok());
        // It was made here: what is not read again would be one too many.
        let (sequence, runs) = read.ok_or(IndexError::TooLong)?;
        self.add(at, sequence, runs)?.ok_or(IndexError::TooLong)
    }

    /// Takes over the runs of a fragment whose `moof` is at `moof_at`; `None`,
    /// with nothing taken, where they do not go on from what is there.
    fn add(
        &mut self,
        moof_at: u64,
        sequence: u32,
        mut runs: Vec<TrackRun>,
    ) -> Result<Option<()>, TooManySamples> {
        if sequence <= self.last_sequence {
            return Ok(None);
        }
        let mut gaps = Vec::new();
        for run in &runs {
            match self.gap(run) {
                Some(gap) => gaps.push(gap),
                None => return Ok(None),
            }
        }
        for (run, gap) in runs.iter_mut().zip(gaps) {
            self.gaps = self.gaps.saturating_add(u32::from(gap > 0));
            let Some(track) = self.movie.track_mut(run.kind) else {
                continue;
            };
            let is_bridged = gap == 0 || track.table.lengthen_last(gap).is_some();
            if !is_bridged {
                lengthen_first(&mut run.samples, gap);
            }
            let offset = moof_at.saturating_add(run.data_offset.into());
            track.table.push_chunk(offset, &run.samples)?;
        }
        self.last_sequence = sequence;
        Ok(Some(()))
    }

    /// Ticks missing between what is there and `run`; `None` where it is no
    /// continuation: of an unknown track, earlier, or much later.
    fn gap(&self, run: &TrackRun) -> Option<u32> {
        let track = self.movie.track(run.kind)?;
        let gap = run.base_ticks.checked_sub(track.table.end_ticks())?;
        let cap = RECORD_GAP_MAX.scaled(track.timescale.into(), 1_000_000);
        u32::try_from(gap)
            .ok()
            .filter(|gap| u64::from(*gap) <= cap.as_us())
    }
}

/// What comes first in a file begins it: players shift a track that begins
/// later, so its first sample begins earlier instead.
fn lengthen_first(samples: &mut [Sample], ticks: u32) {
    if let Some(first) = samples.first_mut() {
        first.duration = first.duration.saturating_add(ticks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Noise;
    use crate::record::fmp4::{FLIP_TO, Fragment, Times, init_segment};
    use crate::record::layout::{AudioTrack, Layout, TrackKind, VideoTrack};
    use crate::record::made::piece;
    use crate::record::store::Memory;

    /// Fragments of one picture and one sound of 960 ticks each, with these
    /// sequence numbers and times.
    fn growing(fragments: &[(u32, u64)]) -> Memory {
        let layout = Layout {
            video: Some(VideoTrack::Vp8 {
                width: 16,
                height: 16,
            }),
            audio: Some(AudioTrack::Opus { channels: 1 }),
        };
        let mut bytes = init_segment(&layout);
        let mut noise = Noise::new(60);
        let mut fragment = Fragment::new();
        for (sequence, ticks) in fragments {
            for kind in [TrackKind::Video, TrackKind::Audio] {
                let (kind, sample, bytes) = piece(&mut noise, kind);
                let duration = 960;
                fragment.push(kind, Sample { duration, ..sample }, &bytes);
            }
            let base = Times {
                video: *ticks,
                audio: *ticks,
            };
            let mut buffer = fragment.take(*sequence, base);
            buffer[4..8].copy_from_slice(&FLIP_TO);
            bytes.extend(buffer);
        }
        Memory { bytes }
    }

    fn durations(index: &Index) -> Vec<u32> {
        let durations = |kind| {
            let rows = index.movie.track(kind).unwrap().table.rows();
            rows.map(|row| row.sample.duration).collect::<Vec<u32>>()
        };
        assert_eq!(durations(TrackKind::Video), durations(TrackKind::Audio));
        durations(TrackKind::Video)
    }

    #[test]
    fn holes_are_bridged_by_the_sample_before() {
        let found = index(&mut growing(&[(1, 0), (3, 1_920), (4, 2_880)])).unwrap();
        assert_eq!(durations(&found), [1_920, 960, 960]);
        assert_eq!((found.gaps, found.lost_fragments), (2, 0));
        // At the start there is none before.
        let found = index(&mut growing(&[(2, 960), (3, 1_920)])).unwrap();
        assert_eq!(durations(&found), [1_920, 960]);
    }

    #[test]
    fn what_does_not_go_on_is_passed_over() {
        let hours = 90_000 * (RECORD_GAP_MAX.as_ms() / 1_000 + 1);
        for odd in [(1, 960), (2, 959), (0, 960), (2, hours), (2, u64::MAX)] {
            let mut store = growing(&[(1, 0), odd, (3, 1_920)]);
            let found = index(&mut store).unwrap();
            assert_eq!(durations(&found), [1_920, 960], "{odd:?}");
            assert_eq!((found.gaps, found.lost_fragments), (2, 1));
            assert_eq!(found.end, store.bytes.len() as u64);
        }
    }

    #[test]
    fn unknown_boxes_are_kept_and_unwritten_room_is_not() {
        let mut store = growing(&[(1, 0)]);
        let fragment_end = store.bytes.len() as u64;
        store.bytes.extend(b"\0\0\0\x0cskip....");
        let skip_end = store.bytes.len() as u64;
        store.bytes.extend(b"\0\0\0\x08free");
        let found = index(&mut store).unwrap();
        assert_eq!((found.end, found.stop), (skip_end, Stop::End));
        store.bytes.truncate(fragment_end as usize);
        store.bytes.extend([0; 200_000]);
        let found = index(&mut store).unwrap();
        assert_eq!((found.end, found.stop), (fragment_end, Stop::Cut));
        store.bytes.push(1);
        assert_eq!(index(&mut store).unwrap().stop, Stop::Damage);
    }

    #[test]
    fn sizes_that_nobody_writes_are_damage_and_not_a_cut() {
        let whole = growing(&[(1, 0)]);
        let kinds = [b"moof", b"mdat", b"free", b"moov", b"skip"];
        for (kind, cut_at_most) in kinds.into_iter().zip([
            RECORD_MOOF_MAX_BYTES,
            RECORD_FRAGMENT_MAX_BYTES,
            RECORD_MOOV_MAX_BYTES,
            RECORD_MOOV_MAX_BYTES,
            0,
        ]) {
            for (size, stop) in [
                (cut_at_most.max(100), Stop::Cut),
                (cut_at_most.max(100) + 1, Stop::Damage),
            ] {
                let mut store = whole.clone();
                store.bytes.extend((size as u32).to_be_bytes());
                store.bytes.extend(kind);
                let stop = if kind == b"skip" { Stop::Damage } else { stop };
                assert_eq!(index(&mut store).unwrap().stop, stop, "{kind:?} {size}");
            }
        }
    }
}
