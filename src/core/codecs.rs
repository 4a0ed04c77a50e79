//! Which video codec a room's publishers get, and what is done for a viewer
//! that cannot decode it: no stream is transcoded, so its publisher is asked to
//! publish anew in a codec that everybody present can decode.

use std::collections::BTreeMap;

use crate::base::limits::REPUBLISH_INTERVAL;
use crate::base::time::Time;
use crate::core::border::Outbox;
use crate::core::home::Room;
use crate::core::machine::Core;
use crate::ops::config::{VideoCodecName, codecs_for};
use crate::ops::event::{Event, RepublishWish};
use crate::room::notice::Notice;
use crate::room::roster::StreamRole;
use crate::signal::negotiate::{self, PublishedTracks, Receivable};
use crate::wire::codec::{AudioCodec, VideoCodec};
use crate::wire::sdp::{MediaKind, SessionOffer};

/// A codec as the configuration names it.
pub fn video_codec(name: VideoCodecName) -> VideoCodec {
    match name {
        VideoCodecName::H264 => VideoCodec::H264,
        VideoCodecName::Vp8 => VideoCodec::Vp8,
    }
}

/// A publication's codecs.
pub(super) struct Published {
    pub tracks: PublishedTracks,
    /// What its publisher could send.
    pub offered: Vec<VideoCodec>,
}

impl Published {
    /// The codecs of `order` in which this stream would reach all the others.
    /// None if it does already: then something else than the codec is missing,
    /// and publishing anew would change nothing, for ever.
    fn remedies<'a>(
        &self,
        order: &[VideoCodec],
        others: impl Iterator<Item = &'a Receivable> + Clone,
    ) -> impl Iterator<Item = VideoCodec> {
        let reaches_all = |codec: VideoCodec| {
            let mut others = others.clone();
            self.offered.contains(&codec) && others.all(|other| other.video.contains(&codec))
        };
        let sent = self.tracks.video.map(|video| video.codec);
        let helps = sent.is_some_and(|sent| !reaches_all(sent));
        let common: Vec<VideoCodec> = order.iter().copied().filter(|c| reaches_all(*c)).collect();
        common.into_iter().filter(move |_| helps)
    }
}

/// What the members of a room can decode, as far as their offers told.
#[derive(Default)]
pub(super) struct Decoders(BTreeMap<String, Known>);

struct Known {
    receivable: Receivable,
    /// A play's offer lists what the client decodes; a publication's only
    /// suggests it.
    by_play: bool,
}

impl Decoders {
    pub fn note(&mut self, login: &str, role: StreamRole, offer: &SessionOffer) {
        let receivable = Receivable::from_offer(offer);
        let by_play = role == StreamRole::Play;
        // An offer without video says nothing about decoders; one with video in
        // codecs that are not ours says that there are none.
        let has_video = offer.media.iter().any(|m| m.line.kind == MediaKind::Video);
        if !has_video || (!by_play && self.0.get(login).is_some_and(|k| k.by_play)) {
            return;
        }
        let known = Known {
            receivable,
            by_play,
        };
        self.0.insert(login.to_string(), known);
    }

    /// Who plays over RTMP decodes H.264; no player of VP8 is known there.
    pub fn note_rtmp(&mut self, login: &str) {
        let known = Known {
            receivable: Receivable {
                video: vec![VideoCodec::H264],
                audio: vec![AudioCodec::Opus],
            },
            by_play: true,
        };
        self.0.insert(login.to_string(), known);
    }

    pub fn forget(&mut self, login: &str) {
        self.0.remove(login);
    }

    /// Of everybody but `login` whose decoders are known.
    pub fn of_others<'a>(
        &'a self,
        login: &'a str,
    ) -> impl Iterator<Item = &'a Receivable> + Clone + 'a {
        self.0
            .iter()
            .filter(move |(other, _)| other.as_str() != login)
            .map(|(_, known)| &known.receivable)
    }
}

impl Core {
    /// A room's order of preference: its own, or the server's.
    fn room_codecs(&self, room: &str) -> Vec<VideoCodec> {
        match codecs_for(&self.setup.rules.room_codecs, room) {
            Some(own) => own.iter().copied().map(video_codec).collect(),
            None => self.setup.video_codecs.clone(),
        }
    }

    /// The order in which a publisher's offer is searched.
    pub(super) fn publish_order(&self, room: &Room, name: &str, login: &str) -> Vec<VideoCodec> {
        negotiate::prefer_common(&self.room_codecs(name), room.decoders.of_others(login))
    }

    /// A viewer cannot decode the publication `stream` of a room.
    pub(super) fn ask_to_republish(
        &mut self,
        now: Time,
        room_name: &str,
        stream: &str,
        out: &mut Outbox,
    ) {
        let order = self.room_codecs(room_name);
        let Some(room) = self.rooms.get_mut(room_name) else {
            return;
        };
        let Some(publication) = room.roster.publication(stream) else {
            return;
        };
        let Some(published) = room.published.get(&publication.media_session_id) else {
            return;
        };
        if !publication.session.has_socket() {
            // It could not hear the wish.
            return;
        }
        let others = room.decoders.of_others(&publication.login);
        let video_codecs: Vec<&'static str> = published
            .remedies(&order, others)
            .map(|codec| codec.name())
            .collect();
        if video_codecs.is_empty() {
            return;
        }
        let asked = room.republish_asked.get(&publication.login);
        if asked.is_some_and(|at| now.since(*at) < REPUBLISH_INTERVAL) {
            return;
        }
        room.republish_asked.insert(publication.login.clone(), now);
        let session = publication.session;
        let event = Event::RepublishRequested(RepublishWish {
            room: room_name.to_string(),
            login: publication.login.clone(),
            stream: stream.to_string(),
            video_codecs: video_codecs.clone(),
        });
        let notice = Notice::RepublishRequested {
            media_session_id: publication.media_session_id.clone(),
            video_codecs,
        };
        self.tell(session, notice, out);
        self.event(event, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::negotiate::PublishedVideo;
    use crate::wire::sdp;

    const ORDER: [VideoCodec; 2] = [VideoCodec::H264, VideoCodec::Vp8];
    const ALL: &str = include_str!("../../tests/vectors/offers/chromium_play.sdp");
    const VP8: &str = include_str!("../../tests/vectors/offers/firefox_play.sdp");
    const SOUND: &str = include_str!("../../tests/vectors/offers/chromium_play_audio_only.sdp");

    fn in_h264() -> Published {
        let video = PublishedVideo {
            codec: VideoCodec::H264,
            profile: None,
        };
        Published {
            tracks: PublishedTracks {
                audio: None,
                video: Some(video),
            },
            offered: ORDER.to_vec(),
        }
    }

    fn remedies(viewers: &[&str]) -> Vec<VideoCodec> {
        let mut decoders = Decoders::default();
        for (number, offer) in viewers.iter().enumerate() {
            let offer = sdp::parse(offer).unwrap();
            decoders.note(&format!("viewer {number}"), StreamRole::Play, &offer);
        }
        in_h264()
            .remedies(&ORDER, decoders.of_others("publisher"))
            .collect()
    }

    #[test]
    fn another_codec_is_asked_for_only_where_it_helps() {
        assert_eq!(remedies(&[ALL, VP8]), [VideoCodec::Vp8]);
        // The codec is not what is missing: no number of restarts would help.
        assert_eq!(remedies(&[ALL]), []);
        assert_eq!(remedies(&[ALL, SOUND]), []);
        // A viewer of neither codec is beyond help, and keeps nobody restarting.
        let neither = ALL
            .replace("VP8/90000", "VP7/90000")
            .replace("H264/", "H261/");
        assert_eq!(remedies(&[ALL, &neither]), []);
        assert_eq!(remedies(&[VP8, &neither]), []);
    }

    #[test]
    fn what_a_play_lists_outweighs_what_a_publication_suggests() {
        let (all, vp8) = (sdp::parse(ALL).unwrap(), sdp::parse(VP8).unwrap());
        let mut decoders = Decoders::default();
        decoders.note("ann", StreamRole::Publish, &all);
        decoders.note("ann", StreamRole::Play, &vp8);
        decoders.note("ann", StreamRole::Publish, &all);
        let known: Vec<_> = decoders.of_others("ben").collect();
        assert_eq!(known.len(), 1);
        assert_eq!(known[0].video, [VideoCodec::Vp8]);
        decoders.forget("ann");
        assert_eq!(decoders.of_others("ben").count(), 0);
    }
}
