//! A room whose publishers send films: browsers' H.264 and Opus over loopback
//! sockets into the server's core, frame by frame, on a clock that goes as fast
//! as the machine does. Counted is what the server's turns cost; encrypting,
//! sending and viewers' receiving are not.

use std::error::Error;
use std::net::UdpSocket;

use ringhall::base::time::{Ntp, Span, Time};
use ringhall::core::record::RecordRules;
use ringhall::core::{Input, Machine, Rules};
use ringhall::wire::codec::VideoCodec;
use ringhall::wire::rtcp::{self, SenderInfo};

use super::connect::{connect, enter, leave, pass_on_writes, report};
use super::crowd::{self, Crowd};
use super::film::{self, Film, Shot};
use super::guest::{Guest, PLAYED, Part};
use super::meter::Meter;
use super::options::BackEnd;
use super::server::{self, Server};
use super::sink::Sink;
use ringhall::sim::h264_content::{PPS, SPS};

/// Payload types in the offers.
const OPUS: u8 = 111;
const H264: u8 = 108;
/// Bytes of a slice in one packet, as browsers cut it.
const FRAGMENT_BYTES: usize = 1_100;
const RTP_HEADER_BYTES: usize = 12;
/// Room behind a packet for its authentication tag.
const TAG_ROOM_BYTES: usize = 32;
/// What is due within this is one burst: the server's turns see it together.
const BURST_US: u64 = 1_000;
/// Senders and viewers report so often.
const REPORT_US: u64 = 1_000_000;
/// Datagrams of one turn, as the driver has it.
const TURN_DATAGRAMS: usize = 256;
/// Between two turns while files are made whole.
const CLOSING_STEP: Span = Span::from_ms(100);
const CLOSING_STEPS_MAX: usize = 1_000;

pub struct Studio {
    pub server: Server,
    pub sink: Sink,
    viewers: Vec<Guest>,
    crowd: Crowd,
    casts: Vec<Cast>,
    /// The server's time when the films began.
    began: Time,
    /// Microseconds of the films that were sent.
    played_us: u64,
    reported_us: u64,
}

/// One publisher and what it sends.
struct Cast {
    guest: Guest,
    socket: UdpSocket,
    film: Film,
    /// Its film begins so much later.
    offset_us: u64,
    audio: Outgoing,
    video: Outgoing,
}

#[derive(Default)]
struct Outgoing {
    ssrc: u32,
    packets: u32,
    octets: u32,
}

impl Studio {
    /// `film` is that of each publisher. All viewers watch the first.
    pub fn open(
        publishers: usize,
        viewers: usize,
        film: impl Fn(usize) -> Film,
        record: RecordRules,
        sink: Sink,
    ) -> Result<Self, Box<dyn Error>> {
        let rules = Rules {
            record,
            ..Rules::default()
        };
        let mut server = Server::new(VideoCodec::H264, rules, |_| Ok(()))?;
        server.told = Some(Time::from_us(1_000_000));
        let identity = server::identity(server.origin())?;
        let crowd = Crowd::new(viewers)?;
        let mut casts = Vec::new();
        for number in 0..publishers {
            let part = Part::Publisher(VideoCodec::H264);
            let guest = enter(&mut server, part, number, &identity);
            casts.push(Cast {
                guest,
                socket: crowd::receiver()?,
                film: film(number),
                offset_us: number as u64 * 33_333 / publishers as u64,
                audio: Outgoing::default(),
                video: Outgoing::default(),
            });
        }
        let mut arriving: Vec<_> = casts
            .iter_mut()
            .map(|cast| (&mut cast.guest, &cast.socket))
            .collect();
        connect(&mut server, &mut arriving)?;
        let mut audience: Vec<Guest> = (0..viewers)
            .map(|number| {
                enter(
                    &mut server,
                    Part::Viewer(PLAYED),
                    publishers + number,
                    &identity,
                )
            })
            .collect();
        let mut arriving: Vec<_> = audience.iter_mut().zip(&crowd.sockets).collect();
        connect(&mut server, &mut arriving)?;
        for cast in &mut casts {
            cast.audio.ssrc = cast.guest.audio_ssrc().ok_or("no SSRC of sound")?;
            cast.video.ssrc = cast.guest.video_ssrc().ok_or("no SSRC of video")?;
        }
        Ok(Studio {
            began: server.now(),
            server,
            sink,
            viewers: audience,
            crowd,
            casts,
            played_us: 0,
            reported_us: 0,
        })
    }

    /// Pictures and sounds that were sent, publisher by publisher.
    pub fn sent(&self) -> impl Iterator<Item = (u32, u32)> {
        let films = self.casts.iter().map(|cast| &cast.film);
        films.map(|film| (film.pictures, film.sounds))
    }

    pub fn media_bytes(&self) -> u64 {
        self.casts.iter().map(|cast| cast.film.media_bytes).sum()
    }

    /// Packets of pictures and sound sent.
    pub fn packets(&self) -> u64 {
        let casts = self.casts.iter();
        casts
            .map(|cast| u64::from(cast.audio.packets + cast.video.packets))
            .sum()
    }

    /// Plays so much more of the films; nanoseconds of CPU in the server's turns.
    pub fn play(&mut self, seconds: u64, meter: &Meter) -> Result<u64, Box<dyn Error>> {
        let until_us = self.played_us + seconds * 1_000_000;
        let to = self.server.address(BackEnd::Mmsg);
        let mut spent_ns = 0;
        loop {
            let next = self.casts.iter().map(Cast::next_us).min();
            let Some(next_us) = next.filter(|next| *next < until_us) else {
                break;
            };
            let burst_us = next_us + BURST_US;
            let now = film::at(self.began, burst_us);
            self.server.told = Some(now);
            let is_report_due = burst_us >= self.reported_us;
            for cast in &mut self.casts {
                while cast.next_us() < burst_us {
                    cast.send_next(to)?;
                }
                if is_report_due {
                    cast.report(now, burst_us, to)?;
                }
            }
            if is_report_due {
                self.reported_us = burst_us + REPORT_US;
                for (viewer, socket) in self.viewers.iter_mut().zip(&self.crowd.sockets) {
                    report(viewer, socket, to)?;
                }
            }
            spent_ns += self.turn(meter);
            self.clean_up()?;
        }
        self.played_us = until_us;
        Ok(spent_ns)
    }

    /// Turns until nothing is left to receive or to hear of files.
    fn turn(&mut self, meter: &Meter) -> u64 {
        let mut spent_ns = 0;
        loop {
            let (server, sink) = (&mut self.server, &mut self.sink);
            let (ns, received) = meter.time(|| {
                let now = server.now();
                while let Some((id, done)) = sink.take() {
                    let input = Input::File { id, done };
                    server.core.handle(now, input, &mut server.outbox);
                }
                let received = server.turn(BackEnd::Mmsg, TURN_DATAGRAMS).0.received;
                for (id, task) in server.outbox.files.drain(..) {
                    sink.submit(id, task);
                }
                received as usize
            });
            spent_ns += ns;
            self.sink.wait();
            if self.sink.is_idle() && received < TURN_DATAGRAMS {
                return spent_ns;
            }
        }
    }

    /// What goes on beside: sockets are emptied, and what was said is heard.
    fn clean_up(&mut self) -> Result<(), Box<dyn Error>> {
        self.crowd.drain(|_, _, _| {})?;
        for cast in &self.casts {
            crowd::drain(&cast.socket, |_, _| {})?;
        }
        let casts = self.casts.iter_mut().map(|cast| &mut cast.guest);
        pass_on_writes(&mut self.server, self.viewers.iter_mut().chain(casts))
    }

    /// Everybody hangs up; nanoseconds of CPU until all files are whole.
    pub fn close(&mut self, meter: &Meter) -> Result<u64, Box<dyn Error>> {
        for guest in self
            .viewers
            .iter()
            .chain(self.casts.iter().map(|c| &c.guest))
        {
            leave(&mut self.server, guest);
        }
        let mut spent_ns = 0;
        for _ in 0..CLOSING_STEPS_MAX {
            self.server.told = self.server.told.map(|now| now + CLOSING_STEP);
            spent_ns += self.turn(meter);
            self.server.outbox.writes.clear();
            self.server.outbox.events.clear();
            if !self.server.core.is_writing() {
                return Ok(spent_ns);
            }
        }
        Err("the files were never made whole".into())
    }
}

impl Cast {
    fn next_us(&self) -> u64 {
        self.offset_us + self.film.next_us()
    }

    fn send_next(&mut self, to: std::net::SocketAddr) -> Result<(), Box<dyn Error>> {
        let (at_us, shot) = self.film.take();
        match shot {
            Shot::Sound(packet) => self.send(false, true, at_us, &packet, to),
            Shot::Picture { is_key, unit } => {
                if is_key {
                    self.send(true, false, at_us, &parameter_sets(), to)?;
                }
                let (head, body) = (unit[0], &unit[1..]);
                let count = body.len().div_ceil(FRAGMENT_BYTES);
                for (number, piece) in body.chunks(FRAGMENT_BYTES).enumerate() {
                    // RFC 6184 section 5.8.
                    let (first, last) = (number == 0, number + 1 == count);
                    let marks = u8::from(first) << 7 | u8::from(last) << 6;
                    let mut payload = vec![head & 0xe0 | 28, marks | head & 0x1f];
                    payload.extend(piece);
                    self.send(true, last, at_us, &payload, to)?;
                }
                Ok(())
            }
        }
    }

    fn send(
        &mut self,
        is_video: bool,
        marker: bool,
        at_us: u64,
        payload: &[u8],
        to: std::net::SocketAddr,
    ) -> Result<(), Box<dyn Error>> {
        let (out, payload_type, rate) = match is_video {
            true => (&mut self.video, H264, 90_000),
            false => (&mut self.audio, OPUS, 48_000),
        };
        out.packets += 1;
        out.octets = out.octets.wrapping_add(payload.len() as u32);
        let index = u64::from(out.packets);
        let timestamp = (at_us * rate / 1_000_000) as u32;
        let mut packet = vec![0x80, payload_type | u8::from(marker) << 7];
        packet.extend((index as u16).to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(out.ssrc.to_be_bytes());
        packet.extend(payload);
        let len = packet.len();
        packet.resize(len + TAG_ROOM_BYTES, 0);
        let keys = self.guest.keys.as_mut().ok_or("not connected")?;
        let sealed = keys
            .sender
            .protect_rtp(out.ssrc, index, &mut packet, RTP_HEADER_BYTES, len);
        let sealed = sealed.map_err(|error| format!("{error:?}"))?;
        self.socket.send_to(&packet[..sealed], to)?;
        Ok(())
    }

    /// Sender reports of both streams, as browsers send them.
    fn report(
        &mut self,
        now: Time,
        film_us: u64,
        to: std::net::SocketAddr,
    ) -> Result<(), Box<dyn Error>> {
        // Of a film that has not begun, a little before its first timestamp.
        let film_us = film_us.cast_signed() - self.offset_us.cast_signed();
        let mut compound = Vec::new();
        for (out, rate) in [(&self.audio, 48_000), (&self.video, 90_000)] {
            let info = SenderInfo {
                ssrc: out.ssrc,
                ntp: Ntp::from_unix_us(1_700_000_000_000_000 + now.as_us()),
                rtp_timestamp: (film_us * rate).div_euclid(1_000_000) as u32,
                packet_count: out.packets,
                octet_count: out.octets,
            };
            let written = rtcp::sender_report(&mut compound, &info, &[]);
            written.map_err(|error| format!("{error:?}"))?;
            let named = rtcp::sdes_cname(&mut compound, out.ssrc, b"bench");
            named.map_err(|error| format!("{error:?}"))?;
        }
        let keys = self.guest.keys.as_mut().ok_or("not connected")?;
        let protected = keys.sender.protect_rtcp(&mut compound);
        protected.map_err(|error| format!("{error:?}"))?;
        self.socket.send_to(&compound, to)?;
        Ok(())
    }
}

/// Both sets in one packet (RFC 6184 section 5.7.1).
fn parameter_sets() -> Vec<u8> {
    let mut payload = vec![0x78];
    for set in [SPS, PPS] {
        payload.extend((set.len() as u16).to_be_bytes());
        payload.extend(set);
    }
    payload
}
