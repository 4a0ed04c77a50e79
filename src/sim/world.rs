//! The world of a simulation: the clock, the cores, the browsers, and the heap
//! of what will happen. Everything that happens at one instant is one turn of
//! the cores it concerns, as in the drivers: inputs, timers, then the flush.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::base::random::Noise;
use crate::base::snapshot::ServerSnapshot;
use crate::base::time::{Span, Time};
use crate::base::trains::Train;
use crate::core::border::{CloseCause, ConnectionId, CoreId, Door, Machine, Outbox, Path};
use crate::core::record::RecordRules;
use crate::core::{Core, Rules, Setup};
use crate::ops::access::Access;
use crate::ops::event::Event;
use crate::proto::dtls::{Identity, MaxVersion};
use crate::signal::session::KeepAlive;
use crate::sim::browser::{Browser, Plan, Workshop, new_address};
use crate::sim::certificate::{CERTIFICATE_DER, PRIVATE_KEY_DER};
use crate::sim::disk::Disk;
use crate::sim::net::{Fault, FaultCounts, Faults, Net};
use crate::sim::rtmp_peer::RtmpPeer;
use crate::sim::trace::Trace;
use crate::sim::turn::{CoreSeat, Scheduled, What};
use crate::wire::codec::VideoCodec;

/// Send trains of one core: more than the busiest instant of a small world needs.
pub(super) const TRAIN_SLOTS: usize = 512;
/// Of a segment of the signalling's TCP, which loses nothing.
pub(super) const TCP_DELAY: Span = Span::from_ms(25);
pub(super) const FIRST_MEDIA_PORT: u16 = 40_000;
pub(super) const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

/// What a run is made of. The same options give the same run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub seed: u64,
    pub cores: u16,
    /// The newest DTLS version of the server.
    pub server_dtls: MaxVersion,
    /// And of the browsers.
    pub browser_dtls: MaxVersion,
    /// Browsers to server.
    pub up: Faults,
    /// Server to browsers.
    pub down: Faults,
    /// What access tokens are signed with; without, everybody may enter.
    pub secret: Option<&'static [u8]>,
    /// Recordings of a room begin and end together.
    pub aligned: bool,
    /// Every stream is recorded.
    pub record_all: bool,
    /// And their beginning is the room's.
    pub origin_is_room: bool,
    /// Opus is recorded as AAC.
    pub record_aac: bool,
    /// Viewers are spread over the cores, from the first.
    pub spread: bool,
    /// Packets of a frame are made equally long.
    pub padding: bool,
    /// A recording that would begin with more black begins with its stream.
    pub shift_max: Span,
}

impl Options {
    /// One core, 25 ms each way, nothing lost.
    pub const fn clean(seed: u64) -> Self {
        Options {
            seed,
            cores: 1,
            server_dtls: MaxVersion::Dtls12,
            browser_dtls: MaxVersion::Dtls12,
            up: Faults::clean(Span::from_ms(25)),
            down: Faults::clean(Span::from_ms(25)),
            secret: None,
            aligned: false,
            record_all: false,
            origin_is_room: false,
            record_aac: false,
            spread: true,
            padding: true,
            shift_max: Span::from_secs(6 * 3_600),
        }
    }
}

/// A browser's place in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat(pub usize);

pub struct World {
    pub now: Time,
    /// Events of all cores, in order.
    pub events: Vec<(Time, CoreId, Event)>,
    pub(super) cores: Vec<CoreSeat>,
    pub(super) browsers: Vec<Browser>,
    pub(super) rtmp: Vec<RtmpPeer>,
    pub(super) queue: BinaryHeap<Reverse<Scheduled>>,
    pub(super) scheduled: u64,
    pub(super) net: Net,
    pub disk: Disk,
    pub(super) trace: Trace,
    pub(super) shop: Workshop,
    pub(super) noise: Noise,
    /// Which peer connection has or had an address.
    pub(super) addresses: BTreeMap<SocketAddr, (usize, usize)>,
    pub(super) connections: BTreeMap<ConnectionId, usize>,
    pub(super) rtmp_connections: BTreeMap<ConnectionId, usize>,
    pub(super) connections_made: u64,
    pub(super) taken: Vec<Train>,
    /// Datagrams toward cores, held back instead of handled.
    pub(super) held: Option<Vec<(Path, Vec<u8>)>>,
    /// Cores whose mailboxes are full.
    pub(super) deaf: BTreeSet<CoreId>,
}

impl World {
    pub fn new(options: Options) -> Self {
        let mut noise = Noise::new(options.seed);
        // The crate behind DTLS counts in instants; only differences reach it.
        #[allow(clippy::disallowed_methods)]
        let zero = Instant::now();
        let identity = |max_version, seed| {
            let identity = Identity::new(
                CERTIFICATE_DER.to_vec(),
                PRIVATE_KEY_DER.to_vec(),
                max_version,
                zero,
                Some(seed),
            );
            // The settings are the same in every run.
            identity.expect("a fixed configuration")
        };
        let server = identity(options.server_dtls, noise.next_u64());
        let shop = Workshop {
            identity: identity(options.browser_dtls, noise.next_u64()),
            up: options.up,
            down: options.down,
            next_port: 10_000,
        };
        let room_key = noise.next_u64();
        let cores = (0..options.cores)
            .map(|core| CoreSeat::new(setup(core, options, &server, room_key, &mut noise)))
            .collect();
        World {
            now: Time::ZERO,
            events: Vec::new(),
            cores,
            browsers: Vec::new(),
            rtmp: Vec::new(),
            queue: BinaryHeap::new(),
            scheduled: 0,
            net: Net::new(noise.next_u64()),
            disk: Disk::new(options.seed),
            trace: Trace::new(),
            shop,
            noise,
            addresses: BTreeMap::new(),
            connections: BTreeMap::new(),
            rtmp_connections: BTreeMap::new(),
            connections_made: 0,
            taken: Vec::new(),
            held: None,
            deaf: BTreeSet::new(),
        }
    }

    /// A participant opens a connection, to the next core in turn, and joins.
    pub fn enter(&mut self, login: &str, room: &str, plan: Plan) -> Seat {
        let number = self.browsers.len();
        let seed = self.noise.next_u64();
        self.browsers
            .push(Browser::new(number, login, room, plan, seed));
        self.connect(Seat(number), false);
        Seat(number)
    }

    /// Opens a new session of the same browser.
    pub fn connect(&mut self, seat: Seat, with_token: bool) {
        self.dial(seat);
        let (now, trace) = (self.now, &mut self.trace);
        self.browsers[seat.0].open(now, with_token, trace);
        self.flush_browser(seat.0);
    }

    /// Opens a TCP connection, to the next core in turn.
    pub(super) fn dial(&mut self, seat: Seat) {
        let id = ConnectionId(self.connections_made);
        let core = (self.connections_made % self.cores.len() as u64) as usize;
        self.connections_made += 1;
        // An older socket is abandoned: still open, read by nobody.
        self.connections.retain(|_, browser| *browser != seat.0);
        self.connections.insert(id, seat.0);
        let address: SocketAddr = ([203, 0, 113, seat.0 as u8], 50_000).into();
        self.schedule(
            self.now + TCP_DELAY,
            What::Accepted(core, id, address, Door::Plain),
        );
        self.browsers[seat.0].connection = Some((CoreId(core as u16), id));
    }

    pub fn browser(&self, seat: Seat) -> &Browser {
        &self.browsers[seat.0]
    }

    /// Changes a browser from outside, in the middle of a run.
    pub fn browser_mut(&mut self, seat: Seat) -> &mut Browser {
        &mut self.browsers[seat.0]
    }

    pub fn browsers(&self) -> &[Browser] {
        &self.browsers
    }

    pub fn leave(&mut self, seat: Seat) {
        let (now, trace) = (self.now, &mut self.trace);
        self.browsers[seat.0].leave(now, trace);
        self.flush_browser(seat.0);
    }

    pub fn publish(&mut self, seat: Seat) {
        let (now, trace) = (self.now, &mut self.trace);
        self.browsers[seat.0].publish(now, &mut self.shop, trace);
        self.flush_browser(seat.0);
    }

    pub fn unpublish(&mut self, seat: Seat) {
        let (now, trace) = (self.now, &mut self.trace);
        self.browsers[seat.0].stop_streams(now, true, trace);
        self.flush_browser(seat.0);
    }

    /// Says any text of the dialect.
    pub fn say(&mut self, seat: Seat, text: &str) {
        let (now, trace) = (self.now, &mut self.trace);
        self.browsers[seat.0].say(now, text, trace);
        self.flush_browser(seat.0);
    }

    /// The browser's socket ends: in order, or failing under it.
    pub fn hang_up(&mut self, seat: Seat, cause: CloseCause) {
        if let Some((core, id)) = self.browsers[seat.0].connection {
            self.browsers[seat.0].disconnected();
            self.connections.remove(&id);
            let what = What::ClosedAtCore(usize::from(core.0), id, cause);
            self.schedule(self.now + TCP_DELAY, what);
        }
    }

    /// The page is closed: every peer connection with it.
    pub fn close_peers(&mut self, seat: Seat) {
        for peer in 0..self.browsers[seat.0].peers.len() {
            self.browsers[seat.0].peers[peer].close();
            self.flush_peer(seat.0, peer);
        }
    }

    /// A router on the way gives the browser's peer connections new addresses;
    /// the browser does not notice.
    pub fn rebind(&mut self, seat: Seat) {
        for peer in 0..self.browsers[seat.0].peers.len() {
            let address = new_address(seat.0, &mut self.shop);
            self.net.count(Fault::Rebind);
            self.browsers[seat.0].peers[peer].address = address;
            self.addresses.insert(address, (seat.0, peer));
        }
    }

    /// The browser's media is gone without a word; its socket lives on.
    pub fn vanish(&mut self, seat: Seat) {
        for peer in &mut self.browsers[seat.0].peers {
            peer.silence.vanished = true;
        }
    }

    /// From now on a core's mailboxes are full, or no more.
    pub fn deafen(&mut self, core: CoreId, is_deaf: bool) {
        match is_deaf {
            true => self.deaf.insert(core),
            false => self.deaf.remove(&core),
        };
    }

    /// Sets the faults of every path of a browser.
    pub fn set_faults(&mut self, seat: Seat, up: Faults, down: Faults) {
        for peer in &mut self.browsers[seat.0].peers {
            peer.up.faults = up;
            peer.down.faults = down;
        }
    }

    /// A datagram from anywhere reaches a core's media port now.
    pub fn inject(&mut self, core: CoreId, remote: SocketAddr, datagram: Vec<u8>) {
        let path = Path {
            local: SERVER,
            remote,
        };
        let what = What::ToCore(usize::from(core.0), path, datagram);
        self.schedule(self.now, what);
    }

    /// Lets time pass while everything sent toward the cores is held back, and
    /// hands it out: for a test that feeds a core by hand.
    pub fn run_holding(&mut self, span: Span) -> Vec<(Path, Vec<u8>)> {
        self.held = Some(Vec::new());
        self.run_for(span);
        self.held.take().unwrap_or_default()
    }

    pub fn core_mut(&mut self, core: CoreId) -> (&mut Core, &mut Outbox) {
        let seat = &mut self.cores[usize::from(core.0)];
        (&mut seat.core, &mut seat.out)
    }

    pub fn run_for(&mut self, span: Span) {
        self.run_until(self.now + span);
    }

    /// Lets everything happen up to and at `end`.
    pub fn run_until(&mut self, end: Time) {
        while let Some(at) = self.next_at().filter(|at| *at <= end) {
            self.now = at;
            while self.next_at() == Some(at) {
                if let Some(Reverse(next)) = self.queue.pop() {
                    self.dispatch(next.what);
                }
            }
            for core in 0..self.cores.len() {
                if self.cores[core].touched {
                    self.end_turn(core);
                }
            }
        }
        self.now = end;
    }

    /// Every core stops, as on SIGTERM.
    pub fn shut_down(&mut self) {
        for core in 0..self.cores.len() {
            let seat = &mut self.cores[core];
            seat.core.shut_down(self.now, &mut seat.out);
            self.end_turn(core);
        }
    }

    /// The machine goes down this instant: what is on its way to the disk gets
    /// there in part.
    pub fn kill(mut self) -> Disk {
        while let Some(Reverse(next)) = self.queue.pop() {
            if let What::File(core, id, task) = next.what {
                self.disk.tear(CoreId(core as u16), id, task);
            }
        }
        self.disk
    }

    pub fn core_count(&self) -> usize {
        self.cores.len()
    }

    pub fn snapshots(&self) -> Vec<ServerSnapshot> {
        let seats = self.cores.iter();
        seats.map(|seat| seat.core.snapshot(&seat.out)).collect()
    }

    /// What cores still hold, send trains and timers included.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (number, seat) in self.cores.iter().enumerate() {
            for (what, count) in seat.core.leftovers() {
                left.push(format!("core {number}: {count} {what}"));
            }
            let missing = TRAIN_SLOTS - seat.out.trains.free_slots();
            if missing > 0 {
                left.push(format!("core {number}: {missing} send trains"));
            }
            let refused = seat.out.trains.refused();
            if refused > 0 {
                left.push(format!("core {number}: {refused} datagrams refused"));
            }
            if !seat.transcoders.is_empty() {
                left.push(format!("core {number}: streams at the transcoder"));
            }
            let timers = seat.core.snapshot(&seat.out).gauges.timers;
            if timers > 0 {
                left.push(format!("core {number}: {timers} timers"));
            }
        }
        left
    }

    pub fn fault_counts(&self) -> &FaultCounts {
        self.net.counts()
    }

    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    pub fn trace_entries(&self) -> u64 {
        self.trace.entries()
    }
}

fn setup(
    core: u16,
    options: Options,
    identity: &Identity,
    room_key: u64,
    noise: &mut Noise,
) -> Setup {
    let mut seed = [0; 32];
    for byte in &mut seed {
        *byte = noise.below(256) as u8;
    }
    Setup {
        core: CoreId(core),
        cores: options.cores,
        candidates: vec![SocketAddr::new(SERVER, FIRST_MEDIA_PORT + core)],
        identity: identity.clone(),
        video_codecs: vec![VideoCodec::H264, VideoCodec::Vp8],
        max_bitrate_kbps: None,
        opus_bitrate_bps: 64_000,
        aac_bitrate_bps: 96_000,
        tls: None,
        rules: Rules {
            access: options.secret.map_or(Access::open(), Access::with_secret),
            record: RecordRules {
                aligned: options.aligned,
                all: options.record_all,
                origin_is_room: options.origin_is_room,
                as_aac: options.record_aac,
                shift_max: options.shift_max,
                ..RecordRules::default()
            },
            padding: options.padding,
            spread_above_permille: if options.spread { 0 } else { u32::MAX },
            ..Rules::default()
        },
        keep_alive: KeepAlive {
            interval: Span::from_secs(5),
            probes: 3,
        },
        unix_us_at_zero: 1_700_000_000_000_000,
        seed,
        room_key,
    }
}
