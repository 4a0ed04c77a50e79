//! One room with a publisher and its viewers, all connected for real: the
//! guests' sockets are loopback sockets, their keys came out of DTLS.

use std::error::Error;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use ringhall::proto::srtp::Profile;
use ringhall::wire::codec::VideoCodec;

use super::bare::{HEADER_BYTES, PACKET_BYTES};
use super::connect::{connect, enter, pass_on_writes, report};
use super::crowd::{self, Crowd};
use super::guest::{Guest, PLAYED, Part};
use super::options::{BackEnd, SUBSCRIBERS};
use super::server::{self, Server};

/// How often viewers report, as browsers do.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// What the server strips from the publisher's packets: an extension block
/// with the send time and the transport-wide number, as Chromium sends them.
const EXTENSION_BYTES: usize = 12;
/// Identifiers of the two in the offer.
const SEND_TIME_ID: u8 = 2;
const TRANSPORT_NUMBER_ID: u8 = 3;
/// Payload of a packet, so that what viewers get is `PACKET_BYTES` long. Those
/// of a frame's first half are a byte shorter, as libwebrtc makes them.
const PAYLOAD_BYTES: usize = PACKET_BYTES - HEADER_BYTES;
/// Where in the payload its number stands, behind VP8's descriptor and start.
const NUMBER_AT: usize = 16;
const VP8: u8 = 96;

pub struct Room {
    pub server: Server,
    pub crowd: Crowd,
    pub viewers: Vec<Guest>,
    publisher: Guest,
    publisher_socket: UdpSocket,
    /// Packets published so far: the SRTP index of the next one.
    pub published: u64,
    frames: u64,
    reported: Instant,
}

impl Room {
    /// Connects everyone over the engine every host has.
    pub fn open(mut server: Server) -> Result<Self, Box<dyn Error>> {
        let identity = server::identity(server.origin())?;
        let publisher_socket = crowd::receiver()?;
        let publisher = enter(
            &mut server,
            Part::Publisher(VideoCodec::Vp8),
            PLAYED,
            &identity,
        );
        let mut room = Room {
            crowd: Crowd::new(SUBSCRIBERS)?,
            viewers: Vec::new(),
            server,
            publisher,
            publisher_socket,
            published: 1,
            frames: 0,
            reported: Instant::now(),
        };
        room.connect_all()?;
        for number in 1..=SUBSCRIBERS {
            let viewer = enter(&mut room.server, Part::Viewer(PLAYED), number, &identity);
            room.viewers.push(viewer);
        }
        room.connect_all()?;
        Ok(room)
    }

    /// The profile everybody negotiated.
    pub fn profile(&self) -> Option<Profile> {
        let mut all = self.viewers.iter().chain([&self.publisher]);
        let profile = all.next()?.keys.as_ref()?.profile;
        all.all(|guest| {
            guest
                .keys
                .as_ref()
                .is_some_and(|keys| keys.profile == profile)
        })
        .then_some(profile)
    }

    fn connect_all(&mut self) -> Result<(), Box<dyn Error>> {
        let viewers = self.viewers.iter_mut().zip(&self.crowd.sockets);
        let publisher = (&mut self.publisher, &self.publisher_socket);
        let mut everybody: Vec<_> = viewers.chain([publisher]).collect();
        connect(&mut self.server, &mut everybody)
    }

    fn pass_on_writes(&mut self) -> Result<(), Box<dyn Error>> {
        let everybody = self.viewers.iter_mut().chain([&mut self.publisher]);
        pass_on_writes(&mut self.server, everybody)
    }

    /// Publishes `frames` frames of `k` packets to a back end's socket, where
    /// they wait until a turn takes them.
    pub fn publish(
        &mut self,
        back_end: BackEnd,
        frames: usize,
        k: usize,
        key_frame: bool,
    ) -> Result<(), Box<dyn Error>> {
        let to = self.server.address(back_end);
        let ssrc = self
            .publisher
            .video_ssrc()
            .ok_or("the offer names no SSRC")?;
        let keys = self.publisher.keys.as_mut().ok_or("not connected")?;
        let header_len = HEADER_BYTES + EXTENSION_BYTES;
        let mut packet = vec![0; header_len + PAYLOAD_BYTES + 32];
        for _ in 0..frames {
            let timestamp = (self.frames as u32).wrapping_mul(3_000);
            for place in 0..k {
                let index = self.published;
                write_header(&mut packet, ssrc, index, timestamp, place + 1 == k);
                let len = header_len + PAYLOAD_BYTES - usize::from(place < k / 2);
                let payload = &mut packet[header_len..len];
                write_payload(payload, index, place == 0, key_frame);
                let sealed = keys
                    .sender
                    .protect_rtp(ssrc, index, &mut packet, header_len, len);
                let sealed = sealed.map_err(|error| format!("{error:?}"))?;
                self.publisher_socket.send_to(&packet[..sealed], to)?;
                self.published += 1;
            }
            self.frames += 1;
        }
        Ok(())
    }

    /// What goes on beside media, outside of what is measured: viewers'
    /// reports, the server's due timers, and what those sent.
    pub fn keep_house(&mut self) -> Result<(), Box<dyn Error>> {
        if self.reported.elapsed() >= REPORT_EVERY {
            self.report()?;
        }
        self.server.catch_up(BackEnd::Uring);
        self.server.catch_up(BackEnd::Mmsg);
        self.crowd.drain(|_, _, _| {})?;
        self.publisher_hears()?;
        self.pass_on_writes()
    }

    /// Every viewer reports, from the socket its media comes to.
    pub fn report(&mut self) -> Result<(), Box<dyn Error>> {
        let to = self.server.address(BackEnd::Mmsg);
        for (viewer, socket) in self.viewers.iter_mut().zip(&self.crowd.sockets) {
            report(viewer, socket, to)?;
        }
        self.reported = Instant::now();
        Ok(())
    }

    /// Empties the publisher's socket; how many datagrams came.
    pub fn publisher_hears(&self) -> Result<usize, Box<dyn Error>> {
        let mut count = 0;
        crowd::drain(&self.publisher_socket, |_, _| count += 1)?;
        Ok(count)
    }
}

fn write_header(packet: &mut [u8], ssrc: u32, index: u64, timestamp: u32, marker: bool) {
    let sequence = (index as u16).to_be_bytes();
    packet[0] = 0x90;
    packet[1] = VP8 | u8::from(marker) << 7;
    packet[2..4].copy_from_slice(&sequence);
    packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    // RFC 8285 section 4.2: one-byte elements, two words of them.
    packet[12..16].copy_from_slice(&[0xbe, 0xde, 0, 2]);
    packet[16..20].copy_from_slice(&[SEND_TIME_ID << 4 | 2, 1, 2, 3]);
    packet[20..24].copy_from_slice(&[TRANSPORT_NUMBER_ID << 4 | 1, sequence[0], sequence[1], 0]);
}

/// VP8 with a 15-bit picture number (RFC 7741 section 4.2); content follows
/// from the packet's number.
fn write_payload(payload: &mut [u8], index: u64, first: bool, key_frame: bool) {
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte = at as u8 ^ index as u8;
    }
    let start = if first { 0x90 } else { 0x80 };
    payload[..4].copy_from_slice(&[start, 0x80, 0x80, 0]);
    if first {
        // P = 0 begins a key frame; its start code and a size follow.
        let tag = u8::from(!key_frame);
        payload[4..14].copy_from_slice(&[tag, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0xe0, 1]);
    }
    payload[NUMBER_AT..NUMBER_AT + 8].copy_from_slice(&index.to_be_bytes());
}

/// The number of a packet with this payload, if nothing in it changed.
pub fn read_payload(payload: &[u8]) -> Option<u64> {
    let number = payload.get(NUMBER_AT..)?.first_chunk()?;
    let index = u64::from_be_bytes(*number);
    let first = payload.first()? & 0x10 != 0;
    let key_frame = first && payload.get(4)? & 1 == 0;
    let mut expected = vec![0; payload.len()];
    write_payload(&mut expected, index, first, key_frame);
    (payload == expected).then_some(index)
}
