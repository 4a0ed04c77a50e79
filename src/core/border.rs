//! Everything the server hears from the world and does to it. A reader who
//! knows [`Input`] and [`Outbox`] knows what the server can do.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::base::time::{Span, Time};
use crate::base::trains::Trains;

use crate::base::snapshot::ServerSnapshot;
pub use crate::base::trains::Path;
use crate::core::mail::Mail;
use crate::core::record::FileTask;
use crate::core::relay::RelayMail;
use crate::core::transcode::{TranscodeJob, Transcoded};
use crate::ops::event::Event;
use crate::proto::tls;
use crate::record::order::{FileDone, RecordingId};
use crate::room::relay::Relays;

/// A core's number, 0-based; also its offset in the media port range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(pub u16);

/// A TCP connection of one core. The driver issues them, never reusing one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What happened in the world.
pub enum Input<'a> {
    /// A datagram on this core's media port. Decrypted in place.
    Datagram { path: Path, bytes: &'a mut [u8] },
    /// A connection was accepted.
    Accepted {
        connection: ConnectionId,
        peer: SocketAddr,
        door: Door,
    },
    /// Bytes of a connection, in order.
    Bytes {
        connection: ConnectionId,
        bytes: &'a [u8],
    },
    /// The connection is gone; the driver says nothing more about it and
    /// ignores what is still sent to it.
    Closed {
        connection: ConnectionId,
        cause: CloseCause,
    },
    /// Mail from another core, in the order that core sent it.
    Mail { from: CoreId, mail: Mail },
    /// Everything written to a connection of [`Outbox::drains`] has left.
    Drained { connection: ConnectionId },
    /// A [`Render`] of this core is done.
    Rendered {
        connection: ConnectionId,
        response: Rendered,
    },
    /// What the time of day is now, told every now and then: it may have been
    /// set since the start, or have stood still with the machine.
    WallClock { unix_us: u64 },
    /// Sound of [`Outbox::transcodes`] is converted, in the order it was asked
    /// for, or cannot be.
    Transcoded(Transcoded),
    /// What came of an order of [`Outbox::files`].
    File { id: RecordingId, done: FileDone },
    /// The certificate of the TLS doors was replaced; connections from now on
    /// get this one.
    Certificate(tls::Identity),
}

/// The listening port a connection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `ws.port`: HTTP and WebSocket as they are.
    Plain,
    /// `wss.port`: the same inside TLS.
    Tls,
    /// `rtmp.port`.
    Rtmp,
    /// `rtmps.port`: RTMP inside TLS.
    Rtmps,
}

impl Door {
    pub fn is_tls(self) -> bool {
        matches!(self, Door::Tls | Door::Rtmps)
    }

    pub fn is_rtmp(self) -> bool {
        matches!(self, Door::Rtmp | Door::Rtmps)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// Closed by the peer, or by us and now complete.
    Ended,
    /// The socket failed.
    Failed,
    /// The peer read too slowly and its bounded write queue overflowed.
    Overflow,
}

/// A request answered off the media turn: from snapshots, or from a file.
pub struct Render {
    pub connection: ConnectionId,
    pub form: RenderForm,
    /// One per core, in core order; none for what is made of files.
    pub snapshots: Vec<ServerSnapshot>,
    /// What becomes of the connection, for the response's head.
    pub keep_alive: bool,
    /// The body is left out (RFC 9110 section 9.3.2).
    pub head_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderForm {
    /// `GET /api/rooms`
    RoomsJson,
    /// `GET /metrics`
    Metrics,
    /// `GET /client2/…`: a file of the mounted folder.
    File {
        /// Below the folder, without a leading slash, percent-decoded.
        path: String,
        /// The request's `If-None-Match`.
        if_none_match: Option<String>,
    },
    /// `GET /client/records/…`: a recording, or a manifest.
    Record(RecordAsked),
    /// What follows of a recording's body.
    RecordPiece(RecordPiece),
    /// `GET /api/records`
    RecordsJson,
}

impl RenderForm {
    /// Whether the cores' states are in the answer.
    pub fn needs_snapshots(&self) -> bool {
        matches!(self, RenderForm::RoomsJson | RenderForm::Metrics)
    }
}

/// A request for a file of the folder of recordings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordAsked {
    /// Safe, as `ops::record_name` says.
    pub name: String,
    /// The request's `Range`, of `GET` only (RFC 9110 section 14.2).
    pub range: Option<String>,
    pub if_range: Option<String>,
    pub if_none_match: Option<String>,
    /// Asked for with `?parts`: of a range no more than a part is sent, and the
    /// client comes back for the next (RFC 9110 section 14.2 lets a server
    /// choose). So a page plays more files than a browser has connections,
    /// each of which a player that has enough would hold.
    pub in_parts: bool,
}

/// Bytes of a file that is sent piece by piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordPiece {
    pub name: String,
    /// Which file was begun with: another one may have taken its name since.
    pub inode: u64,
    /// Where it goes on, and where the body ends.
    pub from: u64,
    pub until: u64,
    /// How much is read at once. It grows while somebody goes on reading:
    /// players ask for a file's end and leave after its first kilobytes.
    pub size_bytes: usize,
}

/// An HTTP response, or a further piece of one, which has no head. The body may
/// be shared with others of the same file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    pub head: Bytes,
    pub body: Bytes,
    /// What of the body is still to be asked for, once this has left. A piece
    /// that is neither bytes nor followed by any could not be read.
    pub rest: Option<RecordPiece>,
}

/// What the core wants done to the world, grouped by kind so that a driver
/// flushes each kind at once at the end of a turn.
pub struct Outbox {
    /// Datagrams, gathered into trains by destination.
    pub trains: Trains,
    /// Bytes to write, in order per connection.
    pub writes: Vec<(ConnectionId, Bytes)>,
    /// Connections to close once everything written so far has left.
    pub closes: Vec<ConnectionId>,
    /// Connections whose [`Input::Drained`] is awaited, once each: how a long
    /// body is written at its reader's pace.
    pub drains: Vec<ConnectionId>,
    /// Mail for other cores, in order. A driver leaves here what a full
    /// mailbox did not take, and tries again next turn; the core sees the
    /// backlog and refuses new work while it is long.
    pub mail: Vec<(CoreId, Mail)>,
    /// Media for other cores; a driver has it closed with the turn.
    pub relays: Relays,
    pub events: Vec<Event>,
    /// Sound to convert off the turn.
    pub transcodes: Vec<TranscodeJob>,
    pub renders: Vec<Render>,
    /// What recordings want done with their files; of each one order at a time.
    pub files: Vec<(RecordingId, FileTask)>,
}

impl Outbox {
    pub fn new() -> Self {
        Outbox {
            trains: Trains::new(),
            writes: Vec::new(),
            closes: Vec::new(),
            drains: Vec::new(),
            mail: Vec::new(),
            relays: Relays::default(),
            events: Vec::new(),
            transcodes: Vec::new(),
            renders: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Ends the turn's relaying: what there is becomes mail, one piece for each
    /// core. A core that still has not taken the last one gets nothing; how many
    /// packets that left out.
    pub fn close_relays(&mut self) -> u32 {
        let mut left_out = 0;
        let mail = &mut self.mail;
        for (core, batch) in self.relays.take() {
            let waits = |(to, mail): &(CoreId, Mail)| to.0 == core && mail.weight_bytes() > 0;
            if mail.iter().any(waits) {
                left_out += batch.len() as u32;
            } else {
                mail.push((CoreId(core), Mail::Relay(RelayMail::Media(batch))));
            }
        }
        left_out
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

/// What a driver measured about the turn it just finished; feeds `/metrics`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TurnReport {
    /// From the clock read at the start of the turn to the end of its flush.
    pub turn: Span,
    /// Datagrams received in this turn.
    pub received: u32,
    /// Trains sent, and the datagrams in them.
    pub trains: u32,
    pub datagrams_sent: u32,
    /// Datagrams not sent: the socket buffer was full.
    pub send_full: u32,
    /// Datagrams not sent for any other error.
    pub send_failed: u32,
    /// Packets not relayed to a core that is behind.
    pub relays_dropped: u32,
    /// Frames of sound not converted, because the worker was behind.
    pub transcodes_dropped: u32,
    /// Times the receive ring ran out of buffers.
    pub receive_exhausted: u32,
    /// Datagrams received that can be none of ours: too long, or without
    /// usable addresses.
    pub unusable: u32,
    /// Datagrams the kernel dropped because a socket's queue was full, seen
    /// since the last report that said so.
    pub kernel_dropped: u32,
    /// Sockets connected to one peer each, for busy ones.
    pub connected_sockets: u32,
}

/// A machine a driver can run: the core, or a stand-in that tests a driver.
pub trait Machine {
    /// Handles one input; everything it wants done is in `out` afterwards.
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox);

    /// Fires what is due at `now`.
    fn advance(&mut self, now: Time, out: &mut Outbox);

    /// Does what inputs and deadlines left to do, as far as the trains have
    /// room; called until it answers `false`, which says that all is done. In
    /// between the driver sends the trains, and hands in nothing.
    fn proceed(&mut self, _now: Time, _out: &mut Outbox) -> bool {
        false
    }

    /// When [`Machine::advance`] next has something to do.
    fn next_deadline(&self) -> Option<Time>;

    /// Told after each turn's flush.
    fn end_turn(&mut self, report: &TurnReport);

    /// Leaves every room in order; called once, on SIGTERM.
    fn shut_down(&mut self, now: Time, out: &mut Outbox);

    /// Whether files are still being written: a driver that stops waits for
    /// that, so far as it can.
    fn is_writing(&self) -> bool {
        false
    }
}
