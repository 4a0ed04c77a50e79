//! Every cap of the server, each with its argument. A cap is what one peer, or
//! all of them together, can cost; relations between caps are checked when
//! compiling.

/// Largest datagram accepted: Ethernet's 1,500 bytes. Browsers send at most
/// about 1,200; anything longer was never negotiated with us.
pub const DATAGRAM_MAX_BYTES: usize = 1_500;

/// Largest SRTP expansion: AEAD tag (16), or HMAC tag (10) for AES-CM; SRTCP
/// adds its 4-byte index (RFC 7714 section 9, RFC 3711 section 3.4).
pub const SRTP_TAIL_MAX_BYTES: usize = 20;

/// Bytes of one send train: 16 segments of a full-size packet (about 1,200
/// bytes of media plus header and tag). Measured: beyond 16 segments a longer
/// train saves next to nothing per packet.
pub const TRAIN_MAX_BYTES: usize = 16 * 1_280;

/// Segments in one train. The kernel takes 64 (UDP_MAX_SEGMENTS of older
/// kernels) in one UDP_SEGMENT send; small audio packets could exceed it.
pub const TRAIN_MAX_SEGMENTS: usize = 64;

/// Trains of one core that may be open or in flight at once: one per
/// destination of a turn, for a few thousand viewers per core. Untouched slots
/// cost address space, not memory (80 MiB).
pub const TRAINS_MAX: usize = 4_096;

const _: () = assert!(TRAIN_MAX_BYTES >= DATAGRAM_MAX_BYTES + SRTP_TAIL_MAX_BYTES);
const _: () = assert!(TRAIN_MAX_BYTES <= 65_507);

/// Largest WebSocket message accepted. The largest offer captured is under
/// 7 KB; `pushLogs` frames of the official SDK carry a page's log backlog.
pub const WEBSOCKET_MESSAGE_MAX_BYTES: usize = 256 * 1024;

/// Largest HTTP request head.
pub const HTTP_HEAD_MAX_BYTES: usize = 16 * 1024;
