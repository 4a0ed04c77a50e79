//! Session keys from the master key: the AES-CM pseudo-random function of
//! RFC 3711 section 4.3, with the AES-256 form of RFC 6188 section 3 and
//! RFC 7714 section 11. The key derivation rate is zero, as RFC 5764 fixes it,
//! so a session key lives as long as its master.

use aes::cipher::KeyInit;
use aes::{Aes128Enc, Aes256Enc};

use super::cipher::apply_keystream;
use super::{KeyPair, SALT_MAX_BYTES};

/// RFC 3711 section 4.3.2: what a session key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Fills `out` with the session key for `label`. `None` only for a master key
/// of a length that `KeyPair` never holds.
pub(super) fn derive(master: &KeyPair, label: Label, out: &mut [u8]) -> Option<()> {
    // x = (label || index DIV kdr) XOR salt, the key id right-aligned in the
    // 14-byte salt: the label falls on byte 7. GCM's 12-byte salt is extended
    // by zeros on the right. Then IV = x * 2^16.
    let mut iv = [0u8; 16];
    for (to, from) in iv.iter_mut().take(SALT_MAX_BYTES).zip(master.salt()) {
        *to = *from;
    }
    if let Some(byte) = iv.get_mut(7) {
        *byte ^= label as u8;
    }
    out.fill(0);
    match master.key().len() {
        16 => {
            let aes = Aes128Enc::new_from_slice(master.key()).ok()?;
            apply_keystream(&aes, &iv, out)
        }
        32 => {
            let aes = Aes256Enc::new_from_slice(master.key()).ok()?;
            apply_keystream(&aes, &iv, out)
        }
        _ => None,
    }
}
