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

/// Open trains after which they are sent before more are filled: enough for a
/// system call to cost nothing beside them, few enough to be still in the CPU's
/// cache when the kernel reads them (of eight packets each, 0.6 MB). The pool is
/// never dry for want of such a pause, whatever a room's size.
pub const TRAINS_FLUSH: usize = 64;

/// Packets that go to one viewer before the next one's turn: their payloads, 80
/// kB, stay in the cache while every viewer's packets are made of them.
pub const FORWARD_RUN_MAX: usize = 64;

/// Video packets a core holds back, for a millisecond at most, so that frames
/// leave whole: 40 Gbit/s of it. What is beyond leaves at once.
pub const HELD_PACKETS_MAX: usize = 4_096;

/// Most a packet is padded to be as long as the others of its frame. Browsers
/// split a frame evenly, to a byte; a packet that is much shorter than the rest
/// has another reason, and padding it would cost more than a train of its own.
pub const PADDING_MAX_BYTES: u8 = 64;

/// Padding makes payloads whole blocks of the cipher up to this length: with the
/// RTP header (12) and SRTP's tail it is what IPv6's least MTU leaves a datagram.
pub const PADDED_PAYLOAD_MAX_BYTES: u16 = 1_200;

const _: () = assert!(PADDED_PAYLOAD_MAX_BYTES as usize + 12 + SRTP_TAIL_MAX_BYTES <= 1_280 - 48);

const _: () = assert!(TRAINS_FLUSH + FORWARD_RUN_MAX < TRAINS_MAX / 4);
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

/// Paths one transport keeps validated. A browser checks each pair of its
/// addresses (a handful) with ours; a mobile one moves now and then.
pub const ICE_PATHS_MAX: usize = 16;

/// Silence that ends a transport: nothing authenticated for this long (RFC 7675
/// section 5.1, in the passive form open to a lite agent).
pub const TRANSPORT_IDLE_MAX: Span = Span::from_secs(30);

/// A transport must have its keys this long after the answer, or it failed.
pub const ESTABLISH_MAX: Span = Span::from_secs(15);

/// Steps of DTLS handshakes one turn takes, the rest wait: one may cost half a
/// millisecond (an agreement of keys, a signature), as much as media may be held
/// up by it. A core still does a thousand a second, 300 joins.
pub const TURN_HANDSHAKE_STEPS_MAX: usize = 1;

/// Datagrams of handshakes that wait in one core, 5 MB: a thousand clients at
/// once with all of their flights. Beyond, clients send again.
pub const HANDSHAKES_WAITING_MAX: usize = 4_096;

/// Of these, one client's: its longest flight is five datagrams.
pub const HANDSHAKE_DATAGRAMS_MAX: u8 = 8;

/// Members of one room. A broadcast room holds thousands of viewers; beyond
/// this a STATE message would no longer fit the message cap.
pub const ROOM_MEMBERS_MAX: usize = 4_096;

/// Streams one member holds in a room, publications and plays together: a
/// camera and a screen, and a play of every stream in a full grid.
pub const MEMBER_STREAMS_MAX: usize = 256;

/// Of these, publications: a camera and a screen on each of a few devices. Each
/// costs a retransmission window and everybody's attention.
pub const MEMBER_PUBLICATIONS_MAX: usize = 16;

/// Rooms one session may be in at once.
pub const SESSION_ROOMS_MAX: usize = 32;

/// Rooms of one core.
pub const ROOMS_MAX: usize = 50_000;

/// Transports of one core: beyond this its send path is past saturation
/// (about 1.7 M packets a second at 50 packets a second each).
pub const PEERS_MAX: u32 = 20_000;

/// Characters of a login, room or stream name. Names built by the SDK hold
/// room, login and a suffix.
pub const NAME_MAX_CHARS: usize = 255;

/// Bytes of a chat message's text.
pub const CHAT_TEXT_MAX_BYTES: usize = 64 * 1024;

/// Video packets kept for retransmission: about 2 s at 2.5 Mbit/s, 0.8 MB a
/// publication. Viewers ask within a round trip or two.
pub const VIDEO_WINDOW_PACKETS: usize = 512;

/// Video packets kept of a publication that cannot be asked for key frames:
/// 10 s between two at 4 Mbit/s, about 6 MB, so that whoever comes between them
/// starts from the one before.
pub const VIDEO_WINDOW_UNASKED_PACKETS: usize = RTX_WINDOW_PACKETS_MAX;

/// A key frame older than this is not started from: what follows it would take
/// longer to send than the next one is away.
pub const CATCH_UP_AGE_MAX: Span = Span::from_secs(12);

/// Least time between two key frames that viewers' coming costs a publisher: 500
/// who join together cost it two a second, not 500. Who comes within it begins
/// with the last one, from the window, as a fresh one could not be had sooner.
pub const KEYFRAME_FRESH_INTERVAL: Span = Span::from_ms(500);

/// Packets at once, and how often, toward a viewer that starts from what is
/// kept: about 60 Mbit/s, so that 10 s of 4 Mbit/s are there after two thirds
/// of a second, and a burst is three trains, less than any socket buffers.
pub const CATCH_UP_BURST_PACKETS: usize = 32;
pub const CATCH_UP_INTERVAL: Span = Span::from_ms(5);

/// What the timestamps of the pictures kept span toward such a viewer: what a
/// jitter buffer holds anyway. A third more, where 12 s are kept.
pub const CATCH_UP_SPAN: Span = Span::from_ms(100);

/// The same, when the viewer has pictures already and starts again because it
/// cannot decode: all of it has to fit between two live pictures.
pub const CATCH_UP_AGAIN_SPAN: Span = Span::from_ms(10);

/// From the second such start on, to the next one: a viewer that asks without end gets no more
/// than 20 Mbit/s by it.
pub const CATCH_UP_AGAIN_INTERVAL: Span = Span::from_secs(2);

/// Audio packets kept: late ones are told from duplicates within 2 s.
pub const AUDIO_WINDOW_PACKETS: usize = 128;

/// Retransmitted bytes per second toward one viewer, and how much at once: a
/// quarter more than a 2.5 Mbit/s stream, so that NACKs cannot buy more than
/// the viewer was going to get anyway.
pub const RTX_RATE_BYTES_PER_S: u64 = 400_000;
pub const RTX_BURST_BYTES: u64 = 200_000;

/// A request head must be complete within this time of the connection's start.
pub const HTTP_HEAD_MAX: Span = Span::from_secs(10);

/// An answer made elsewhere (another core, the render thread) must be there
/// within this time.
pub const HTTP_ANSWER_MAX: Span = Span::from_secs(30);

/// A reader who takes nothing of a body for this long is given up.
pub const HTTP_STALL_MAX: Span = Span::from_secs(60);

/// Answers of one core that may wait for the render thread; beyond it requests
/// are told that the server is busy.
pub const RENDER_BACKLOG_MAX: usize = 256;

/// Snapshots of all cores that one core may have under way.
pub const SNAPSHOT_TICKETS_MAX: u64 = 64;

/// Rooms, members, streams and viewers of other cores' rooms a turn copies into
/// a snapshot: a quarter of a millisecond. 5,000 rooms of two viewers take some
/// hundred turns, which follow each other at once.
pub const SNAPSHOT_STEP_ITEMS: usize = 256;

/// Bytes of a stream event's payload, which everybody who plays the stream
/// gets: a counter, a caption, a position.
pub const STREAM_EVENT_MAX_BYTES: usize = 8 * 1024;

/// Chat and stream events count as one message per so many bytes, so that the
/// limit of messages bounds what one can make another receive.
pub const MESSAGE_UNIT_BYTES: usize = 256;

/// From one request to publish anew to the next, of one participant: a member
/// whose offers change their mind must not keep everybody restarting.
pub const REPUBLISH_INTERVAL: Span = Span::from_secs(30);

/// Bytes of a body written at once; the next follow when these have left. It
/// bounds what a slow reader costs, and, encrypted, what one turn does.
pub const HTTP_PIECE_BYTES: usize = 64 * 1024;

/// Mail that waits for other cores' full mailboxes before new joins, streams
/// and messages are refused. Twice as much, and mail is dropped.
pub const MAIL_BACKLOG_MAX: usize = 16_384;

/// Events of one turn that reach the log; a flood beyond it is not printed.
pub const EVENTS_MAX: usize = 1_024;

/// Streams (SSRCs) one SRTP sender protects under a key. A transport carries
/// audio, video and its RTX; 32 leaves room for a stream list replaced ten
/// times over. State of a stream is never dropped while its key lives, because
/// forgetting which indices were used would let one be used twice.
pub const SRTP_SEND_STREAMS_MAX: usize = 32;

/// Authenticated streams one SRTP receiver follows, and as many senders of
/// SRTCP. A browser publishing three simulcast layers with RTX and audio uses
/// 7; the cap holds a participant with valid keys and 65,536 SSRCs to 5 KB.
pub const SRTP_RECEIVE_STREAMS_MAX: usize = 32;

/// Streams whose state an SRTP sender or receiver reserves when it is built:
/// audio, video, RTX and one to spare, so that ordinary transports never
/// allocate again.
pub const SRTP_STREAMS_USUAL: usize = 4;

const _: () = assert!(SRTP_STREAMS_USUAL <= SRTP_SEND_STREAMS_MAX);
const _: () = assert!(SRTP_STREAMS_USUAL <= SRTP_RECEIVE_STREAMS_MAX);

/// Packets behind the newest one that SRTP still tells apart, when sending and
/// when receiving. RFC 3711 section 3.3.2 demands 64; 1,024 is more than
/// a second of 8 Mbit/s video, later than any jitter buffer waits.
pub const SRTP_WINDOW_PACKETS: u64 = 1_024;

/// Largest RTCP packet this server writes: what fits in every path's datagram
/// beside the SRTCP tail, as browsers assume for RTP.
pub const RTCP_PACKET_MAX_BYTES: usize = 1_200;

const _: () = assert!(RTCP_PACKET_MAX_BYTES + SRTP_TAIL_MAX_BYTES <= DATAGRAM_MAX_BYTES);

/// PID/BLP pairs in one NACK this server writes: 64 pairs ask for up to 1,088
/// packets, more than any retransmission window holds.
pub const RTCP_NACK_PAIRS_MAX: usize = 64;

/// Largest offer read: 64 KiB. The largest real one seen is 6 kB; candidate
/// lists and a dozen more codecs stay under 20 kB.
pub const SDP_MAX_BYTES: usize = 64 * 1_024;

/// Most lines of an offer: real ones have about 170, and half of a large one
/// can be candidates. Blank lines count, so a flood of them ends here too.
pub const SDP_LINES_MAX: usize = 2_000;

/// Most `m=` lines: one audio, one video and a data channel are ours to
/// answer; each further one costs a refusal of some 30 bytes in the answer.
pub const SDP_MEDIA_MAX: usize = 16;

/// Most formats of one `m=` line: RTP has 128 payload types (RFC 3550
/// section 5.1), so a longer list repeats itself.
pub const SDP_FORMATS_MAX: usize = 128;

/// Most SSRCs named by one `m=` section: three simulcast layers with RTX and
/// FEC are nine. They are searched one by one, so the list stays short.
pub const SDP_SSRCS_MAX: usize = 64;

/// Most certificate fingerprints at one level: one per hash function is six.
pub const SDP_FINGERPRINTS_MAX: usize = 8;

/// Longest `a=mid`: browsers write one to three characters, older ones the
/// words "audio" and "video", some libraries a UUID. It is echoed in answers.
pub const SDP_MID_MAX_BYTES: usize = 64;

/// ICE user fragment, in characters (RFC 8839 section 5.4).
pub const ICE_UFRAG_MIN_CHARS: usize = 4;

/// ICE password, in characters: at least 128 bits (RFC 8839 section 5.4).
pub const ICE_PWD_MIN_CHARS: usize = 22;

/// Longest ICE user fragment or password (RFC 8839 section 5.4).
pub const ICE_CREDENTIAL_MAX_CHARS: usize = 256;

const _: () = assert!(SDP_MEDIA_MAX < SDP_LINES_MAX);
const _: () = assert!(SDP_LINES_MAX < SDP_MAX_BYTES);

/// Largest configuration file, and largest sum of `--set` arguments: a file
/// with every key and its documentation is about 4 kB; anything near this cap
/// is another kind of file given by mistake.
pub const CONFIG_MAX_BYTES: usize = 64 * 1_024;

/// Most addresses `ip` may list. Each becomes a candidate in every answer, and
/// a browser checks every one of them before it gives up.
pub const CONFIG_ADDRESSES_MAX: usize = 16;

/// Most cores `cores` may ask for: each takes one media port and one mailbox
/// to every other core.
pub const CONFIG_CORES_MAX: u16 = 256;

/// Datagrams one turn handles: about 300 µs of forwarding, so that timers and
/// signalling keep their turn under a flood, yet long enough for trains to form.
pub const TURN_DATAGRAMS_MAX: usize = 256;

/// Signalling inputs (chunks of TCP bytes, accepts, closes) one turn handles:
/// each may cost a TLS handshake or an offer's answer, 0.2 ms, and media waits
/// meanwhile. A turn without media follows at once.
pub const TURN_CONNECTION_INPUTS_MAX: usize = 8;

/// Messages from other cores one turn handles; relayed media comes this way.
pub const TURN_MAIL_MAX: usize = 1_024;

/// One receive buffer: the kernel's header, address and control data (112
/// bytes), then the datagram.
pub const RECEIVE_BUFFER_BYTES: usize = 2_048;

/// Receive buffers of one core's media ring (4 MiB): eight full turns may wait
/// in them before datagrams stay in the socket's own queue.
pub const RECEIVE_BUFFERS: u16 = 2_048;

/// Peers of a core who may have a connected socket of their own. Each costs a
/// descriptor, some 3 kB in the kernel, and 5 ns for every datagram that comes
/// from a peer without one: 5 us with as many as this, a datagram of a join or a
/// report.
pub const LINES_MAX: usize = 1_024;

/// The same where the kernel (before 6.13) walks all of them for every datagram
/// that comes: 0.3 us.
pub const LINES_OLD_KERNEL_MAX: usize = 64;

/// Asked of the kernel for each of them and direction: several key frames of one
/// peer, and for all of them together no more memory than a server has.
pub const LINE_SOCKET_BUFFER_BYTES: usize = 512 << 10;

/// Datagrams a path must have carried in a second to be worth such a socket:
/// less than a stream of sound has, more than anybody's reports.
pub const LINE_BUSY_DATAGRAMS: u32 = 30;

/// Seconds without a datagram after which it is closed: somebody who is there is
/// heard more often, by checks and reports.
pub const LINE_IDLE_SWEEPS: u32 = 3;

/// Made in one turn: 15 us each, from which media should not wait noticeably.
pub const LINES_OPENED_PER_TURN_MAX: usize = 4;

/// Paths whose datagrams are counted for it: those of all lines, and as many
/// again of rooms that fill up.
pub const LINE_PATHS_MAX: usize = 4_096;

/// Asked of the kernel for each media socket and direction; it accounts twice
/// a datagram's size, so this holds about 3,500 full-size datagrams, 30 ms of
/// a gigabit.
pub const MEDIA_SOCKET_BUFFER_BYTES: usize = 8 << 20;

/// Connections one core serves. Each costs a descriptor and about 5 KiB; more
/// people than this never fit a core's media anyway.
pub const CONNECTIONS_PER_CORE_MAX: usize = 8_192;

/// Bytes one read of a connection takes; a larger message comes in several.
pub const CONNECTION_READ_BYTES: usize = 4_096;

/// Bytes one read of an RTMP encoder takes, so that most pictures at 10 Mbit/s
/// come in one. Only who has sent as much on such a port gets that buffer.
pub const CONNECTION_STREAM_READ_BYTES: usize = 64 << 10;

/// Bytes waiting to be written to one connection beyond the kernel's own
/// buffer. A room's whole state is some 100 KiB; whoever is 1 MiB behind on
/// signalling is not reading.
pub const CONNECTION_QUEUE_MAX_BYTES: usize = 1 << 20;

/// Bytes one write to a connection carries; messages are gathered up to it.
pub const CONNECTION_WRITE_BYTES: usize = 64 << 10;

/// Messages waiting between one pair of cores: four full turns of the receiver.
pub const MAIL_LANE_MAX: usize = 4_096;

/// Payload one turn relays to one other core: a full turn of datagrams, and the
/// window a new replica of an encoder's stream begins with.
pub const RELAY_BATCH_MAX_BYTES: usize = 4 << 20;

/// Relayed media waiting between one pair of cores: a quarter of a second of
/// fifty publishers at 2.5 Mbit/s. A core further behind than that is too late
/// for it anyway.
pub const RELAY_LANE_MAX_BYTES: usize = 2 * RELAY_BATCH_MAX_BYTES;

/// Snapshots waiting to be rendered, of all cores. Monitoring asks a few times
/// a second; more would be a flood.
pub const RENDER_QUEUE_MAX: usize = 64;

/// Events waiting to be printed, of all cores; the rest is dropped and counted
/// when the terminal or log pipe is slow.
pub const EVENT_QUEUE_MAX: usize = 1_024;

const _: () = assert!(RECEIVE_BUFFER_BYTES >= 112 + DATAGRAM_MAX_BYTES);
const _: () = assert!(RECEIVE_BUFFERS.is_power_of_two());
const _: () = assert!(MAIL_LANE_MAX >= TURN_MAIL_MAX);

/// Longest access token read: a JWT with this server's claims is about 300
/// bytes; identity providers add names and addresses, hardly ever 4 KiB. Longer
/// ones are refused before anything is decoded.
pub const ACCESS_TOKEN_MAX_BYTES: usize = 8 * 1_024;

/// How early a token may be used, in seconds: issuer and server are set by NTP
/// but never agree to the second, and a page joins the moment it has its token.
pub const ACCESS_NOT_BEFORE_LEEWAY_S: u64 = 5;

/// Addresses (IPv6: /64 networks) one rate limiter remembers, about 3 MB.
/// People behind a core are 8,192 at most; what is beyond them are floods.
pub const RATE_KEYS_MAX: usize = 65_536;

/// Segments of a request's path: the deepest file of the official client's
/// package lies 6 folders down, REST paths have 6.
pub const HTTP_PATH_SEGMENTS_MAX: usize = 32;

/// Largest body of a REST request: today's are below 40 bytes.
pub const REST_BODY_MAX_BYTES: usize = 4 * 1_024;

/// Largest body of a WHIP or WHEP request: an offer, or a fragment of one.
pub const WHIP_BODY_MAX_BYTES: usize = SDP_MAX_BYTES;

/// Most origins `origins` may list; every upgrade is compared with each.
pub const CONFIG_ORIGINS_MAX: usize = 64;

/// Shortest `auth.secret`: a key of HS256 has at least the 256 bits of its
/// hash (RFC 7518 section 3.2).
pub const AUTH_SECRET_MIN_BYTES: usize = 32;

/// Shortest `admin.token`: 16 characters of 6 random bits are beyond guessing.
pub const ADMIN_TOKEN_MIN_CHARS: usize = 16;

/// Most rules of `room.video_codecs`; every join searches them all.
pub const CONFIG_ROOM_CODECS_MAX: usize = 256;

const _: () = assert!(ACCESS_TOKEN_MAX_BYTES < HTTP_HEAD_MAX_BYTES);
const _: () = assert!(RATE_KEYS_MAX >= 2 * CONNECTIONS_PER_CORE_MAX);
/// Largest certificate or key file read: a chain of four RSA certificates is
/// under 10 kB; anything near this is another kind of file given by mistake.
pub const PEM_FILE_MAX_BYTES: usize = 1 << 20;

/// Largest file served from the mounted folder. The largest of the official
/// SDK's package is a debug build with its map, under 10 MB.
pub const SHELF_FILE_MAX_BYTES: usize = 16 << 20;

/// Bytes of the mounted folder kept in memory: the whole official package with
/// its examples fits, and four of the largest files.
pub const SHELF_CACHE_MAX_BYTES: usize = 64 << 20;

const _: () = assert!(SHELF_FILE_MAX_BYTES <= SHELF_CACHE_MAX_BYTES);

/// Most `transcode_threads`: one thread converts some 50 streams of sound in
/// real time, so this is more than any host's RTMP clients need.
pub const TRANSCODE_THREADS_MAX: usize = 64;

/// Values in one call of a Flash room client: a command has fewer than ten.
pub const FLASH_CALL_VALUES_MAX: usize = 256;

/// Bytes written to one RTMP player and not yet known to have left, beyond
/// which more waits in the core. Half of what the driver queues at most, so
/// that the driver never cuts a player off; half a second at 4 Mbit/s.
pub const OUTLET_UNREAD_MAX_BYTES: usize = 256 << 10;

/// Bytes of a message written to an RTMP player at once, as with bodies over
/// HTTP: a key frame of a large screen is longer than the driver queues.
pub const OUTLET_PIECE_BYTES: usize = 64 << 10;

/// Answers to an RTMP player that wait for the message being written: one each
/// time it is heard, a handful in the second that a large picture takes.
pub const OUTLET_ANSWERS_MAX: usize = 256;

/// Bytes that wait for one RTMP player who reads slowly: a whole GOP cache for
/// a late one, and as much of what comes meanwhile. The bodies are shared by
/// all players of a core, so this is rarely memory of its own.
pub const OUTLET_BACKLOG_MAX_BYTES: usize = 16 << 20;

/// An encoder that sent nothing for this long gives its name up to whoever
/// publishes under it.
pub const INGEST_SILENCE_MAX: Span = Span::from_secs(2);

/// How long the viewers of an encoder whose connection broke wait for it: OBS
/// and its like are back after two seconds.
pub const INGEST_LINGER: Span = Span::from_secs(5);

/// What a message that waits costs beside its bytes: its place in the queue and
/// its share in what the bytes are kept in.
pub const OUTLET_ENTRY_BYTES: usize = 64;

/// Plays one connection of an encoder or player may have: one each, and a few
/// for a wall of pictures. Members count theirs with [`MEMBER_STREAMS_MAX`].
pub const PLAYER_STREAMS_MAX: usize = 16;

/// How far ahead of the time that passes sound may claim to be and still be
/// converted: a stream that is caught up with, not hours of silence to fill.
pub const CONVERSION_AHEAD_MAX: Span = Span::from_secs(10);

/// Between two conversions of one stream's sound begun: each makes a decoder
/// and an encoder.
pub const CONVERSION_INTERVAL: Span = Span::from_ms(200);

/// An RTMP player who takes nothing for this long is disconnected.
pub const PLAYER_STALL_MAX: Span = Span::from_secs(10);

const _: () =
    assert!(OUTLET_UNREAD_MAX_BYTES + OUTLET_PIECE_BYTES <= CONNECTION_QUEUE_MAX_BYTES / 2);
/// Largest RTMP message: a key frame of a 20 Mbit/s encoder is about 1 MB. The
/// wire could say 16 MiB.
pub const RTMP_MESSAGE_MAX_BYTES: usize = 4 << 20;

/// Bytes of unfinished messages one RTMP connection may hold on all its chunk
/// streams: one of the largest, and others interleaved with it.
pub const RTMP_ASSEMBLY_MAX_BYTES: usize = RTMP_MESSAGE_MAX_BYTES + (1 << 20);

/// Chunk streams of one RTMP connection. Clients use three to eight; the wire
/// could name 65,600, and every chunk searches them all.
pub const RTMP_CHUNK_STREAMS_MAX: usize = 64;

const _: () = assert!(RTMP_MESSAGE_MAX_BYTES < 1 << 24);

/// Nesting of values in one AMF message, references followed. Commands nest
/// twice, a room application's payload five times, `onMetaData` with cue points
/// four times.
pub const AMF_DEPTH_MAX: usize = 32;

/// Values and names in one AMF message, references written out. The longest
/// honest one is `onMetaData` of a file sent live, with a time and a position
/// for each of its key frames: 14,400 numbers for four hours of 2 s groups.
/// Costs at most 56 bytes each until the message is done with.
pub const AMF_VALUES_MAX: usize = 32_768;

/// Text copied out of one AMF message, references written out. Honest long
/// text is XMP metadata, which passes 64 KiB now and then.
pub const AMF_TEXT_MAX_BYTES: usize = 256 * 1_024;
/// NAL units of one access unit. Encoders that cut slices to a packet's size
/// make some 400 of a 500 kB key frame; a megabyte of one-byte units would cost
/// 200,000 packets.
pub const NAL_UNITS_MAX: usize = 1_024;

/// Payload of one RTP packet this server makes of H.264. With the RTP header
/// (12), header extensions (20), the OSN of a retransmission (2) and SRTP's
/// tail it fills what IPv6's least MTU leaves a UDP datagram, and so also a
/// train's segment.
pub const H264_PAYLOAD_MAX_BYTES: usize = 1_178;

const _: () = assert!(H264_PAYLOAD_MAX_BYTES + 12 + 20 + 2 + SRTP_TAIL_MAX_BYTES <= 1_280 - 48);
const _: () = assert!(16 * (1_280 - 48) <= TRAIN_MAX_BYTES);

/// Bytes of G.711 in one packet this server makes: 20 ms, what every peer's
/// jitter buffer is used to.
pub const G711_PACKET_MAX_BYTES: usize = 160;

/// Parameter sets of one kind in use at a time. Encoders send one or two of
/// each; the set ids would allow 32 and 256.
pub const PARAMETER_SETS_MAX: usize = 16;

/// Bytes of one parameter set: a length field of the decoder configuration
/// record holds 65,535, real ones with scaling lists stay under 500.
pub const PARAMETER_SET_MAX_BYTES: usize = 4 * 1_024;

/// Packets one reorder buffer holds behind a gap: a second of a 9 Mbit/s
/// publisher, 1.5 MB, held only while something is missing.
pub const REORDER_PACKETS_MAX: usize = 1_024;

/// How long a track played by RTMP waits for a missing packet: a round trip or
/// two of a retransmission, well below what a player buffers anyway.
pub const REORDER_WAIT_PLAYER: Span = Span::from_ms(200);

/// One frame put together from packets, and as much of one message. A key frame
/// of a 4K screen is 1 to 2 MB.
pub const FRAME_MAX_BYTES: usize = 4 << 20;

/// Frames kept for late RTMP players since the last key frame, in bytes: 10 s
/// (the usual default of encoders) at 6 Mbit/s.
pub const GOP_CACHE_MAX_BYTES: usize = 8 << 20;

/// The same in time: beyond it a new player would see old pictures run by for
/// longer than the next key frame takes.
pub const GOP_CACHE_MAX_MS: u64 = 12_000;

/// The same in frames: 12 s of 120 pictures and 100 audio frames a second.
pub const GOP_CACHE_FRAMES_MAX: usize = 12 * 220;

/// Time and pictures without a sign of B-frames after which a publication
/// counts as free of them: two key frame intervals of the usual encoders.
pub const B_FRAMES_GONE: Span = Span::from_secs(10);
pub const B_FRAMES_GONE_PICTURES: u32 = 60;

/// Largest RTMP command: a chat message of [`CHAT_TEXT_MAX_BYTES`] in its
/// envelope. Others stay below 2 KiB.
pub const RTMP_COMMAND_MAX_BYTES: usize = CHAT_TEXT_MAX_BYTES + 16 * 1_024;

/// Media messages for a stream that is not published before the peer is given
/// up: ten seconds of a stream whose end crossed them on the way.
pub const RTMP_STRAY_MEDIA_MAX: u32 = 1_024;

/// An RTMP client must have finished the handshake and said `connect` this long
/// after its connection was accepted, as with [`HTTP_HEAD_MAX`].
pub const RTMP_CONNECT_MAX: Span = Span::from_secs(10);

/// Messages of one RTMP client per second, parts of aggregates among them: a
/// stream of 120 pictures a second with its sound has 220, so that one sent 15
/// times as fast as it plays still passes.
pub const RTMP_MESSAGES_PER_S: u64 = 4_000;

/// And at once: half a minute of an ordinary stream, after its line stood
/// still. One read of a connection could hold 30,000 otherwise.
pub const RTMP_MESSAGES_BURST: u64 = 4_096;

/// Bytes an RTMP client may send behind its `connect` before that is answered:
/// a few commands, as much as one read of its connection gives.
pub const RTMP_HELD_MAX_BYTES: usize = 64 * 1_024;

/// Silence after which an RTMP client is asked whether it is there. A player
/// says nothing of its own accord.
pub const RTMP_PING_INTERVAL: Span = Span::from_secs(20);

/// Silence that ends an RTMP connection: two pings were not answered.
pub const RTMP_IDLE_MAX: Span = Span::from_secs(60);

/// Payload bytes of the chunks this server sends. Every player takes 4,096;
/// at it chunk headers are 0.02 % of the stream.
pub const RTMP_CHUNK_BYTES: usize = 4_096;

/// Bytes of an RTMP client between acknowledgements, and announced as the
/// bandwidth to it: some seconds of a stream, as other servers have it.
pub const RTMP_WINDOW_BYTES: u32 = 2_500_000;

const _: () = assert!(RTMP_COMMAND_MAX_BYTES < RTMP_MESSAGE_MAX_BYTES);
/// Missing audio a transcoder fills, in ticks of 48 kHz: one second, longer
/// than the pauses of discontinuous transmission (400 ms). Longer ones are
/// jumped over, as no listener waits for them.
pub const AUDIO_GAP_FILLED_MAX_TICKS: i64 = 48_000;

/// Bits per second of an Opus stream we encode: below, speech suffers; above,
/// nothing gains.
pub const OPUS_BITRATE_MIN_BPS: u32 = 16_000;
pub const OPUS_BITRATE_MAX_BPS: u32 = 256_000;

/// Bits per second of an AAC-LC stream we encode. The most a mono frame may
/// hold is 288,000 (6,144 bits per 1,024 samples, ISO 14496-3 section 4.5.3).
pub const AAC_BITRATE_MIN_BPS: u32 = 32_000;
pub const AAC_BITRATE_MAX_BPS: u32 = 256_000;

/// Largest frame a transcoder takes: an AAC access unit of eight channels at
/// 6,144 bits each, above the longest Opus packet (RFC 6716 section 3.2.5 R5:
/// 1,275 bytes a frame and seldom more than one).
pub const AUDIO_FRAME_MAX_BYTES: usize = 8 * 6_144 / 8;

/// Frames one core may have waiting for the transcode worker: two seconds of
/// ten streams. Beyond, the oldest is worthless.
pub const TRANSCODE_QUEUE_MAX: usize = 1_024;

/// Streams transcoded at once for one core. Each takes up to a percent of a CPU
/// and 400 kB.
pub const TRANSCODERS_PER_CORE_MAX: usize = 256;

/// Longest name of a recording's file: what Linux file systems take.
pub const RECORD_NAME_MAX_BYTES: usize = 255;

/// Longest `record_name_template`: every element once, and as much text. A
/// longer one would make names longer than a file's may be anyway.
pub const RECORD_TEMPLATE_MAX_BYTES: usize = 255;

/// Of a name, what a template's own text and times may take: half, so that
/// streams can still be told apart by their ids and people's names.
pub const RECORD_NAME_FIXED_MAX_BYTES: usize = RECORD_NAME_MAX_BYTES / 2;

/// Files one manifest may list. A room that everybody joins, leaves and joins
/// again ten times has so many with 400 people.
pub const MANIFEST_FILES_MAX: usize = 4_096;

/// Gaps one manifest tells of one file. A stream torn into more has no place
/// worth seeking to.
pub const MANIFEST_GAPS_MAX: usize = 64;

/// Largest manifest read: one with all the files and gaps it may have.
pub const MANIFEST_MAX_BYTES: usize = 48 << 20;

const _: () = assert!(MANIFEST_FILES_MAX * (3_584 + 112 * MANIFEST_GAPS_MAX) <= MANIFEST_MAX_BYTES);

/// Macroblocks of a picture of H.264: the most any level allows (ITU-T H.264
/// table A-1), 8,192 by 4,352 pixels. A black picture of them is 140 kB.
pub const PICTURE_MBS_MAX: u32 = 139_264;

/// Macroblocks of a picture along one side: the square root of eight times as
/// many (section A.3.1), 16,880 pixels.
pub const PICTURE_SIDE_MBS_MAX: u32 = 1_055;

const _: () = assert!(PICTURE_SIDE_MBS_MAX * PICTURE_SIDE_MBS_MAX <= 8 * PICTURE_MBS_MAX);

/// Pictures a second a stream may claim: below and above, its timing is that of
/// an encoder that does not know (x264 says 1,000 of a variable rate).
pub const FRAME_RATE_MIN_HZ: u32 = 1;
pub const FRAME_RATE_MAX_HZ: u32 = 120;

/// How much of a stream one fragment of a recording holds: what a crash may
/// cost. A shorter one would spend more on boxes than it saves.
pub const RECORD_FRAGMENT_SPAN: Span = Span::from_secs(1);

/// Bytes and samples beyond which a fragment is closed before its time: a
/// second of 60 Mbit/s; a second of 120 pictures and 400 sounds of 2.5 ms,
/// seven times over.
pub const RECORD_FRAGMENT_FULL_BYTES: usize = 8 << 20;
pub const RECORD_FRAGMENT_FULL_SAMPLES: usize = 4_096;

/// Largest fragment that is believed when a recording is read: a full one and
/// one more of the largest samples.
pub const RECORD_FRAGMENT_MAX_BYTES: u64 = 16 << 20;

/// Largest `moof`: 16 bytes for each sample, and some hundred around them.
pub const RECORD_MOOF_MAX_BYTES: u64 = 128 << 10;

/// Largest `moov` before there are samples: it holds the parameter sets.
pub const RECORD_INIT_MAX_BYTES: u64 = 1 << 20;

/// Samples of one track of a recording: 24 hours of 97 a second. A file that
/// has more stays as it is, in fragments.
pub const RECORD_SAMPLES_MAX: usize = 1 << 23;

/// Largest `moov` of a whole recording, and so about the memory that making or
/// reading one takes: at 12 bytes a sample (time and size of pictures that come
/// irregularly) 24 hours of 250 samples a second.
pub const RECORD_MOOV_MAX_BYTES: u64 = 256 << 20;

/// Longest hole in a recording that is bridged by showing the sample before it
/// for longer. Fragments are lost one by one; a time further off than this is
/// damage.
pub const RECORD_GAP_MAX: Span = Span::from_secs(600);

/// Bytes of fragments written at once when hours of a recording are made: few
/// system calls, and small beside what else a core holds.
pub const RECORD_BATCH_BYTES: usize = 256 << 10;

const _: () = assert!(
    (RECORD_FRAGMENT_FULL_BYTES + FRAME_MAX_BYTES) as u64 + RECORD_MOOF_MAX_BYTES
        <= RECORD_FRAGMENT_MAX_BYTES
);
const _: () =
    assert!(16 * (RECORD_FRAGMENT_FULL_SAMPLES as u64 + 1) + 1_024 <= RECORD_MOOF_MAX_BYTES);
const _: () = assert!(
    (2 * PARAMETER_SETS_MAX * PARAMETER_SET_MAX_BYTES + 4_096) as u64 <= RECORD_INIT_MAX_BYTES
);
/// Bytes of a recording read at once for one reader over HTTP, and so what a
/// slow or vanished one costs: a second of a 4 Mbit/s stream, and long enough
/// that reading costs little beside sending.
/// Most bytes of a recording read at once for one reader over HTTP, and so what
/// a slow or vanished one costs: a second of a 4 Mbit/s stream, and long enough
/// that reading costs little beside sending. The first piece is of
/// [`HTTP_PIECE_BYTES`], each further one twice the last.
pub const RECORD_PIECE_BYTES: usize = 512 << 10;

/// Bytes of one answer to a player that takes a recording in parts: what a
/// browser takes in without anybody looking at it, so that the connection is
/// free again, and a second of a 4 Mbit/s stream.
pub const RECORD_PART_BYTES: u64 = 512 << 10;

/// Recordings listed, the newest: beyond them a list is of no use to a reader.
pub const RECORDS_LISTED_MAX: usize = 10_000;

/// Bytes of manifests read for one list, the newest: those of ten thousand
/// recordings. A larger one is left out with all that are older.
pub const MANIFESTS_READ_MAX_BYTES: u64 = 16 << 20;

/// Recordings of one core: every one of its streams, with the publishers of a
/// few hundred full rooms.
pub const RECORDINGS_MAX: u32 = 10_000;

/// Files one room's recordings may be: as many as its manifest lists.
pub const BOOK_LINES_MAX: usize = MANIFEST_FILES_MAX;

/// Gaps kept of one recording.
pub const RECORD_GAPS_MAX: usize = MANIFEST_GAPS_MAX;

/// Media a recording holds back before its file begins: two seconds at 64
/// Mbit/s, and of packets 200 pictures and 400 of sound each second. Beyond, it
/// begins at once.
pub const RECORD_GATHERED_MAX_BYTES: usize = 16 << 20;
pub const RECORD_GATHERED_MAX_FRAMES: usize = 1_200;

/// Fragments that wait for a slow disk: a minute of 2.5 Mbit/s, and more than
/// the largest.
pub const RECORD_QUEUE_MAX_BYTES: usize = 20 << 20;

/// How long a recording waits for a missing packet: ten requests for it, each a
/// round trip of 100 ms, fit into that; players would not wait so long.
pub const REORDER_WAIT_RECORDER: Span = Span::from_ms(1_000);

const _: () = assert!(RECORD_QUEUE_MAX_BYTES as u64 > RECORD_FRAGMENT_MAX_BYTES);

/// Files merged into one film: ffmpeg opens and decodes all of them at once,
/// and a grid of 16 by 16 shows nothing of anybody any more.
pub const MERGE_FILES_MAX: usize = 256;

/// Largest picture of a merged film, in pixels: what every player shows, and
/// one core still encodes about as fast as it plays.
pub const MERGE_WIDTH_MAX: u32 = 1_920;
pub const MERGE_HEIGHT_MAX: u32 = 1_080;

/// Lines of ffmpeg's complaints that are told on.
pub const MERGE_COMPLAINTS_MAX: usize = 12;
