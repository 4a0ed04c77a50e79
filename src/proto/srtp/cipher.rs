//! The packet transforms: AEAD with AES-GCM (RFC 7714) over `ring`, AES
//! counter mode with HMAC-SHA1 (RFC 3711 section 4) over RustCrypto. Keys are
//! expanded once; a packet is transformed in place. No other folder names these
//! crates, but for the digests in `base::hash`.

use aes::Aes128Enc;
use aes::cipher::consts::U16;
use aes::cipher::{
    BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper,
};
use ctr::CtrCore;
use ctr::flavors;
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha1::Sha1;

use super::kdf::{Label, derive};
use super::{KEY_MAX_BYTES, KeyPair, Profile, RTCP_CLEAR_BYTES, RTCP_WORD_BYTES};

/// RFC 7714 section 5.1.
const GCM_TAG_BYTES: usize = 16;
const GCM_NONCE_BYTES: usize = 12;
/// RFC 3711 section 4.2.1: HMAC-SHA1 cut to 80 bits.
const HMAC_TAG_BYTES: usize = 10;
/// RFC 3711 section 8.2: the authentication key of HMAC-SHA1.
const HMAC_KEY_BYTES: usize = 20;
const CM_SALT_BYTES: usize = 14;

/// AES-GCM as SRTP needs it. A trait so that a bench can put another
/// implementation in the place of [`RingGcm`] on another kind of CPU.
pub trait Aead: Sized {
    /// Expands a key of 16 or 32 bytes; `None` for another length.
    fn new(key: &[u8]) -> Option<Self>;

    /// Encrypts `text` in place and returns the tag; `None` if the
    /// implementation refuses the length.
    fn seal(
        &self,
        nonce: [u8; GCM_NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
    ) -> Option<[u8; GCM_TAG_BYTES]>;

    /// Verifies the tag that ends `text` and decrypts the rest in place;
    /// `None`, with `text` unspecified, when it does not verify.
    fn open(&self, nonce: [u8; GCM_NONCE_BYTES], aad: &[u8], text: &mut [u8]) -> Option<()>;
}

/// AES-GCM of `ring`: the fastest measured where VAES and AVX2 are at hand.
pub struct RingGcm(LessSafeKey);

impl Aead for RingGcm {
    fn new(key: &[u8]) -> Option<Self> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            32 => &AES_256_GCM,
            _ => return None,
        };
        let key = UnboundKey::new(algorithm, key).ok()?;
        Some(RingGcm(LessSafeKey::new(key)))
    }

    fn seal(
        &self,
        nonce: [u8; GCM_NONCE_BYTES],
        aad: &[u8],
        text: &mut [u8],
    ) -> Option<[u8; GCM_TAG_BYTES]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), text)
            .ok()?;
        tag.as_ref().first_chunk().copied()
    }

    fn open(&self, nonce: [u8; GCM_NONCE_BYTES], aad: &[u8], text: &mut [u8]) -> Option<()> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_in_place(nonce, Aad::from(aad), text).ok()?;
        Some(())
    }
}

/// Counter mode state and MAC state, both keyed once.
pub(super) struct CounterMode {
    aes: Aes128Enc,
    mac: Hmac<Sha1>,
    salt: [u8; CM_SALT_BYTES],
}

/// Session keys of SRTP or of SRTCP in one direction.
pub(super) enum Session<A> {
    Gcm {
        aead: A,
        salt: [u8; GCM_NONCE_BYTES],
    },
    /// Boxed: rare, and several times the size of the other.
    CounterMode(Box<CounterMode>),
}

/// For which of the two kinds of packet a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Rtp,
    Rtcp,
}

impl<A: Aead> Session<A> {
    /// Derives the session keys from the master (RFC 3711 section 4.3).
    pub(super) fn derive(master: &KeyPair, usage: Use) -> Option<Self> {
        let (encryption, authentication, salting) = match usage {
            Use::Rtp => (
                Label::RtpEncryption,
                Label::RtpAuthentication,
                Label::RtpSalt,
            ),
            Use::Rtcp => (
                Label::RtcpEncryption,
                Label::RtcpAuthentication,
                Label::RtcpSalt,
            ),
        };
        let mut key = [0u8; KEY_MAX_BYTES];
        let key = key.get_mut(..master.profile().key_len())?;
        derive(master, encryption, key)?;
        match master.profile() {
            Profile::AeadAes256Gcm | Profile::AeadAes128Gcm => {
                let mut salt = [0; GCM_NONCE_BYTES];
                derive(master, salting, &mut salt)?;
                Self::gcm(key, salt)
            }
            Profile::AesCm128HmacSha1_80 => {
                let mut salt = [0; CM_SALT_BYTES];
                let mut mac_key = [0; HMAC_KEY_BYTES];
                derive(master, salting, &mut salt)?;
                derive(master, authentication, &mut mac_key)?;
                Some(Session::CounterMode(Box::new(CounterMode {
                    aes: Aes128Enc::new_from_slice(key).ok()?,
                    mac: Hmac::new_from_slice(&mac_key).ok()?,
                    salt,
                })))
            }
        }
    }

    /// A GCM session from its session key and salt.
    pub(super) fn gcm(key: &[u8], salt: [u8; GCM_NONCE_BYTES]) -> Option<Self> {
        Some(Session::Gcm {
            aead: A::new(key)?,
            salt,
        })
    }

    pub(super) fn tag_len(&self) -> usize {
        match self {
            Session::Gcm { .. } => GCM_TAG_BYTES,
            Session::CounterMode(_) => HMAC_TAG_BYTES,
        }
    }

    /// Encrypts an RTP packet in place. `packet` is header, payload and room
    /// for exactly the tag. `None` when the lengths do not allow that.
    pub(super) fn seal_rtp(
        &self,
        ssrc: u32,
        index: u64,
        packet: &mut [u8],
        header_len: usize,
    ) -> Option<()> {
        let plain_len = packet.len().checked_sub(self.tag_len())?;
        match self {
            Session::Gcm { aead, salt } => {
                let (header, rest) = packet.split_at_mut_checked(header_len)?;
                let (text, tag) = rest.split_last_chunk_mut()?;
                *tag = aead.seal(gcm_nonce(salt, ssrc, index), header, text)?;
                Some(())
            }
            Session::CounterMode(mode) => {
                let (plain, tag) = packet.split_at_mut_checked(plain_len)?;
                let text = plain.get_mut(header_len..)?;
                apply_keystream(&mode.aes, &mode.iv(ssrc, index), text)?;
                let mac = mode.rtp_mac(plain, index).finalize();
                tag.copy_from_slice(mac.as_bytes().get(..HMAC_TAG_BYTES)?);
                Some(())
            }
        }
    }

    /// Verifies and decrypts an RTP packet in place; returns its length without
    /// the tag. `None` when it does not verify; the bytes are then unspecified.
    pub(super) fn open_rtp(
        &self,
        ssrc: u32,
        index: u64,
        packet: &mut [u8],
        header_len: usize,
    ) -> Option<usize> {
        let plain_len = packet.len().checked_sub(self.tag_len())?;
        if plain_len < header_len {
            return None;
        }
        match self {
            Session::Gcm { aead, salt } => {
                let (header, text) = packet.split_at_mut_checked(header_len)?;
                aead.open(gcm_nonce(salt, ssrc, index), header, text)?;
            }
            Session::CounterMode(mode) => {
                let (plain, tag) = packet.split_at_mut_checked(plain_len)?;
                mode.rtp_mac(plain, index).verify_truncated_left(tag).ok()?;
                let text = plain.get_mut(header_len..)?;
                apply_keystream(&mode.aes, &mode.iv(ssrc, index), text)?;
            }
        }
        Some(plain_len)
    }

    /// Encrypts an RTCP packet in place. `packet` is the packet and room for
    /// exactly the tag and `word`, the E flag with the index.
    ///
    /// GCM puts the word last, outside the ciphertext and inside the AAD (RFC
    /// 7714 section 9.2); counter mode puts it before the tag (RFC 3711 section
    /// 3.4).
    pub(super) fn seal_rtcp(&self, ssrc: u32, word: [u8; 4], packet: &mut [u8]) -> Option<()> {
        let index = rtcp_index(word);
        match self {
            Session::Gcm { aead, salt } => {
                let (rest, tail) = packet.split_last_chunk_mut()?;
                *tail = word;
                let (clear, rest) = rest.split_first_chunk_mut()?;
                let (text, tag) = rest.split_last_chunk_mut()?;
                let nonce = gcm_nonce(salt, ssrc, index);
                *tag = aead.seal(nonce, &rtcp_aad(clear, word), text)?;
                Some(())
            }
            Session::CounterMode(mode) => {
                let signed_len = packet.len().checked_sub(HMAC_TAG_BYTES)?;
                let (signed, tag) = packet.split_at_mut_checked(signed_len)?;
                let (plain, tail) = signed.split_last_chunk_mut()?;
                *tail = word;
                let text = plain.get_mut(RTCP_CLEAR_BYTES..)?;
                apply_keystream(&mode.aes, &mode.iv(ssrc, index), text)?;
                let mac = mode.mac.clone().chain_update(&*signed).finalize();
                tag.copy_from_slice(mac.as_bytes().get(..HMAC_TAG_BYTES)?);
                Some(())
            }
        }
    }

    /// The E flag and index of an SRTCP packet, not yet authenticated.
    pub(super) fn rtcp_word(&self, packet: &[u8]) -> Option<[u8; 4]> {
        match self {
            Session::Gcm { .. } => packet.last_chunk().copied(),
            Session::CounterMode(_) => {
                let end = packet.len().checked_sub(HMAC_TAG_BYTES)?;
                packet.get(..end)?.last_chunk().copied()
            }
        }
    }

    /// Verifies and decrypts an RTCP packet in place; returns its length
    /// without tag and word. `None` when it does not verify.
    pub(super) fn open_rtcp(&self, ssrc: u32, word: [u8; 4], packet: &mut [u8]) -> Option<usize> {
        let index = rtcp_index(word);
        let plain_len = packet
            .len()
            .checked_sub(self.tag_len() + RTCP_WORD_BYTES)
            .filter(|len| *len >= RTCP_CLEAR_BYTES)?;
        match self {
            Session::Gcm { aead, salt } => {
                let (rest, _) = packet.split_last_chunk_mut::<RTCP_WORD_BYTES>()?;
                let (clear, text) = rest.split_first_chunk_mut()?;
                let nonce = gcm_nonce(salt, ssrc, index);
                aead.open(nonce, &rtcp_aad(clear, word), text)?;
            }
            Session::CounterMode(mode) => {
                let (signed, tag) = packet.split_at_mut_checked(plain_len + RTCP_WORD_BYTES)?;
                let mac = mode.mac.clone().chain_update(&*signed);
                mac.verify_truncated_left(tag).ok()?;
                let text = signed.get_mut(RTCP_CLEAR_BYTES..plain_len)?;
                apply_keystream(&mode.aes, &mode.iv(ssrc, index), text)?;
            }
        }
        Some(plain_len)
    }
}

impl CounterMode {
    /// RFC 3711 section 4.1.1: IV = (salt * 2^16) XOR (SSRC * 2^64) XOR (index * 2^16).
    fn iv(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let mut wide = [0u8; 16];
        if let Some(salt) = wide.first_chunk_mut() {
            *salt = self.salt;
        }
        let place = (u128::from(ssrc) << 64) | (u128::from(index) << 16);
        (u128::from_be_bytes(wide) ^ place).to_be_bytes()
    }

    /// RFC 3711 section 4.2: the packet up to the tag, then the rollover counter.
    fn rtp_mac(&self, signed: &[u8], index: u64) -> Hmac<Sha1> {
        let rollovers = (index >> 16) as u32;
        self.mac
            .clone()
            .chain_update(signed)
            .chain_update(rollovers.to_be_bytes())
    }
}

/// RFC 7714 sections 8.1 and 9.1: two zero bytes, the SSRC, the index in 48
/// bits, XOR the salt. An SRTCP index has 31 bits, the rest are zero.
fn gcm_nonce(salt: &[u8; GCM_NONCE_BYTES], ssrc: u32, index: u64) -> [u8; GCM_NONCE_BYTES] {
    let place = (u128::from(ssrc) << 48) | u128::from(index);
    let mut nonce = *salt;
    let [_, _, _, _, place @ ..] = place.to_be_bytes();
    for (to, from) in nonce.iter_mut().zip(place) {
        *to ^= from;
    }
    nonce
}

/// RFC 7714 section 9.2: header and SSRC, then the E flag with the index.
fn rtcp_aad(clear: &[u8; RTCP_CLEAR_BYTES], word: [u8; 4]) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = *clear;
    let [i, j, k, l] = word;
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

fn rtcp_index(word: [u8; 4]) -> u64 {
    u64::from(u32::from_be_bytes(word) & super::RTCP_INDEX_MAX)
}

/// XORs `text` with the AES-CM keystream from `iv`. `None` past the end of the
/// counter, which 2^16 blocks put beyond any datagram.
pub(super) fn apply_keystream<C>(aes: &C, iv: &[u8; 16], text: &mut [u8]) -> Option<()>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    let core = CtrCore::<&C, flavors::Ctr128BE>::inner_iv_init(aes, iv.into());
    StreamCipherCoreWrapper::from_core(core)
        .try_apply_keystream(text)
        .ok()
}
