//! Every cap of the server, each with its argument. A cap is what one peer, or
//! all of them together, can cost; relations between caps are checked when
//! compiling.

use super::time::Span;

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
/// Missing packets one NACK generator tracks. At 1,000 packets/s (a 9 Mbit/s
/// publisher) this is half a second of total loss: beyond it a key frame is
/// both cheaper and sooner than resending everything.
pub const NACK_MISSING_MAX: usize = 512;

/// Requests for one missing packet. With a tenth of requests and answers lost,
/// one try fails with 0.19; ten fail together once in 16 million.
pub const NACK_TRIES_MAX: u8 = 10;

/// How long a missing packet is worth asking for, plus one round trip for the
/// last answer. Browsers' jitter buffers hold about this much before freezing.
pub const NACK_AGE_MAX: Span = Span::from_ms(1_000);

/// Transport-wide sequence numbers between the first unreported packet and the
/// newest one: 100 ms of reports at 10,000 packets/s. A wider jump is a
/// restarted sender or nonsense, and reporting starts over after it.
pub const TWCC_WINDOW: usize = 1_024;

/// Packet statuses in one transport feedback: at worst 2 bytes of delta each
/// and 2 bytes per 7 statuses of chunks, 915 bytes, so that it fits a datagram
/// together with other reports.
pub const TWCC_STATUSES_MAX: usize = 400;

/// Packets one retransmission window may hold, about 6 MB: 4 s of a 9 Mbit/s
/// publisher, far beyond what any viewer still asks for.
pub const RTX_WINDOW_PACKETS_MAX: usize = 4_096;

/// Runs of forwarded packets a munger remembers for late packets and NACKs.
/// Viewers ask for packets at most a second or two old; nobody pauses and
/// resumes a track more often than this within that time.
pub const MUNGER_RUNS_MAX: usize = 32;

const _: () = assert!(TWCC_WINDOW.is_power_of_two() && TWCC_STATUSES_MAX <= TWCC_WINDOW);
const _: () = assert!(TWCC_STATUSES_MAX * 2 + TWCC_STATUSES_MAX.div_ceil(7) * 2 < 1_000);
const _: () = assert!(RTX_WINDOW_PACKETS_MAX.is_power_of_two());
const _: () = assert!(MUNGER_RUNS_MAX > 1);
