//! A server of several cores, turn by turn as its drivers run them: first all in
//! one thread, until everybody is connected, then each in one of its own. What
//! cores say to each other goes through the server's own lanes.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringhall::base::snapshot::Counters;
use ringhall::base::time::{Span, Time};
use ringhall::core::mail::Mail;
use ringhall::core::trains::Train;
use ringhall::core::{Core, CoreId, Door, Input, Machine, Outbox, Rules, Setup, TurnReport};
use ringhall::io::post::Post;
use ringhall::io::sockets::media_sockets;
use ringhall::io::udp::{Sockets, Udp};
use ringhall::signal::session::KeepAlive;
use ringhall::wire::codec::VideoCodec;

use super::crowd;
use super::guest::{Guest, Part, ROOM};
use super::server::identity;

/// Time for every guest to connect.
const PATIENCE: Duration = Duration::from_secs(60);
/// Sessions are not pinged while a bench runs.
const NEVER: Span = Span::from_secs(1 << 20);

/// One core and what its driver has.
pub struct Hand {
    id: CoreId,
    pub core: Core,
    pub outbox: Outbox,
    sockets: Sockets,
    post: Arc<Post<Mail>>,
    origin: Instant,
}

/// A hand at work, in the thread that runs it.
pub struct Working {
    pub hand: Hand,
    udp: Udp,
    taken: Vec<Train>,
    mail: Vec<VecDeque<Mail>>,
}

impl Hand {
    /// Inside the runtime of the calling thread.
    pub fn start(self) -> io::Result<Working> {
        let udp = Udp::on_mmsg(self.sockets.try_clone()?)?;
        let mail = (0..self.post.cores()).map(|_| VecDeque::new()).collect();
        Ok(Working {
            hand: self,
            udp,
            taken: Vec::new(),
            mail,
        })
    }

    pub fn port(&self) -> u16 {
        self.sockets.port
    }

    pub fn counters(&self) -> Counters {
        self.core.snapshot(&self.outbox).counters
    }
}

impl Working {
    pub fn now(&self) -> Time {
        Time::from_us(self.hand.origin.elapsed().as_micros() as u64)
    }

    /// One turn as `io::driver` does it, with up to `max` datagrams: how many
    /// it sent, and whether there was anything to do.
    pub fn turn(&mut self, max: usize) -> (u32, bool) {
        let now = self.now();
        let Working {
            hand,
            udp,
            taken,
            mail,
        } = self;
        let Hand {
            id,
            core,
            outbox,
            post,
            ..
        } = hand;
        let received = udp.receive(max, |path, bytes| {
            core.handle(now, Input::Datagram { path, bytes }, outbox);
        });
        post.collect(*id, mail);
        let mut heard = false;
        for (from, queue) in (0..).map(CoreId).zip(mail) {
            while let Some(mail) = queue.pop_front() {
                heard = true;
                core.handle(now, Input::Mail { from, mail }, outbox);
            }
        }
        if core.next_deadline().is_some_and(|due| due <= now) {
            core.advance(now, outbox);
        }
        let mut report = TurnReport {
            received: received.received,
            ..TurnReport::default()
        };
        let mut more = true;
        while more {
            more = core.proceed(now, outbox);
            report.relays_dropped += outbox.close_relays();
            post.deliver(*id, &mut outbox.mail);
            if !outbox.trains.is_empty() {
                let sent = udp.send(&mut outbox.trains, taken);
                report.trains += sent.trains;
                report.datagrams_sent += sent.datagrams;
                report.send_full += sent.full;
                report.send_failed += sent.failed;
            }
        }
        post.deliver(*id, &mut outbox.mail);
        core.end_turn(&report);
        (report.datagrams_sent, received.received > 0 || heard)
    }
}

/// Everybody of one room, and the cores that serve it.
pub struct Crew {
    pub hands: Vec<Hand>,
    pub publisher: Guest,
    pub publisher_socket: UdpSocket,
    pub viewers: Vec<Guest>,
    /// The viewers', read by nobody once they are connected.
    pub sockets: Vec<UdpSocket>,
}

impl Crew {
    /// A room on `cores` cores, its viewers spread over them. Inside a runtime.
    pub fn gather(cores: usize, viewers: usize) -> Result<Self, Box<dyn Error>> {
        let origin = Instant::now();
        let (hands, fingerprint) = hands(cores, origin)?;
        let mut working = hands
            .into_iter()
            .map(Hand::start)
            .collect::<io::Result<Vec<_>>>()?;
        let client = identity(origin)?;
        let enter = |working: &mut [Working], part, number: usize| {
            let at = &mut working[number % cores];
            let now = at.now();
            let guest = Guest::new(now, part, number, ROOM, &client, fingerprint);
            let connection = guest.connection;
            let accepted = Input::Accepted {
                connection,
                peer: ([127, 0, 0, 1], 1).into(),
                door: Door::Plain,
            };
            let Hand { core, outbox, .. } = &mut at.hand;
            core.handle(now, accepted, outbox);
            let bytes = &guest.entrance();
            core.handle(now, Input::Bytes { connection, bytes }, outbox);
            guest
        };
        let publisher = enter(&mut working, Part::Publisher(VideoCodec::Vp8), 0);
        let mut crew = Crew {
            hands: Vec::new(),
            publisher,
            publisher_socket: crowd::receiver()?,
            viewers: Vec::new(),
            sockets: Vec::new(),
        };
        crew.connect(&mut working)?;
        for number in 1..=viewers {
            crew.viewers
                .push(enter(&mut working, Part::Viewer(0), number));
            crew.sockets.push(crowd::receiver()?);
        }
        crew.connect(&mut working)?;
        crew.hands = working.into_iter().map(|working| working.hand).collect();
        Ok(crew)
    }

    fn connect(&mut self, working: &mut [Working]) -> Result<(), Box<dyn Error>> {
        let started = Instant::now();
        let all_in = |crew: &Crew| {
            let mut everybody = crew.viewers.iter().chain([&crew.publisher]);
            everybody.all(|guest| guest.keys.is_some())
        };
        while !all_in(self) {
            if started.elapsed() > PATIENCE {
                return Err("not everybody got connected".into());
            }
            self.pass_on(working)?;
            let now = working[0].now();
            let viewers = self.viewers.iter_mut().zip(&self.sockets);
            let publisher = (&mut self.publisher, &self.publisher_socket);
            for (guest, socket) in viewers.chain([publisher]) {
                step(guest, socket, now)?;
            }
            let mut busy = true;
            while busy {
                // Every one of them, not until the first.
                busy = working
                    .iter_mut()
                    .map(|at| at.turn(256).1)
                    .fold(false, |a, b| a | b);
            }
        }
        while working.iter_mut().any(|at| at.turn(256).1) {}
        self.pass_on(working)
    }

    /// Hands everybody what the cores wrote to them.
    fn pass_on(&mut self, working: &mut [Working]) -> Result<(), Box<dyn Error>> {
        for at in working {
            at.hand.outbox.events.clear();
            let writes: Vec<_> = at.hand.outbox.writes.drain(..).collect();
            for (to, bytes) in writes {
                let number = to.0 as usize;
                let guest = match number.checked_sub(1) {
                    None => Some(&mut self.publisher),
                    Some(number) => self.viewers.get_mut(number),
                };
                guest.ok_or("nobody's bytes")?.hear(to, &bytes)?;
            }
        }
        Ok(())
    }

    /// Viewers of each core.
    pub fn spread(&self) -> Vec<usize> {
        let at = |hand: &Hand| {
            let ports = self.viewers.iter().filter_map(Guest::server_port);
            ports.filter(|port| *port == hand.port()).count()
        };
        self.hands.iter().map(at).collect()
    }

    /// Every viewer reports, as browsers do: from then on packets need not say
    /// which section they are for.
    pub fn report(&mut self) -> Result<(), Box<dyn Error>> {
        for (viewer, socket) in self.viewers.iter_mut().zip(&self.sockets) {
            let port = viewer.server_port().ok_or("not connected")?;
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            viewer.report(&mut |bytes| socket.send_to(bytes, to).map(|_| ()))?;
        }
        Ok(())
    }
}

fn step(guest: &mut Guest, socket: &UdpSocket, now: Time) -> Result<(), Box<dyn Error>> {
    let Some(port) = guest.server_port() else {
        return Ok(());
    };
    let own = socket.local_addr()?;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut send = |bytes: &[u8]| socket.send_to(bytes, to).map(|_| ());
    let mut outcome = guest.act(now, &mut send);
    crowd::drain(socket, |_, datagram| {
        let received = guest.receive(now, own, datagram, &mut send);
        if outcome.is_ok() {
            outcome = received;
        }
    })?;
    outcome
}

/// The cores, and their certificate's fingerprint.
fn hands(cores: usize, origin: Instant) -> Result<(Vec<Hand>, [u8; 32]), Box<dyn Error>> {
    let own = identity(origin)?;
    let post = Arc::new(Post::new(cores, Mail::weight_bytes)?);
    let mut warnings = Vec::new();
    let sockets = media_sockets(None, 0, cores, &mut warnings)?;
    for warning in warnings {
        println!("warning: {warning}");
    }
    let hands = (0..).zip(sockets).map(|(number, sockets)| {
        let setup = Setup {
            core: CoreId(number),
            cores: cores as u16,
            candidates: vec![(Ipv4Addr::LOCALHOST, sockets.port).into()],
            identity: own.clone(),
            video_codecs: vec![VideoCodec::Vp8],
            max_bitrate_kbps: None,
            opus_bitrate_bps: 64_000,
            aac_bitrate_bps: 96_000,
            tls: None,
            rules: Rules {
                spread_above_permille: 0,
                ..Rules::default()
            },
            keep_alive: KeepAlive {
                interval: NEVER,
                probes: 1,
            },
            unix_us_at_zero: 0,
            seed: [7 + number as u8; 32],
            room_key: 0,
        };
        Hand {
            id: CoreId(number),
            core: Core::new(Time::ZERO, setup),
            outbox: Outbox::new(),
            sockets,
            post: Arc::clone(&post),
            origin,
        }
    });
    Ok((hands.collect(), own.fingerprint))
}
