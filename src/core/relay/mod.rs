//! One room over all cores. Publishers live at their room's home core; viewers
//! there too, until it is busy: then the home has another core seat them, and
//! relays the publication's packets to it once, whatever number of viewers it
//! has. What the home does is in [`home`], what the viewers' core does in
//! [`afar`], who goes where in [`load`].
//!
//! The home decides and the viewers' core obeys: it opens, ends and is told of
//! every viewer, and mail between two cores keeps its order, so a viewer's end
//! never overtakes its beginning.

mod afar;
mod home;
mod load;

use std::collections::BTreeMap;

use crate::base::hash::Map;
use crate::base::slab::Key;
use crate::core::mail::SessionRef;
use crate::proto::reception::ClockMap;
use crate::proto::transport::Failure;
use crate::room::peer::{AfarSeat, Peer};
use crate::room::publication::Publication;
use crate::room::relay::{Batch, Upstream};
use crate::room::track::TrackSpec;
use crate::signal::negotiate::Negotiated;

pub use load::Load;
use load::Loads;

/// What a home and a viewers' core tell each other.
#[derive(Debug)]
pub enum RelayMail {
    /// To the viewers' core: seat a viewer.
    Seat(Box<Order>),
    /// Its answer.
    Seated {
        seat: u64,
        outcome: Result<Seated, &'static str>,
    },
    /// To the viewers' core: the viewer's stream is over.
    Unseat { seat: u64 },
    /// To the viewers' core: nobody there plays this publication any more.
    Close { replica: u64 },
    /// To the home: what became of a viewer.
    Viewer { seat: u64, fate: Fate },
    /// To the home: a viewer needs a key frame.
    WantsKeyframe { publication: u64 },
    /// A turn's media.
    Media(Batch),
    /// How busy the sending core is.
    Load(Load),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its keys are there.
    Connected,
    Failed(Failure),
    /// It ended itself, over HTTP.
    Ended,
}

/// A viewer another core is to seat.
#[derive(Debug)]
pub struct Order {
    pub seat: u64,
    pub room: String,
    pub media_session_id: String,
    pub stream: String,
    pub negotiated: Negotiated,
    /// It came over WHEP: it gets an address.
    pub is_whep: bool,
    pub source: Source,
}

/// What a replica is made of.
#[derive(Debug)]
pub struct Source {
    pub replica: u64,
    pub audio: Option<TrackSpec>,
    pub video: Option<TrackSpec>,
    /// By kind.
    pub clocks: [Option<ClockMap>; 2],
}

#[derive(Debug)]
pub struct Seated {
    pub answer: String,
    /// Of a WHEP session: its address and its entity tag.
    pub session: Option<(String, String)>,
}

/// Who waits for a viewer's answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker {
    /// A session of the room protocol; whether it asked for media over TCP.
    Session { over_tcp: bool },
    /// An HTTP request.
    Http(SessionRef),
}

/// A viewer of a room of this core, at another.
struct Guest {
    room: String,
    media_session_id: String,
    at: u16,
    publication: Key<Publication>,
    /// Until it is answered.
    asker: Option<Asker>,
}

/// What a core keeps of relays.
pub(super) struct Relaying {
    /// At the home: viewers elsewhere, by seat.
    guests: Map<u64, Guest>,
    seats_given: u64,
    /// At the viewers' core: peers by the home's seat, in order, so that they
    /// can be told of in pieces.
    seats: BTreeMap<AfarSeat, Key<Peer>>,
    replicas: Map<Upstream, Key<Publication>>,
    loads: Loads,
}

impl Relaying {
    pub fn new(cores: u16) -> Self {
        Relaying {
            guests: Map::default(),
            seats_given: 0,
            seats: BTreeMap::new(),
            replicas: Map::default(),
            loads: Loads::new(cores),
        }
    }

    pub fn replicas(&self) -> u64 {
        self.replicas.len() as u64
    }

    pub fn leftovers(&self) -> [(&'static str, usize); 3] {
        [
            ("viewers at other cores", self.guests.len()),
            ("viewers of other cores", self.seats.len()),
            ("replicas", self.replicas.len()),
        ]
    }
}
