//! Frames on their way into recordings: put together from a browser's packets,
//! with more patience than players have, or taken from an RTMP publisher's
//! messages; sound that a file should have in another codec is converted.

use bytes::Bytes;

use crate::base::limits::REORDER_WAIT_RECORDER;
use crate::base::slab::Key;
use crate::base::time::{Ntp, Span, Time};
use crate::core::border::Outbox;
use crate::core::machine::Core;
use crate::core::record::{Packets, Seat, Source};
use crate::core::rtmp::{Converting, IngestSeat};
use crate::core::transcode::{TranscodeJob, Transcoded};
use crate::proto::audio::{AudioSource, AudioTarget};
use crate::proto::depacketise::{AccessUnit, Depacketiser, Packet, ParameterSets};
use crate::proto::keyframe::Reason;
use crate::record::layout::{AudioTrack, VIDEO_TIMESCALE};
use crate::record::recorder::VideoFrame;
use crate::record::timeline::FrameTime;
use crate::room::publication::{Arrived, Publication};
use crate::room::rtmp::{SoundCodec, Tag};
use crate::room::track::Kind;
use crate::wire::aac_config::AacConfig;
use crate::wire::codec::{AudioCodec, Codec};
use crate::wire::flv::{self, AudioPacket, VideoCodecId, VideoPacket};
use crate::wire::nal;

/// A key frame still missing after this long is asked for again.
const ASK_INTERVAL: Span = Span::from_secs(1);

/// Ticks of 48 kHz, which conversions count in.
const CONVERSION_RATE: u32 = 48_000;

impl Packets {
    pub(super) fn new(key: Key<Publication>, publication: &Publication) -> Self {
        let codec = |kind| publication.track(kind).map(|track| track.spec.codec);
        let frames = |codec| Depacketiser::new(codec, REORDER_WAIT_RECORDER);
        Packets {
            publication: key,
            audio: match codec(Kind::Audio) {
                Some(Codec::Audio(audio)) => Some((audio, frames(Codec::Audio(audio)))),
                _ => None,
            },
            video: codec(Kind::Video).map(frames),
            asked: None,
        }
    }

    fn push(&mut self, now: Time, publication: &Publication, arrived: Arrived) {
        let frames = match arrived.kind {
            Kind::Audio => self.audio.as_mut().map(|(_, frames)| frames),
            Kind::Video => self.video.as_mut(),
        };
        let track = publication.track(arrived.kind);
        let packet = track.and_then(|track| track.window.get(arrived.ext_seq));
        if let (Some(frames), Some((meta, payload))) = (frames, packet) {
            let packet = Packet {
                ext_seq: arrived.ext_seq,
                timestamp: meta.timestamp,
                marker: meta.marker,
                payload,
            };
            frames.push(packet, now);
        }
    }

    /// The next frame of either track that is complete at `now`.
    fn poll(&mut self, now: Time) -> Option<(Kind, AccessUnit)> {
        let audio = self.audio.as_mut().and_then(|(_, frames)| frames.poll(now));
        if let Some(unit) = audio {
            return Some((Kind::Audio, unit));
        }
        let video = self.video.as_mut().and_then(|frames| frames.poll(now));
        video.map(|unit| (Kind::Video, unit))
    }

    fn wants_keyframe(&mut self, now: Time) -> bool {
        let wants = self
            .video
            .as_ref()
            .is_some_and(Depacketiser::wants_keyframe);
        let is_due = |at: Time| now.since(at) >= ASK_INTERVAL;
        let asks = wants && self.asked.is_none_or(is_due);
        self.asked = match (wants, asks) {
            (false, _) => None,
            (true, true) => Some(now),
            (true, false) => self.asked,
        };
        asks
    }
}

impl Core {
    /// A packet of a browser's publication that is recorded.
    pub(in crate::core) fn record_packet(
        &mut self,
        now: Time,
        publication: Key<Publication>,
        arrived: Arrived,
        out: &mut Outbox,
    ) {
        let key = self.recordings.by_publication.get(&publication.to_bits());
        let Some(key) = key.copied() else {
            return;
        };
        let source = self.media.publications.get(publication);
        if let (Some(source), Some(seat)) = (source, self.recordings.seats.get_mut(key))
            && let Source::Packets(packets) = &mut seat.source
        {
            packets.push(now, source, arrived);
        }
        self.record_units(now, key, out);
    }

    /// Frames complete by now.
    pub(super) fn record_units(&mut self, now: Time, key: Key<Seat>, out: &mut Outbox) {
        let mut has_any = false;
        loop {
            let Some(seat) = self.recordings.seats.get_mut(key) else {
                return;
            };
            let Source::Packets(packets) = &mut seat.source else {
                return;
            };
            let publication = packets.publication;
            let Some((kind, unit)) = packets.poll(now) else {
                let wants_keyframe = packets.wants_keyframe(now);
                if wants_keyframe {
                    self.want_keyframe(now, publication, Reason::Recorder);
                }
                break;
            };
            has_any = true;
            self.record_unit(now, key, publication, kind, unit, out);
        }
        if has_any {
            self.advance_recording(now, key, out);
        }
    }

    fn record_unit(
        &mut self,
        now: Time,
        key: Key<Seat>,
        publication: Key<Publication>,
        kind: Kind,
        unit: AccessUnit,
        out: &mut Outbox,
    ) {
        let source = self.media.publications.get(publication);
        let Some(track) = source.and_then(|source| source.track(kind)) else {
            return;
        };
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        let ntp = track.clock.ntp_of(unit.timestamp_ticks as u32);
        let time = FrameTime {
            ticks: unit.timestamp_ticks,
            rate: track.spec.clock_rate,
            wall_us: ntp.map(wall_us),
            arrival: unit.arrival,
        };
        let data = Bytes::from(unit.data);
        match kind {
            Kind::Video => seat.recorder.take_video(VideoFrame {
                time,
                composition: 0,
                is_key: unit.is_key,
                data,
                sets: unit.parameter_sets_changed,
            }),
            Kind::Audio => {
                let is_opus = track.spec.codec == Codec::Audio(AudioCodec::Opus);
                if is_opus && self.setup.rules.record.as_aac {
                    let source = AudioSource::Opus { channels: 2 };
                    self.convert_for_recording(now, key, source, time.ticks, data, out);
                } else {
                    seat.recorder.take_audio(time, data);
                }
            }
        }
    }

    /// A message of an RTMP publisher, for its recording if there is one.
    pub(in crate::core) fn record_message(
        &mut self,
        now: Time,
        ingest: Key<IngestSeat>,
        tag: &Tag,
        out: &mut Outbox,
    ) {
        let Some(ingest) = self.seats.ingests.get(ingest) else {
            return;
        };
        let recording = self.recordings.by_stream.get(&ingest.media_session_id);
        let Some(key) = recording.copied() else {
            return;
        };
        let time = FrameTime {
            ticks: tag.timestamp_ms,
            rate: 1_000,
            wall_us: i64::try_from(tag.timestamp_ms.saturating_mul(1_000)).ok(),
            arrival: now,
        };
        if tag.is_video() {
            self.record_picture(now, key, time, &tag.body, out);
        } else if tag.is_audio() {
            let sound = ingest.ingest.sound().cloned();
            self.record_sound(now, key, time, &tag.body, sound, out);
        }
        self.advance_recording(now, key, out);
    }

    fn record_picture(
        &mut self,
        now: Time,
        key: Key<Seat>,
        time: FrameTime,
        body: &Bytes,
        out: &mut Outbox,
    ) {
        let Ok(parsed) = flv::parse_video(body) else {
            return;
        };
        if parsed.codec != VideoCodecId::Avc {
            return;
        }
        let has_place = |seat: &Seat| !(parsed.is_key && seat.recorder.has_no_video());
        let key = match self.recordings.seats.get(key).map(has_place) {
            Some(false) => match self.split_recording(now, key, out) {
                Some(next) => next,
                None => return,
            },
            _ => key,
        };
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        match parsed.packet {
            VideoPacket::SequenceHeader(header) => {
                if let Ok(config) = flv::AvcConfig::parse(header) {
                    let owned = |sets: &[&[u8]]| sets.iter().map(|set| set.to_vec()).collect();
                    seat.avc = Some((
                        config.nal_length_bytes,
                        Some(ParameterSets {
                            sps: owned(&config.sps),
                            pps: owned(&config.pps),
                        }),
                    ));
                }
            }
            VideoPacket::Frame {
                composition_ms,
                data,
            } => {
                let Some((length_bytes, sets)) = &mut seat.avc else {
                    return;
                };
                let Some(data) = units(body, data, *length_bytes) else {
                    return;
                };
                let ticks_per_ms = VIDEO_TIMESCALE.cast_signed() / 1_000;
                seat.recorder.take_video(VideoFrame {
                    time,
                    composition: composition_ms.saturating_mul(ticks_per_ms),
                    is_key: parsed.is_key,
                    data,
                    sets: sets.take(),
                });
            }
            VideoPacket::EndOfSequence | VideoPacket::Ignored => {}
        }
    }

    fn record_sound(
        &mut self,
        now: Time,
        key: Key<Seat>,
        time: FrameTime,
        body: &Bytes,
        sound: Option<SoundCodec>,
        out: &mut Outbox,
    ) {
        let Ok(flv::AudioTag {
            packet: AudioPacket::Frame(data),
            ..
        }) = flv::parse_audio(body)
        else {
            return;
        };
        let data = body.slice_ref(data);
        let ticks = time
            .ticks
            .saturating_mul(u64::from(CONVERSION_RATE / 1_000));
        let track = match sound {
            Some(SoundCodec::Plain(AudioCodec::Opus)) if self.setup.rules.record.as_aac => {
                let source = AudioSource::Opus { channels: 2 };
                return self.convert_for_recording(now, key, source, ticks, data, out);
            }
            Some(SoundCodec::Plain(codec)) => track_of(codec),
            Some(SoundCodec::Foreign(AudioSource::Aac { config })) => {
                let Some(track) = aac_track(&config) else {
                    return;
                };
                track
            }
            Some(SoundCodec::Foreign(source)) => {
                return self.convert_for_recording(now, key, source, ticks, data, out);
            }
            Some(SoundCodec::Unknown(_)) | None => return,
        };
        self.record_frame(now, key, track, time, data, out);
    }

    /// One frame of sound in the file's codec; another than before begins
    /// another file.
    fn record_frame(
        &mut self,
        now: Time,
        key: Key<Seat>,
        track: AudioTrack,
        time: FrameTime,
        data: Bytes,
        out: &mut Outbox,
    ) {
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        if seat.recorder.audio_is(track.clone()) {
            return seat.recorder.take_audio(time, data);
        }
        let Some(next) = self.split_recording(now, key, out) else {
            return;
        };
        if let Some(seat) = self.recordings.seats.get_mut(next)
            && seat.recorder.audio_is(track)
        {
            seat.recorder.take_audio(time, data);
        }
    }

    fn convert_for_recording(
        &mut self,
        now: Time,
        key: Key<Seat>,
        source: AudioSource,
        ticks: u64,
        bytes: Bytes,
        out: &mut Outbox,
    ) {
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        let admits = match seat.conversion {
            Some(_) => seat.pace.admits(now, ticks),
            None => seat.pace.may_open(now),
        };
        if !admits {
            return;
        }
        let id = match seat.conversion {
            Some(id) => id,
            None => {
                let target = match self.setup.rules.record.as_aac {
                    true => AudioTarget::Aac {
                        bitrate_bps: self.setup.aac_bitrate_bps,
                    },
                    false => AudioTarget::Opus {
                        bitrate_bps: self.setup.opus_bitrate_bps,
                    },
                };
                self.open_conversion(Converting::Recording(key), source, target, out)
            }
        };
        if let Some(seat) = self.recordings.seats.get_mut(key) {
            seat.conversion = Some(id);
        }
        out.transcodes
            .push(TranscodeJob::Frame { id, ticks, bytes });
    }

    /// Converted sound of a recording is there.
    pub(in crate::core) fn record_converted(
        &mut self,
        now: Time,
        key: Key<Seat>,
        done: Transcoded,
        out: &mut Outbox,
    ) {
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        match done {
            Transcoded::Header { bytes, .. } => {
                seat.converted = match self.setup.rules.record.as_aac {
                    true => aac_track(&bytes),
                    false => Some(track_of(AudioCodec::Opus)),
                };
            }
            Transcoded::Frame { ticks, bytes, .. } => {
                self.counters.transcoded_frames += 1;
                let Some(track) = seat.converted.clone() else {
                    return;
                };
                let wall_us = match &seat.source {
                    Source::Messages => {
                        i64::try_from(u128::from(ticks) * 1_000_000 / u128::from(CONVERSION_RATE))
                            .ok()
                    }
                    Source::Packets(packets) => {
                        let source = self.media.publications.get(packets.publication);
                        let audio = source.and_then(|source| source.track(Kind::Audio));
                        let ntp = audio.and_then(|audio| audio.clock.ntp_of(ticks as u32));
                        ntp.map(wall_us)
                    }
                };
                let time = FrameTime {
                    ticks,
                    rate: CONVERSION_RATE,
                    wall_us,
                    arrival: now,
                };
                self.record_frame(now, key, track, time, bytes, out);
                self.advance_recording(now, key, out);
            }
            Transcoded::Failed { .. } => seat.conversion = None,
        }
    }
}

/// Opus of browsers is stereo, whatever they recorded (RFC 7587 section 7).
const OPUS_CHANNELS: u8 = 2;

/// A codec that browsers know, as a file's track.
pub(super) fn track_of(codec: AudioCodec) -> AudioTrack {
    match codec {
        AudioCodec::Opus => AudioTrack::Opus {
            channels: OPUS_CHANNELS,
        },
        AudioCodec::Pcmu => AudioTrack::Pcmu,
        AudioCodec::Pcma => AudioTrack::Pcma,
    }
}

/// AAC as a file's track; `None` of a configuration that says too little.
fn aac_track(config: &[u8]) -> Option<AudioTrack> {
    let told = AacConfig::parse(config)?;
    Some(AudioTrack::Aac {
        config: config.to_vec(),
        sample_rate: told.sample_rate,
        channels: match told.channel_configuration {
            0 | 2 => 2,
            7 => 8,
            channels => channels,
        },
    })
}

/// The picture's units behind lengths of four bytes; `None` when it is broken.
fn units(body: &Bytes, data: &[u8], length_bytes: u8) -> Option<Bytes> {
    let mut is_plain = length_bytes == 4;
    for unit in nal::avcc(data, length_bytes) {
        is_plain &= nal::is_carried(unit.ok()?);
    }
    if is_plain {
        return Some(body.slice_ref(data));
    }
    let mut carried = Vec::with_capacity(data.len());
    for unit in nal::avcc(data, length_bytes).flatten() {
        if nal::is_carried(unit) {
            nal::write_avcc(&mut carried, unit);
        }
    }
    (!carried.is_empty()).then(|| Bytes::from(carried))
}

/// A wall clock in microseconds; only differences of it matter.
fn wall_us(ntp: Ntp) -> i64 {
    let us = (u128::from(ntp.to_bits()) * 1_000_000) >> 32;
    i64::try_from(us).unwrap_or(i64::MAX)
}
