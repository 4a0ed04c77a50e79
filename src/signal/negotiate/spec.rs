//! From what was negotiated to what the forwarding needs to know.

use super::{Negotiated, NegotiatedTrack};
use crate::room::track::{Kind, TrackSpec};
use crate::wire::sdp::MediaKind;

impl Negotiated {
    /// The accepted track of `kind`, as rooms take it.
    pub fn track_spec(&self, kind: Kind) -> Option<TrackSpec> {
        let wanted = match kind {
            Kind::Audio => MediaKind::Audio,
            Kind::Video => MediaKind::Video,
        };
        self.media
            .iter()
            .filter(|media| media.line.kind == wanted)
            .find_map(|media| {
                let track = media.accepted.as_ref()?;
                Some(spec(track, media.mid.clone()))
            })
    }
}

fn spec(track: &NegotiatedTrack, mid: Option<String>) -> TrackSpec {
    TrackSpec {
        codec: track.codec,
        payload_type: track.payload_type,
        rtx_payload_type: track.rtx_payload_type,
        clock_rate: track.clock_rate,
        mid,
        ssrc: track.remote_ssrc,
        rtx_ssrc: track.remote_rtx_ssrc,
        mid_id: track.extensions.mid,
        audio_level_id: track.extensions.audio_level,
        orientation_id: track.extensions.orientation,
        transport_cc_id: track.extensions.transport_cc,
        nack: track.feedback.nack,
        pli: track.feedback.pli,
        fir: track.feedback.fir,
        remb: track.feedback.remb,
    }
}
