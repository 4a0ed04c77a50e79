//! What an RTMP publisher sends, at its room's home core: its messages become a
//! publication for browsers and a feed for players.

use bytes::Bytes;

use crate::base::limits::PEERS_MAX;
use crate::base::slab::Key;
use crate::base::snapshot::Drop;
use crate::base::time::{Span, Time};
use crate::core::border::Outbox;
use crate::core::codecs::Published;
use crate::core::machine::Core;
use crate::core::mail::SessionRef;
use crate::core::rtmp::seats::IngestSeat;
use crate::core::rtmp::{Advice, OPUS_TICKS_PER_MS, Reply, Upstream};
use crate::ops::event::{Event, StreamAdvice};
use crate::proto::media_clock::ms_to_ticks;
use crate::proto::packetise::split_g711;
use crate::proto::rtmp::MediaKind;
use crate::room::fanout;
use crate::room::publication::{Injected, Publication, PublicationSpec};
use crate::room::rtmp::{Frame, News, SoundCodec, Taken, Tracks};
use crate::room::track::{Kind, TrackSpec};
use crate::signal::negotiate::{PublishedTracks, PublishedVideo};
use crate::wire::codec::{AudioCodec, Codec, ProfileLevelId, VideoCodec};

/// Between two notices of codecs to the viewers of one stream.
const ADVICE_INTERVAL: Span = Span::from_ms(200);

impl Core {
    /// A publisher's message.
    pub(in crate::core) fn rtmp_media(&mut self, now: Time, media: Upstream, out: &mut Outbox) {
        let key = media.ingest.key();
        let Some(seat) = self.seats.ingests.get_mut(key) else {
            return;
        };
        if seat.owner != media.from {
            return;
        }
        seat.heard = now;
        let ingest = &mut seat.ingest;
        let taken = match media.kind {
            MediaKind::Data => Ok(ingest.take_data(now, &media.body)),
            MediaKind::Audio => ingest.take_audio(now, media.timestamp, &media.body),
            MediaKind::Video => ingest.take_video(now, media.timestamp, &media.body),
        };
        let Ok(Taken { tag, frame, news }) = taken else {
            return self.counters.drop(Drop::Malformed);
        };
        let feed = seat.feed;
        if let Some(tag) = tag {
            self.record_message(now, key, &tag, frame.as_ref(), out);
            self.feed_tag(feed, tag, out);
        }
        self.go_live(now, key, out);
        if let Some(news) = news {
            self.ingest_news(now, key, news, out);
        }
        match frame {
            Some(frame @ Frame::Picture { .. }) => self.show(now, key, &frame, out),
            Some(Frame::Sound { ms, data }) => self.sound(now, key, ms, data, out),
            None => {}
        }
    }

    /// Once a publisher's tracks are known, there is a publication.
    fn go_live(&mut self, now: Time, key: Key<IngestSeat>, out: &mut Outbox) {
        let Some(seat) = self.seats.ingests.get(key) else {
            return;
        };
        let is_full = self.media.publications.len() >= PEERS_MAX as usize;
        if seat.publication.is_some() || is_full {
            return;
        }
        let Some(tracks) = seat.ingest.tracks(now) else {
            return;
        };
        let spec = PublicationSpec {
            audio: tracks
                .audio
                .map(|codec| TrackSpec::local(Codec::Audio(codec))),
            video: tracks
                .has_video
                .then(|| TrackSpec::local(Codec::Video(VideoCodec::H264))),
            reference_times: false,
            reduced_size: true,
            max_bitrate_kbps: None,
            cname: self.noise_name(),
        };
        let publication = Publication::new(now, None, spec, &mut self.noise);
        let Some(publication) = self.media.publications.insert(publication) else {
            return;
        };
        let Some(seat) = self.seats.ingests.get_mut(key) else {
            return;
        };
        seat.publication = Some(publication);
        let (room, id) = (seat.room.clone(), seat.media_session_id.clone());
        let published = Published {
            tracks: published_tracks(&tracks),
            offered: vec![VideoCodec::H264],
        };
        if let Some(room) = self.rooms.get_mut(&room) {
            room.published.insert(id.clone(), published);
        }
        self.stream_begins(room, id, out);
    }

    pub(super) fn ingest_news(
        &mut self,
        now: Time,
        key: Key<IngestSeat>,
        news: News,
        out: &mut Outbox,
    ) {
        let advice = match news {
            News::Sound => {
                self.restart_conversions(key, out);
                if self.began_with(key, Kind::Audio) {
                    return;
                }
                Advice::OtherSound
            }
            News::Picture if self.began_with(key, Kind::Video) => return,
            News::Picture => Advice::LatePicture,
            News::BFrames => Advice::BFrames,
            News::BFramesEnded => Advice::BFramesEnded,
            News::VideoUnknown(codec) => Advice::Video(codec),
            News::SoundUnknown(codec) => {
                self.restart_conversions(key, out);
                Advice::Audio(codec)
            }
        };
        self.advise_everybody(now, key, advice, out);
    }

    /// Tells a publisher and its viewers what is the matter with the stream.
    pub(super) fn advise_everybody(
        &mut self,
        now: Time,
        key: Key<IngestSeat>,
        advice: Advice,
        out: &mut Outbox,
    ) {
        let Some(seat) = self.seats.ingests.get_mut(key) else {
            return;
        };
        // Who changes its codec with every message must not flood its viewers.
        let told = match advice {
            Advice::Audio(_) | Advice::Conversion(_) | Advice::OtherSound => {
                Some(&mut seat.advised_of_audio)
            }
            Advice::Video(_) | Advice::LatePicture => Some(&mut seat.advised_of_video),
            Advice::BFrames | Advice::BFramesEnded => None,
        };
        if let Some(told) = told
            && told
                .replace(now)
                .is_some_and(|at| now.since(at) < ADVICE_INTERVAL)
        {
            return;
        }
        let (owner, id) = (seat.owner, seat.media_session_id.clone());
        let (room, login, stream) = (seat.room.clone(), seat.login.clone(), seat.stream.clone());
        self.reply(owner, id, Reply::Advice(advice), out);
        let viewers: Vec<(SessionRef, String)> = match self.rooms.get(&room) {
            Some(room) => room
                .roster
                .plays_of(&stream)
                // Who does not play yet is told when it does.
                .filter(|play| !play.carrier.is_rtmp() && play.live)
                .map(|play| (play.session, play.media_session_id.clone()))
                .collect(),
            None => Vec::new(),
        };
        for (session, id) in viewers {
            self.tell(session, advice.notice(id), out);
        }
        let told = StreamAdvice {
            room,
            login,
            stream,
            info: advice.info(),
        };
        self.event(Event::StreamAdvice(told), out);
    }

    /// Whether a track is one that browsers could negotiate, as far as they
    /// could yet.
    fn began_with(&self, key: Key<IngestSeat>, kind: Kind) -> bool {
        let Some(seat) = self.seats.ingests.get(key) else {
            return true;
        };
        let publication = seat
            .publication
            .and_then(|p| self.media.publications.get(p));
        let Some(publication) = publication else {
            return true;
        };
        let codec = match (kind, seat.ingest.sound()) {
            (Kind::Video, _) => Codec::Video(VideoCodec::H264),
            (Kind::Audio, Some(SoundCodec::Plain(codec))) => Codec::Audio(*codec),
            (Kind::Audio, _) => Codec::Audio(AudioCodec::Opus),
        };
        let track = publication.track(kind);
        track.is_some_and(|track| track.spec.codec == codec)
    }

    /// What a viewer who begins to play an RTMP publisher's stream must know.
    pub(in crate::core) fn advise_viewer(
        &mut self,
        session: SessionRef,
        play_id: String,
        published_id: &str,
        out: &mut Outbox,
    ) {
        let Some(seat) = self.ingest_of(published_id) else {
            return;
        };
        let unknown = seat.ingest.unknown_video().map(Advice::Video);
        let shuffled = seat.ingest.has_b_frames().then_some(Advice::BFrames);
        let unheard = match (seat.ingest.sound(), seat.unconvertible) {
            (Some(SoundCodec::Unknown(codec)), _) => Some(Advice::Audio(codec)),
            (_, Some(why)) => Some(Advice::Conversion(why)),
            _ => None,
        };
        for advice in unknown.or(shuffled).into_iter().chain(unheard) {
            self.tell(session, advice.notice(play_id.clone()), out);
        }
    }

    /// A picture for browsers; they get none while there are B-frames.
    fn show(&mut self, now: Time, key: Key<IngestSeat>, frame: &Frame, out: &mut Outbox) {
        let Frame::Picture {
            pts_ms,
            is_key,
            ref data,
        } = *frame
        else {
            return;
        };
        let wall_us = self.wall_us(now);
        let Some(seat) = self.seats.ingests.get_mut(key) else {
            return;
        };
        let Some(published) = seat.publication else {
            return;
        };
        let Some(publication) = self.media.publications.get_mut(published) else {
            return;
        };
        if seat.ingest.has_b_frames() {
            // Nor does who comes now begin with what was shown before.
            if publication.forget_keyframe() {
                fanout::relay_forgotten(publication, &mut out.relays);
            }
            seat.awaits_key = true;
            return;
        }
        if seat.awaits_key && !is_key {
            return;
        }
        seat.awaits_key = false;
        // Of a client that takes over from one with B-frames.
        let pts_ms = pts_ms.max(seat.shown_ms);
        seat.shown_ms = pts_ms;
        let timestamp = ms_to_ticks(pts_ms, VideoCodec::H264.clock_rate());
        if let Some(ntp) = seat.clock.due(now, wall_us, Kind::Video, pts_ms) {
            publication.set_clock(now, Kind::Video, ntp, timestamp);
            fanout::relay_clocks(publication, &mut out.relays);
        }
        let (forwarding, counters) = (&mut self.media.forwarding, &mut self.counters);
        seat.ingest.packetise(data, &mut |payload| {
            let packet = Injected {
                timestamp,
                marker: payload.marker,
                keyframe_start: payload.keyframe_start,
            };
            counters.media_packets_received += 1;
            match publication.inject(now, Kind::Video, packet, payload.bytes) {
                Ok(arrived) => forwarding.push(now, published, arrived),
                Err(reason) => counters.drop(reason),
            }
        });
    }

    fn sound(&mut self, now: Time, key: Key<IngestSeat>, ms: u64, data: Bytes, out: &mut Outbox) {
        let Some(seat) = self.seats.ingests.get(key) else {
            return;
        };
        let feed = seat.feed;
        match seat.ingest.sound() {
            Some(SoundCodec::Plain(AudioCodec::Opus)) => {
                let ticks = ms * OPUS_TICKS_PER_MS;
                self.inject_sound(now, key, ticks, AudioCodec::Opus, &data, out);
                self.convert_for_players(now, feed, ms * OPUS_TICKS_PER_MS, data, out);
            }
            Some(SoundCodec::Plain(codec)) => {
                let codec = *codec;
                let ticks = ms * u64::from(codec.clock_rate()) / 1_000;
                for (offset, packet) in split_g711(&data) {
                    self.inject_sound(now, key, ticks + u64::from(offset), codec, packet, out);
                }
            }
            Some(SoundCodec::Foreign(_)) => self.convert_for_browsers(now, key, ms, data, out),
            Some(SoundCodec::Unknown(_)) | None => {}
        }
    }

    /// One packet of sound for browsers.
    pub(super) fn inject_sound(
        &mut self,
        now: Time,
        key: Key<IngestSeat>,
        ticks: u64,
        codec: AudioCodec,
        data: &[u8],
        out: &mut Outbox,
    ) {
        let wall_us = self.wall_us(now);
        let Some(seat) = self.seats.ingests.get_mut(key) else {
            return;
        };
        let Some(published) = seat.publication else {
            return;
        };
        let Some(publication) = self.media.publications.get_mut(published) else {
            return;
        };
        let is_its_codec = publication
            .track(Kind::Audio)
            .is_some_and(|track| track.spec.codec == Codec::Audio(codec));
        if !is_its_codec {
            return;
        }
        let timestamp = ticks as u32;
        let ms = ticks * 1_000 / u64::from(codec.clock_rate());
        if let Some(ntp) = seat.clock.due(now, wall_us, Kind::Audio, ms) {
            publication.set_clock(now, Kind::Audio, ntp, timestamp);
            fanout::relay_clocks(publication, &mut out.relays);
        }
        let packet = Injected {
            timestamp,
            marker: false,
            keyframe_start: false,
        };
        self.counters.media_packets_received += 1;
        match publication.inject(now, Kind::Audio, packet, data) {
            Ok(arrived) => self.media.forwarding.push(now, published, arrived),
            Err(reason) => self.counters.drop(reason),
        }
    }
}

fn published_tracks(tracks: &Tracks) -> PublishedTracks {
    PublishedTracks {
        audio: tracks.audio,
        video: tracks.has_video.then(|| PublishedVideo {
            codec: VideoCodec::H264,
            profile: tracks
                .profile
                .map(|[profile_idc, constraints, level_idc]| ProfileLevelId {
                    profile_idc,
                    constraints,
                    level_idc,
                }),
        }),
    }
}
