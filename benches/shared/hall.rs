//! A core and its guests in one thread and in memory: what the core writes and
//! sends reaches the guests at once, and theirs the core. Owns the time, which
//! passes as told. Who watches sees every call of the core begin and end.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use ringhall::base::snapshot::ServerSnapshot;
use ringhall::base::time::{Span, Time};
use ringhall::core::record::RecordRules;
use ringhall::core::trains::{Path, Train, Trains};
use ringhall::core::{
    CloseCause, Core, CoreId, Door, Input, Machine, Outbox, Rules, Setup, TurnReport,
};
use ringhall::io::certificate::certificate;
use ringhall::proto::dtls::{Identity, MaxVersion};
use ringhall::signal::session::KeepAlive;
use ringhall::wire::codec::VideoCodec;
use ringhall::wire::demux;

use super::guest::{Guest, Part};

/// Guests do not answer pings; a hall stands for less.
const PING_INTERVAL: Span = Span::from_secs(600);
/// Guests have addresses from here on, all with this port.
const FIRST_ADDRESS: u32 = u32::from_be_bytes([127, 1, 0, 0]);
const PORT: u16 = 40_000;
/// Rounds in which guests that come must have connected.
const ROUNDS_MAX: usize = 1_000_000;

/// What a call of the core was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    Signalling,
    Ice,
    Dtls,
    Media,
}

/// Sees the core at work.
pub trait Watch {
    fn begin(&mut self);
    fn end(&mut self, about: About);
    /// A turn is over.
    fn turn(&mut self) {}
}

/// Nobody watches.
pub struct Nobody;

impl Watch for Nobody {
    fn begin(&mut self) {}
    fn end(&mut self, _about: About) {}
}

pub struct Hall<W> {
    pub core: Core,
    pub out: Outbox,
    pub now: Time,
    pub watch: W,
    /// By number; those who left are not there.
    pub guests: BTreeMap<usize, Guest>,
    fingerprint: [u8; 32],
    identity: Identity,
    taken: Vec<Train>,
    /// To guests whose media nobody wants to see.
    pub media_datagrams: u64,
    to_core: Vec<(Path, Vec<u8>)>,
}

impl<W: Watch> Hall<W> {
    pub fn new(watch: W) -> Result<Self, Box<dyn Error>> {
        let origin = Instant::now();
        let own = identity(origin)?;
        let fingerprint = own.fingerprint;
        Ok(Hall {
            core: Core::new(Time::ZERO, setup(own)),
            out: Outbox::new(),
            now: Time::ZERO,
            watch,
            guests: BTreeMap::new(),
            fingerprint,
            identity: identity(origin)?,
            taken: Vec::new(),
            media_datagrams: 0,
            to_core: Vec::new(),
        })
    }

    pub fn snapshot(&self) -> ServerSnapshot {
        self.core.snapshot(&self.out)
    }

    /// A guest connects and says at once all it has to say.
    pub fn enter(&mut self, part: Part, number: usize, room: &str) {
        let (now, identity) = (self.now, &self.identity);
        let guest = Guest::new(now, part, number, room, identity, self.fingerprint);
        let connection = guest.connection;
        let accepted = Input::Accepted {
            connection,
            peer: SocketAddr::new(address_of(number).ip(), 1),
            door: Door::Plain,
        };
        let bytes = &guest.entrance();
        self.guests.insert(number, guest);
        self.call(About::Signalling, |core, out| {
            core.handle(now, accepted, out);
            core.handle(now, Input::Bytes { connection, bytes }, out);
        });
    }

    /// A guest hangs up.
    pub fn leave(&mut self, number: usize) {
        let Some(guest) = self.guests.remove(&number) else {
            return;
        };
        let closed = Input::Closed {
            connection: guest.connection,
            cause: CloseCause::Ended,
        };
        let now = self.now;
        self.call(About::Signalling, |core, out| core.handle(now, closed, out));
    }

    /// Hands in a datagram of a guest.
    pub fn receive(&mut self, number: usize, bytes: &mut [u8]) {
        self.datagram(path_of(number), bytes);
    }

    fn datagram(&mut self, path: Path, bytes: &mut [u8]) {
        let now = self.now;
        let about = match demux::classify(bytes) {
            demux::Kind::Stun => About::Ice,
            demux::Kind::Dtls => About::Dtls,
            _ => About::Media,
        };
        let input = Input::Datagram { path, bytes };
        self.call(about, |core, out| core.handle(now, input, out));
    }

    /// What is due, and the rest of the turn; trains go to `send`, which
    /// leaves none open.
    pub fn finish_turn(&mut self, mut send: impl FnMut(&mut Trains)) {
        let now = self.now;
        let about = match self.core.next_deadline() {
            Some(due) if due <= now => About::Dtls,
            _ => About::Media,
        };
        self.call(about, |core, out| {
            if core.next_deadline().is_some_and(|due| due <= now) {
                core.advance(now, out);
            }
        });
        let mut more = true;
        while more {
            more = self.call(about, |core, out| core.proceed(now, out));
            send(&mut self.out.trains);
        }
        self.core.end_turn(&TurnReport::default());
        self.watch.turn();
    }

    fn call<T>(&mut self, about: About, work: impl FnOnce(&mut Core, &mut Outbox) -> T) -> T {
        self.watch.begin();
        let done = work(&mut self.core, &mut self.out);
        self.watch.end(about);
        done
    }

    /// Exchanges, a millisecond apart, until every guest that offered something
    /// has keys.
    pub fn connect(&mut self) -> Result<(), Box<dyn Error>> {
        for _ in 0..ROUNDS_MAX {
            self.exchange()?;
            let mut coming = self.guests.values();
            if self.to_core.is_empty() && !coming.any(Guest::is_coming) {
                return Ok(());
            }
            self.now = self.now + Span::from_ms(1);
        }
        Err("not everybody got connected".into())
    }

    /// Turns of the core until it has nothing to do at this time, and what the
    /// guests make of them.
    pub fn exchange(&mut self) -> Result<(), Box<dyn Error>> {
        self.hand_in();
        loop {
            self.turn()?;
            if self.core.next_deadline().is_none_or(|due| due > self.now) {
                return Ok(());
            }
        }
    }

    /// Gives the core what guests have sent.
    pub fn hand_in(&mut self) {
        for (path, mut bytes) in std::mem::take(&mut self.to_core) {
            self.datagram(path, &mut bytes);
        }
    }

    /// The rest of a turn, and what the guests make of it.
    pub fn turn(&mut self) -> Result<(), Box<dyn Error>> {
        let mut sent = Vec::new();
        let mut taken = std::mem::take(&mut self.taken);
        self.finish_turn(|trains| {
            trains.take(&mut taken);
            for train in taken.drain(..) {
                let datagrams = trains.bytes(&train).chunks(train.segment_bytes);
                let remote = train.path.remote;
                sent.extend(datagrams.map(|bytes| (remote, bytes.to_vec())));
                trains.release(train);
            }
        });
        self.taken = taken;
        for (connection, bytes) in &self.out.writes {
            if let Some(guest) = self.guests.get_mut(&(connection.0 as usize)) {
                guest.hear(*connection, bytes)?;
            }
        }
        // What the core made is given back under the eyes of who watches it.
        self.call(About::Signalling, |_, out| {
            out.writes = Vec::new();
            out.events = Vec::new();
            out.renders = Vec::new();
        });
        if let Some(connection) = self.out.closes.pop() {
            return Err(format!("the core closed {connection:?}").into());
        }
        for (remote, bytes) in sent {
            self.hear(remote, &bytes)?;
        }
        let (now, to_core) = (self.now, &mut self.to_core);
        for (number, guest) in &mut self.guests {
            if guest.is_coming() {
                guest.act(now, &mut |bytes| {
                    to_core.push((path_of(*number), bytes.to_vec()));
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, remote: SocketAddr, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        let (now, to_core) = (self.now, &mut self.to_core);
        let number = number_of(remote);
        let Some(guest) = self.guests.get_mut(&number) else {
            return Ok(());
        };
        self.media_datagrams += u64::from(demux::classify(bytes) == demux::Kind::Rtp);
        guest.receive(now, remote, bytes, &mut |bytes| {
            to_core.push((path_of(number), bytes.to_vec()));
            Ok(())
        })
    }
}

/// Where a guest's datagrams come from and go to.
pub fn path_of(number: usize) -> Path {
    Path {
        local: Ipv4Addr::LOCALHOST.into(),
        remote: address_of(number),
    }
}

fn address_of(number: usize) -> SocketAddr {
    let ip = Ipv4Addr::from(FIRST_ADDRESS + number as u32);
    SocketAddr::new(ip.into(), PORT)
}

fn number_of(remote: SocketAddr) -> usize {
    match remote.ip() {
        IpAddr::V4(ip) => (u32::from(ip) - FIRST_ADDRESS) as usize,
        IpAddr::V6(_) => usize::MAX,
    }
}

fn identity(origin: Instant) -> Result<Identity, Box<dyn Error>> {
    let made = certificate()?;
    let version = MaxVersion::Dtls12;
    Identity::new(made.certificate, made.key, version, origin, None)
        .ok_or_else(|| "the DTLS settings were refused".into())
}

fn setup(identity: Identity) -> Setup {
    Setup {
        core: CoreId(0),
        cores: 1,
        candidates: vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 1)],
        identity,
        video_codecs: vec![VideoCodec::Vp8],
        max_bitrate_kbps: None,
        opus_bitrate_bps: 64_000,
        aac_bitrate_bps: 96_000,
        tls: None,
        rules: Rules {
            record: RecordRules::default(),
            ..Rules::default()
        },
        keep_alive: KeepAlive {
            interval: PING_INTERVAL,
            probes: 1,
        },
        unix_us_at_zero: 0,
        seed: [7; 32],
        room_key: 0,
    }
}
