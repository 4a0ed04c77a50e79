//! STUN binding requests and responses (RFC 8489) with the ICE attributes
//! (RFC 8445 section 16): the door to `stun_codec`.
//!
//! A stranger's datagram costs a bounded scan and at most one HMAC: [`scan`]
//! finds the user name and the integrity tag without allocating, and only what
//! authenticates is decoded in full.

use std::net::SocketAddr;

use bytecodec::{DecodeExt, EncodeExt};
use stun_codec::rfc5245::attributes::{IceControlled, IceControlling, Priority, UseCandidate};
use stun_codec::rfc5389::attributes::{
    ErrorCode, Fingerprint, MessageIntegrity, Software, UnknownAttributes, Username,
    XorMappedAddress,
};
use stun_codec::rfc5389::methods::BINDING;
use stun_codec::{
    Attribute as _, Message, MessageClass, MessageDecoder, MessageEncoder, TransactionId,
};

use crate::base::hash;

stun_codec::define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [
        Username,
        MessageIntegrity,
        ErrorCode,
        UnknownAttributes,
        XorMappedAddress,
        Software,
        Fingerprint,
        Priority,
        UseCandidate,
        IceControlled,
        IceControlling
    ]
);

const HEADER_BYTES: usize = 20;
const MAGIC_COOKIE: u32 = 0x2112_a442;
const BINDING_REQUEST: u16 = 0x0001;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const FINGERPRINT: u16 = 0x8028;
const INTEGRITY_BYTES: usize = 20;
/// Attributes a binding request may carry; browsers send seven.
const ATTRIBUTES_MAX: usize = 32;

/// Why a datagram is no binding request of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StunError {
    Truncated,
    /// Lengths that disagree, a bad cookie, or more attributes than allowed.
    Malformed,
    /// Not a binding request.
    Method,
    /// USERNAME or MESSAGE-INTEGRITY is missing (RFC 8489 section 9.1.3).
    NoCredentials,
    /// The integrity tag is not made with our password.
    Unauthenticated,
}

/// A binding request seen but not believed.
#[derive(Clone, Copy, Debug)]
pub struct Scanned<'a> {
    message: &'a [u8],
    /// The USERNAME before the colon: our fragment.
    pub local_ufrag: &'a str,
    /// And after it: the peer's.
    pub remote_ufrag: &'a str,
    integrity_at: usize,
}

/// A binding request whose integrity was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRequest {
    pub transaction: [u8; 12],
    pub priority: Option<u32>,
    pub use_candidate: bool,
    /// The peer believes itself controlled, as we are.
    pub controlled: bool,
    /// Attributes of the comprehension-required range we do not know.
    pub unknown_required: Vec<u16>,
}

/// Finds the credentials of a binding request (RFC 8489 sections 5, 6.3, 14).
/// Attributes after MESSAGE-INTEGRITY, FINGERPRINT excepted, are ignored as
/// section 14.5 asks.
pub fn scan(datagram: &[u8]) -> Result<Scanned<'_>, StunError> {
    let (header, body) = datagram
        .split_at_checked(HEADER_BYTES)
        .ok_or(StunError::Truncated)?;
    if read_u16(header, 0) != Some(BINDING_REQUEST) {
        return Err(StunError::Method);
    }
    let length = read_u16(header, 2).map(usize::from);
    if length != Some(body.len()) || !body.len().is_multiple_of(4) {
        return Err(StunError::Malformed);
    }
    let cookie = read_u16(header, 4).zip(read_u16(header, 6));
    if cookie != Some(((MAGIC_COOKIE >> 16) as u16, MAGIC_COOKIE as u16)) {
        return Err(StunError::Malformed);
    }
    let mut username = None;
    let mut at = HEADER_BYTES;
    for _ in 0..ATTRIBUTES_MAX {
        if at >= datagram.len() {
            break;
        }
        let kind = read_u16(datagram, at).ok_or(StunError::Malformed)?;
        let len = read_u16(datagram, at + 2)
            .map(usize::from)
            .ok_or(StunError::Malformed)?;
        let value = datagram
            .get(at + 4..at + 4 + len)
            .ok_or(StunError::Malformed)?;
        match kind {
            USERNAME => username = std::str::from_utf8(value).ok(),
            MESSAGE_INTEGRITY if len == INTEGRITY_BYTES => {
                let (local_ufrag, remote_ufrag) = username
                    .and_then(|name| name.split_once(':'))
                    .ok_or(StunError::NoCredentials)?;
                check_tail(datagram, at + 4 + len)?;
                return Ok(Scanned {
                    message: datagram,
                    local_ufrag,
                    remote_ufrag,
                    integrity_at: at,
                });
            }
            _ => {}
        }
        at += 4 + len.next_multiple_of(4);
    }
    Err(StunError::NoCredentials)
}

/// After the integrity tag only FINGERPRINT may follow, and it is last.
fn check_tail(datagram: &[u8], at: usize) -> Result<(), StunError> {
    match datagram.len().checked_sub(at) {
        Some(0) => Ok(()),
        Some(8) if read_u16(datagram, at) == Some(FINGERPRINT) => Ok(()),
        _ => Err(StunError::Malformed),
    }
}

impl Scanned<'_> {
    /// Checks the integrity tag with our password, then decodes the rest.
    pub fn authenticate(&self, password: &str) -> Result<BindingRequest, StunError> {
        let covered = self
            .message
            .get(..self.integrity_at)
            .ok_or(StunError::Malformed)?;
        let tag_at = self.integrity_at + 4;
        let tag = self
            .message
            .get(tag_at..tag_at + INTEGRITY_BYTES)
            .ok_or(StunError::Malformed)?;
        // The tag covers the header as if the message ended with it (RFC 8489 section 14.5).
        let length = (tag_at + INTEGRITY_BYTES - HEADER_BYTES) as u16;
        let (head, rest) = covered.split_at_checked(4).ok_or(StunError::Malformed)?;
        let kind = head.get(..2).ok_or(StunError::Malformed)?;
        let parts = [kind, &length.to_be_bytes(), rest];
        if !hash::hmac_sha1_matches(password.as_bytes(), &parts, tag) {
            return Err(StunError::Unauthenticated);
        }
        self.decode()
    }

    fn decode(&self) -> Result<BindingRequest, StunError> {
        let message = MessageDecoder::<Attribute>::new()
            .decode_from_bytes(self.message)
            .map_err(|_| StunError::Malformed)?
            .map_err(|_| StunError::Malformed)?;
        let unknown_required = message
            .unknown_attributes()
            .map(|attribute| attribute.get_type())
            .filter(|kind| kind.is_comprehension_required())
            .map(|kind| kind.as_u16())
            .collect();
        Ok(BindingRequest {
            transaction: *message.transaction_id().as_bytes(),
            priority: message.get_attribute::<Priority>().map(Priority::prio),
            use_candidate: message.get_attribute::<UseCandidate>().is_some(),
            controlled: message.get_attribute::<IceControlled>().is_some(),
            unknown_required,
        })
    }
}

/// The answer that validates a path: the peer's address as we see it.
pub fn success(request: &BindingRequest, remote: SocketAddr, password: &str) -> Option<Vec<u8>> {
    let mut message = response(MessageClass::SuccessResponse, request);
    message.add_attribute(XorMappedAddress::new(remote));
    seal(message, password)
}

/// An error answer, authenticated like a success (RFC 8489 section 9.1.4):
/// 487 role conflict (RFC 8445 section 7.3.1.1), 420 unknown attribute.
pub fn error(request: &BindingRequest, code: u16, password: &str) -> Option<Vec<u8>> {
    let mut message = response(MessageClass::ErrorResponse, request);
    let reason = match code {
        487 => "Role Conflict",
        420 => "Unknown Attribute",
        _ => "Bad Request",
    };
    message.add_attribute(ErrorCode::new(code, reason.to_string()).ok()?);
    if code == 420 {
        let unknown = &request.unknown_required;
        let kinds = unknown
            .iter()
            .map(|kind| stun_codec::AttributeType::new(*kind));
        message.add_attribute(UnknownAttributes::new(kinds.collect()));
    }
    seal(message, password)
}

/// A binding request, as a browser sends it: for simulated peers and tests.
pub fn request(
    transaction: [u8; 12],
    username: &str,
    password: &str,
    controlling: bool,
    use_candidate: bool,
) -> Option<Vec<u8>> {
    let mut message = Message::<Attribute>::new(
        MessageClass::Request,
        BINDING,
        TransactionId::new(transaction),
    );
    message.add_attribute(Username::new(username.to_string()).ok()?);
    message.add_attribute(Priority::new(0x6eff_ffff));
    if controlling {
        message.add_attribute(IceControlling::new(7));
    } else {
        message.add_attribute(IceControlled::new(7));
    }
    if use_candidate {
        message.add_attribute(UseCandidate::new());
    }
    seal(message, password)
}

/// Whether `datagram` is a success response to `transaction` sealed with
/// `password`, and the mapped address in it.
pub fn read_success(datagram: &[u8], transaction: [u8; 12], password: &str) -> Option<SocketAddr> {
    let message = MessageDecoder::<Attribute>::new()
        .decode_from_bytes(datagram)
        .ok()?
        .ok()?;
    let integrity = message.get_attribute::<MessageIntegrity>()?;
    integrity.check_short_term_credential(password).ok()?;
    if message.class() != MessageClass::SuccessResponse
        || *message.transaction_id().as_bytes() != transaction
    {
        return None;
    }
    message
        .get_attribute::<XorMappedAddress>()
        .map(XorMappedAddress::address)
}

fn response(class: MessageClass, request: &BindingRequest) -> Message<Attribute> {
    Message::new(class, BINDING, TransactionId::new(request.transaction))
}

fn seal(mut message: Message<Attribute>, password: &str) -> Option<Vec<u8>> {
    let integrity = MessageIntegrity::new_short_term_credential(&message, password).ok()?;
    message.add_attribute(integrity);
    let fingerprint = Fingerprint::new(&message).ok()?;
    message.add_attribute(fingerprint);
    MessageEncoder::new().encode_into_bytes(message).ok()
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(pair.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

    /// The sample request of RFC 5769 section 2.1.
    const RFC5769_REQUEST: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\
        \xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x10STUN test client\
        \x00\x24\x00\x04\x6e\x00\x01\xff\
        \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
        \x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\
        \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\
        \xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
        \x80\x28\x00\x04\xe5\x7a\x3b\xcf";

    #[test]
    fn rfc5769_sample_request_authenticates() {
        let scanned = scan(RFC5769_REQUEST).unwrap();
        assert_eq!(
            (scanned.local_ufrag, scanned.remote_ufrag),
            ("evtj", "h6vY")
        );
        let request = scanned.authenticate(PASSWORD).unwrap();
        assert_eq!(request.priority, Some(0x6e00_01ff));
        assert!(request.controlled && !request.use_candidate);
        assert_eq!(
            scanned.authenticate("VOkJxbRl1RmTxUk/WvJxBu"),
            Err(StunError::Unauthenticated)
        );
    }

    #[test]
    fn own_request_and_answer_round_trip() {
        let bytes = request([9; 12], "srv:cli", "secret", true, true).unwrap();
        let seen = scan(&bytes).unwrap().authenticate("secret").unwrap();
        assert!(seen.use_candidate && !seen.controlled);
        let remote = "192.0.2.7:4000".parse().unwrap();
        let answer = success(&seen, remote, "secret").unwrap();
        assert!(answer.len() <= bytes.len() + 12);
        assert_eq!(read_success(&answer, [9; 12], "secret"), Some(remote));
        assert_eq!(read_success(&answer, [8; 12], "secret"), None);
        assert_eq!(read_success(&answer, [9; 12], "other"), None);
    }

    #[test]
    fn every_truncation_and_bit_flip_is_refused() {
        let bytes = request([1; 12], "a:b", "secret", true, false).unwrap();
        for len in 0..bytes.len() {
            assert!(scan(&bytes[..len]).is_err(), "length {len}");
        }
        // FINGERPRINT (the last 8 bytes) is outside the integrity tag.
        for bit in 0..(bytes.len() - 8) * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let seen = scan(&bad).and_then(|scanned| scanned.authenticate("secret"));
            assert!(seen.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn attribute_bombs_end_early() {
        let mut bytes = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend([0; 12]);
        for _ in 0..300 {
            bytes.extend([0x80, 0x22, 0, 0]);
        }
        let length = (bytes.len() - 20) as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        assert_eq!(scan(&bytes).unwrap_err(), StunError::NoCredentials);
    }

    #[test]
    fn role_conflict_answer_is_authenticated() {
        let bytes = request([3; 12], "a:b", "secret", false, false).unwrap();
        let seen = scan(&bytes).unwrap().authenticate("secret").unwrap();
        let answer = error(&seen, 487, "secret").unwrap();
        assert_eq!(answer[..2], [0x01, 0x11]);
        assert_eq!(read_success(&answer, [3; 12], "secret"), None);
    }
}
