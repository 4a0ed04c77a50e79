//! The server as its driver runs it, turn by turn and in this thread: the real
//! core between the real media sockets, on both engines at once. Each engine
//! has a port of its own; the core does not care which one a packet came by,
//! so both are measured on one room.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use ringhall::base::snapshot::ServerSnapshot;
use ringhall::base::time::{Span, Time};
use ringhall::core::trains::Train;
use ringhall::core::{Core, CoreId, Input, Machine, Outbox, Rules, Setup, TurnReport};
use ringhall::io::certificate::certificate;
use ringhall::io::sockets::media_sockets;
use ringhall::io::udp::{ReceiveReport, SendReport, Sockets, Udp};
use ringhall::proto::dtls::{Identity, MaxVersion};
use ringhall::signal::session::KeepAlive;
use ringhall::wire::codec::VideoCodec;

use super::options::BackEnd;

/// Sessions are not pinged while a bench runs.
const NEVER: Span = Span::from_secs(1 << 20);

pub struct Server {
    pub core: Core,
    pub outbox: Outbox,
    pub fingerprint: [u8; 32],
    origin: Instant,
    taken: Vec<Train>,
    /// The time instead of the clock's, for minutes that pass at once.
    pub told: Option<Time>,
    /// `None` where this host refuses io_uring.
    uring: Option<Engine>,
    mmsg: Engine,
}

struct Engine {
    udp: Udp,
    port: u16,
}

impl Server {
    /// Inside a tokio runtime. `open` sees each socket before it is used.
    pub fn new(
        video: VideoCodec,
        rules: Rules,
        open: impl Fn(&Sockets) -> std::io::Result<()>,
    ) -> Result<Self, Box<dyn Error>> {
        let origin = Instant::now();
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut warnings = Vec::new();
        let mut sockets = media_sockets(None, 0, 2, &mut warnings)?.into_iter();
        let (Some(first), Some(second)) = (sockets.next(), sockets.next()) else {
            return Err("two cores have two media ports".into());
        };
        open(&first)?;
        open(&second)?;
        for warning in warnings {
            println!("warning: {warning}");
        }
        let ports = (first.port, second.port);
        let mmsg = Engine {
            udp: Udp::on_mmsg(first)?,
            port: ports.0,
        };
        let uring = Udp::on_uring(second)
            .ok()
            .map(|udp| Engine { udp, port: ports.1 });
        let identity = identity(origin)?;
        let setup = Setup {
            core: CoreId(0),
            cores: 1,
            candidates: vec![SocketAddr::new(loopback, mmsg.port)],
            identity: identity.clone(),
            video_codecs: vec![video],
            max_bitrate_kbps: None,
            opus_bitrate_bps: 64_000,
            aac_bitrate_bps: 96_000,
            tls: None,
            rules,
            keep_alive: KeepAlive {
                interval: NEVER,
                probes: 1,
            },
            unix_us_at_zero: 0,
            seed: [7; 32],
            room_key: 0,
        };
        Ok(Server {
            core: Core::new(Time::ZERO, setup),
            outbox: Outbox::new(),
            fingerprint: identity.fingerprint,
            origin,
            taken: Vec::new(),
            told: None,
            uring,
            mmsg,
        })
    }

    pub fn now(&self) -> Time {
        let elapsed = || Time::from_us(self.origin.elapsed().as_micros() as u64);
        self.told.unwrap_or_else(elapsed)
    }

    /// The instant of [`Time::ZERO`].
    pub fn origin(&self) -> Instant {
        self.origin
    }

    pub fn has(&self, back_end: BackEnd) -> bool {
        back_end == BackEnd::Mmsg || self.uring.is_some()
    }

    /// Where a back end listens.
    pub fn address(&self, back_end: BackEnd) -> SocketAddr {
        let port = match (back_end, &self.uring) {
            (BackEnd::Uring, Some(engine)) => engine.port,
            _ => self.mmsg.port,
        };
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// One turn as `io::driver` does it: read the clock, hand in up to `max`
    /// datagrams, fire what is due, flush, report.
    pub fn turn(&mut self, back_end: BackEnd, max: usize) -> (ReceiveReport, SendReport) {
        let now = self.now();
        let Server {
            core,
            outbox,
            taken,
            uring,
            mmsg,
            ..
        } = self;
        let engine = match (back_end, uring) {
            (BackEnd::Uring, Some(engine)) => engine,
            _ => mmsg,
        };
        let received = engine.udp.receive(max, |path, bytes| {
            core.handle(now, Input::Datagram { path, bytes }, outbox);
        });
        if core.next_deadline().is_some_and(|due| due <= now) {
            core.advance(now, outbox);
        }
        let mut sent = SendReport::default();
        loop {
            let more = core.proceed(now, outbox);
            if !outbox.trains.is_empty() {
                sent.add(engine.udp.send(&mut outbox.trains, taken));
            }
            if !more {
                break;
            }
        }
        let report = TurnReport {
            turn: self.now().since(now),
            received: received.received,
            trains: sent.trains,
            datagrams_sent: sent.datagrams,
            send_full: sent.full,
            send_failed: sent.failed,
            receive_exhausted: received.exhausted,
            ..TurnReport::default()
        };
        self.core.end_turn(&report);
        (received, sent)
    }

    /// Turns until nothing is left to receive or due.
    pub fn catch_up(&mut self, back_end: BackEnd) {
        const TURN_DATAGRAMS: usize = 256;
        while self.turn(back_end, TURN_DATAGRAMS).0.received > 0 {}
    }

    /// Lets io_uring connect sockets to viewers who get much.
    pub fn connect_busy(&mut self, max: usize) -> std::io::Result<()> {
        match &mut self.uring {
            Some(engine) => engine.udp.connect_busy(max),
            None => Err(std::io::ErrorKind::Unsupported.into()),
        }
    }

    /// As the driver does once a second: judges who is busy, for the next turns
    /// to connect; how many are.
    pub fn sweep(&mut self) -> usize {
        self.uring.as_mut().map_or(0, |engine| {
            engine.udp.sweep();
            engine.udp.connected()
        })
    }

    pub fn snapshot(&self) -> ServerSnapshot {
        self.core.snapshot(&self.outbox)
    }
}

/// A certificate, and DTLS 1.2 as the server speaks by default.
pub fn identity(origin: Instant) -> Result<Identity, Box<dyn Error>> {
    let made = certificate()?;
    let version = MaxVersion::Dtls12;
    Identity::new(made.certificate, made.key, version, origin, None)
        .ok_or_else(|| "the DTLS settings were refused".into())
}
