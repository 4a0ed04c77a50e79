//! Every cap of the server, each with its argument. A cap is what one peer, or
//! all of them together, can cost; relations between caps are checked when
//! compiling.

/// Largest datagram accepted: Ethernet's 1,500 bytes. Browsers send at most
/// about 1,200; anything longer was never negotiated with us.
pub const DATAGRAM_MAX_BYTES: usize = 1_500;

/// Largest SRTP expansion: AEAD tag (16), or HMAC tag (10) for AES-CM; SRTCP
/// adds its 4-byte index (RFC 7714 section 9, RFC 3711 section 3.4).
pub const SRTP_TAIL_MAX_BYTES: usize = 20;
