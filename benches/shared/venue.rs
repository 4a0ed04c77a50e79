//! The server as it is shipped, with a publisher and viewers in one room of it,
//! all connected for real: WebSocket over TCP, ICE, DTLS and media over UDP.

use std::error::Error;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use ringhall::base::time::Time;
use ringhall::proto::dtls::Identity;
use ringhall::wire::codec::VideoCodec;
use ringhall::wire::demux;

use super::crowd;
use super::guest::{Guest, PLAYED, Part, ROOM};
use super::meter::{ksoftirqd_of, ran_ns};
use super::metrics::Metrics;
use super::server::identity;
use super::shipped::Shipped;
use super::stage::Stage;

/// Time for everybody to connect.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often viewers report, as browsers do.
const REPORT_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(1);

pub struct Venue {
    server: Shipped,
    /// The kernel thread that does the network work of the server's CPU.
    ksoftirqd: Option<File>,
    origin: Instant,
    /// The publisher first.
    seats: Vec<Seat>,
    stage: Stage,
    reported: Instant,
}

struct Seat {
    guest: Guest,
    line: TcpStream,
    socket: UdpSocket,
}

impl Venue {
    /// Starts the server with one core and these settings beside its own, and
    /// fills the room.
    pub fn open(settings: &[String], viewers: usize) -> Result<Self, Box<dyn Error>> {
        // Nobody here answers pings.
        let fixed = "keep_alive.server_interval=3600000";
        let settings = settings.iter().map(String::as_str);
        let all: Vec<&str> = [fixed].into_iter().chain(settings).collect();
        let server = Shipped::start(&all)?;
        let ksoftirqd = ksoftirqd_of(server.process.cpu_of("core 0")?);
        let mut venue = Venue {
            server,
            ksoftirqd,
            origin: Instant::now(),
            seats: Vec::new(),
            stage: Stage::default(),
            reported: Instant::now(),
        };
        venue.fill(viewers)?;
        Ok(venue)
    }

    fn fill(&mut self, viewers: usize) -> Result<(), Box<dyn Error>> {
        let own = identity(self.origin)?;
        let server = self.fingerprint(&own)?;
        self.enter(Part::Publisher(VideoCodec::Vp8), PLAYED, &own, server)?;
        self.connect()?;
        for number in 1..=viewers {
            self.enter(Part::Viewer(PLAYED), number, &own, server)?;
        }
        self.connect()?;
        // A key frame opens the viewers' gates, and their reports bring packets
        // into their everyday form.
        for packet in self.frame(2, true)? {
            self.send(&packet)?;
        }
        std::thread::sleep(10 * LOOK_EVERY);
        self.report()?;
        std::thread::sleep(10 * LOOK_EVERY);
        self.drain(|_, _| {})
    }

    fn now(&self) -> Time {
        Time::from_us(self.origin.elapsed().as_micros() as u64)
    }

    /// What the server's certificate is known by, from the answer to somebody
    /// who does not stay.
    fn fingerprint(&self, own: &Identity) -> Result<[u8; 32], Box<dyn Error>> {
        let part = Part::Publisher(VideoCodec::Vp8);
        let scout = Guest::new(self.now(), part, PLAYED, "elsewhere", own, [0; 32]);
        let mut line = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server.web_port))?;
        line.set_read_timeout(Some(PATIENCE))?;
        line.write_all(&scout.entrance())?;
        let mut heard = Vec::new();
        let mut some = [0; 16_384];
        loop {
            let len = line.read(&mut some)?;
            heard.extend_from_slice(&some[..len]);
            let text = String::from_utf8_lossy(&heard);
            let told = text.split("a=fingerprint:sha-256 ").nth(1);
            if let Some(hex) = told.and_then(|rest| rest.get(..95)) {
                let mut fingerprint = [0; 32];
                for (byte, digits) in fingerprint.iter_mut().zip(hex.split(':')) {
                    *byte = u8::from_str_radix(digits, 16)?;
                }
                return Ok(fingerprint);
            }
            if len == 0 {
                return Err("the server hung up".into());
            }
        }
    }

    fn enter(
        &mut self,
        part: Part,
        number: usize,
        own: &Identity,
        server: [u8; 32],
    ) -> Result<(), Box<dyn Error>> {
        let guest = Guest::new(self.now(), part, number, ROOM, own, server);
        let mut line = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server.web_port))?;
        line.write_all(&guest.entrance())?;
        line.set_nonblocking(true)?;
        self.seats.push(Seat {
            guest,
            line,
            socket: crowd::receiver()?,
        });
        Ok(())
    }

    fn connect(&mut self) -> Result<(), Box<dyn Error>> {
        let started = Instant::now();
        while self.seats.iter().any(|seat| seat.guest.is_coming()) {
            if started.elapsed() > PATIENCE {
                return Err("not everybody got connected".into());
            }
            let now = self.now();
            for seat in &mut self.seats {
                seat.listen()?;
                seat.shake_hands(now)?;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// The publisher's next frame, as it is on the wire.
    pub fn frame(&mut self, k: usize, is_key: bool) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
        let publisher = &mut self.seats.first_mut().ok_or("nobody there")?.guest;
        self.stage.frame(publisher, k, is_key)
    }

    pub fn send(&self, packet: &[u8]) -> Result<(), Box<dyn Error>> {
        let publisher = self.seats.first().ok_or("nobody there")?;
        publisher.socket.send_to(packet, publisher.server()?)?;
        Ok(())
    }

    /// Empties every viewer's socket of its media, viewers from 0; reports where
    /// it is time.
    pub fn drain(&mut self, mut each: impl FnMut(usize, &mut [u8])) -> Result<(), Box<dyn Error>> {
        if self.reported.elapsed() >= REPORT_EVERY {
            self.report()?;
        }
        for (number, seat) in self.seats.iter_mut().enumerate() {
            crowd::drain(&seat.socket, |_, datagram| {
                if number > 0 && demux::classify(datagram) == demux::Kind::Rtp {
                    each(number - 1, datagram);
                }
            })?;
        }
        Ok(())
    }

    fn report(&mut self) -> Result<(), Box<dyn Error>> {
        self.reported = Instant::now();
        for seat in self.seats.iter_mut().skip(1) {
            let (to, socket) = (seat.server()?, &seat.socket);
            let mut send = |bytes: &[u8]| socket.send_to(bytes, to).map(|_| ());
            seat.guest.report(&mut send)?;
            seat.listen()?;
        }
        Ok(())
    }

    /// Decrypts what a viewer got: its payload.
    pub fn open_packet(&mut self, viewer: usize, packet: &mut [u8]) -> Result<Vec<u8>, String> {
        let seat = self.seats.get_mut(viewer + 1).ok_or("nobody there")?;
        let (_, payload) = seat.guest.open(packet)?;
        Ok(payload.to_vec())
    }

    /// The last byte of the newest packet sent.
    pub fn last_byte(&self) -> u8 {
        self.stage.last_byte()
    }

    /// CPU time so far, the network work of its CPU included.
    pub fn cpu_ns(&self) -> Result<u64, Box<dyn Error>> {
        let softirq = self.ksoftirqd.as_ref().map_or(0, ran_ns);
        Ok(self.server.process.cpu_ns()? + softirq)
    }

    pub fn metrics(&self) -> Result<Metrics, Box<dyn Error>> {
        self.server.metrics()
    }

    pub fn close(self) -> Result<(), Box<dyn Error>> {
        drop(self.seats);
        self.server.process.stop()
    }
}

impl Seat {
    fn server(&self) -> Result<SocketAddr, Box<dyn Error>> {
        let port = self.guest.server_port().ok_or("no answer")?;
        Ok((Ipv4Addr::LOCALHOST, port).into())
    }

    fn listen(&mut self) -> Result<(), Box<dyn Error>> {
        let mut some = [0; 16_384];
        loop {
            match self.line.read(&mut some) {
                Ok(0) => return Err("the server hung up".into()),
                Ok(len) => self.guest.hear(self.guest.connection, &some[..len])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn shake_hands(&mut self, now: Time) -> Result<(), Box<dyn Error>> {
        let Ok(to) = self.server() else {
            return Ok(());
        };
        let (own, socket) = (self.socket.local_addr()?, &self.socket);
        let mut send = |bytes: &[u8]| socket.send_to(bytes, to).map(|_| ());
        let mut outcome = self.guest.act(now, &mut send);
        crowd::drain(socket, |_, datagram| {
            let received = self.guest.receive(now, own, datagram, &mut send);
            if outcome.is_ok() {
                outcome = received;
            }
        })?;
        outcome
    }
}
