//! Verification of what arrives under one key.

use crate::base::limits::{SRTP_RECEIVE_STREAMS_MAX, SRTP_STREAMS_USUAL};
use crate::wire::bytes::u32_at;
use crate::wire::rtp::Header;

use super::cipher::{Aead, RingGcm, Session, Use};
use super::window::{Standing, Window};
use super::{INDEX_MAX, KeyPair, Profile, RTCP_CLEAR_BYTES, RTCP_INDEX_MAX, RTCP_WORD_BYTES};

/// Why a packet was not let in. The receiver's state is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnprotectError {
    /// Too short to hold what its protection adds.
    Length,
    /// Seen before.
    Replayed,
    /// Behind the replay window: it may have been seen.
    TooOld,
    /// Forged, damaged, or from another key.
    Authentication,
    /// SRTCP with the E flag clear, which WebRTC does not negotiate.
    NotEncrypted,
    /// `limits::SRTP_RECEIVE_STREAMS_MAX` streams are followed already.
    TooManyStreams,
}

/// A packet let in, decrypted in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Header and payload with its RTP padding, without the tag.
    pub len: usize,
    /// The 48-bit packet index: rollover counter and sequence number.
    pub index: u64,
}

/// Verifies and decrypts RTP and RTCP in one direction of a transport.
pub struct Receiver<A: Aead = RingGcm> {
    rtp: Session<A>,
    rtcp: Session<A>,
    rtp_streams: Streams,
    rtcp_streams: Streams,
}

impl Receiver {
    /// `None` unless the lengths are the profile's.
    pub fn new(profile: Profile, master_key: &[u8], master_salt: &[u8]) -> Option<Self> {
        Self::with_aead(&KeyPair::new(profile, master_key, master_salt)?)
    }
}

impl<A: Aead> Receiver<A> {
    /// A receiver over another implementation of GCM.
    pub fn with_aead(master: &KeyPair) -> Option<Self> {
        Some(Receiver {
            rtp: Session::derive(master, Use::Rtp)?,
            rtcp: Session::derive(master, Use::Rtcp)?,
            rtp_streams: Streams::new(),
            rtcp_streams: Streams::new(),
        })
    }

    /// Verifies and decrypts `packet` in place; `header` was parsed from it.
    /// On an error the payload bytes are unspecified and the packet is lost.
    pub fn unprotect_rtp(
        &mut self,
        header: &Header,
        packet: &mut [u8],
    ) -> Result<Opened, UnprotectError> {
        if packet.len() < header.len.saturating_add(self.rtp.tag_len()) {
            return Err(UnprotectError::Length);
        }
        let place = self.rtp_streams.find(header.ssrc)?;
        let index = self.rtp_streams.estimate(place, header.sequence);
        self.rtp_streams.check(place, index)?;
        let len = self
            .rtp
            .open_rtp(header.ssrc, index, packet, header.len)
            .ok_or(UnprotectError::Authentication)?;
        self.rtp_streams.commit(place, header.ssrc, index);
        Ok(Opened { len, index })
    }

    /// Verifies and decrypts an RTCP packet in place; returns its plain length.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, UnprotectError> {
        if packet.len() < RTCP_CLEAR_BYTES + self.rtcp.tag_len() + RTCP_WORD_BYTES {
            return Err(UnprotectError::Length);
        }
        let ssrc = u32_at(packet, 4).ok_or(UnprotectError::Length)?;
        let bytes = self.rtcp.rtcp_word(packet).ok_or(UnprotectError::Length)?;
        let word = u32::from_be_bytes(bytes);
        if word <= RTCP_INDEX_MAX {
            return Err(UnprotectError::NotEncrypted);
        }
        let index = u64::from(word & RTCP_INDEX_MAX);
        let place = self.rtcp_streams.find(ssrc)?;
        self.rtcp_streams.check(place, index)?;
        let len = self
            .rtcp
            .open_rtcp(ssrc, bytes, packet)
            .ok_or(UnprotectError::Authentication)?;
        self.rtcp_streams.commit(place, ssrc, index);
        Ok(len)
    }

    /// The authenticated streams followed: RTP, RTCP.
    pub fn stream_counts(&self) -> (usize, usize) {
        (self.rtp_streams.0.len(), self.rtcp_streams.0.len())
    }
}

/// The streams of one kind of packet. An entry exists only after one of its
/// packets authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Streams(Vec<Stream>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stream {
    ssrc: u32,
    seen: Window,
}

/// Where a stream's entry is, or that it has none yet.
#[derive(Clone, Copy, Debug)]
enum Place {
    Known(usize),
    New,
}

impl Streams {
    fn new() -> Self {
        Streams(Vec::with_capacity(SRTP_STREAMS_USUAL))
    }

    /// Refuses a new stream beyond the cap before any work is done for it.
    fn find(&self, ssrc: u32) -> Result<Place, UnprotectError> {
        match self.0.iter().position(|stream| stream.ssrc == ssrc) {
            Some(at) => Ok(Place::Known(at)),
            None if self.0.len() < SRTP_RECEIVE_STREAMS_MAX => Ok(Place::New),
            None => Err(UnprotectError::TooManyStreams),
        }
    }

    fn seen(&self, place: Place) -> Option<&Window> {
        match place {
            Place::Known(at) => self.0.get(at).map(|stream| &stream.seen),
            Place::New => None,
        }
    }

    /// The index a sequence number most likely means: the one nearest to the
    /// newest authenticated (RFC 3711 section 3.3.1 and appendix A). A stream
    /// starts with rollover counter zero.
    fn estimate(&self, place: Place, sequence: u16) -> u64 {
        const HALF: u64 = 1 << 15;
        const ROUND: u64 = 1 << 16;
        let sequence = u64::from(sequence);
        let Some(newest) = self.seen(place).map(Window::newest) else {
            return sequence;
        };
        let near = (newest & !(ROUND - 1)) | sequence;
        if near + HALF < newest {
            // Past the last index there is nothing: better an index that was.
            Some(near + ROUND)
                .filter(|index| *index <= INDEX_MAX)
                .unwrap_or(near)
        } else if near > newest + HALF {
            // Before index zero there was nothing: better a long jump ahead.
            near.checked_sub(ROUND).unwrap_or(near)
        } else {
            near
        }
    }

    fn check(&self, place: Place, index: u64) -> Result<(), UnprotectError> {
        match self.seen(place).map(|seen| seen.standing(index)) {
            None | Some(Standing::Fresh) => Ok(()),
            Some(Standing::Marked) => Err(UnprotectError::Replayed),
            Some(Standing::TooOld) => Err(UnprotectError::TooOld),
        }
    }

    /// Takes note of an authenticated packet.
    fn commit(&mut self, place: Place, ssrc: u32, index: u64) {
        match place {
            Place::Known(at) => {
                if let Some(stream) = self.0.get_mut(at) {
                    stream.seen.mark(index);
                }
            }
            Place::New => self.0.push(Stream {
                ssrc,
                seen: Window::starting_at(index),
            }),
        }
    }
}

#[cfg(test)]
impl<A: Aead> Receiver<A> {
    /// Everything the receiver remembers of packets, for comparison.
    pub(super) fn memory(&self) -> String {
        format!("{:?} {:?}", self.rtp_streams, self.rtcp_streams)
    }
}
