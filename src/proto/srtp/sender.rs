//! Protection of what leaves under one key.

use crate::base::limits::{SRTP_SEND_STREAMS_MAX, SRTP_STREAMS_USUAL};
use crate::wire::bytes::u32_at;
use crate::wire::rtp::{FIXED_HEADER_BYTES, identity};

use super::cipher::{Aead, RingGcm, Session, Use};
use super::window::{Standing, Window};
use super::{INDEX_MAX, KeyPair, Profile, RTCP_INDEX_MAX, RTCP_WORD_BYTES};

/// Why a packet was not protected. Nothing was spent: its index is still free,
/// except after `Cipher`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtectError {
    /// The index was used for this stream, or is too far back to know.
    IndexReused,
    /// The index does not exist: the key has protected all it may (RFC 3711
    /// section 9.2).
    KeyExhausted,
    /// The key protects `limits::SRTP_SEND_STREAMS_MAX` streams already.
    TooManyStreams,
    /// The header names another stream or sequence number than the index.
    Mismatch,
    /// Shorter than its header, or no room for the tag behind it.
    Length,
    /// The cipher refused. Not seen for packets of datagram size.
    Cipher,
}

/// Protects RTP and RTCP in one direction of a transport.
pub struct Sender<A: Aead = RingGcm> {
    rtp: Session<A>,
    rtcp: Session<A>,
    streams: Vec<Stream>,
    /// The index of the next RTCP packet: one count for all SSRCs, which keeps
    /// the indices of each rising.
    next_rtcp_index: u32,
}

/// The indices used for one SSRC.
struct Stream {
    ssrc: u32,
    used: Window,
}

impl Sender {
    /// `None` unless the lengths are the profile's.
    pub fn new(profile: Profile, master_key: &[u8], master_salt: &[u8]) -> Option<Self> {
        Self::with_aead(&KeyPair::new(profile, master_key, master_salt)?)
    }
}

impl<A: Aead> Sender<A> {
    /// A sender over another implementation of GCM.
    pub fn with_aead(master: &KeyPair) -> Option<Self> {
        Some(Sender {
            rtp: Session::derive(master, Use::Rtp)?,
            rtcp: Session::derive(master, Use::Rtcp)?,
            streams: Vec::with_capacity(SRTP_STREAMS_USUAL),
            next_rtcp_index: 0,
        })
    }

    /// Bytes an RTP packet grows by.
    pub fn tag_len(&self) -> usize {
        self.rtp.tag_len()
    }

    /// Reads what the next packet will: see `Peer::touch`.
    pub fn touch(&self) -> u64 {
        let streams = self.streams.iter().take(SRTP_STREAMS_USUAL);
        let windows = streams.fold(0, |sum, stream| sum ^ stream.used.touch());
        windows ^ self.rtp.tag_len() as u64
    }

    /// Encrypts `packet[..len]`, whose header takes `header_len` bytes, in
    /// place and returns the protected length, [`Self::tag_len`] more.
    ///
    /// `index` is the 48-bit packet index: rollover counter and sequence number
    /// (RFC 3711 section 3.3.1). Each may be used once for `ssrc`, in any order
    /// within the window; that the header agrees with both is checked.
    pub fn protect_rtp(
        &mut self,
        ssrc: u32,
        index: u64,
        packet: &mut [u8],
        header_len: usize,
        len: usize,
    ) -> Result<usize, ProtectError> {
        let protected_len = len
            .checked_add(self.rtp.tag_len())
            .ok_or(ProtectError::Length)?;
        let packet = packet
            .get_mut(..protected_len)
            .ok_or(ProtectError::Length)?;
        if header_len < FIXED_HEADER_BYTES || header_len > len {
            return Err(ProtectError::Length);
        }
        if identity(packet) != Some((index as u16, ssrc)) {
            return Err(ProtectError::Mismatch);
        }
        self.spend(ssrc, index)?;
        self.rtp
            .seal_rtp(ssrc, index, packet, header_len)
            .ok_or(ProtectError::Cipher)?;
        Ok(protected_len)
    }

    /// Copies `payload` behind the header already in `out[..header_len]`, puts
    /// `padding` bytes behind it (RFC 3550 section 5.1; the header must say so)
    /// and encrypts it there; returns the protected length. The call of the
    /// fan-out: one per subscriber and packet.
    pub fn seal_from(
        &mut self,
        ssrc: u32,
        index: u64,
        out: &mut [u8],
        header_len: usize,
        payload: &[u8],
        padding: u8,
    ) -> Result<usize, ProtectError> {
        let end = header_len
            .checked_add(payload.len())
            .ok_or(ProtectError::Length)?;
        out.get_mut(header_len..end)
            .ok_or(ProtectError::Length)?
            .copy_from_slice(payload);
        let len = end + usize::from(padding);
        if let Some((last, zeros)) = out.get_mut(end..len).and_then(<[u8]>::split_last_mut) {
            zeros.fill(0);
            *last = padding;
        }
        self.protect_rtp(ssrc, index, out, header_len, len)
    }

    /// Encrypts an RTCP packet, simple or compound, and appends tag and index;
    /// the sender SSRC is taken from its first packet. Reserve
    /// `limits::SRTP_TAIL_MAX_BYTES` to have it grow in place.
    pub fn protect_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), ProtectError> {
        let plain_len = packet.len();
        let ssrc = u32_at(packet, 4).ok_or(ProtectError::Length)?;
        if self.next_rtcp_index > RTCP_INDEX_MAX {
            return Err(ProtectError::KeyExhausted);
        }
        // The E flag: encrypted (RFC 3711 section 3.4).
        let word = (self.next_rtcp_index | !RTCP_INDEX_MAX).to_be_bytes();
        self.next_rtcp_index += 1;
        packet.resize(plain_len + self.rtcp.tag_len() + RTCP_WORD_BYTES, 0);
        let sealed = self.rtcp.seal_rtcp(ssrc, word, packet);
        if sealed.is_none() {
            packet.truncate(plain_len);
        }
        sealed.ok_or(ProtectError::Cipher)
    }

    /// Marks `index` used before it is used.
    fn spend(&mut self, ssrc: u32, index: u64) -> Result<(), ProtectError> {
        if index > INDEX_MAX {
            return Err(ProtectError::KeyExhausted);
        }
        match self.streams.iter_mut().find(|stream| stream.ssrc == ssrc) {
            Some(stream) => {
                if stream.used.standing(index) != Standing::Fresh {
                    return Err(ProtectError::IndexReused);
                }
                stream.used.mark(index);
            }
            None => {
                if self.streams.len() >= SRTP_SEND_STREAMS_MAX {
                    return Err(ProtectError::TooManyStreams);
                }
                self.streams.push(Stream {
                    ssrc,
                    used: Window::starting_at(index),
                });
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn set_next_rtcp_index(&mut self, index: u32) {
        self.next_rtcp_index = index;
    }
}
