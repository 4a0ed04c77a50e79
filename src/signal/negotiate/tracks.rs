//! The choice of section, codec and payload type for each kind of media.

use super::{
    AUDIO_CODECS, ExtensionIds, NegotiatedTrack, NegotiationError, Note, PublishPolicy,
    PublishedTracks, Role, h264,
};
use crate::wire::codec::{AudioCodec, Codec, ProfileLevelId, VideoCodec};
use crate::wire::sdp::{
    Direction, ExtensionName, Feedback, Format, MediaKind, OfferedMedia, SessionOffer,
};

/// Every video codec that can be forwarded.
pub(super) const VIDEO_CODECS: [VideoCodec; 2] = [VideoCodec::H264, VideoCodec::Vp8];

/// What the server looks for in an offer.
pub(super) enum Wanted<'a> {
    Policy(&'a PublishPolicy<'a>),
    Published(&'a PublishedTracks),
}

impl Wanted<'_> {
    /// The codecs to try for `kind`, best first.
    fn codecs(&self, kind: MediaKind) -> Vec<Codec> {
        let (audio, video): (Vec<AudioCodec>, Vec<VideoCodec>) = match self {
            Wanted::Policy(policy) => (policy.audio_codecs.to_vec(), policy.video_codecs.to_vec()),
            Wanted::Published(tracks) => (
                tracks.audio.into_iter().collect(),
                tracks.video.iter().map(|video| video.codec).collect(),
            ),
        };
        match kind {
            MediaKind::Audio => audio.into_iter().map(Codec::Audio).collect(),
            MediaKind::Video => video.into_iter().map(Codec::Video).collect(),
            MediaKind::Other => Vec::new(),
        }
    }
}

/// A format fit for a codec.
pub(super) struct Choice<'o> {
    pub format: &'o Format,
    pub profile: Option<ProfileLevelId>,
    pub notes: Vec<Note>,
}

/// The section and track for `kind`: the best codec first, and for a codec
/// the first section that has it.
pub(super) fn choose(
    offer: &SessionOffer,
    role: Role,
    kind: MediaKind,
    wanted: &Wanted<'_>,
    notes: &mut Vec<Note>,
) -> Option<(usize, NegotiatedTrack)> {
    for codec in wanted.codecs(kind) {
        for (index, section) in offer.media.iter().enumerate() {
            if !serves(section, role, kind) {
                continue;
            }
            if let Some(choice) = format_for(section, codec, wanted) {
                let track = track(section, role, codec, &choice);
                notes.extend(choice.notes);
                return Some((index, track));
            }
        }
    }
    None
}

/// Whether the offer has a section for `kind` and the server a codec for it:
/// if [`choose`] found none, that was for want of a common codec.
pub(super) fn is_wanted(
    offer: &SessionOffer,
    role: Role,
    kind: MediaKind,
    wanted: &Wanted<'_>,
) -> bool {
    let offered = offer.media.iter().any(|m| serves(m, role, kind));
    offered && !wanted.codecs(kind).is_empty()
}

pub(super) fn any_section(offer: &SessionOffer, role: Role) -> bool {
    let serves = |m| serves(m, role, MediaKind::Audio) || serves(m, role, MediaKind::Video);
    offer.media.iter().any(serves)
}

fn serves(section: &OfferedMedia, role: Role, kind: MediaKind) -> bool {
    section.line.kind == kind && is_enabled(section) && role.fits(section.direction)
}

/// Port zero refuses a section already in the offer, unless it only says that
/// the bundle's port is meant (RFC 9143 section 6).
fn is_enabled(section: &OfferedMedia) -> bool {
    section.line.port != 0 || section.bundle_only
}

/// A codec for a section that carries nothing but must not be refused, with a
/// payload type no accepted track uses.
pub(super) fn idle(
    offer: &SessionOffer,
    index: usize,
    chosen: &[(usize, NegotiatedTrack)],
) -> Option<NegotiatedTrack> {
    let section = offer.media.get(index)?;
    let policy = PublishPolicy {
        video_codecs: &VIDEO_CODECS,
        audio_codecs: &AUDIO_CODECS,
        max_bitrate_kbps: None,
    };
    let wanted = Wanted::Policy(&policy);
    let codecs = wanted.codecs(section.line.kind);
    let mut choices = codecs
        .into_iter()
        .filter(|_| is_enabled(section))
        .filter_map(|codec| Some((codec, format_for(section, codec, &wanted)?)));
    choices.find_map(|(codec, choice)| {
        let payload_type = choice.format.payload_type;
        let taken = |(_, track): &(usize, NegotiatedTrack)| {
            track.payload_type == payload_type || track.rtx_payload_type == Some(payload_type)
        };
        (!chosen.iter().any(taken)).then(|| NegotiatedTrack {
            rtx_payload_type: None,
            feedback: Feedback::default(),
            extensions: ExtensionIds::default(),
            ..track(section, Role::Play, codec, &choice)
        })
    })
}

/// The video codecs an offer lists anywhere.
pub(super) fn video_codecs(offer: &SessionOffer) -> Vec<VideoCodec> {
    let has = |codec: &VideoCodec| match codec {
        VideoCodec::H264 => offer.media.iter().any(has_h264),
        VideoCodec::Vp8 => lists(offer, Codec::Video(VideoCodec::Vp8)),
    };
    VIDEO_CODECS.into_iter().filter(has).collect()
}

/// The audio codecs an offer lists anywhere.
pub(super) fn audio_codecs(offer: &SessionOffer) -> Vec<AudioCodec> {
    let has = |codec: &AudioCodec| lists(offer, Codec::Audio(*codec));
    AUDIO_CODECS.into_iter().filter(has).collect()
}

fn lists(offer: &SessionOffer, codec: Codec) -> bool {
    offer.media.iter().any(|m| named(m, codec).next().is_some())
}

fn has_h264(section: &OfferedMedia) -> bool {
    h264::candidates(section).next().is_some()
}

/// The formats of `section` that are `codec` by name.
pub(super) fn named(section: &OfferedMedia, codec: Codec) -> impl Iterator<Item = &Format> {
    let kind = match codec {
        Codec::Audio(_) => MediaKind::Audio,
        Codec::Video(_) => MediaKind::Video,
    };
    let right_kind = section.line.kind == kind;
    section
        .formats
        .iter()
        .filter(move |format| right_kind && format.is(codec.name(), codec.clock_rate()))
        .filter(move |format| match codec {
            // Mono G.711 only; `opus/48000/2` is how every Opus is written,
            // and a lost "/2" changes nothing.
            Codec::Audio(AudioCodec::Opus) | Codec::Video(_) => true,
            Codec::Audio(_) => format.channels.is_none_or(|n| n == 1),
        })
}

fn format_for<'o>(
    section: &'o OfferedMedia,
    codec: Codec,
    wanted: &Wanted<'_>,
) -> Option<Choice<'o>> {
    match (codec, wanted) {
        (Codec::Video(VideoCodec::H264), Wanted::Policy(_)) => h264::to_receive(section),
        (Codec::Video(VideoCodec::H264), Wanted::Published(tracks)) => {
            h264::to_send(section, tracks.video.and_then(|video| video.profile))
        }
        _ => named(section, codec).next().map(|format| Choice {
            format,
            profile: None,
            notes: Vec::new(),
        }),
    }
}

fn track(section: &OfferedMedia, role: Role, codec: Codec, choice: &Choice<'_>) -> NegotiatedTrack {
    let payload_type = choice.format.payload_type;
    let (remote_ssrc, remote_rtx_ssrc) = match role {
        Role::Publish => remote_ssrcs(section),
        Role::Play => (None, None),
    };
    let rtx_payload_type = match codec {
        Codec::Video(_) => rtx_of(section, payload_type, codec.clock_rate()),
        Codec::Audio(_) => None,
    };
    NegotiatedTrack {
        codec,
        payload_type,
        rtx_payload_type,
        clock_rate: codec.clock_rate(),
        fmtp: fmtp(codec, choice.profile),
        profile: choice.profile,
        feedback: feedback(choice.format.feedback, role, codec),
        extensions: extensions(section, role, codec),
        remote_ssrc,
        remote_rtx_ssrc: remote_rtx_ssrc.filter(|_| rtx_payload_type.is_some()),
    }
}

/// The `rtx` payload type whose `apt` is the chosen one (RFC 4588 section
/// 8.1). One that points elsewhere, at a removed codec, is not ours.
fn rtx_of(section: &OfferedMedia, payload_type: u8, clock_rate: u32) -> Option<u8> {
    let rtx = |format: &&Format| format.is("rtx", clock_rate) && format.apt() == Some(payload_type);
    section.formats.iter().find(rtx).map(|f| f.payload_type)
}

/// Media and retransmission SSRC of the first layer: the first FID group, or
/// the first SSRC named.
fn remote_ssrcs(section: &OfferedMedia) -> (Option<u32>, Option<u32>) {
    match section.fid_groups.first() {
        Some((media, rtx)) if media != rtx => (Some(*media), Some(*rtx)),
        _ => (section.sources.first().map(|source| source.ssrc), None),
    }
}

fn fmtp(codec: Codec, profile: Option<ProfileLevelId>) -> String {
    match (codec, profile) {
        // RFC 7587 section 7: in-band FEC, packets of 10 ms or more.
        (Codec::Audio(AudioCodec::Opus), _) => "minptime=10;useinbandfec=1".to_owned(),
        (Codec::Video(VideoCodec::H264), Some(id)) => {
            format!("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={id}")
        }
        _ => String::new(),
    }
}

/// Offered and ours. Towards viewers neither bandwidth estimate is run, and
/// audio is not repaired: a resend comes too late to be heard.
fn feedback(offered: Feedback, role: Role, codec: Codec) -> Feedback {
    let video = matches!(codec, Codec::Video(_));
    let publish = role == Role::Publish;
    Feedback {
        nack: offered.nack && (video || publish),
        pli: offered.pli && video,
        fir: offered.fir && video,
        remb: offered.remb && publish,
        transport_cc: offered.transport_cc && publish,
    }
}

/// The ids offered both ways in the one-byte range 1..=14 (RFC 8285 section
/// 4.2). Send time and transport-wide numbers are not answered to viewers:
/// nobody would read their feedback.
fn extensions(section: &OfferedMedia, role: Role, codec: Codec) -> ExtensionIds {
    let audio = matches!(codec, Codec::Audio(_));
    let mut ids = ExtensionIds::default();
    let mut taken = [false; 15];
    for extension in &section.extensions {
        let both_ways = extension.direction == Direction::SendRecv;
        let slot = match extension.name {
            ExtensionName::Mid => &mut ids.mid,
            ExtensionName::AudioLevel if audio => &mut ids.audio_level,
            ExtensionName::Orientation if !audio => &mut ids.orientation,
            ExtensionName::AbsSendTime if role == Role::Publish => &mut ids.abs_send_time,
            ExtensionName::TransportCc if role == Role::Publish => &mut ids.transport_cc,
            _ => continue,
        };
        match taken.get_mut(usize::from(extension.id)) {
            Some(taken) if both_ways && slot.is_none() && !*taken && extension.id != 0 => {
                *taken = true;
                *slot = Some(extension.id);
            }
            _ => {}
        }
    }
    ids
}

/// In one bundle a payload type names one codec, or packets could not be told
/// apart before their section is known (RFC 9143 section 9.1).
pub(super) fn check_payload_types(
    chosen: &[(usize, NegotiatedTrack)],
) -> Result<(), NegotiationError> {
    let mut seen = [false; 128];
    for (_, track) in chosen {
        for payload_type in [Some(track.payload_type), track.rtx_payload_type] {
            let Some(payload_type) = payload_type else {
                continue;
            };
            match seen.get_mut(usize::from(payload_type)) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(NegotiationError::PayloadTypeClash),
            }
        }
    }
    Ok(())
}

/// In one bundle an extension id means one thing (RFC 8285 section 5): where
/// a later track gives an id another meaning, it does without.
pub(super) fn drop_extension_clashes(chosen: &mut [(usize, NegotiatedTrack)]) {
    let Some(((_, first), rest)) = chosen.split_first_mut() else {
        return;
    };
    let taken = first.extensions.named();
    for (_, track) in rest {
        let mut ids = track.extensions;
        for (name, id) in track.extensions.named() {
            let clash = |(other, taken): &(ExtensionName, Option<u8>)| {
                *other != name && id.is_some() && *taken == id
            };
            if taken.iter().any(clash) {
                ids.forget(name);
            }
        }
        track.extensions = ids;
    }
}

impl ExtensionIds {
    /// Every known extension with its id, in the order answers write them.
    pub fn named(&self) -> [(ExtensionName, Option<u8>); 5] {
        [
            (ExtensionName::AudioLevel, self.audio_level),
            (ExtensionName::AbsSendTime, self.abs_send_time),
            (ExtensionName::TransportCc, self.transport_cc),
            (ExtensionName::Mid, self.mid),
            (ExtensionName::Orientation, self.orientation),
        ]
    }

    fn forget(&mut self, name: ExtensionName) {
        match name {
            ExtensionName::AudioLevel => self.audio_level = None,
            ExtensionName::AbsSendTime => self.abs_send_time = None,
            ExtensionName::TransportCc => self.transport_cc = None,
            ExtensionName::Mid => self.mid = None,
            ExtensionName::Orientation => self.orientation = None,
            ExtensionName::RepairedRtpStreamId
            | ExtensionName::RtpStreamId
            | ExtensionName::Other => {}
        }
    }
}
