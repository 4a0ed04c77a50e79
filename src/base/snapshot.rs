//! A bounded copy of one core's state, taken on its turn and rendered off it.

/// One core at one instant.
#[derive(Clone, Debug, Default)]
pub struct ServerSnapshot {
    pub core: u16,
    pub rooms: Vec<RoomSnapshot>,
    /// Plays seated here in rooms of other cores, which show them without what
    /// only this core knows.
    pub afar_plays: Vec<AfarPlay>,
    pub counters: Counters,
    pub gauges: Gauges,
    /// Microseconds from a turn's clock read to the end of its flush: the
    /// longest a datagram of the turn waited from receive to send.
    pub turn_us: Histogram,
    /// Microseconds from a media datagram's receive to its trains' send.
    pub forward_us: Histogram,
    /// Datagrams per train sent.
    pub train_len: Histogram,
}

#[derive(Clone, Debug, Default)]
pub struct RoomSnapshot {
    /// Plays of nobody in the room, over WHEP.
    pub players: Vec<PlaySnapshot>,
    pub name: String,
    pub participants: Vec<ParticipantSnapshot>,
}

#[derive(Clone, Debug, Default)]
pub struct ParticipantSnapshot {
    pub login: String,
    pub streams: Vec<StreamSnapshot>,
    pub plays: Vec<PlaySnapshot>,
}

/// One publication: a participant's stream into the room.
#[derive(Clone, Debug, Default)]
pub struct StreamSnapshot {
    pub name: String,
    pub media_session_id: String,
    /// `PENDING` or `PUBLISHING`.
    pub status: &'static str,
    pub srtp_profile: Option<&'static str>,
    pub dtls_version: Option<&'static str>,
    pub viewers: u32,
    pub tracks: Vec<UpTrackSnapshot>,
}

#[derive(Clone, Debug, Default)]
pub struct UpTrackSnapshot {
    /// `audio` or `video`.
    pub kind: &'static str,
    pub codec: &'static str,
    pub ssrc: Option<u32>,
    pub packets: u64,
    pub bytes: u64,
    /// Lost on the way to us and not recovered so far (RFC 3550 A.3).
    pub lost: i64,
    pub recovered: u64,
    /// Retransmissions asked of the publisher, by packet.
    pub nacked: u64,
    pub plis: u64,
    pub keyframes: u64,
}

/// One subscription: a participant's view of a stream.
#[derive(Clone, Debug, Default)]
pub struct PlaySnapshot {
    pub stream: String,
    pub media_session_id: String,
    /// `PENDING` or `PLAYING`.
    pub status: &'static str,
    pub srtp_profile: Option<&'static str>,
    pub dtls_version: Option<&'static str>,
    pub tracks: Vec<DownTrackSnapshot>,
}

/// A play of a room whose home is another core.
#[derive(Clone, Debug, Default)]
pub struct AfarPlay {
    pub room: String,
    pub play: PlaySnapshot,
}

#[derive(Clone, Debug, Default)]
pub struct DownTrackSnapshot {
    pub kind: &'static str,
    pub codec: &'static str,
    pub packets: u64,
    pub bytes: u64,
    /// As the viewer's last receiver report said.
    pub lost: i64,
    /// Retransmissions the viewer asked for, and those sent.
    pub nacks: u64,
    pub retransmitted: u64,
    pub plis: u64,
    pub rtt_us: Option<u64>,
}

/// Monotonic counters of one core.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    pub datagrams_received: u64,
    pub datagrams_sent: u64,
    pub trains_sent: u64,
    pub media_packets_received: u64,
    pub media_packets_forwarded: u64,
    pub retransmissions_sent: u64,
    /// To make packets of a frame equally long.
    pub padding_bytes_sent: u64,
    /// Sent to viewers from what was kept before they came; not forwarded, for
    /// their receiving was settled before.
    pub catch_up_packets_sent: u64,
    pub connections_accepted: u64,
    /// Frames of sound converted to another codec.
    pub transcoded_frames: u64,
    /// Recordings that ended before their stream, or whose file is not whole.
    pub recordings_failed: u64,
    pub turns: u64,
    /// Datagrams and packets dropped, by reason, in the order of [`Drop::ALL`].
    pub drops: [u64; Drop::ALL.len()],
}

/// Why something was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// From no known peer and no STUN.
    UnknownSource,
    /// Not STUN, DTLS, RTP or RTCP.
    Malformed,
    /// A STUN request whose credentials are not ours.
    StunUnauthenticated,
    /// DTLS from a path ICE has not validated.
    DtlsUnvalidated,
    /// DTLS for a transport that is past its handshake or failed.
    DtlsUnexpected,
    /// Media before the keys are there.
    NoKeys,
    /// SRTP or SRTCP that does not authenticate.
    SrtpAuth,
    /// SRTP or SRTCP already seen, or too old to tell.
    SrtpReplay,
    /// RTP of an SSRC or payload type nobody negotiated.
    UnknownStream,
    /// A packet already forwarded.
    Duplicate,
    /// Waiting for a key frame.
    KeyframeGate,
    /// A packet from before the subscription began.
    BeforeStart,
    /// No send train was free.
    PoolDry,
    /// A retransmission beyond the viewer's budget.
    RtxBudget,
    /// A retransmission of a packet no longer (or not yet) held.
    RtxMissing,
    /// The socket's send buffer was full.
    SendFull,
    /// The socket refused for another reason.
    SendFailed,
    /// The receive ring ran out of buffers.
    ReceiveExhausted,
    /// The socket's receive queue was full.
    ReceiveFull,
    /// Mail for a core whose mailbox was full for too long.
    MailboxFull,
    /// A publisher's packet with nobody to forward it to.
    NoSubscriber,
    /// What waited for an RTMP player that reads slowly, each time as a whole.
    PlayerSlow,
    /// Sound that was not converted in time.
    TranscoderBehind,
    /// A packet pushed out of its window by so many others that came in the
    /// same turn.
    Overrun,
    /// A datagram of a handshake, beyond those that may wait for their turn.
    HandshakesWaiting,
}

impl Drop {
    pub const ALL: [Drop; 25] = [
        Drop::UnknownSource,
        Drop::Malformed,
        Drop::StunUnauthenticated,
        Drop::DtlsUnvalidated,
        Drop::DtlsUnexpected,
        Drop::NoKeys,
        Drop::SrtpAuth,
        Drop::SrtpReplay,
        Drop::UnknownStream,
        Drop::Duplicate,
        Drop::KeyframeGate,
        Drop::BeforeStart,
        Drop::PoolDry,
        Drop::RtxBudget,
        Drop::RtxMissing,
        Drop::SendFull,
        Drop::SendFailed,
        Drop::ReceiveExhausted,
        Drop::ReceiveFull,
        Drop::MailboxFull,
        Drop::NoSubscriber,
        Drop::PlayerSlow,
        Drop::TranscoderBehind,
        Drop::Overrun,
        Drop::HandshakesWaiting,
    ];

    /// The `reason` label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Drop::UnknownSource => "unknown_source",
            Drop::Malformed => "malformed",
            Drop::StunUnauthenticated => "stun_unauthenticated",
            Drop::DtlsUnvalidated => "dtls_unvalidated",
            Drop::DtlsUnexpected => "dtls_unexpected",
            Drop::NoKeys => "no_keys",
            Drop::SrtpAuth => "srtp_auth",
            Drop::SrtpReplay => "srtp_replay",
            Drop::UnknownStream => "unknown_stream",
            Drop::Duplicate => "duplicate",
            Drop::KeyframeGate => "keyframe_gate",
            Drop::BeforeStart => "before_start",
            Drop::PoolDry => "pool_dry",
            Drop::RtxBudget => "rtx_budget",
            Drop::RtxMissing => "rtx_missing",
            Drop::SendFull => "send_full",
            Drop::SendFailed => "send_failed",
            Drop::ReceiveExhausted => "receive_exhausted",
            Drop::ReceiveFull => "receive_full",
            Drop::MailboxFull => "mailbox_full",
            Drop::NoSubscriber => "no_subscriber",
            Drop::PlayerSlow => "player_slow",
            Drop::TranscoderBehind => "transcoder_behind",
            Drop::Overrun => "overrun",
            Drop::HandshakesWaiting => "handshakes_waiting",
        }
    }
}

impl Counters {
    pub fn drop(&mut self, reason: Drop) {
        self.drop_many(reason, 1);
    }

    pub fn drop_many(&mut self, reason: Drop, count: u64) {
        if let Some(counter) = self.drops.get_mut(reason as usize) {
            *counter += count;
        }
    }

    /// For a reason that is counted elsewhere: `count` so far.
    pub fn set_dropped(&mut self, reason: Drop, count: u64) {
        if let Some(counter) = self.drops.get_mut(reason as usize) {
            *counter = count;
        }
    }

    pub fn dropped(&self, reason: Drop) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or(0)
    }
}

/// What a core holds right now.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    pub connections: u64,
    pub sessions: u64,
    pub rooms: u64,
    pub participants: u64,
    pub publications: u64,
    /// Of publications of other cores.
    pub replicas: u64,
    pub subscriptions: u64,
    pub transports: u64,
    pub timers: u64,
    pub trains_free: u64,
    pub mail_backlog: u64,
    /// Media sockets connected to one peer each.
    pub connected_sockets: u64,
    /// Streams published and played over RTMP.
    pub rtmp_publishers: u64,
    pub rtmp_players: u64,
    /// Streams of sound being converted.
    pub transcoders: u64,
    /// Recordings going on, and those whose files are not whole yet.
    pub recordings: u64,
}

/// Counts by size. Bucket `i` holds values up to [`Histogram::bound`] of `i` and
/// above the one before: powers of two, and four steps for each doubling from
/// 256 to 8,192, where a share of a few thousand microseconds is to be told from
/// a little more. The last bucket holds all others.
#[derive(Clone, Debug)]
pub struct Histogram {
    pub buckets: [u64; Histogram::BUCKETS],
    pub sum: u64,
    pub count: u64,
}

/// Values above 2 to this power, and up to 2 to [`FINE_END`], are counted finely.
const FINE_BEGIN: u32 = 8;
const FINE_END: u32 = 13;
/// Of four steps for each doubling.
const STEP_BITS: u32 = 2;
/// Buckets that the fine range has beside one for each of its doublings.
const EXTRA: usize = ((FINE_END - FINE_BEGIN) as usize) * ((1 << STEP_BITS) - 1);

impl Histogram {
    /// 24 doublings: in microseconds up to 4 seconds.
    pub const BUCKETS: usize = 24 + EXTRA;

    pub fn record(&mut self, value: u64) {
        self.record_many(value, 1);
    }

    pub fn record_many(&mut self, value: u64, times: u64) {
        if let Some(bucket) = self.buckets.get_mut(bucket_of(value)) {
            *bucket += times;
        }
        self.sum = self.sum.saturating_add(value.saturating_mul(times));
        self.count += times;
    }

    /// The largest value of a bucket; `None` of the last, which has none.
    pub fn bound(bucket: usize) -> Option<u64> {
        let fine = FINE_BEGIN as usize + 1..FINE_END as usize + 1 + EXTRA;
        if bucket + 1 >= Self::BUCKETS {
            return None;
        }
        if bucket < fine.start {
            return Some(1 << bucket);
        }
        if bucket >= fine.end {
            return Some(1 << (bucket - EXTRA));
        }
        let steps = 1 << STEP_BITS;
        let (octave, step) = ((bucket - fine.start) / steps, (bucket - fine.start) % steps);
        let step_size = 1_u64 << (FINE_BEGIN - STEP_BITS + octave as u32);
        Some((steps + step + 1) as u64 * step_size)
    }
}

/// Where a value is counted, from its leading bits.
fn bucket_of(value: u64) -> usize {
    if value <= 1 {
        return 0;
    }
    // Bounds belong to the bucket below them.
    let below = value - 1;
    let octave = below.ilog2();
    let bucket = match octave {
        ..FINE_BEGIN => octave as usize + 1,
        FINE_END.. => octave as usize + 1 + EXTRA,
        _ => {
            let step = (below >> (octave - STEP_BITS)) as usize & ((1 << STEP_BITS) - 1);
            let doublings = (octave - FINE_BEGIN) as usize;
            FINE_BEGIN as usize + 1 + (doublings << STEP_BITS) + step
        }
    };
    bucket.min(Histogram::BUCKETS - 1)
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            buckets: [0; Histogram::BUCKETS],
            sum: 0,
            count: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_drop_has_its_own_place_and_label() {
        let mut labels: Vec<_> = Drop::ALL.iter().map(|reason| reason.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Drop::ALL.len());
        for (place, reason) in Drop::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
    }

    #[test]
    fn histogram_buckets_are_upper_bounds() {
        let mut histogram = Histogram::default();
        for value in [0, 1, 2, 3, 4, 5, u64::MAX] {
            histogram.record(value);
        }
        assert_eq!(histogram.buckets[..4], [2, 1, 2, 1]);
        assert_eq!(histogram.buckets[Histogram::BUCKETS - 1], 1);
        assert_eq!(histogram.count, 7);
    }

    #[test]
    fn a_value_falls_into_the_first_bucket_whose_bound_is_not_below_it() {
        let bounds: Vec<u64> = (0..).map_while(Histogram::bound).collect();
        assert_eq!(bounds.len(), Histogram::BUCKETS - 1);
        assert!(
            bounds.windows(2).all(|pair| pair[0] < pair[1]),
            "{bounds:?}"
        );
        let around = |value: &u64| [value - 1, *value, value + 1];
        let large = bounds.iter().flat_map(around).chain([u64::MAX]);
        for value in (0..20_000).chain(large) {
            let due = bounds.iter().position(|bound| *bound >= value);
            assert_eq!(bucket_of(value), due.unwrap_or(bounds.len()), "{value}");
        }
    }

    #[test]
    fn a_quarter_to_eight_milliseconds_have_four_steps_for_each_doubling() {
        let bounds: Vec<u64> = (0..).map_while(Histogram::bound).collect();
        let between = |low: u64, high: u64| {
            bounds
                .iter()
                .filter(|b| (low + 1..=high).contains(*b))
                .count()
        };
        for power in FINE_BEGIN..FINE_END {
            assert_eq!(between(1 << power, 2 << power), 4, "{power}");
        }
        assert_eq!(between(128, 256), 1);
        assert_eq!(between(8_192, 16_384), 1);
        assert!(bounds.contains(&1_792) && bounds.contains(&2_048));
    }
}
