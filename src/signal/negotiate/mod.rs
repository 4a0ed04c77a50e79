//! Offer and answer (RFC 3264, RFC 8829 section 5.3): which tracks of a
//! client's offer this server takes part in, with which codec, and the text of
//! the one answer it sends. Pure: policy in, decision out.
//!
//! The client always offers, once per peer connection; there is no
//! renegotiation. The server is ICE-lite, so it needs a client that does full
//! ICE; one that does not is refused with the reason. It is the DTLS server,
//! unless the client insists on being that itself (`a=setup:passive`).
//!
//! At most one audio and one video section are accepted. All others are
//! answered with port zero, except that the first section of the bundle is
//! kept as inactive where it can be.

mod answer;
mod h264;
mod restart;
mod spec;
mod tracks;
mod verdict;

pub use answer::{LocalDescription, LocalSender, LocalSenders, render_answer};
pub use restart::render_restart;
pub use verdict::{NegotiationError, Note};

use crate::wire::codec::{AudioCodec, Codec, ProfileLevelId, VideoCodec};
use crate::wire::sdp::{
    Direction, Feedback, HashFunction, IceCredentials, MediaKind, MediaLine, OfferedMedia,
    SessionOffer, Setup,
};

use tracks::Wanted;

/// What a publisher may send.
#[derive(Debug, Clone, Copy)]
pub struct PublishPolicy<'a> {
    /// In order of preference; the first that the publisher offers is taken.
    pub video_codecs: &'a [VideoCodec],
    /// In order of preference; the first that the publisher offers is taken.
    pub audio_codecs: &'a [AudioCodec],
    /// Ceiling of the video written into the answer; none: no ceiling.
    pub max_bitrate_kbps: Option<u32>,
}

/// Audio codecs in the order tried when nothing else is configured.
pub const AUDIO_CODECS: [AudioCodec; 3] = [AudioCodec::Opus, AudioCodec::Pcmu, AudioCodec::Pcma];

/// What a stream carries, as its publisher's answer settled it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishedTracks {
    pub audio: Option<AudioCodec>,
    pub video: Option<PublishedVideo>,
}

/// The video of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedVideo {
    pub codec: VideoCodec,
    /// The H.264 profile negotiated with the publisher, if known.
    pub profile: Option<ProfileLevelId>,
}

/// The codecs the author of an offer can handle. Senders of an offer decode
/// what they encode, so any offer of a member will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receivable {
    pub video: Vec<VideoCodec>,
    pub audio: Vec<AudioCodec>,
}

impl Receivable {
    /// A member whose offers are not known yet: everything.
    pub fn all() -> Receivable {
        Receivable {
            video: tracks::VIDEO_CODECS.to_vec(),
            audio: AUDIO_CODECS.to_vec(),
        }
    }

    /// What `offer` lists, whatever the direction of its sections.
    pub fn from_offer(offer: &SessionOffer) -> Receivable {
        Receivable {
            video: tracks::video_codecs(offer),
            audio: tracks::audio_codecs(offer),
        }
    }
}

/// `order` with the codecs every member can receive first, each part in its
/// old order. The rest stays at the end: a publisher that offers nothing
/// better is still worth hearing for those who can.
pub fn prefer_common<'a, M>(order: &[VideoCodec], members: M) -> Vec<VideoCodec>
where
    M: Iterator<Item = &'a Receivable> + Clone,
{
    let common = |codec: &VideoCodec| members.clone().all(|member| member.video.contains(codec));
    let (mut first, rest): (Vec<_>, Vec<_>) = order.iter().copied().partition(common);
    first.extend(rest);
    first
}

/// What was agreed with a client; the answer is rendered from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// What the client does: publish or play.
    pub role: Role,
    /// One entry per `m=` line of the offer, in its order.
    pub media: Vec<NegotiatedMedia>,
    /// The mids that live on, in the order of the offered group, if there was
    /// one.
    pub bundle: Option<Vec<String>>,
    /// The client's credentials; its checks carry this fragment.
    pub ice: IceCredentials,
    /// SHA-256 of the certificates the client may present: any one matches
    /// (RFC 8122 section 5). Never empty.
    pub fingerprints: Vec<[u8; 32]>,
    /// `Active` or `Actpass`: the client opens the handshake either way.
    /// `Passive`: the server does.
    pub setup: Setup,
    /// Ceiling of a publisher's video.
    pub max_bitrate_kbps: Option<u32>,
    /// What was assumed or left out, for the log.
    pub notes: Vec<Note>,
}

impl Negotiated {
    pub fn audio(&self) -> Option<&NegotiatedTrack> {
        self.track(MediaKind::Audio)
    }

    pub fn video(&self) -> Option<&NegotiatedTrack> {
        self.track(MediaKind::Video)
    }

    fn track(&self, kind: MediaKind) -> Option<&NegotiatedTrack> {
        self.media
            .iter()
            .find(|media| media.line.kind == kind && media.accepted.is_some())
            .and_then(|media| media.accepted.as_ref())
    }

    /// Has the publisher turn its pictures upright itself: files cannot say that
    /// a picture is to be turned from some moment on.
    pub fn turn_upright(&mut self) {
        for track in self
            .media
            .iter_mut()
            .filter_map(|media| media.accepted.as_mut())
        {
            track.extensions.orientation = None;
        }
    }

    /// What viewers of this publication are to be offered.
    pub fn published(&self) -> PublishedTracks {
        PublishedTracks {
            audio: self.audio().and_then(|track| match track.codec {
                Codec::Audio(codec) => Some(codec),
                Codec::Video(_) => None,
            }),
            video: self.video().and_then(|track| match track.codec {
                Codec::Audio(_) => None,
                Codec::Video(codec) => Some(PublishedVideo {
                    codec,
                    profile: track.profile,
                }),
            }),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Play,
    Publish,
}

impl Role {
    /// Whether a section of this direction serves the role.
    fn fits(self, direction: Direction) -> bool {
        match self {
            Role::Play => direction.receives(),
            Role::Publish => direction.sends(),
        }
    }
}

/// One `m=` line of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedMedia {
    pub mid: Option<String>,
    /// The offered line; the answer repeats media and protocol.
    pub line: MediaLine,
    pub rtcp_rsize: bool,
    /// `a=rtcp-xr:rcvr-rtt=all` is answered: the client may ask for round-trip
    /// time with RTCP XR (RFC 3611 sections 4.4 and 4.5).
    pub rcvr_rtt: bool,
    /// None: answered with port zero, or idle.
    pub accepted: Option<NegotiatedTrack>,
    /// Answered `inactive` with this codec: nothing is to be sent, but the
    /// bundle's first section must live on, or browsers with
    /// `bundlePolicy: "max-bundle"` refuse the whole answer.
    pub idle: Option<NegotiatedTrack>,
}

impl NegotiatedMedia {
    /// Whether the section takes part in the transport.
    fn is_live(&self) -> bool {
        self.accepted.is_some() || self.idle.is_some()
    }
}

/// An accepted track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiatedTrack {
    pub codec: Codec,
    /// The client's number for the codec, both ways.
    pub payload_type: u8,
    pub rtx_payload_type: Option<u8>,
    /// Hz.
    pub clock_rate: u32,
    /// The `a=fmtp` parameters answered; empty: no such line.
    pub fmtp: String,
    /// H.264 only: the profile answered.
    pub profile: Option<ProfileLevelId>,
    /// What was offered and is answered.
    pub feedback: Feedback,
    pub extensions: ExtensionIds,
    /// A publisher's media SSRC, if its offer named it; without, the first
    /// packet of the section's mid or payload type tells.
    pub remote_ssrc: Option<u32>,
    pub remote_rtx_ssrc: Option<u32>,
}

/// The ids, 1..=14, of the header extensions in use: always the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtensionIds {
    pub mid: Option<u8>,
    pub audio_level: Option<u8>,
    pub abs_send_time: Option<u8>,
    pub transport_cc: Option<u8>,
    pub orientation: Option<u8>,
}

/// Answers a publisher: every track it sends in a codec of the policy.
pub fn negotiate_publish(
    offer: &SessionOffer,
    policy: &PublishPolicy<'_>,
) -> Result<Negotiated, NegotiationError> {
    let mut negotiated = negotiate(offer, Role::Publish, &Wanted::Policy(policy))?;
    negotiated.max_bitrate_kbps = policy.max_bitrate_kbps;
    Ok(negotiated)
}

/// Answers a viewer: the publisher's codecs under the viewer's numbers. A
/// viewer may ask for audio or video alone. Video that is asked for and sent
/// must be receivable; audio may be left out when there is video.
pub fn negotiate_play(
    offer: &SessionOffer,
    published: &PublishedTracks,
) -> Result<Negotiated, NegotiationError> {
    negotiate(offer, Role::Play, &Wanted::Published(published))
}

fn negotiate(
    offer: &SessionOffer,
    role: Role,
    wanted: &Wanted<'_>,
) -> Result<Negotiated, NegotiationError> {
    if offer.ice_lite {
        return Err(NegotiationError::PeerMustBeFullIce);
    }
    let mut notes = Vec::new();
    let video = tracks::choose(offer, role, MediaKind::Video, wanted, &mut notes);
    let audio = tracks::choose(offer, role, MediaKind::Audio, wanted, &mut notes);
    let video_missed = video.is_none() && tracks::is_wanted(offer, role, MediaKind::Video, wanted);
    let audio_missed = audio.is_none() && tracks::is_wanted(offer, role, MediaKind::Audio, wanted);
    if video_missed || (audio_missed && video.is_none()) {
        return Err(NegotiationError::NoCommonCodecs);
    }
    if video.is_none() && audio.is_none() {
        return Err(match tracks::any_section(offer, role) {
            true => NegotiationError::NoCommonCodecs,
            false => NegotiationError::NothingOffered,
        });
    }
    if audio_missed {
        notes.push(Note::AudioLeftOut);
    }
    let mut chosen: Vec<(usize, NegotiatedTrack)> = audio.into_iter().chain(video).collect();
    chosen.sort_by_key(|(index, _)| *index);
    tracks::check_payload_types(&chosen)?;
    tracks::drop_extension_clashes(&mut chosen);
    assemble(offer, role, chosen, notes)
}

/// Puts the chosen tracks back among the offer's sections and reads the one
/// transport they share.
fn assemble(
    offer: &SessionOffer,
    role: Role,
    chosen: Vec<(usize, NegotiatedTrack)>,
    mut notes: Vec<Note>,
) -> Result<Negotiated, NegotiationError> {
    let indices: Vec<usize> = chosen.iter().map(|(index, _)| *index).collect();
    let group = bundle_of(offer, &indices)?;
    let transport = Transport::of(offer, &indices, group)?;
    let first = group.and_then(|mids| section_of(offer, mids.first()?));
    let mut idle = match first {
        Some(first) if !indices.contains(&first) => tracks::idle(offer, first, &chosen),
        _ => None,
    };
    let mut chosen = chosen.into_iter().peekable();
    let mut media = Vec::with_capacity(offer.media.len());
    for (index, section) in offer.media.iter().enumerate() {
        let accepted = chosen
            .next_if(|(at, _)| *at == index)
            .map(|(_, track)| track);
        if accepted.is_some() && section.simulcast.is_some() {
            notes.push(Note::SimulcastIgnored);
        }
        media.push(NegotiatedMedia {
            mid: section.mid.clone(),
            line: section.line.clone(),
            rtcp_rsize: section.rtcp_rsize,
            rcvr_rtt: section.rcvr_rtt && accepted.is_some() && role == Role::Publish,
            accepted,
            idle: idle.take_if(|_| first == Some(index)),
        });
    }
    let bundle = group.map(|mids| live_mids(mids, &media));
    Ok(Negotiated {
        role,
        bundle,
        media,
        ice: transport.ice,
        fingerprints: transport.fingerprints,
        setup: transport.setup,
        max_bitrate_kbps: None,
        notes,
    })
}

/// The mids of `group` that live on, each once, in the group's order.
fn live_mids(group: &[String], media: &[NegotiatedMedia]) -> Vec<String> {
    let mut mids: Vec<String> = Vec::new();
    for mid in group {
        let live = |m: &NegotiatedMedia| m.is_live() && m.mid.as_ref() == Some(mid);
        if media.iter().any(live) && !mids.contains(mid) {
            mids.push(mid.clone());
        }
    }
    mids
}

/// The offered group that holds every accepted section. A single section
/// needs none; two must share a transport, for there is one port.
fn bundle_of<'o>(
    offer: &'o SessionOffer,
    indices: &[usize],
) -> Result<Option<&'o Vec<String>>, NegotiationError> {
    let in_group = |group: &&Vec<String>, index: &usize| {
        let mid = offer.media.get(*index).and_then(|m| m.mid.as_ref());
        mid.is_some_and(|mid| group.contains(mid))
    };
    let found = offer
        .bundles
        .iter()
        .find(|group| indices.iter().all(|index| in_group(group, index)));
    match (found, indices.len()) {
        (None, 2..) => Err(NegotiationError::BundleRequired),
        _ => Ok(found),
    }
}

fn section_of(offer: &SessionOffer, mid: &str) -> Option<usize> {
    let same = |m: &OfferedMedia| m.mid.as_deref() == Some(mid);
    offer.media.iter().position(same)
}

struct Transport {
    ice: IceCredentials,
    fingerprints: Vec<[u8; 32]>,
    setup: Setup,
}

impl Transport {
    /// The transport of the first accepted section; what that one leaves out
    /// stands in another section of its bundle (RFC 9143 section 7.1.3).
    fn of(
        offer: &SessionOffer,
        indices: &[usize],
        group: Option<&Vec<String>>,
    ) -> Result<Transport, NegotiationError> {
        let own = indices.iter().filter_map(|index| offer.media.get(*index));
        let bundled = group.into_iter().flatten();
        let bundled = bundled.filter_map(|mid| offer.media.get(section_of(offer, mid)?));
        let sections: Vec<&OfferedMedia> = own.chain(bundled).collect();
        let ice = sections.iter().find_map(|m| m.ice.clone());
        let ice = ice.ok_or(NegotiationError::IceCredentialsMissing)?;
        let with_prints = sections.iter().find(|m| !m.fingerprints.is_empty());
        let fingerprints: Vec<[u8; 32]> = with_prints
            .into_iter()
            .flat_map(|m| &m.fingerprints)
            .filter(|print| print.hash == HashFunction::Sha256)
            .filter_map(|print| <[u8; 32]>::try_from(print.bytes.as_slice()).ok())
            .collect();
        if fingerprints.is_empty() {
            return Err(NegotiationError::FingerprintMissing);
        }
        // Without the attribute an offerer is active (RFC 4145 section 4).
        let setup = sections.iter().find_map(|m| m.setup);
        let setup = match setup.unwrap_or(Setup::Active) {
            Setup::Holdconn => return Err(NegotiationError::HandshakeOnHold),
            setup => setup,
        };
        if !sections.iter().any(|m| m.rtcp_mux) {
            return Err(NegotiationError::RtcpMuxRequired);
        }
        Ok(Transport {
            ice,
            fingerprints,
            setup,
        })
    }
}

#[cfg(test)]
mod tests;
