//! The recordings of one room, from its first one until the room is empty: what
//! they have in common. Their origin is set once; when the room is over and
//! every file whole, each file is lengthened to where the longest ends. A
//! manifest beside the files tells whose they are.

use std::collections::VecDeque;

use crate::base::slab::Key;
use crate::base::time::{Span, Time};
use crate::core::border::Outbox;
use crate::core::machine::Core;
use crate::core::record::{Errand, FileTask, Recordings};
use crate::ops::event::{Event, RecordingNews, RecordingStep};
use crate::ops::manifest::{
    self, AudioFormat, FileState, Gap, GapTrack, Manifest, ManifestAudio, ManifestFile,
    ManifestVideo, VideoFormat,
};
use crate::record::finalise::Finished;
use crate::record::layout::{AudioTrack, TrackKind, VIDEO_TIMESCALE, VideoTrack};
use crate::record::order::{Extend, FileDone, FileOrder, RecordingId, Stretch};
use crate::record::recorder::Summary;
use crate::record::sound::to_ticks;

/// The manifest of a room that goes on is not written more often than this,
/// when it is long.
const NOTE_INTERVAL: Span = Span::from_secs(2);
/// Files whose manifest is short.
const NOTED_AT_ONCE_MAX: usize = 64;

pub(in crate::core) struct Book {
    pub(super) room: String,
    pub(super) is_aligned: bool,
    /// Time zero of aligned files.
    pub(super) origin: Option<Time>,
    pub(super) lines: Vec<Line>,
    began: Time,
    /// Lines whose files are not whole yet.
    open: usize,
    /// The room is over.
    is_closed: bool,
    /// Lines that wait for their tails, once it is known where all end.
    tails: Option<VecDeque<usize>>,
    end_us: i64,
    noted: Option<Time>,
    /// Something changed since.
    is_stale: bool,
    manifest_name: Option<String>,
}

/// One file.
pub(super) struct Line {
    pub name: String,
    login: String,
    stream: String,
    media_session_id: String,
    state: LineState,
    finished: Option<Finished>,
    summary: Summary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineState {
    Open,
    Whole,
    Failed(&'static str),
    /// Nothing came of it.
    Void,
}

impl Line {
    pub fn new(name: &str, login: &str, stream: &str, media_session_id: &str) -> Self {
        Line {
            name: name.to_string(),
            login: login.to_string(),
            stream: stream.to_string(),
            media_session_id: media_session_id.to_string(),
            state: LineState::Open,
            finished: None,
            summary: Summary::default(),
        }
    }
}

impl Book {
    pub(super) fn open(&mut self, line: Line) -> usize {
        self.open += 1;
        self.lines.push(line);
        self.lines.len() - 1
    }

    pub(super) fn close_line(
        &mut self,
        line: usize,
        state: LineState,
        finished: Option<Finished>,
        summary: Summary,
    ) {
        self.open = self.open.saturating_sub(1);
        if let Some(line) = self.lines.get_mut(line) {
            line.state = state;
            line.finished = finished;
            line.summary = summary;
        }
    }

    /// Where the last recorded sample of any stream ends, on the server's clock.
    fn common_end_us(&self) -> i64 {
        let end_us = |line: &Line| {
            let duration_us = i64::try_from(line.finished?.duration_us).ok()?;
            line.summary.zero_us.checked_add(duration_us)
        };
        self.lines.iter().filter_map(end_us).max().unwrap_or(0)
    }

    /// What a file lacks until `end_us`; `None`: nothing worth adding.
    fn tail_of(&self, line: usize, end_us: i64) -> Option<Extend> {
        let line = self.lines.get(line)?;
        let finished = line.finished?;
        // Not every file begins with the others.
        let end_us = end_us.saturating_sub(line.summary.zero_us);
        let timescale = line
            .summary
            .layout
            .audio
            .as_ref()
            .map_or(1, AudioTrack::timescale);
        let missing = |until: i64, from: u64| {
            u64::try_from(until)
                .unwrap_or_default()
                .saturating_sub(from)
        };
        let video_ticks = match line.summary.layout.video {
            Some(_) => missing(to_ticks(end_us, VIDEO_TIMESCALE), finished.video_end_ticks),
            None => 0,
        };
        let audio_ticks = match line.summary.layout.audio {
            Some(_) => missing(to_ticks(end_us, timescale), finished.audio_end_ticks),
            None => 0,
        };
        // Half a picture's time and half a packet's nobody misses.
        let is_short = video_ticks < u64::from(VIDEO_TIMESCALE) / 60
            && audio_ticks < u64::from(timescale) / 100;
        (!is_short).then(|| Extend {
            name: line.name.clone(),
            tail: Stretch {
                filler: line.summary.tail_filler(),
                video_ticks,
                audio_ticks,
            },
        })
    }
}

impl Recordings {
    pub(super) fn next_id(&mut self) -> RecordingId {
        self.issued += 1;
        RecordingId(self.issued)
    }
}

impl Core {
    /// The book of a room, made for its first recording.
    pub(super) fn book_of(&mut self, now: Time, room: &str) -> Option<Key<Book>> {
        let rules = &self.setup.rules.record;
        let entry = self.rooms.get_mut(room)?;
        if let Some(book) = entry.book {
            return Some(book);
        }
        let is_aligned = rules.aligned;
        let of_room = is_aligned && rules.origin_is_room;
        let book = self.recordings.books.insert(Book {
            room: room.to_string(),
            is_aligned,
            origin: of_room.then_some(entry.created),
            lines: Vec::new(),
            began: now,
            open: 0,
            is_closed: false,
            tails: None,
            end_us: 0,
            noted: None,
            is_stale: false,
            manifest_name: None,
        })?;
        entry.book = Some(book);
        Some(book)
    }

    /// The room is over; its files get their common end once they are whole.
    pub(in crate::core) fn close_book(&mut self, book: Option<Key<Book>>, out: &mut Outbox) {
        let now = self.turn_at;
        let Some(key) = book else {
            return;
        };
        if let Some(book) = self.recordings.books.get_mut(key) {
            book.is_closed = true;
        }
        self.progress_book(now, key, None, out);
    }

    /// A line of which nothing came is no line.
    pub(super) fn drop_line(&mut self, now: Time, key: Key<Book>, line: usize, out: &mut Outbox) {
        if let Some(book) = self.recordings.books.get_mut(key) {
            book.open = book.open.saturating_sub(1);
            if let Some(line) = book.lines.get_mut(line) {
                line.state = LineState::Void;
                // The name is free again.
                line.name = String::new();
            }
        }
        self.progress_book(now, key, None, out);
    }

    /// Does what is next for a room's files; `changed`: a line to tell of.
    pub(super) fn progress_book(
        &mut self,
        now: Time,
        key: Key<Book>,
        changed: Option<usize>,
        out: &mut Outbox,
    ) {
        let Some(book) = self.recordings.books.get_mut(key) else {
            return;
        };
        if !book.is_closed || book.open > 0 {
            if changed.is_some() {
                self.note_book(now, key, out);
            }
            return;
        }
        if book.tails.is_none() {
            book.end_us = book.common_end_us();
            let lines = 0..book.lines.len();
            book.tails = Some(match book.is_aligned {
                true => lines.collect(),
                false => VecDeque::new(),
            });
        }
        while let Some(line) = book.tails.as_mut().and_then(VecDeque::pop_front) {
            if let Some(extend) = book.tail_of(line, book.end_us) {
                let id = self.recordings.issue(Errand::Tail(key, line));
                let order = FileOrder::Extend(Box::new(extend));
                out.files.push((id, FileTask::Order(order)));
                return;
            }
        }
        if let Some(book) = self.recordings.books.get_mut(key) {
            book.noted = None;
        }
        if !self.note_book(now, key, out) {
            self.recordings.books.remove(key);
        }
    }

    pub(super) fn tail_done(
        &mut self,
        now: Time,
        key: Key<Book>,
        line: usize,
        done: FileDone,
        out: &mut Outbox,
    ) {
        if let Some(book) = self.recordings.books.get_mut(key)
            && let Some(line) = book.lines.get_mut(line)
        {
            match done {
                FileDone::Whole(finished) => line.finished = Some(finished),
                FileDone::Failed(fault) => {
                    // The file is whole as it was, only shorter than the others.
                    line.state = LineState::Failed(fault);
                    let news =
                        RecordingNews::new(&book.room, &line.login, &line.stream, &line.name);
                    self.counters.recordings_failed += 1;
                    let step = RecordingStep::Failed(fault);
                    self.event(Event::Recording(news, step), out);
                }
                _ => {}
            }
        }
        self.progress_book(now, key, None, out);
    }

    pub(super) fn manifest_done(&mut self, key: Key<Book>, done: FileDone, out: &mut Outbox) {
        let Some(book) = self.recordings.books.get_mut(key) else {
            return;
        };
        if let FileDone::Failed(fault) = done {
            let file = book.manifest_name.clone().unwrap_or_default();
            let news = RecordingNews::new(&book.room, "", "", &file);
            let step = RecordingStep::Failed(fault);
            self.event(Event::Recording(news, step), out);
        }
        let Some(book) = self.recordings.books.get(key) else {
            return;
        };
        let is_over = book.is_closed && book.open == 0;
        let has_tails = book.tails.as_ref().is_none_or(|tails| !tails.is_empty());
        let is_awaited = self.recordings.orders.values().any(|errand| {
            matches!(errand, Errand::Manifest(book) | Errand::Tail(book, _) if *book == key)
        });
        if is_over && !has_tails && !is_awaited {
            self.recordings.books.remove(key);
        }
    }

    /// Writes a manifest that had to wait.
    pub(super) fn note_stale_book(&mut self, now: Time, key: Key<Book>, out: &mut Outbox) {
        let book = self.recordings.books.get(key);
        if book.is_some_and(|book| book.is_stale) {
            self.note_book(now, key, out);
        }
    }

    /// Writes the manifest, not too often; whether it is being written.
    pub(super) fn note_book(&mut self, now: Time, key: Key<Book>, out: &mut Outbox) -> bool {
        let unix_us_at_zero = self.setup.unix_us_at_zero;
        let unix_us = |time: Time| unix_us_at_zero.saturating_add(time.as_us());
        let Some(book) = self.recordings.books.get_mut(key) else {
            return false;
        };
        let is_soon = |at: Time| now.since(at) < NOTE_INTERVAL;
        let is_empty = book.lines.iter().all(|line| line.state == LineState::Void);
        let waits = book.lines.len() > NOTED_AT_ONCE_MAX && book.noted.is_some_and(is_soon);
        if is_empty || waits {
            book.is_stale = waits;
            return false;
        }
        book.noted = Some(now);
        book.is_stale = false;
        let began_ms = unix_us(book.origin.unwrap_or(book.began)) / 1_000;
        let name = book
            .manifest_name
            .get_or_insert_with(|| manifest::file_name(&book.room, began_ms))
            .clone();
        let origin = book.origin.filter(|_| book.is_aligned);
        let manifest = Manifest {
            room: book.room.clone(),
            origin_unix_us: origin.map(unix_us),
            files: book
                .lines
                .iter()
                .filter(|line| line.state != LineState::Void)
                .map(|line| manifest_file(line, unix_us_at_zero))
                .collect(),
        };
        let manifest = Box::new(manifest);
        let id = self.recordings.issue(Errand::Manifest(key));
        out.files.push((id, FileTask::Manifest { name, manifest }));
        true
    }
}

fn manifest_file(line: &Line, unix_us_at_zero: u64) -> ManifestFile {
    let summary = &line.summary;
    let us = |us: i64| u64::try_from(us).unwrap_or_default();
    ManifestFile {
        name: line.name.clone(),
        login: line.login.clone(),
        stream: line.stream.clone(),
        media_session_id: line.media_session_id.clone(),
        began_unix_us: unix_us_at_zero.saturating_add_signed(summary.zero_us),
        duration_us: line.finished.map_or(0, |finished| finished.duration_us),
        size_bytes: line.finished.map_or(0, |finished| finished.size_bytes),
        content_from_us: us(summary.content_from_us),
        content_until_us: us(summary.content_until_us),
        video: summary.layout.video.as_ref().map(|video| {
            let (codec, width, height) = match *video {
                VideoTrack::H264 { width, height, .. } => (VideoFormat::H264, width, height),
                VideoTrack::Vp8 { width, height } => (VideoFormat::Vp8, width, height),
            };
            ManifestVideo {
                codec,
                width,
                height,
                is_filler_only: !summary.has_picture,
            }
        }),
        audio: summary.layout.audio.as_ref().map(|audio| ManifestAudio {
            codec: match audio {
                AudioTrack::Opus { .. } => AudioFormat::Opus,
                AudioTrack::Aac { .. } => AudioFormat::Aac,
                AudioTrack::Pcmu => AudioFormat::Pcmu,
                AudioTrack::Pcma => AudioFormat::Pcma,
            },
            is_filler_only: !summary.has_sound,
        }),
        gaps: summary
            .gaps
            .iter()
            .map(|gap| Gap {
                track: match gap.track {
                    TrackKind::Video => GapTrack::Video,
                    TrackKind::Audio => GapTrack::Audio,
                },
                from_us: us(gap.from_us),
                until_us: us(gap.until_us),
            })
            .collect(),
        state: match line.state {
            LineState::Open => FileState::Recording,
            LineState::Whole | LineState::Void => FileState::Finished,
            LineState::Failed(_) => FileState::Failed,
        },
        why: match line.state {
            LineState::Failed(why) => Some(why.to_string()),
            _ => None,
        },
    }
}
