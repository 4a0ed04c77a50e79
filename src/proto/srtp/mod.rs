//! SRTP and SRTCP (RFC 3711, RFC 7714) in place and without allocation per
//! packet. Owns session keys, which packet indices were used or seen, and
//! nothing of RTP beyond the header's place. Two rules stand above all: a
//! [`Sender`] never uses an index twice for a stream, because a second
//! plaintext under one nonce breaks GCM; a [`Receiver`] changes nothing for a
//! packet that does not authenticate.
//!
//! Left out on purpose: MKI, key derivation rates other than zero, unencrypted
//! SRTCP, and 32-bit tags: no browser asks for them.

mod cipher;
mod kdf;
mod receiver;
mod sender;
mod window;

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;

pub use cipher::{Aead, RingGcm};
pub use receiver::{Opened, Receiver, UnprotectError};
pub use sender::{ProtectError, Sender};

/// RFC 3711 section 9.2: an SRTP index has 48 bits, and a key ends with them.
pub const INDEX_MAX: u64 = (1 << 48) - 1;
/// RFC 3711 section 3.4: an SRTCP index has 31 bits.
pub const RTCP_INDEX_MAX: u32 = (1 << 31) - 1;

/// The E flag and index after an SRTCP packet, RFC 3711 section 3.4.
const RTCP_WORD_BYTES: usize = 4;
/// The part of an SRTCP packet in clear: header and sender SSRC.
const RTCP_CLEAR_BYTES: usize = 8;

const KEY_MAX_BYTES: usize = 32;
const SALT_MAX_BYTES: usize = 14;

/// The protection profiles this server negotiates, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// RFC 7714 section 12.
    AeadAes256Gcm,
    /// RFC 7714 section 12.
    AeadAes128Gcm,
    /// RFC 5764 section 4.1.2: for peers that know nothing better; costs about
    /// three times as much per packet.
    AesCm128HmacSha1_80,
}

impl Profile {
    /// The registered name (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
    pub const fn name(self) -> &'static str {
        match self {
            Profile::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
            Profile::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Profile::AesCm128HmacSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
        }
    }

    /// Master key length in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Profile::AeadAes256Gcm => 32,
            Profile::AeadAes128Gcm | Profile::AesCm128HmacSha1_80 => 16,
        }
    }

    /// Master salt length in bytes.
    pub const fn salt_len(self) -> usize {
        match self {
            Profile::AeadAes256Gcm | Profile::AeadAes128Gcm => 12,
            Profile::AesCm128HmacSha1_80 => 14,
        }
    }

    /// Bytes an RTP packet grows by; an RTCP packet grows by four more.
    pub const fn tag_len(self) -> usize {
        match self {
            Profile::AeadAes256Gcm | Profile::AeadAes128Gcm => 16,
            Profile::AesCm128HmacSha1_80 => 10,
        }
    }

    /// Length of the keying material DTLS exports for both directions.
    pub const fn material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }
}

/// Master key and salt of one direction. Shows neither when printed.
#[derive(Clone)]
pub struct KeyPair {
    profile: Profile,
    key: [u8; KEY_MAX_BYTES],
    salt: [u8; SALT_MAX_BYTES],
}

impl KeyPair {
    /// `None` unless both lengths are the profile's.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Option<KeyPair> {
        if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
            return None;
        }
        let mut pair = KeyPair {
            profile,
            key: [0; KEY_MAX_BYTES],
            salt: [0; SALT_MAX_BYTES],
        };
        pair.key.get_mut(..key.len())?.copy_from_slice(key);
        pair.salt.get_mut(..salt.len())?.copy_from_slice(salt);
        Some(pair)
    }

    pub fn profile(&self) -> Profile {
        self.profile
    }

    pub fn key(&self) -> &[u8] {
        self.key.get(..self.profile.key_len()).unwrap_or_default()
    }

    pub fn salt(&self) -> &[u8] {
        self.salt.get(..self.profile.salt_len()).unwrap_or_default()
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair")
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

/// Splits exported keying material into what the DTLS client sends with and
/// what the DTLS server sends with: client key, server key, client salt,
/// server salt (RFC 5764 section 4.2). `None` unless the length is exactly
/// [`Profile::material_len`].
pub fn split_keying_material(profile: Profile, material: &[u8]) -> Option<(KeyPair, KeyPair)> {
    let (client_key, rest) = material.split_at_checked(profile.key_len())?;
    let (server_key, rest) = rest.split_at_checked(profile.key_len())?;
    let (client_salt, server_salt) = rest.split_at_checked(profile.salt_len())?;
    Some((
        KeyPair::new(profile, client_key, client_salt)?,
        KeyPair::new(profile, server_key, server_salt)?,
    ))
}
