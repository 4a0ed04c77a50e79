//! Sound converted where somebody needs it in another codec: the conversion is
//! opened for the first who does, closed after the last, and done off the turn.

use bytes::Bytes;

use crate::base::slab::Key;
use crate::base::time::Time;
use crate::core::border::Outbox;
use crate::core::machine::Core;
use crate::core::mail::SessionRef;
use crate::core::rtmp::seats::{Converting, FeedSeat, IngestSeat};
use crate::core::rtmp::{Advice, OPUS_TICKS_PER_MS, Reply};
use crate::core::transcode::{TranscodeId, TranscodeJob, Transcoded};
use crate::proto::audio::{AudioSource, AudioTarget};
use crate::room::rtmp::{Audience, SoundCodec, Tag, TagKind};
use crate::wire::codec::AudioCodec;
use crate::wire::flv;

impl Core {
    /// Sound that browsers do not know is converted while one listens.
    pub(super) fn convert_for_browsers(
        &mut self,
        now: Time,
        key: Key<IngestSeat>,
        ms: u64,
        data: Bytes,
        out: &mut Outbox,
    ) {
        let Some(seat) = self.seats.ingests.get_mut(key) else {
            return;
        };
        let publication = seat
            .publication
            .and_then(|p| self.media.publications.get(p));
        let is_heard = publication.is_some_and(|publication| !publication.viewers.is_empty());
        if !is_heard {
            return self.restart_conversion(key, out);
        }
        let Some(SoundCodec::Foreign(source)) = seat.ingest.sound() else {
            return;
        };
        let (open, ticks) = (seat.conversion, ms * OPUS_TICKS_PER_MS);
        let admits = match open {
            Some(_) => seat.pace.admits(now, ticks),
            None => seat.pace.may_open(now),
        };
        if seat.unconvertible.is_some() || !admits {
            return;
        }
        let id = match open {
            Some(id) => id,
            None => {
                let source = source.clone();
                let target = AudioTarget::Opus {
                    bitrate_bps: self.setup.opus_bitrate_bps,
                };
                self.open_conversion(Converting::Ingest(key), source, target, out)
            }
        };
        if let Some(seat) = self.seats.ingests.get_mut(key) {
            seat.conversion = Some(id);
        }
        let bytes = data;
        out.transcodes
            .push(TranscodeJob::Frame { id, ticks, bytes });
    }

    /// The sound is another: no conversion of it, for browsers or players, ends
    /// what was before in between.
    pub(super) fn restart_conversions(&mut self, key: Key<IngestSeat>, out: &mut Outbox) {
        self.restart_conversion(key, out);
        let feed = self.seats.ingests.get(key).map(|seat| seat.feed);
        let feed = feed.and_then(|feed| self.seats.feeds.get_mut(feed));
        let before = feed.and_then(|feed| {
            feed.unconvertible = None;
            feed.conversion.take()
        });
        self.stop_converting(before, out);
    }

    pub(super) fn restart_conversion(&mut self, key: Key<IngestSeat>, out: &mut Outbox) {
        let seat = self.seats.ingests.get_mut(key);
        let before = seat.and_then(|seat| {
            seat.unconvertible = None;
            seat.conversion.take()
        });
        self.stop_converting(before, out);
    }

    /// Opus is converted while somebody listens who does not know it.
    pub(super) fn convert_for_players(
        &mut self,
        now: Time,
        key: Key<FeedSeat>,
        ticks: u64,
        data: Bytes,
        out: &mut Outbox,
    ) {
        let Some(seat) = self.seats.feeds.get_mut(key) else {
            return;
        };
        let is_heard = seat.listeners.iter().any(|listener| !listener.accepts_opus);
        if !is_heard {
            seat.unconvertible = None;
            let before = seat.conversion.take();
            return self.stop_converting(before, out);
        }
        let open = seat.conversion;
        let admits = match open {
            Some(_) => seat.pace.admits(now, ticks),
            None => seat.pace.may_open(now),
        };
        if seat.unconvertible.is_some() || !admits {
            return;
        }
        let id = open.unwrap_or_else(|| {
            let source = AudioSource::Opus { channels: 2 };
            let target = AudioTarget::Aac {
                bitrate_bps: self.setup.aac_bitrate_bps,
            };
            self.open_conversion(Converting::Feed(key), source, target, out)
        });
        if let Some(seat) = self.seats.feeds.get_mut(key) {
            seat.conversion = Some(id);
        }
        let bytes = data;
        out.transcodes
            .push(TranscodeJob::Frame { id, ticks, bytes });
    }

    pub(in crate::core) fn open_conversion(
        &mut self,
        whose: Converting,
        source: AudioSource,
        target: AudioTarget,
        out: &mut Outbox,
    ) -> TranscodeId {
        self.seats.conversions += 1;
        let id = TranscodeId(self.seats.conversions);
        self.seats.converting.insert(id, whose);
        out.transcodes
            .push(TranscodeJob::Open { id, source, target });
        id
    }

    /// Converted sound is there.
    pub(in crate::core) fn transcoded(&mut self, now: Time, done: Transcoded, out: &mut Outbox) {
        let whose = self.seats.converting.get(&done.id()).copied();
        match (whose, done) {
            (Some(Converting::Ingest(key)), Transcoded::Frame { ticks, bytes, .. }) => {
                self.counters.transcoded_frames += 1;
                self.inject_sound(now, key, ticks, AudioCodec::Opus, &bytes);
            }
            (Some(Converting::Feed(key)), Transcoded::Header { bytes, .. }) => {
                let mut body = Vec::new();
                flv::write_aac_sequence_header(&mut body, &bytes);
                self.feed_aac(key, TagKind::AudioHeader, None, body, out);
            }
            (Some(Converting::Feed(key)), Transcoded::Frame { ticks, bytes, .. }) => {
                self.counters.transcoded_frames += 1;
                let mut body = Vec::new();
                flv::write_aac_frame(&mut body, &bytes);
                let ms = ticks / OPUS_TICKS_PER_MS;
                self.feed_aac(key, TagKind::Audio, Some(ms), body, out);
            }
            (Some(Converting::Recording(key)), done) => {
                if let Transcoded::Failed { id, .. } = &done {
                    self.seats.converting.remove(id);
                }
                self.record_converted(now, key, done, out);
            }
            (Some(whose), Transcoded::Failed { id, why }) => {
                self.seats.converting.remove(&id);
                self.conversion_failed(now, whose, why, out);
            }
            (Some(Converting::Ingest(_)), Transcoded::Header { .. }) | (None, _) => {}
        }
    }

    fn feed_aac(
        &mut self,
        key: Key<FeedSeat>,
        kind: TagKind,
        ms: Option<u64>,
        body: Vec<u8>,
        out: &mut Outbox,
    ) {
        let Some(seat) = self.seats.feeds.get(key) else {
            return;
        };
        let tag = Tag {
            kind,
            audience: Audience::Legacy,
            timestamp_ms: ms.unwrap_or(seat.feed.newest_ms()),
            body: Bytes::from(body),
        };
        self.feed_tag(key, tag, out);
    }

    /// Not tried again before the sound is another, or nobody needs it.
    fn conversion_failed(
        &mut self,
        now: Time,
        whose: Converting,
        why: &'static str,
        out: &mut Outbox,
    ) {
        let advice = Advice::Conversion(why);
        let key = match whose {
            Converting::Ingest(key) => {
                if let Some(seat) = self.seats.ingests.get_mut(key) {
                    seat.conversion = None;
                    seat.unconvertible = Some(why);
                }
                return self.advise_everybody(now, key, advice, out);
            }
            Converting::Feed(key) => key,
            Converting::Recording(_) => return,
        };
        let Some(seat) = self.seats.feeds.get_mut(key) else {
            return;
        };
        seat.conversion = None;
        seat.unconvertible = Some(why);
        let those = seat
            .listeners
            .iter()
            .filter(|listener| !listener.accepts_opus);
        let those: Vec<(SessionRef, String)> = those
            .map(|listener| (listener.session, listener.media_session_id.clone()))
            .collect();
        for (session, id) in those {
            self.reply(session, id, Reply::Advice(advice), out);
        }
    }

    pub(in crate::core) fn stop_converting(
        &mut self,
        conversion: Option<TranscodeId>,
        out: &mut Outbox,
    ) {
        if let Some(id) = conversion {
            self.seats.converting.remove(&id);
            out.transcodes.push(TranscodeJob::Close { id });
        }
    }
}
