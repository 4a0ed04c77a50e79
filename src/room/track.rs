//! What was negotiated for one track of a peer connection, as the forwarding
//! needs it.

use crate::wire::codec::Codec;

/// The two tracks a stream can have; the index of arrays by track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Audio,
    Video,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Audio, Kind::Video];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Audio => "audio",
            Kind::Video => "video",
        }
    }
}

/// One negotiated track.
#[derive(Clone, Debug)]
pub struct TrackSpec {
    pub codec: Codec,
    pub payload_type: u8,
    pub rtx_payload_type: Option<u8>,
    pub clock_rate: u32,
    /// The mid of its m-line, which its packets may carry.
    pub mid: Option<String>,
    /// The SSRCs the offer announced, if it did.
    pub ssrc: Option<u32>,
    pub rtx_ssrc: Option<u32>,
    pub mid_id: Option<u8>,
    pub audio_level_id: Option<u8>,
    pub orientation_id: Option<u8>,
    pub transport_cc_id: Option<u8>,
    /// The peer answers retransmission requests.
    pub nack: bool,
    /// It makes key frames on PLI, or at least on FIR.
    pub pli: bool,
    pub fir: bool,
    pub remb: bool,
}

impl TrackSpec {
    /// A track that nobody negotiated: its payload type is never sent.
    pub fn local(codec: Codec) -> Self {
        TrackSpec {
            codec,
            payload_type: 0,
            rtx_payload_type: None,
            clock_rate: codec.clock_rate(),
            mid: None,
            ssrc: None,
            rtx_ssrc: None,
            mid_id: None,
            audio_level_id: None,
            orientation_id: None,
            transport_cc_id: None,
            nack: false,
            pli: false,
            fir: false,
            remb: false,
        }
    }

    /// Whether the peer makes a key frame when asked.
    pub fn makes_keyframes(&self) -> bool {
        self.pli || self.fir
    }
}
