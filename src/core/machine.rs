//! [`Core`] itself: its parts, and how inputs, timers and mail reach them.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::base::hash::{Map, keyed_hash};
use crate::base::limits::{MAIL_BACKLOG_MAX, TRAINS_FLUSH};
use crate::base::random::{Noise, Secret};
use crate::base::slab::Key;
use crate::base::snapshot::{Counters, Drop, Histogram};
use crate::base::time::{Ntp, Span, Time};
use crate::base::wheel::Wheel;
use crate::core::border::{ConnectionId, CoreId, Input, Machine, Outbox, TurnReport};
use crate::core::connection::Connection;
use crate::core::home::Room;
use crate::core::mail::{Mail, SessionRef};
use crate::core::media::Media;
use crate::core::rates::{OpenConnections, Rates};
use crate::core::rules::Rules;
use crate::core::stats::PendingSnapshots;
use crate::core::{record, relay, rtmp, whip};
use crate::ops::event::Event;
use crate::proto::dtls::Identity;
use crate::proto::tls;
use crate::room::notice::Notice;
use crate::room::peer::Peer;
use crate::room::publication::Publication;
use crate::signal::session::{KeepAlive, RoomRequest};
use crate::wire::codec::VideoCodec;

/// What a core is told once, at its making.
#[derive(Clone)]
pub struct Setup {
    pub core: CoreId,
    /// Cores of the server.
    pub cores: u16,
    /// Candidates of this core's media port, best first.
    pub candidates: Vec<SocketAddr>,
    pub identity: Identity,
    /// Certificate of the https port, where there is one.
    pub tls: Option<tls::Identity>,
    pub rules: Rules,
    /// Video codecs by preference.
    pub video_codecs: Vec<VideoCodec>,
    /// Of Opus made for browsers, and of AAC made for RTMP players.
    pub opus_bitrate_bps: u32,
    pub aac_bitrate_bps: u32,
    /// Ceiling for each publisher.
    pub max_bitrate_kbps: Option<u32>,
    pub keep_alive: KeepAlive,
    /// Wall time of [`Time::ZERO`], microseconds since 1970.
    pub unix_us_at_zero: u64,
    /// Seed of this core's randomness.
    pub seed: [u8; 32],
    /// Key of the rooms' distribution; the same on every core.
    pub room_key: u64,
}

/// One core of the server.
pub struct Core {
    pub(super) setup: Setup,
    pub(super) secret: Secret,
    pub(super) noise: Noise,
    pub(super) connections: Map<ConnectionId, Connection>,
    /// What connections of TLS doors show; none while there is no such port.
    pub(super) tls: Option<tls::Identity>,
    pub(super) rates: Rates,
    pub(super) open_connections: OpenConnections,
    /// Microseconds since 1970, and when that was.
    wall_clock: (Time, u64),
    /// By name, in the order in which they are told of.
    pub(super) rooms: BTreeMap<String, Room>,
    pub(super) whip: whip::Sessions,
    pub(super) seats: rtmp::Seats,
    pub(super) recordings: record::Recordings,
    pub(super) relaying: relay::Relaying,
    pub(super) media: Media,
    pub(super) wheel: Wheel<Timer>,
    /// Timers of this turn, and how many of them were woken.
    fired: (Vec<Timer>, usize),
    /// Mail to this very core, handled before the input's handling ends.
    local: VecDeque<Mail>,
    pub(super) pending: PendingSnapshots,
    pub(super) counters: Counters,
    pub(super) turn_us: Histogram,
    pub(super) forward_us: Histogram,
    /// As the driver last said.
    pub(super) connected_sockets: u64,
    /// Mail a driver could not deliver yet, as last seen.
    pub(super) mail_backlog: usize,
    /// The time of the turn that goes on, or of the last one.
    pub(super) turn_at: Time,
}

/// Timers of one turn that memory is kept for; a crowd that came at once is
/// woken at once.
const FIRED_KEPT: usize = 1_024;

/// Who wants to be woken. A timer is obeyed only if its owner still waits for
/// exactly this time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Timer {
    Peer(Key<Peer>, Time),
    Connection(ConnectionId, Time),
    /// A publisher whose connection is gone is given up.
    Ingest(Key<rtmp::IngestSeat>),
    /// A recording is looked after.
    Recording(Key<record::Seat>),
    /// A replica asks for its key frame again.
    Replica(Key<Publication>, Time),
}

impl Core {
    pub fn new(now: Time, setup: Setup) -> Self {
        let mut secret = Secret::new(setup.seed);
        let noise = Noise::new(secret.next_u64());
        Core {
            secret,
            noise,
            connections: Map::default(),
            tls: setup.tls.clone(),
            rates: Rates::new(&setup.rules.rates),
            open_connections: OpenConnections::default(),
            wall_clock: (Time::ZERO, setup.unix_us_at_zero),
            rooms: BTreeMap::new(),
            whip: whip::Sessions::default(),
            seats: rtmp::Seats::new(),
            recordings: record::Recordings::new(),
            relaying: relay::Relaying::new(setup.cores),
            media: Media::new(setup.rules.padding, setup.rules.hold),
            wheel: Wheel::new(now),
            fired: (Vec::new(), 0),
            local: VecDeque::new(),
            pending: PendingSnapshots::default(),
            counters: Counters::default(),
            turn_us: Histogram::default(),
            forward_us: Histogram::default(),
            connected_sockets: 0,
            mail_backlog: 0,
            turn_at: now,
            setup,
        }
    }

    /// Seconds since 1970 at `now`, as the host tells the time of day.
    pub(super) fn unix_s(&self, now: Time) -> u64 {
        self.unix_us(now) / 1_000_000
    }

    /// The same in microseconds.
    pub(super) fn unix_us(&self, now: Time) -> u64 {
        let (then, unix_us) = self.wall_clock;
        unix_us.saturating_add(now.since(then).as_us())
    }

    /// Wall time at `now` for senders' clocks: it never jumps, whatever becomes
    /// of the time of day.
    pub(super) fn wall(&self, now: Time) -> Ntp {
        Ntp::from_unix_us(self.setup.unix_us_at_zero).plus(now.since(Time::ZERO))
    }

    /// The same in microseconds since 1970.
    pub(super) fn wall_us(&self, now: Time) -> u64 {
        let since_start = now.since(Time::ZERO).as_us();
        self.setup.unix_us_at_zero.saturating_add(since_start)
    }

    pub(super) fn id(&self) -> CoreId {
        self.setup.core
    }

    /// The home core of a room, the same wherever it is asked.
    pub(super) fn home_of(&self, room: &str) -> CoreId {
        let hash = keyed_hash(self.setup.room_key, room.as_bytes());
        CoreId((hash % u64::from(self.setup.cores.max(1))) as u16)
    }

    /// How long a member may leave pings unanswered and still keep its login.
    pub(super) fn silence_max(&self) -> Span {
        // Two intervals, and a margin for the answer's way.
        self.setup.keep_alive.interval.scaled(5, 2)
    }

    /// Work that adds to the mailboxes is refused while they are congested.
    pub(super) fn is_congested(&self) -> bool {
        self.mail_backlog > MAIL_BACKLOG_MAX
    }

    pub(super) fn post(&mut self, to: CoreId, mail: Mail, out: &mut Outbox) {
        if to == self.id() {
            self.local.push_back(mail);
        } else if out.mail.len() < 2 * MAIL_BACKLOG_MAX {
            out.mail.push((to, mail));
        } else {
            self.counters.drop(Drop::MailboxFull);
        }
    }

    pub(super) fn ask_room(
        &mut self,
        room: String,
        connection: ConnectionId,
        request: RoomRequest,
        out: &mut Outbox,
    ) {
        let from = SessionRef {
            core: self.id(),
            connection,
        };
        let home = self.home_of(&room);
        self.post(
            home,
            Mail::Room {
                room,
                from,
                request,
            },
            out,
        );
    }

    pub(super) fn tell(&mut self, to: SessionRef, notice: Notice, out: &mut Outbox) {
        if !to.has_socket() {
            return;
        }
        let mail = Mail::Notice {
            sessions: vec![to.connection],
            notice,
        };
        self.post(to.core, mail, out);
    }

    /// One notice to many sessions: one piece of mail per core.
    pub(super) fn broadcast(&mut self, to: Vec<SessionRef>, notice: &Notice, out: &mut Outbox) {
        for core in (0..self.setup.cores).map(CoreId) {
            let sessions: Vec<ConnectionId> = to
                .iter()
                .filter(|session| session.core == core && session.has_socket())
                .map(|session| session.connection)
                .collect();
            if !sessions.is_empty() {
                let mail = Mail::Notice {
                    sessions,
                    notice: notice.clone(),
                };
                self.post(core, mail, out);
            }
        }
    }

    fn handle_mail(&mut self, now: Time, from: CoreId, mail: Mail, out: &mut Outbox) {
        match mail {
            Mail::Room {
                room,
                from,
                request,
            } => self.handle_room_request(now, room, from, request, out),
            Mail::Notice { sessions, notice } => self.deliver(&sessions, &notice, out),
            Mail::Dismiss { connection, why } => self.dismiss(connection, why, out),
            Mail::Moderate { room, from, action } => self.moderate(&room, from, action, out),
            Mail::Moderated { connection, found } => self.moderated(now, connection, found, out),
            Mail::Whip { from, request } => self.whip(now, from, request, out),
            Mail::Whipped { connection, reply } => self.whipped(now, connection, reply, out),
            Mail::Rtmp { from, request } => self.rtmp_request(now, from, request, out),
            Mail::RtmpReply {
                connection,
                media_session_id,
                reply,
            } => self.rtmp_reply(now, connection, &media_session_id, reply, out),
            Mail::RtmpMedia(media) => self.rtmp_media(now, media, out),
            Mail::RtmpWantsKey(feed) => self.rtmp_wants_key(now, feed, out),
            Mail::RtmpTag { feed, tag } => self.play_tag(now, feed, &tag, out),
            Mail::Relay(mail) => self.handle_relay(now, from, mail, out),
            Mail::SnapshotRequest { ticket, with_rooms } => {
                self.begin_snapshot(from, ticket, with_rooms, out);
            }
            Mail::Snapshot { ticket, snapshot } => self.collect(ticket, *snapshot, out),
        }
    }

    fn wake(&mut self, now: Time, timer: Timer, out: &mut Outbox) {
        match timer {
            Timer::Peer(key, due) => self.wake_peer(now, key, due, out),
            Timer::Connection(id, due) => self.wake_connection(now, id, due, out),
            Timer::Ingest(key) => self.give_up_ingest(now, key, out),
            Timer::Recording(key) => self.tick_recording(now, key, out),
            Timer::Replica(key, due) => self.wake_replica(now, key, due, out),
        }
    }

    fn drain_local(&mut self, now: Time, out: &mut Outbox) {
        while let Some(mail) = self.local.pop_front() {
            self.handle_mail(now, self.id(), mail, out);
        }
    }

    pub(super) fn event(&mut self, event: Event, out: &mut Outbox) {
        if out.events.len() < crate::base::limits::EVENTS_MAX {
            out.events.push(event);
        }
    }
}

impl Machine for Core {
    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        self.turn_at = now;
        match input {
            Input::Datagram { path, bytes } => self.handle_datagram(now, path, bytes, out),
            Input::Accepted {
                connection,
                peer,
                door,
            } => self.accept(now, connection, peer, door, out),
            Input::Drained { connection } => self.drained(now, connection, out),
            Input::WallClock { unix_us } => self.wall_clock = (now, unix_us),
            Input::Certificate(identity) => self.tls = Some(identity),
            Input::Transcoded(done) => self.transcoded(now, done, out),
            Input::File { id, done } => self.file_done(now, id, done, out),
            Input::Bytes { connection, bytes } => self.read(now, connection, bytes, out),
            Input::Closed { connection, cause } => self.closed(connection, cause, out),
            Input::Mail { from, mail } => self.handle_mail(now, from, mail, out),
            Input::Rendered {
                connection,
                response,
            } => self.rendered(now, connection, response, out),
        }
        self.drain_local(now, out);
    }

    fn advance(&mut self, now: Time, out: &mut Outbox) {
        self.turn_at = now;
        self.mail_backlog = out.mail.len();
        self.wheel.sweep(now, &mut self.fired.0);
        self.proceed(now, out);
    }

    fn proceed(&mut self, now: Time, out: &mut Outbox) -> bool {
        loop {
            // Packets before timers: what these send may depend on them.
            if self.proceed_media(now, out) || out.trains.len() >= TRAINS_FLUSH {
                return true;
            }
            let (fired, woken) = &mut self.fired;
            let Some(timer) = fired.get(*woken).copied() else {
                fired.clear();
                fired.shrink_to(FIRED_KEPT);
                *woken = 0;
                break;
            };
            *woken += 1;
            self.wake(now, timer, out);
            self.drain_local(now, out);
        }
        if self.proceed_farewells(out) {
            return true;
        }
        self.proceed_handshakes(now, out);
        self.proceed_snapshots(out);
        self.tell_load(now, out);
        self.drain_local(now, out);
        false
    }

    fn next_deadline(&self) -> Option<Time> {
        // Media had its turn: what waits for more of them goes on at once.
        let waits = self.media.handshakes.len() > 0 || self.pending.is_taking();
        let at_once = waits.then_some(self.turn_at);
        let held = self.media.forwarding.next_due();
        let timers = self.wheel.next_due();
        [at_once, held, timers].into_iter().flatten().min()
    }

    fn end_turn(&mut self, report: &TurnReport) {
        let turn_us = report.turn.as_us();
        self.counters.turns += 1;
        self.counters.datagrams_received += u64::from(report.received);
        self.counters.datagrams_sent += u64::from(report.datagrams_sent);
        self.counters.trains_sent += u64::from(report.trains);
        self.connected_sockets = u64::from(report.connected_sockets);
        self.turn_us.record(turn_us);
        self.note_busy(report.turn);
        self.pending.end_turn();
        for (age_us, count) in self.media.forwarding.take_ages_us() {
            self.forward_us.record_many(age_us + turn_us, count);
        }
        self.media.handshakes.end_turn();
        let drops = [
            (Drop::SendFull, report.send_full),
            (Drop::SendFailed, report.send_failed),
            (Drop::MailboxFull, report.relays_dropped),
            (Drop::TranscoderBehind, report.transcodes_dropped),
            (Drop::ReceiveExhausted, report.receive_exhausted),
            (Drop::ReceiveFull, report.kernel_dropped),
            (Drop::Malformed, report.unusable),
        ];
        for (reason, count) in drops {
            self.counters.drop_many(reason, u64::from(count));
        }
    }

    fn shut_down(&mut self, now: Time, out: &mut Outbox) {
        self.turn_at = now;
        self.close_every_connection(out);
        self.drain_local(now, out);
        self.close_every_room(out);
        self.end_every_guest_here();
        self.drain_local(now, out);
    }

    fn is_writing(&self) -> bool {
        self.recordings.is_busy()
    }
}
