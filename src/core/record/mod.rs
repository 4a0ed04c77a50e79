//! Recordings at a room's home core. A recording is a subscriber of a stream
//! beside its viewers ([`flow`]); its file is written by orders to the driver,
//! one at a time ([`life`]); the files of a room are kept in one book, which
//! gives them their common origin and, when the room is empty, their common end
//! ([`book`]).

mod book;
mod flow;
mod life;

use crate::base::hash::Map;
use crate::base::limits::RECORDINGS_MAX;
use crate::base::slab::{Key, Slab};
use crate::base::time::{Span, Time};
use crate::core::mail::SessionRef;
use crate::core::transcode::TranscodeId;
use crate::ops::manifest::Manifest;
use crate::ops::record_name::Template;
use crate::proto::depacketise::ParameterSets;
use crate::record::layout::AudioTrack;
use crate::record::order::{FileOrder, RecordingId};
use crate::record::recorder::Recorder;
use crate::record::writer::{Durability, Writer};
use crate::room::frames::Frames;
use crate::room::notice::Notice;
use crate::room::publication::Publication;
use crate::room::rtmp::SoundCodec;
pub(in crate::core) use book::Book;

use super::rtmp::Pace;

/// How the operator wants recordings.
#[derive(Clone, Debug)]
pub struct RecordRules {
    pub template: Template,
    /// Every stream, or every one published over RTMP, whoever asks.
    pub all: bool,
    pub all_rtmp: bool,
    /// Files of a room begin at one instant and end at one.
    pub aligned: bool,
    /// That instant is the room's creation, not its first stream.
    pub origin_is_room: bool,
    /// Longer heads are left out.
    pub shift_max: Span,
    /// Opus is recorded as AAC.
    pub as_aac: bool,
    pub durability: Durability,
}

impl Default for RecordRules {
    fn default() -> Self {
        RecordRules {
            template: Template::usual(),
            all: false,
            all_rtmp: false,
            aligned: false,
            origin_is_room: false,
            shift_max: Span::from_secs(6 * 3_600),
            as_aac: false,
            durability: Durability::default(),
        }
    }
}

/// What a driver is to do with files.
#[derive(Clone, Debug)]
pub enum FileTask {
    Order(FileOrder),
    /// Write a room's manifest in place of the one before; as text off the turn,
    /// which takes a hundred times as long as copying it.
    Manifest {
        name: String,
        manifest: Box<Manifest>,
    },
}

/// What a core keeps of recordings.
pub(super) struct Recordings {
    seats: Slab<Seat>,
    /// The recording of a stream, by media session id, while it goes on.
    by_stream: Map<String, Key<Seat>>,
    /// And of a browser's publication.
    by_publication: Map<u64, Key<Seat>>,
    books: Slab<Book>,
    /// Whose order is under way.
    orders: Map<RecordingId, Errand>,
    issued: u64,
}

/// Whom an order's outcome concerns.
#[derive(Clone, Copy)]
enum Errand {
    File(Key<Seat>),
    /// One file of the book gets its tail.
    Tail(Key<Book>, usize),
    Manifest(Key<Book>),
}

/// One stream being recorded.
pub(in crate::core) struct Seat {
    id: RecordingId,
    book: Key<Book>,
    /// Its line in the book.
    line: usize,
    login: String,
    stream: String,
    media_session_id: String,
    owner: SessionRef,
    recorder: Recorder,
    writer: Option<Writer>,
    source: Source,
    /// Of an RTMP publisher's H.264: bytes of the lengths, and sets no picture
    /// was taken with yet.
    avc: Option<(u8, Option<ParameterSets>)>,
    /// The sound of an RTMP publisher as it was last, and as a file's track; none
    /// for what must be converted, or is left out.
    sound: Option<(SoundCodec, Option<AudioTrack>)>,
    /// Its sound in another codec, and that.
    conversion: Option<TranscodeId>,
    converted: Option<AudioTrack>,
    pace: Pace,
    /// The stream is over; what is left is the file's.
    ended: Option<Time>,
    /// What the owner is told when the file is whole.
    farewell: Option<Notice>,
    failure_told: bool,
}

/// Where frames come from.
enum Source {
    /// A browser's packets.
    Packets(Box<Packets>),
    /// An RTMP publisher's messages.
    Messages,
}

struct Packets {
    publication: Key<Publication>,
    frames: Frames,
}

impl Recordings {
    pub fn new() -> Self {
        Recordings {
            seats: Slab::new(RECORDINGS_MAX),
            by_stream: Map::default(),
            by_publication: Map::default(),
            books: Slab::new(RECORDINGS_MAX),
            orders: Map::default(),
            issued: 0,
        }
    }

    /// Recordings going on, their files included.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether anything still has to be written.
    pub fn is_busy(&self) -> bool {
        !self.seats.is_empty() || !self.orders.is_empty()
    }

    /// What is left, for the oracle at the end of a simulation.
    pub fn leftovers(&self) -> [(&'static str, usize); 5] {
        [
            ("recordings", self.seats.len()),
            ("recorded streams", self.by_stream.len()),
            ("recorded publications", self.by_publication.len()),
            ("books of recordings", self.books.len()),
            ("orders of recordings", self.orders.len()),
        ]
    }

    fn issue(&mut self, errand: Errand) -> RecordingId {
        self.issued += 1;
        let id = RecordingId(self.issued);
        self.orders.insert(id, errand);
        id
    }
}
