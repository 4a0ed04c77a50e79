//! The life of a recording: it begins with its stream or when somebody asks for
//! it, its file is written by orders that follow one another, and it is over
//! when the file is whole, which may be later than its stream's end. Trouble
//! with the file ends the recording, never the stream.

use crate::base::limits::{BOOK_LINES_MAX, REORDER_WAIT_RECORDER};
use crate::base::slab::Key;
use crate::base::time::{Span, Time};
use crate::core::border::Outbox;
use crate::core::machine::{Core, Timer};
use crate::core::mail::SessionRef;
use crate::core::record::book::{Line, LineState};
use crate::core::record::flow::track_of;
use crate::core::record::{Errand, FileTask, Packets, Seat, Source};
use crate::core::rtmp::Pace;
use crate::ops::event::{Event, RecordingNews, RecordingStep};
use crate::ops::record_name::{NameParts, numbered};
use crate::proto::keyframe::Reason;
use crate::record::order::{FileDone, RecordingId};
use crate::record::recorder::{Expected, Piece, Recorder, RecorderSpec};
use crate::record::shape;
use crate::record::writer::{Ended, Writer};
use crate::room::notice::{Notice, info};
use crate::room::publication::Publication;
use crate::room::roster::{Carrier, StreamRole};
use crate::room::track::Kind;
use crate::wire::codec::{AudioCodec, Codec, VideoCodec};

/// How often a recording is looked after while nothing arrives.
const TICK: Span = Span::from_secs(1);

/// The owner of a stream hears of its end when the file is whole, but not later
/// than this.
const FAREWELL_MAX: Span = Span::from_secs(5);

impl Core {
    /// Begins to record a stream that is published, where that is wanted and is
    /// not done yet.
    pub(in crate::core) fn record_if_wanted(
        &mut self,
        now: Time,
        room: &str,
        media_session_id: &str,
        out: &mut Outbox,
    ) {
        let Some(entry) = self.rooms.get(room) else {
            return;
        };
        let Some(stream) = entry.roster.stream(media_session_id) else {
            return;
        };
        let rules = &self.setup.rules.record;
        let is_rtmp = stream.carrier.is_rtmp();
        let is_wanted =
            stream.record || entry.records_all || rules.all || (rules.all_rtmp && is_rtmp);
        let is_new = !self.recordings.by_stream.contains_key(media_session_id);
        if !is_wanted || !is_new || stream.role != StreamRole::Publish {
            return;
        }
        let (login, name) = (stream.login.clone(), stream.name.clone());
        let (owner, id) = (stream.session, stream.media_session_id.clone());
        let source = match stream.carrier {
            Carrier::Rtmp => Source::Messages,
            Carrier::Peer(_) | Carrier::Afar(_) => {
                let key = self.publication_of(stream);
                let publication = key.and_then(|key| self.media.publications.get(key));
                match (key, publication) {
                    (Some(key), Some(publication)) => {
                        Source::Packets(Box::new(Packets::new(key, publication)))
                    }
                    _ => return,
                }
            }
        };
        self.seat_recording(now, room, [login, name, id], owner, source, out);
    }

    /// Every stream of the room is recorded from now on.
    pub(in crate::core) fn record_room(&mut self, now: Time, room: &str, out: &mut Outbox) {
        let Some(entry) = self.rooms.get_mut(room) else {
            return;
        };
        entry.records_all = true;
        let publishes = |role: StreamRole| role == StreamRole::Publish;
        let streams = entry.roster.streams().filter(|s| publishes(s.role));
        // A browser's stream that is not live yet is recorded when it is.
        let found: Vec<(String, SessionRef)> = streams
            .filter(|stream| stream.live || stream.carrier.is_rtmp())
            .map(|stream| (stream.media_session_id.clone(), stream.session))
            .collect();
        for (media_session_id, owner) in found {
            if self.recordings.by_stream.contains_key(&media_session_id) {
                continue;
            }
            self.record_if_wanted(now, room, &media_session_id, out);
            // Its beginning was told before there was a file to name.
            if let Some(record_name) = self.record_name(&media_session_id) {
                let notice = Notice::RecordingStarted {
                    media_session_id,
                    record_name,
                };
                self.tell(owner, notice, out);
            }
        }
    }

    /// The file a stream is recorded to.
    pub(in crate::core) fn record_name(&self, media_session_id: &str) -> Option<String> {
        let key = self.recordings.by_stream.get(media_session_id)?;
        let seat = self.recordings.seats.get(*key)?;
        Some(seat.recorder.name().to_string())
    }

    fn seat_recording(
        &mut self,
        now: Time,
        room: &str,
        [login, stream, media_session_id]: [String; 3],
        owner: SessionRef,
        source: Source,
        out: &mut Outbox,
    ) -> Option<Key<Seat>> {
        let book_key = self.book_of(now, room)?;
        // What an RTMP publisher told of its codec before is told once.
        let avc = match &source {
            Source::Messages => self
                .ingest_of(&media_session_id)
                .and_then(|i| i.ingest.avc()),
            Source::Packets(_) => None,
        };
        let spec = self.recorder_spec(&source, avc.is_some());
        let name = self.new_record_name(now, &login, &stream, &media_session_id, owner);
        let news = RecordingNews::new(room, &login, &stream, &name);
        let id = self.recordings.next_id();
        let book = self.recordings.books.get_mut(book_key)?;
        if book.lines.len() >= BOOK_LINES_MAX {
            self.refuse_recording(news, "too many recordings in this room", out);
            return None;
        }
        let mut recorder = Recorder::new(spec, name.clone());
        if let Some(origin) = book.origin {
            recorder.set_origin(origin);
        }
        let line = book.open(Line::new(&name, &login, &stream, &media_session_id));
        let of_publication = match &source {
            Source::Packets(packets) => Some(packets.publication),
            Source::Messages => None,
        };
        let stream_id = media_session_id.clone();
        let seat = Seat {
            id,
            book: book_key,
            line,
            login,
            stream,
            media_session_id,
            owner,
            recorder,
            writer: None,
            source,
            avc: avc.map(|(length_bytes, sets)| (length_bytes, Some(sets))),
            sound: None,
            conversion: None,
            converted: None,
            pace: Pace::default(),
            ended: None,
            farewell: None,
            failure_told: false,
        };
        let Some(key) = self.recordings.seats.insert(seat) else {
            self.drop_line(now, book_key, line, out);
            self.refuse_recording(news, "too many recordings", out);
            return None;
        };
        self.recordings.orders.insert(id, Errand::File(key));
        self.recordings.by_stream.insert(stream_id, key);
        if let Some(publication) = of_publication {
            self.hook(now, publication, key, out);
        }
        self.wheel.arm(now + TICK, Timer::Recording(key));
        self.event(Event::Recording(news, RecordingStep::Begun), out);
        Some(key)
    }

    /// From now on the recording gets what a browser's publication does.
    fn hook(&mut self, now: Time, publication: Key<Publication>, key: Key<Seat>, out: &mut Outbox) {
        let bits = publication.to_bits();
        self.recordings.by_publication.insert(bits, key);
        if let Some(publication) = self.media.publications.get_mut(publication) {
            publication.is_recorded = true;
        }
        self.want_keyframe(now, publication, Reason::Recorder, out);
    }

    fn refuse_recording(&mut self, news: RecordingNews, why: &'static str, out: &mut Outbox) {
        let step = RecordingStep::Refused(why);
        self.event(Event::Recording(news, step), out);
    }

    fn recorder_spec(&self, source: &Source, has_video: bool) -> RecorderSpec {
        let rules = &self.setup.rules.record;
        let silence = match rules.as_aac {
            true => shape::missing_aac(),
            false => track_of(AudioCodec::Opus),
        };
        let mut spec = RecorderSpec {
            video: Some(VideoCodec::H264),
            video_is_agreed: has_video,
            audio: Expected::Unknown,
            silence,
            is_aligned: rules.aligned,
            shift_max: rules.shift_max,
        };
        if let Source::Packets(packets) = source
            && let Some(publication) = self.media.publications.get(packets.publication)
        {
            let codec = |kind| publication.track(kind).map(|track| track.spec.codec);
            spec.video = match codec(Kind::Video) {
                Some(Codec::Video(codec)) => Some(codec),
                _ => None,
            };
            spec.video_is_agreed = true;
            spec.audio = match codec(Kind::Audio) {
                Some(Codec::Audio(AudioCodec::Opus)) if rules.as_aac => Expected::Unknown,
                Some(Codec::Audio(codec)) => Expected::Track(track_of(codec)),
                _ => Expected::None,
            };
        }
        spec
    }

    /// A name no other recording of this core has now.
    fn new_record_name(
        &self,
        now: Time,
        login: &str,
        stream: &str,
        media_session_id: &str,
        owner: SessionRef,
    ) -> String {
        let session = format!("{}-{}", owner.core.0, owner.connection.0);
        let parts = NameParts {
            stream_name: stream,
            login,
            session_id: &session,
            media_session_id,
            start_unix_ms: self.unix_us(now) / 1_000,
        };
        let template = &self.setup.rules.record.template;
        let is_taken = |name: &str| {
            let mut books = self.recordings.books.iter();
            books.any(|(_, book)| book.lines.iter().any(|line| line.name == name))
        };
        let name = template.name(&parts);
        if !is_taken(&name) {
            return name;
        }
        let numbers = 2..=BOOK_LINES_MAX;
        let mut others = numbers.map(|number| numbered(&name, number));
        others.find(|name| !is_taken(name)).unwrap_or(name)
    }

    /// Lets a recording go on at `now`: origin, fragments, orders.
    pub(super) fn advance_recording(&mut self, now: Time, key: Key<Seat>, out: &mut Outbox) {
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        if let Some(book) = self.recordings.books.get_mut(seat.book) {
            let claim = seat.recorder.claims_origin(now);
            if book.is_aligned && book.origin.is_none() {
                book.origin = claim;
            }
            let origin = if book.is_aligned { book.origin } else { claim };
            if let Some(origin) = origin {
                seat.recorder.set_origin(origin);
            }
        }
        seat.recorder.advance(now);
        self.pump(key, out);
    }

    /// Hands what was recorded to the file, and the file's next order out.
    fn pump(&mut self, key: Key<Seat>, out: &mut Outbox) {
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        while let Some(piece) = seat.recorder.poll() {
            match piece {
                Piece::Begin(begin) => {
                    let durability = self.setup.rules.record.durability;
                    seat.writer = Some(Writer::new(begin, durability));
                }
                Piece::Fragment(bytes) => {
                    if let Some(writer) = &mut seat.writer {
                        writer.push(bytes);
                    }
                }
            }
        }
        let Some(writer) = &mut seat.writer else {
            return;
        };
        let fault = writer.fault();
        if let Some(order) = writer.next_order() {
            out.files.push((seat.id, FileTask::Order(order)));
        }
        if let Some(fault) = fault {
            self.tell_fault(key, fault, out);
        }
    }

    /// The stream of a recording is over.
    pub(in crate::core) fn end_recording(
        &mut self,
        now: Time,
        media_session_id: &str,
        out: &mut Outbox,
    ) {
        let Some(key) = self.recordings.by_stream.get(media_session_id).copied() else {
            return;
        };
        // What is missing now will not come any more.
        self.record_units(now + REORDER_WAIT_RECORDER, key, out);
        self.finish_recording(now, key, out);
    }

    fn finish_recording(&mut self, now: Time, key: Key<Seat>, out: &mut Outbox) {
        self.unhook(key);
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        seat.ended = Some(now);
        seat.recorder.finish(now);
        let conversion = seat.conversion.take();
        self.stop_converting(conversion, out);
        self.pump(key, out);
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        match &mut seat.writer {
            Some(writer) => {
                writer.close();
                self.pump(key, out);
            }
            // Nothing came that could be recorded.
            None => {
                let (book, line) = (seat.book, seat.line);
                self.forget_recording(key, out);
                self.drop_line(now, book, line, out);
            }
        }
    }

    /// The stream goes on in another file.
    pub(super) fn split_recording(
        &mut self,
        now: Time,
        key: Key<Seat>,
        out: &mut Outbox,
    ) -> Option<Key<Seat>> {
        let seat = self.recordings.seats.get_mut(key)?;
        let names = [
            seat.login.clone(),
            seat.stream.clone(),
            seat.media_session_id.clone(),
        ];
        let owner = seat.owner;
        let source = match &seat.source {
            Source::Messages => Source::Messages,
            Source::Packets(packets) => {
                let key = packets.publication;
                let publication = self.media.publications.get(key)?;
                Source::Packets(Box::new(Packets::new(key, publication)))
            }
        };
        let room = self.recordings.books.get(seat.book)?.room.clone();
        self.finish_recording(now, key, out);
        self.seat_recording(now, &room, names, owner, source, out)
    }

    /// No frames reach the recording any more.
    fn unhook(&mut self, key: Key<Seat>) {
        let Some(seat) = self.recordings.seats.get(key) else {
            return;
        };
        let by_stream = &mut self.recordings.by_stream;
        if by_stream.get(&seat.media_session_id) == Some(&key) {
            by_stream.remove(&seat.media_session_id);
        }
        if let Source::Packets(packets) = &seat.source {
            let publication = packets.publication;
            self.recordings
                .by_publication
                .remove(&publication.to_bits());
            if let Some(publication) = self.media.publications.get_mut(publication) {
                publication.is_recorded = false;
            }
        }
    }

    /// Frees a recording; its owner is told what waited for the file.
    fn forget_recording(&mut self, key: Key<Seat>, out: &mut Outbox) {
        self.unhook(key);
        let Some(seat) = self.recordings.seats.remove(key) else {
            return;
        };
        self.recordings.orders.remove(&seat.id);
        self.stop_converting(seat.conversion, out);
        if let Some(farewell) = seat.farewell {
            self.tell(seat.owner, farewell, out);
        }
    }

    /// Once a second.
    pub(in crate::core) fn tick_recording(&mut self, now: Time, key: Key<Seat>, out: &mut Outbox) {
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        let book = seat.book;
        let is_over = seat.ended.is_some_and(|at| now.since(at) >= FAREWELL_MAX);
        if is_over && let Some(farewell) = seat.farewell.take() {
            let owner = seat.owner;
            self.tell(owner, farewell, out);
        }
        self.wheel.arm(now + TICK, Timer::Recording(key));
        self.record_units(now, key, out);
        self.advance_recording(now, key, out);
        self.note_stale_book(now, book, out);
    }

    /// Has the owner of an ended stream told once its file is whole; tells at
    /// once where there is none.
    pub(in crate::core) fn tell_when_recorded(
        &mut self,
        to: SessionRef,
        mut notice: Notice,
        out: &mut Outbox,
    ) {
        if let Notice::StreamStatus {
            media_session_id,
            record_name,
            ..
        } = &mut notice
        {
            let is_it = |seat: &Seat| {
                seat.media_session_id == *media_session_id
                    && seat.owner == to
                    && seat.ended.is_some()
            };
            let found = {
                let mut seats = self.recordings.seats.iter();
                seats.find(|(_, seat)| is_it(seat)).map(|(key, _)| key)
            };
            if let Some(seat) = found.and_then(|key| self.recordings.seats.get_mut(key)) {
                *record_name = Some(seat.recorder.name().to_string());
                seat.farewell = Some(notice);
                return;
            }
        }
        self.tell(to, notice, out);
    }

    /// Something came of an order.
    pub(in crate::core) fn file_done(
        &mut self,
        now: Time,
        id: RecordingId,
        done: FileDone,
        out: &mut Outbox,
    ) {
        match self.recordings.orders.get(&id).copied() {
            Some(Errand::File(key)) => self.file_went_on(now, key, done, out),
            Some(Errand::Tail(book, line)) => {
                self.recordings.orders.remove(&id);
                self.tail_done(now, book, line, done, out);
            }
            Some(Errand::Manifest(book)) => {
                self.recordings.orders.remove(&id);
                self.manifest_done(book, done, out);
            }
            None => {}
        }
    }

    fn file_went_on(&mut self, now: Time, key: Key<Seat>, done: FileDone, out: &mut Outbox) {
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        let Some(writer) = &mut seat.writer else {
            return;
        };
        let ended = writer.done(done);
        let (book, line) = (seat.book, seat.line);
        if let FileDone::Begun { number, .. } = done {
            self.name_recording(key, number);
            self.note_book(now, book, out);
        }
        let Some(ended) = ended else {
            return self.pump(key, out);
        };
        self.close_file(now, key, ended, out);
        self.progress_book(now, book, Some(line), out);
    }

    /// The file could not have its name.
    fn name_recording(&mut self, key: Key<Seat>, number: u32) {
        let Some(seat) = self.recordings.seats.get_mut(key).filter(|_| number > 1) else {
            return;
        };
        let name = numbered(seat.recorder.name(), number as usize);
        if let Some(book) = self.recordings.books.get_mut(seat.book)
            && let Some(line) = book.lines.get_mut(seat.line)
        {
            line.name = name.clone();
        }
        seat.recorder.rename(name);
    }

    /// A file is whole, or is left as it is.
    fn close_file(&mut self, now: Time, key: Key<Seat>, ended: Ended, out: &mut Outbox) {
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        // The file may be over before its stream is.
        seat.recorder.finish(now);
        let summary = seat.recorder.summary().clone();
        let fault = seat.writer.as_ref().and_then(Writer::fault);
        let (book, line) = (seat.book, seat.line);
        let news = self.news_of(key);
        let step = match (ended, fault) {
            (Ended::Whole(finished), _) => RecordingStep::Whole {
                size_bytes: finished.size_bytes,
                duration_ms: finished.duration_us / 1_000,
            },
            (Ended::Left(fault), _) => RecordingStep::Left(fault),
        };
        if let Some(book) = self.recordings.books.get_mut(book) {
            let state = match (ended, fault) {
                (Ended::Whole(_), None) => LineState::Whole,
                (Ended::Whole(_), Some(fault)) | (Ended::Left(fault), _) => {
                    LineState::Failed(fault)
                }
            };
            let finished = match ended {
                Ended::Whole(finished) => Some(finished),
                Ended::Left(_) => None,
            };
            book.close_line(line, state, finished, summary);
        }
        if let Ended::Left(fault) = ended {
            self.tell_fault(key, fault, out);
        }
        if let Some(news) = news {
            self.event(Event::Recording(news, step), out);
        }
        self.forget_recording(key, out);
    }

    /// Tells operator and owner, once, that a recording is not going on.
    fn tell_fault(&mut self, key: Key<Seat>, fault: &'static str, out: &mut Outbox) {
        let news = self.news_of(key);
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        if std::mem::replace(&mut seat.failure_told, true) {
            return;
        }
        self.counters.recordings_failed += 1;
        let (owner, is_live) = (seat.owner, seat.ended.is_none());
        let notice = Notice::Availability {
            media_session_id: seat.media_session_id.clone(),
            kind: "recordingFailed",
            info: format!("{}: {}", info::RECORDING_ENDED, fault),
        };
        if let Some(news) = news {
            let step = RecordingStep::Failed(fault);
            self.event(Event::Recording(news, step), out);
        }
        if is_live {
            self.tell(owner, notice, out);
        }
    }

    fn news_of(&self, key: Key<Seat>) -> Option<RecordingNews> {
        let seat = self.recordings.seats.get(key)?;
        let book = self.recordings.books.get(seat.book)?;
        let file = seat.recorder.name();
        Some(RecordingNews::new(
            &book.room,
            &seat.login,
            &seat.stream,
            file,
        ))
    }
}
