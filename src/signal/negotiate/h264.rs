//! The choice among a client's H.264 payload types, which differ in profile
//! and packetization mode only (RFC 6184 section 8).

use super::Note;
use super::tracks::{Choice, named};
use crate::wire::codec::{Codec, H264Profile, LEVEL_31, ProfileLevelId, VideoCodec};
use crate::wire::sdp::{Format, OfferedMedia};

/// One H.264 payload type that can be used at all.
pub(super) struct Candidate<'o> {
    format: &'o Format,
    /// `packetization-mode` was written.
    mode_given: bool,
    /// None: not written.
    profile: Option<ProfileLevelId>,
}

/// The payload types in packetization mode 1 (RFC 6184 section 6.3), in the
/// offer's order. A missing mode means 0, but is kept as a last resort: a
/// client whose script lost the parameters still has mode 1 in mind.
pub(super) fn candidates(section: &OfferedMedia) -> impl Iterator<Item = Candidate<'_>> {
    named(section, Codec::Video(VideoCodec::H264)).filter_map(|format| {
        let mode = format.parameter("packetization-mode");
        let profile = match format.parameter("profile-level-id") {
            Some(text) => Some(ProfileLevelId::parse(text)?),
            None => None,
        };
        let usable = matches!(mode, None | Some("1"))
            && profile.is_none_or(|id| id.profile() != H264Profile::Other);
        usable.then_some(Candidate {
            format,
            mode_given: mode.is_some(),
            profile,
        })
    })
}

/// From a publisher: the profile most viewers can show. The answer repeats
/// the profile, which must be symmetric, and sets the level to 3.1, which need
/// not be when the offer allows asymmetry (RFC 6184 section 8.2.2); otherwise
/// to the lower of the two.
pub(super) fn to_receive(section: &OfferedMedia) -> Option<Choice<'_>> {
    let rank = |c: &Candidate<'_>| {
        let profile = c.profile.map(ProfileLevelId::profile);
        (
            !c.mode_given,
            profile.unwrap_or(H264Profile::ConstrainedBaseline),
        )
    };
    let best = candidates(section).min_by_key(rank)?;
    let asymmetric = best.format.parameter("level-asymmetry-allowed") == Some("1");
    let profile = match best.profile {
        None => ProfileLevelId::CONSTRAINED_BASELINE_31,
        Some(id) if asymmetric => id.at_level(LEVEL_31),
        Some(id) => id.at_level(id.level_idc.min(LEVEL_31)),
    };
    Some(Choice {
        profile: Some(profile),
        notes: notes(&best),
        format: best.format,
    })
}

/// To a viewer: its payload type for the publisher's profile, else one that
/// includes it, else any. Its own `profile-level-id` is repeated, or the
/// publisher's if it wrote none.
pub(super) fn to_send(
    section: &OfferedMedia,
    published: Option<ProfileLevelId>,
) -> Option<Choice<'_>> {
    let stream = published.unwrap_or(ProfileLevelId::CONSTRAINED_BASELINE_31);
    let fit = |c: &Candidate<'_>| match c.profile.map(ProfileLevelId::profile) {
        Some(declared) if declared == stream.profile() => 0,
        Some(declared) if includes(declared, stream.profile()) => 1,
        None => 1,
        Some(_) => 2,
    };
    let best = candidates(section).min_by_key(|c| (!c.mode_given, fit(c)))?;
    let mut said = notes(&best);
    if fit(&best) == 2 {
        let payload_type = best.format.payload_type;
        said.push(Note::ProfileUndeclared { payload_type });
    }
    Some(Choice {
        profile: Some(best.profile.unwrap_or(stream)),
        notes: said,
        format: best.format,
    })
}

fn notes(candidate: &Candidate<'_>) -> Vec<Note> {
    let payload_type = candidate.format.payload_type;
    let mode = Note::PacketizationModeAssumed { payload_type };
    let profile = Note::ProfileAssumed { payload_type };
    let mode = (!candidate.mode_given).then_some(mode);
    let profile = candidate.profile.is_none().then_some(profile);
    mode.into_iter().chain(profile).collect()
}

/// Whether decoders of `decoder` show streams of `stream` (ITU-T H.264 annex
/// A.2). Plain Baseline counts as its constrained part: nobody sends the rest.
fn includes(decoder: H264Profile, stream: H264Profile) -> bool {
    use H264Profile::{Baseline, ConstrainedBaseline, ConstrainedHigh, High, Main};
    match decoder {
        ConstrainedBaseline | Baseline => matches!(stream, ConstrainedBaseline | Baseline),
        Main => matches!(stream, ConstrainedBaseline | Baseline | Main),
        ConstrainedHigh => matches!(stream, ConstrainedBaseline | Baseline | ConstrainedHigh),
        High => stream != H264Profile::Other,
        H264Profile::Other => false,
    }
}
