//! A publisher's end of a stream: sends the content's frames as a browser's
//! encoder would, resends what is asked for, and begins the loop anew, with its
//! key frame, when one is asked for.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use crate::base::time::{Ntp, Span, Time};
use crate::load::content::{Content, FRAME_RATE, SOUND_RATE};
use crate::load::peer::Peer;
use crate::load::sdp::{OPUS, RTX, Ssrcs, VIDEO};
use crate::load::stamp::Stamp;
use crate::load::tally::Tally;
use crate::wire::rtcp::{self, Packet, SenderInfo};
use crate::wire::rtp::{EgressExtensions, EgressHeader, write_header};

const REPORT_INTERVAL: Span = Span::from_secs(1);
/// Sent packets kept for retransmission.
const KEPT_PACKETS: usize = 512;
const HEADER_BYTES: usize = 12;
const SOUND_TICKS: u64 = 48_000 / SOUND_RATE;
const VIDEO_TICKS: u64 = 90_000 / FRAME_RATE;

/// What a publisher sends.
#[derive(Clone)]
pub struct Show {
    pub content: Rc<Content>,
    pub has_sound: bool,
    pub even: bool,
    /// When what is sent counts, in microseconds.
    pub counted: Range<u64>,
}

struct Due {
    at: Time,
    stamp: Stamp,
    is_last: bool,
    timestamp: u32,
    /// Where its payload is: frame of the content and place in it.
    frame: u64,
}

pub struct Publish {
    show: Show,
    ssrcs: Ssrcs,
    began: Option<Time>,
    frames: u64,
    /// Which frame of the content is next.
    content_frame: u64,
    sounds: u64,
    video_packets: u64,
    rtx_packets: u64,
    octets: u64,
    waiting: VecDeque<Due>,
    kept: VecDeque<(u16, bool, u32, Vec<u8>)>,
    report_due: Time,
}

impl Publish {
    pub fn new(now: Time, show: Show, ssrcs: Ssrcs) -> Self {
        Publish {
            show,
            ssrcs,
            began: None,
            frames: 0,
            content_frame: 0,
            sounds: 0,
            video_packets: 0,
            rtx_packets: 0,
            octets: 0,
            waiting: VecDeque::new(),
            kept: VecDeque::new(),
            report_due: now,
        }
    }

    /// From now on it sends.
    pub fn begin(&mut self, now: Time) {
        self.began = Some(now);
        self.report_due = now;
    }

    fn frame_due(&self) -> Option<Time> {
        let began = self.began.filter(|_| !self.show.content.video.is_empty())?;
        Some(began + Span::from_us(self.frames * 1_000_000 / FRAME_RATE))
    }

    fn sound_due(&self) -> Option<Time> {
        let began = self.began.filter(|_| self.show.has_sound)?;
        Some(began + Span::from_us(self.sounds * 1_000_000 / SOUND_RATE))
    }

    pub fn next_due(&self) -> Option<Time> {
        let report = self.began.map(|_| self.report_due);
        let waiting = self.waiting.front().map(|due| due.at);
        [self.frame_due(), self.sound_due(), waiting, report]
            .into_iter()
            .flatten()
            .min()
    }

    /// Sends what is due.
    pub fn poll(&mut self, now: Time, peer: &mut Peer, tally: &mut Tally) {
        while let Some(due) = self.frame_due().filter(|due| *due <= now) {
            self.plan_frame(due);
        }
        while self.waiting.front().is_some_and(|due| due.at <= now) {
            if let Some(due) = self.waiting.pop_front() {
                if self.show.counted.contains(&now.as_us()) {
                    tally.record("send_lateness_us", now.since(due.at).as_us());
                }
                self.send_video(now, &due, peer, tally);
            }
        }
        while self.sound_due().is_some_and(|due| due <= now) {
            self.send_sound(now, peer, tally);
        }
        if self.began.is_some() && now >= self.report_due {
            self.report_due = now + REPORT_INTERVAL;
            self.report(now, peer);
        }
    }

    fn plan_frame(&mut self, due: Time) {
        let packets = self.show.content.frame(self.content_frame).len();
        let gap_us = match self.show.even {
            true => 1_000_000 / FRAME_RATE / packets.max(1) as u64,
            false => 0,
        };
        let is_key = self
            .content_frame
            .is_multiple_of(self.show.content.loop_frames());
        for place in 0..packets {
            self.waiting.push_back(Due {
                at: due + Span::from_us(gap_us * place as u64),
                stamp: Stamp {
                    number: self.video_packets as u32 + place as u32,
                    frame: self.frames as u32,
                    place: place as u8,
                    packets: packets as u8,
                    is_key,
                    sent_us: 0,
                },
                is_last: place + 1 == packets,
                timestamp: (self.frames * VIDEO_TICKS) as u32,
                frame: self.content_frame,
            });
        }
        self.video_packets += packets as u64;
        self.frames += 1;
        self.content_frame += 1;
    }

    fn send_video(&mut self, now: Time, due: &Due, peer: &mut Peer, tally: &mut Tally) {
        let stamp = Stamp {
            sent_us: now.as_us(),
            ..due.stamp
        };
        let frame = self.show.content.frame(due.frame);
        let Some(payload) = frame.get(usize::from(stamp.place)) else {
            return;
        };
        let mut payload = payload.clone();
        stamp.append(&mut payload);
        let index = first_index() + u64::from(stamp.number);
        let packet = (index as u16, due.is_last, due.timestamp, payload);
        send(peer, self.ssrcs.video, VIDEO, index, &packet);
        self.count(now, packet.3.len(), tally);
        self.kept.push_back(packet);
        if self.kept.len() > KEPT_PACKETS {
            self.kept.pop_front();
        }
    }

    fn send_sound(&mut self, now: Time, peer: &mut Peer, tally: &mut Tally) {
        let mut payload = self.show.content.sound(self.sounds).to_vec();
        let stamp = Stamp {
            number: self.sounds as u32,
            frame: self.sounds as u32,
            place: 0,
            packets: 1,
            is_key: false,
            sent_us: now.as_us(),
        };
        stamp.append(&mut payload);
        let index = first_index() + self.sounds;
        let timestamp = (self.sounds * SOUND_TICKS) as u32;
        let len = payload.len();
        let packet = (index as u16, self.sounds == 0, timestamp, payload);
        send(peer, self.ssrcs.sound, OPUS, index, &packet);
        self.count(now, len, tally);
        self.sounds += 1;
    }

    fn count(&mut self, now: Time, len: usize, tally: &mut Tally) {
        self.octets += len as u64;
        if self.show.counted.contains(&now.as_us()) {
            tally.add("packets_sent", 1);
        }
    }

    /// Both tracks by one clock (RFC 3550 section 6.4.1).
    fn report(&mut self, now: Time, peer: &mut Peer) {
        let Some(began) = self.began else {
            return;
        };
        let us = now.since(began).as_us();
        let ntp = Ntp::from_unix_us(now.as_us());
        for (ssrc, rate, has) in [
            (self.ssrcs.sound, 48_000, self.show.has_sound),
            (
                self.ssrcs.video,
                90_000,
                !self.show.content.video.is_empty(),
            ),
        ] {
            if !has {
                continue;
            }
            let info = SenderInfo {
                ssrc,
                ntp,
                rtp_timestamp: (us * rate / 1_000_000) as u32,
                packet_count: (self.video_packets + self.sounds) as u32,
                octet_count: self.octets as u32,
            };
            let mut compound = Vec::new();
            // A report without blocks and a short name always fit.
            let _ = rtcp::sender_report(&mut compound, &info, &[]);
            let _ = rtcp::sdes_cname(&mut compound, ssrc, b"load");
            peer.send_rtcp(compound);
        }
    }

    pub fn take_rtcp(&mut self, compound: &[u8], peer: &mut Peer, tally: &mut Tally) {
        for packet in rtcp::packets(compound).flatten() {
            match packet {
                Packet::Nack(nack) => {
                    for sequence in nack.lost {
                        tally.add("nacks_received", 1);
                        self.resend(sequence, peer, tally);
                    }
                }
                Packet::Pli(_) | Packet::Fir(_) => {
                    tally.add("plis_received", 1);
                    self.begin_loop_anew();
                }
                _ => {}
            }
        }
    }

    fn begin_loop_anew(&mut self) {
        let length = self.show.content.loop_frames();
        // The next frame, if that is one, is the answer.
        self.content_frame = self.content_frame.next_multiple_of(length);
    }

    /// RFC 4588: under an SSRC and numbers of its own.
    fn resend(&mut self, sequence: u16, peer: &mut Peer, tally: &mut Tally) {
        let kept = self.kept.iter().find(|(known, ..)| *known == sequence);
        let Some((_, marker, timestamp, payload)) = kept else {
            return;
        };
        let payload = [&sequence.to_be_bytes()[..], payload].concat();
        let index = first_index() + self.rtx_packets;
        self.rtx_packets += 1;
        let packet = (index as u16, *marker, *timestamp, payload);
        send(peer, self.ssrcs.rtx, RTX, index, &packet);
        tally.add("retransmissions_sent", 1);
    }
}

/// Where every stream's packets are numbered from.
const fn first_index() -> u64 {
    100
}

fn send(
    peer: &mut Peer,
    ssrc: u32,
    payload_type: u8,
    index: u64,
    packet: &(u16, bool, u32, Vec<u8>),
) {
    let (sequence, marker, timestamp, payload) = packet;
    let header = EgressHeader {
        marker: *marker,
        padding: false,
        payload_type,
        sequence: *sequence,
        timestamp: *timestamp,
        ssrc,
    };
    let mut bytes = vec![0; HEADER_BYTES];
    if write_header(&mut bytes, &header, &EgressExtensions::default()).is_some() {
        bytes.extend(payload);
        peer.send_rtp(ssrc, index, bytes, HEADER_BYTES);
    }
}
