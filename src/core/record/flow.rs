//! Frames on their way into recordings: put together from a browser's packets,
//! with more patience than players have, or taken from an RTMP publisher's
//! messages; sound that a file should have in another codec is converted.

use bytes::Bytes;

use crate::base::limits::REORDER_WAIT_RECORDER;
use crate::base::slab::Key;
use crate::base::time::{Ntp, Time};
use crate::core::border::Outbox;
use crate::core::machine::Core;
use crate::core::record::{Packets, Seat, Source};
use crate::core::rtmp::{Converting, IngestSeat};
use crate::core::transcode::{TranscodeJob, Transcoded};
use crate::proto::audio::{AudioSource, AudioTarget};
use crate::proto::depacketise::AccessUnit;
use crate::proto::keyframe::Reason;
use crate::record::layout::{AudioTrack, VIDEO_TIMESCALE};
use crate::record::recorder::VideoFrame;
use crate::record::timeline::FrameTime;
use crate::room::frames::Frames;
use crate::room::publication::{Arrived, Publication};
use crate::room::rtmp::{Frame, SoundCodec, Tag, TagKind};
use crate::room::track::Kind;
use crate::wire::aac_config::AacConfig;
use crate::wire::codec::{AudioCodec, Codec};
use crate::wire::nal;

/// Ticks of 48 kHz, which conversions count in.
const CONVERSION_RATE: u32 = 48_000;

impl Packets {
    pub(super) fn new(key: Key<Publication>, publication: &Publication) -> Self {
        let codec = |kind| publication.track(kind).map(|track| track.spec.codec);
        let (audio, video) = (codec(Kind::Audio), codec(Kind::Video));
        Packets {
            publication: key,
            frames: Frames::new(audio, video, REORDER_WAIT_RECORDER),
        }
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
            packets.frames.push(now, source, arrived);
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
            let Some((kind, unit)) = packets.frames.poll(now) else {
                let wants_keyframe = packets.frames.wants_keyframe(now);
                if wants_keyframe {
                    self.want_keyframe(now, publication, Reason::Recorder, out);
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

    /// A message of an RTMP publisher and the frame in it, for its recording if
    /// there is one.
    pub(in crate::core) fn record_message(
        &mut self,
        now: Time,
        ingest: Key<IngestSeat>,
        tag: &Tag,
        frame: Option<&Frame>,
        out: &mut Outbox,
    ) {
        let Some(ingest) = self.seats.ingests.get(ingest) else {
            return;
        };
        let recording = self.recordings.by_stream.get(&ingest.media_session_id);
        let Some(key) = recording.copied() else {
            return;
        };
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        if tag.kind == TagKind::VideoHeader {
            let avc = ingest.ingest.avc();
            seat.avc = avc.map(|(length_bytes, sets)| (length_bytes, Some(sets)));
        }
        let time = FrameTime {
            ticks: tag.timestamp_ms,
            rate: 1_000,
            wall_us: i64::try_from(tag.timestamp_ms.saturating_mul(1_000)).ok(),
            arrival: now,
        };
        match frame {
            Some(Frame::Picture {
                pts_ms,
                is_key,
                data,
            }) => {
                let composition_ms = pts_ms.cast_signed() - tag.timestamp_ms.cast_signed();
                self.record_picture(now, key, time, composition_ms, *is_key, data, out);
            }
            Some(Frame::Sound { data, .. }) => {
                // What it is as a track is looked at when it changes.
                let sound = ingest.ingest.sound();
                if let Some(sound) = sound.filter(|s| Some(*s) != seat.sound.as_ref().map(|k| &k.0))
                {
                    let track = plain_track(sound, self.setup.rules.record.as_aac);
                    seat.sound = Some((sound.clone(), track));
                }
                self.record_sound(now, key, time, data.clone(), out);
            }
            None => {}
        }
        self.advance_recording(now, key, out);
    }

    #[expect(clippy::too_many_arguments, reason = "a picture's parts, each once")]
    fn record_picture(
        &mut self,
        now: Time,
        key: Key<Seat>,
        time: FrameTime,
        composition_ms: i64,
        is_key: bool,
        data: &Bytes,
        out: &mut Outbox,
    ) {
        let has_place = |seat: &Seat| !(is_key && seat.recorder.has_no_video());
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
        let Some((length_bytes, sets)) = &mut seat.avc else {
            return;
        };
        let Some(data) = units(data, *length_bytes) else {
            return;
        };
        let composition = composition_ms.saturating_mul(i64::from(VIDEO_TIMESCALE / 1_000));
        seat.recorder.take_video(VideoFrame {
            time,
            composition: i32::try_from(composition).unwrap_or_default(),
            is_key,
            data,
            sets: sets.take(),
        });
    }

    fn record_sound(
        &mut self,
        now: Time,
        key: Key<Seat>,
        time: FrameTime,
        data: Bytes,
        out: &mut Outbox,
    ) {
        let Some(seat) = self.recordings.seats.get_mut(key) else {
            return;
        };
        let source = match &seat.sound {
            Some((_, Some(track))) => {
                if seat.recorder.audio_is(track) {
                    return seat.recorder.take_audio(time, data);
                }
                let track = track.clone();
                return self.record_in_another(now, key, &track, time, data, out);
            }
            Some((SoundCodec::Plain(_), None)) => AudioSource::Opus { channels: 2 },
            // Of a configuration that says too little.
            Some((SoundCodec::Foreign(AudioSource::Aac { .. }), None)) => return,
            Some((SoundCodec::Foreign(source), None)) => source.clone(),
            Some((SoundCodec::Unknown(_), None)) | None => return,
        };
        let ticks = u64::from(CONVERSION_RATE / 1_000).saturating_mul(time.ticks);
        self.convert_for_recording(now, key, source, ticks, data, out);
    }

    /// A frame of sound that the file cannot take begins another file.
    fn record_in_another(
        &mut self,
        now: Time,
        key: Key<Seat>,
        track: &AudioTrack,
        time: FrameTime,
        data: Bytes,
        out: &mut Outbox,
    ) {
        let next = self.split_recording(now, key, out);
        if let Some(seat) = next.and_then(|next| self.recordings.seats.get_mut(next))
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
                let Some(track) = &seat.converted else {
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
                if seat.recorder.audio_is(track) {
                    seat.recorder.take_audio(time, bytes);
                } else {
                    let track = track.clone();
                    self.record_in_another(now, key, &track, time, bytes, out);
                }
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

/// An RTMP publisher's sound as a file's track; `None`: it has to be converted,
/// or cannot be.
fn plain_track(sound: &SoundCodec, as_aac: bool) -> Option<AudioTrack> {
    match sound {
        SoundCodec::Plain(AudioCodec::Opus) if as_aac => None,
        SoundCodec::Plain(codec) => Some(track_of(*codec)),
        SoundCodec::Foreign(AudioSource::Aac { config }) => aac_track(config),
        SoundCodec::Foreign(_) | SoundCodec::Unknown(_) => None,
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
fn units(data: &Bytes, length_bytes: u8) -> Option<Bytes> {
    let mut is_plain = length_bytes == 4;
    for unit in nal::avcc(data, length_bytes) {
        is_plain &= nal::is_carried(unit.ok()?);
    }
    if is_plain {
        return Some(data.clone());
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
