//! A browser as the server sees one: a WebSocket session and one peer
//! connection, on whatever carries their bytes. Plays its part in ICE, DTLS and
//! SRTP and nothing else; a server that does not answer as browsers need is an
//! error.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use ringhall::base::time::Time;
use ringhall::core::ConnectionId;
use ringhall::proto::dtls::{Dtls, DtlsFailure, Established, Identity};
use ringhall::proto::srtp::{self, Profile};
use ringhall::proto::ws::{client_text_frame, take_server_frame};
use ringhall::wire::codec::VideoCodec;
use ringhall::wire::{demux, rtcp, rtp, stun};
use serde_json::{Value, json};

pub const ROOM: &str = "bench";
/// Whom viewers of [`ROOM`] play: the first publisher.
pub const PLAYED: usize = 0;
const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Offers as Chromium makes them; VP8 is payload type 96 in all, H.264 in
/// packetization mode 1 is agreed on as 108, Opus 111.
const PUBLISH_VP8: &str =
    include_str!("../../tests/vectors/offers/chromium_publish_stripped_to_vp8.sdp");
const PUBLISH_H264: &str =
    include_str!("../../tests/vectors/offers/chromium_publish_stripped_to_h264.sdp");
const PLAY_OFFER: &str = include_str!("../../tests/vectors/offers/chromium_play.sdp");

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Of a stream called as the guest itself.
    Publisher(VideoCodec),
    /// Of the stream of the guest with this number.
    Viewer(usize),
    /// Only there.
    Member,
}

/// Sends a datagram to the server.
pub type Send<'a> = &'a mut dyn FnMut(&[u8]) -> io::Result<()>;

/// Keys of one established connection.
pub struct Keys {
    pub profile: Profile,
    pub receiver: srtp::Receiver,
    pub sender: srtp::Sender,
}

pub struct Guest {
    part: Part,
    pub connection: ConnectionId,
    name: String,
    room: String,
    dtls: Dtls,
    offer: String,
    /// Bytes of the WebSocket connection not yet understood.
    heard: Vec<u8>,
    upgraded: bool,
    answer: Option<Answer>,
    checked: bool,
    pub keys: Option<Box<Keys>>,
}

struct Answer {
    ufrag: String,
    pwd: String,
    /// Where the server's core listens.
    port: u16,
    /// First SSRC of the video section.
    video_ssrc: Option<u32>,
}

impl Guest {
    /// One that knows the server by its certificate.
    pub fn new(
        now: Time,
        part: Part,
        number: usize,
        room: &str,
        identity: &Identity,
        server: [u8; 32],
    ) -> Self {
        let name = name_of(number);
        let offer = match part {
            Part::Publisher(VideoCodec::Vp8) => own_offer(PUBLISH_VP8, &name, identity),
            Part::Publisher(VideoCodec::H264) => own_offer(PUBLISH_H264, &name, identity),
            Part::Viewer(_) => own_offer(PLAY_OFFER, &name, identity),
            Part::Member => String::new(),
        };
        Guest {
            part,
            connection: ConnectionId(number as u64),
            dtls: Dtls::client(identity, now, vec![server]),
            name,
            room: room.to_string(),
            offer,
            heard: Vec::new(),
            upgraded: false,
            answer: None,
            checked: false,
            keys: None,
        }
    }

    /// What it writes on its WebSocket connection: that it comes, joins the
    /// room, and offers.
    pub fn entrance(&self) -> Vec<u8> {
        let mut bytes = UPGRADE.to_vec();
        let mut say = |message: &str, data: Value| {
            let text = json!({"message": message, "data": [data]}).to_string();
            bytes.extend(client_text_frame(&text, MASK));
        };
        say("connection", json!({"custom": {"login": self.name}}));
        let join = json!({"command": "join", "options": {"name": self.room}});
        say("sendData", json!({"operationId": "1", "payload": join}));
        let offer = |stream: &str| {
            json!({
                "mediaSessionId": self.name,
                "name": stream,
                "custom": {"name": self.room},
                "sdp": self.offer,
            })
        };
        match self.part {
            Part::Publisher(_) => say("publishStream", offer(&self.name)),
            Part::Viewer(of) => say("playStream", offer(&name_of(of))),
            Part::Member => {}
        }
        bytes
    }

    /// Takes what the server wrote on the WebSocket connection `to`, if it is
    /// this one's.
    pub fn hear(&mut self, to: ConnectionId, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        if to != self.connection {
            return Ok(());
        }
        self.heard.extend_from_slice(bytes);
        if !self.upgraded {
            let head = self.heard.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(head) = head else {
                return Ok(());
            };
            self.heard.drain(..head + 4);
            self.upgraded = true;
        }
        while let Some((_, payload)) = take_server_frame(&mut self.heard) {
            let text = String::from_utf8_lossy(&payload);
            // Most of what a large room says is about others.
            if !["setRemoteSDP", "fail", "FAILED"]
                .iter()
                .any(|word| text.contains(word))
            {
                continue;
            }
            let said: Value = serde_json::from_str(&text)?;
            match said["message"].as_str() {
                Some("setRemoteSDP") => {
                    let sdp = said["data"][1].as_str().unwrap_or_default();
                    self.answer = Some(read_answer(sdp).ok_or("an answer without ICE")?);
                }
                Some("fail") => return Err(text.into()),
                _ if text.contains("FAILED") => return Err(text.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Does the next thing of its own accord: the check, or a DTLS flight.
    pub fn act(&mut self, now: Time, send: Send<'_>) -> Result<(), Box<dyn Error>> {
        let Some(answer) = &self.answer else {
            return Ok(());
        };
        if !self.checked {
            let user = format!("{}:{}", answer.ufrag, self.name);
            let check = stun::request([9; 12], &user, &answer.pwd, true, true);
            send(&check.ok_or("no check could be made")?)?;
        } else if self.keys.is_none() && self.dtls.deadline().is_some_and(|due| due <= now) {
            self.dtls.handle_deadline(now).map_err(broken)?;
            self.pump(send)?;
        }
        Ok(())
    }

    /// Takes a datagram of the handshake, where its own address is `own`; media
    /// is the caller's.
    pub fn receive(
        &mut self,
        now: Time,
        own: SocketAddr,
        datagram: &[u8],
        send: Send<'_>,
    ) -> Result<(), Box<dyn Error>> {
        match demux::classify(datagram) {
            demux::Kind::Stun => {
                let pwd = self.answer.as_ref().map(|answer| answer.pwd.as_str());
                let mapped = stun::read_success(datagram, [9; 12], pwd.unwrap_or_default());
                self.checked |= mapped == Some(own);
                Ok(())
            }
            demux::Kind::Dtls => {
                self.dtls.handle(now, datagram).map_err(broken)?;
                self.pump(send)
            }
            _ => Ok(()),
        }
    }

    fn pump(&mut self, send: Send<'_>) -> Result<(), Box<dyn Error>> {
        let mut sent: io::Result<()> = Ok(());
        let established = self.dtls.drain(|bytes| sent = send(bytes));
        sent?;
        if let Some(established) = established.map_err(broken)? {
            self.keys = Some(Box::new(keys(&established)?));
        }
        Ok(())
    }

    /// The server's port for its media, once it is told.
    pub fn server_port(&self) -> Option<u16> {
        self.answer.as_ref().map(|answer| answer.port)
    }

    /// Whether it offered something and has no keys yet.
    pub fn is_coming(&self) -> bool {
        self.part != Part::Member && self.keys.is_none()
    }

    /// The SSRC of the video this guest sends or gets.
    pub fn video_ssrc(&self) -> Option<u32> {
        match self.part {
            Part::Publisher(_) => ssrc("video", &self.offer),
            Part::Viewer(_) => self.answer.as_ref()?.video_ssrc,
            Part::Member => None,
        }
    }

    /// The SSRC of the sound a publisher sends.
    pub fn audio_ssrc(&self) -> Option<u32> {
        ssrc("audio", &self.offer)
    }

    /// Tells the server how the video arrives, as browsers do once a second:
    /// from then on packets need not say which m-line they are for.
    pub fn report(&mut self, send: Send<'_>) -> Result<(), Box<dyn Error>> {
        let block = rtcp::ReportBlock {
            ssrc: self.video_ssrc().ok_or("no video to report on")?,
            ..rtcp::ReportBlock::default()
        };
        let mut compound = Vec::new();
        rtcp::receiver_report(&mut compound, 1, &[block]).map_err(|_| "report too long")?;
        let keys = self.keys.as_mut().ok_or("not connected")?;
        let protected = keys.sender.protect_rtcp(&mut compound);
        protected.map_err(|error| format!("{error:?}"))?;
        send(&compound)?;
        Ok(())
    }

    /// Decrypts a media packet: its header and its payload.
    pub fn open<'a>(&mut self, packet: &'a mut [u8]) -> Result<(rtp::Header, &'a [u8]), String> {
        let keys = self.keys.as_mut().ok_or("not connected")?;
        let header = rtp::Header::parse(packet).map_err(|error| format!("{error:?}"))?;
        let opened = keys.receiver.unprotect_rtp(&header, packet);
        let opened = opened.map_err(|error| format!("{error:?}"))?;
        let plain = packet.get(..opened.len).ok_or("no payload")?;
        let len = rtp::payload_len(&header, plain).map_err(|error| format!("{error:?}"))?;
        let payload = plain.get(header.len..header.len + len);
        Ok((header, payload.ok_or("no payload")?))
    }
}

/// The login of the guest with this number, and its stream's name.
fn name_of(number: usize) -> String {
    format!("guest{number}")
}

fn broken(failure: DtlsFailure) -> String {
    format!("DTLS: {failure:?}")
}

fn keys(established: &Established) -> Result<Keys, &'static str> {
    let profile = established.profile;
    let pairs = srtp::split_keying_material(profile, &established.keying_material);
    let (client, server) = pairs.ok_or("keying material of a wrong length")?;
    let receiver = srtp::Receiver::new(profile, server.key(), server.salt());
    let sender = srtp::Sender::new(profile, client.key(), client.salt());
    Ok(Keys {
        profile,
        receiver: receiver.ok_or("no receiver")?,
        sender: sender.ok_or("no sender")?,
    })
}

/// A captured offer with this guest's credentials in the captured ones' place.
fn own_offer(captured: &str, ufrag: &str, identity: &Identity) -> String {
    let hex: Vec<String> = identity
        .fingerprint
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let hex = hex.join(":");
    captured
        .lines()
        .map(|line| match line.split_once(':') {
            Some(("a=fingerprint", _)) => format!("a=fingerprint:sha-256 {hex}\r\n"),
            Some(("a=ice-ufrag", _)) => format!("a=ice-ufrag:{ufrag}\r\n"),
            _ => format!("{line}\r\n"),
        })
        .collect()
}

fn read_answer(sdp: &str) -> Option<Answer> {
    let value = |key: &str| {
        let mut lines = sdp.lines();
        lines
            .find_map(|line| line.strip_prefix(key))
            .map(str::to_string)
    };
    Some(Answer {
        port: value("a=candidate:")?.split(' ').nth(5)?.parse().ok()?,
        ufrag: value("a=ice-ufrag:")?,
        pwd: value("a=ice-pwd:")?,
        video_ssrc: ssrc("video", sdp),
    })
}

/// The first SSRC of a section.
fn ssrc(section: &str, sdp: &str) -> Option<u32> {
    let mut sections = sdp.split("\nm=").skip(1);
    let section = sections.find(|text| text.starts_with(section))?;
    let (_, ssrc) = section.split_once("a=ssrc:")?;
    ssrc.split(' ').next()?.parse().ok()
}
