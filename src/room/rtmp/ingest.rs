//! What an RTMP client publishes, made into a publication: reads its messages,
//! puts them on one timeline, tells which tracks there are and when they are
//! known, and gives H.264 pictures as RTP payloads. Sound that browsers do not
//! know is somebody else's to convert. Refuses nothing a player over RTMP could
//! use: those get every message as it came.

use bytes::Bytes;

use crate::base::time::{Span, Time};
use crate::proto::audio::AudioSource;
use crate::proto::b_frames::{BFrameWatch, Change};
use crate::proto::depacketise::ParameterSets;
use crate::proto::media_clock::{Lane, RtmpTimeline};
use crate::proto::packetise::{AccessUnitView, Packetiser, Payload};
use crate::room::rtmp::{Audience, Tag, TagKind};
use crate::wire::amf;
use crate::wire::codec::AudioCodec;
use crate::wire::flv::{self, AudioCodecId, AudioPacket, VideoCodecId, VideoPacket};
use crate::wire::nal::{self, SliceType};

/// From the first message until the tracks that have come are all there are:
/// players are told of the stream then.
const TRACKS_WAIT: Span = Span::from_ms(1_000);

/// Pictures are shown this much before or after they are decoded at most, in
/// milliseconds: more than any encoder reorders.
const COMPOSITION_MAX_MS: i32 = 10_000;

/// What one message is.
#[derive(Debug, Default)]
pub struct Taken {
    /// For players over RTMP.
    pub tag: Option<Tag>,
    /// For browsers.
    pub frame: Option<Frame>,
    pub news: Option<News>,
}

/// One frame for browsers; its bytes are shared with the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Picture {
        pts_ms: u64,
        is_key: bool,
        data: Bytes,
    },
    Sound {
        ms: u64,
        data: Bytes,
    },
}

/// What changed with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The sound's codec or its configuration is another now.
    Sound,
    /// There are pictures for browsers now, and were none.
    Picture,
    BFrames,
    BFramesEnded,
    /// This video, or sound, cannot be converted for browsers.
    VideoUnknown(&'static str),
    SoundUnknown(&'static str),
}

/// How the sound comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SoundCodec {
    /// As browsers know it.
    Plain(AudioCodec),
    /// To be converted to Opus.
    Foreign(AudioSource),
    Unknown(&'static str),
}

/// What browsers can get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracks {
    pub audio: Option<AudioCodec>,
    pub has_video: bool,
    /// profile_idc, constraint flags and level_idc of the video.
    pub profile: Option<[u8; 3]>,
}

#[derive(Default)]
pub struct Ingest {
    timeline: Timeline,
    sound: Option<SoundCodec>,
    video: Option<Video>,
    /// What the metadata announced: sound, video.
    announced: Option<(bool, bool)>,
    began: Option<Time>,
    b_frames: BFrameWatch,
    packetiser: Packetiser,
}

struct Video {
    codec: VideoCodecId,
    /// Of H.264.
    config: Option<Config>,
}

struct Config {
    /// Parameter sets, sequence sets first.
    sets: Vec<Vec<u8>>,
    length_bytes: u8,
    profile: [u8; 3],
}

impl Ingest {
    pub fn new() -> Self {
        Self::default()
    }

    /// Another client goes on with the stream.
    pub fn restart(&mut self) {
        self.timeline.restart();
        self.b_frames = BFrameWatch::new();
    }

    /// What browsers can get; `None` while that is not known.
    pub fn tracks(&self, now: Time) -> Option<Tracks> {
        let began = self.began?;
        let (wants_sound, wants_video) = self.announced.unwrap_or((true, true));
        let is_complete =
            (self.sound.is_some() || !wants_sound) && (self.video.is_some() || !wants_video);
        let has_any = self.sound.is_some() || self.video.is_some();
        if !has_any || !(is_complete || now.since(began) >= TRACKS_WAIT) {
            return None;
        }
        let config = self.video.as_ref().and_then(|video| video.config.as_ref());
        Some(Tracks {
            audio: match &self.sound {
                Some(SoundCodec::Plain(codec)) => Some(*codec),
                Some(SoundCodec::Foreign(_)) => Some(AudioCodec::Opus),
                Some(SoundCodec::Unknown(_)) | None => None,
            },
            has_video: config.is_some(),
            profile: config.map(|config| config.profile),
        })
    }

    pub fn sound(&self) -> Option<&SoundCodec> {
        self.sound.as_ref()
    }

    pub fn has_b_frames(&self) -> bool {
        self.b_frames.has_b_frames()
    }

    /// How the units of the H.264 that comes are put one behind another, and its
    /// parameter sets; `None` while none was told.
    pub fn avc(&self) -> Option<(u8, ParameterSets)> {
        let config = self.video.as_ref()?.config.as_ref()?;
        let is_sps = |set: &Vec<u8>| nal::nal_type(set) == Some(nal::TYPE_SPS);
        let (sps, pps) = config.sets.iter().cloned().partition(is_sps);
        Some((config.length_bytes, ParameterSets { sps, pps }))
    }

    /// What of this stream's video browsers cannot be given, if so.
    pub fn unknown_video(&self) -> Option<&'static str> {
        let video = self.video.as_ref()?;
        video.config.is_none().then(|| video_name(video.codec))
    }

    /// Takes a data message.
    pub fn take_data(&mut self, now: Time, body: &[u8]) -> Taken {
        let Ok(values) = amf::amf0::read_all(body) else {
            return Taken::default();
        };
        let Some(metadata) = flv::metadata(&values) else {
            return Taken::default();
        };
        let mut said = Vec::new();
        // Players get it without the publisher's `@setDataFrame`.
        let is_command = |value: &&amf::Value| value.as_str() != Some("@setDataFrame");
        for value in values.iter().filter(is_command) {
            amf::amf0::write(&mut said, value);
        }
        // Metadata that names no codec at all tells nothing of what comes.
        let (has_audio, has_video) = (metadata.has_audio, metadata.has_video);
        self.announced = (has_audio || has_video).then_some((has_audio, has_video));
        self.began.get_or_insert(now);
        Taken {
            tag: Some(Tag {
                kind: TagKind::Metadata,
                audience: Audience::All,
                timestamp_ms: self.timeline.newest_ms,
                body: Bytes::from(said),
            }),
            ..Taken::default()
        }
    }

    /// Takes an audio message.
    pub fn take_audio(
        &mut self,
        now: Time,
        timestamp: u32,
        body: &Bytes,
    ) -> Result<Taken, flv::FlvError> {
        let parsed = flv::parse_audio(body)?;
        let ms = self.timeline.at(Lane::Audio, timestamp, now);
        self.began.get_or_insert(now);
        let mut taken = Taken::default();
        let (kind, payload) = match parsed.packet {
            AudioPacket::SequenceHeader(header) => {
                taken.news = self.sound_is(codec_of(parsed.codec, Some(header)));
                (TagKind::AudioHeader, None)
            }
            AudioPacket::Frame(frame) => {
                if parsed.codec != AudioCodecId::Aac {
                    taken.news = self.sound_is(codec_of(parsed.codec, None));
                }
                (TagKind::Audio, Some(frame))
            }
            AudioPacket::EndOfSequence | AudioPacket::Silence | AudioPacket::Ignored => {
                return Ok(taken);
            }
        };
        taken.tag = Some(Tag {
            kind,
            audience: self.audience(),
            timestamp_ms: ms,
            body: body.clone(),
        });
        taken.frame = payload.map(|payload| Frame::Sound {
            ms,
            data: body.slice_ref(payload),
        });
        Ok(taken)
    }

    /// Opus reaches players that know it as it is, and the others converted.
    fn audience(&self) -> Audience {
        match &self.sound {
            Some(SoundCodec::Plain(AudioCodec::Opus)) => Audience::Opus,
            _ => Audience::All,
        }
    }

    fn sound_is(&mut self, codec: SoundCodec) -> Option<News> {
        if self.sound.as_ref() == Some(&codec) {
            return None;
        }
        let news = match codec {
            SoundCodec::Unknown(name) => News::SoundUnknown(name),
            _ => News::Sound,
        };
        self.sound = Some(codec);
        Some(news)
    }

    /// Takes a video message.
    pub fn take_video(
        &mut self,
        now: Time,
        timestamp: u32,
        body: &Bytes,
    ) -> Result<Taken, flv::FlvError> {
        let parsed = flv::parse_video(body)?;
        let mut taken = Taken::default();
        let (kind, composition_ms, data) = match parsed.packet {
            VideoPacket::SequenceHeader(header) => {
                taken.news = self.video_is(parsed.codec, Some(header))?;
                (TagKind::VideoHeader, 0, None)
            }
            VideoPacket::Frame {
                composition_ms,
                data,
            } => {
                if self.video.is_none() && parsed.codec != VideoCodecId::Avc {
                    taken.news = self.video_is(parsed.codec, None)?;
                }
                let composition_ms = composition_ms.clamp(-COMPOSITION_MAX_MS, COMPOSITION_MAX_MS);
                let kind = match parsed.is_key {
                    true => TagKind::KeyFrame,
                    false => TagKind::Frame,
                };
                (kind, composition_ms, Some(data))
            }
            VideoPacket::EndOfSequence | VideoPacket::Ignored => return Ok(taken),
        };
        let dts_ms = self.timeline.at(Lane::Video, timestamp, now);
        self.began.get_or_insert(now);
        taken.tag = Some(Tag {
            kind,
            audience: Audience::All,
            timestamp_ms: dts_ms,
            body: body.clone(),
        });
        if let Some(data) = data
            && let Some(config) = self.video.as_ref().and_then(|video| video.config.as_ref())
        {
            let is_b = has_b_slice(data, config.length_bytes);
            let change = self.b_frames.on_frame(now, dts_ms, composition_ms, is_b);
            taken.news = change.map(|change| match change {
                Change::Started => News::BFrames,
                Change::Stopped => News::BFramesEnded,
            });
            taken.frame = Some(Frame::Picture {
                pts_ms: dts_ms.saturating_add_signed(i64::from(composition_ms)),
                is_key: parsed.is_key,
                data: body.slice_ref(data),
            });
        }
        Ok(taken)
    }

    fn video_is(
        &mut self,
        codec: VideoCodecId,
        header: Option<&[u8]>,
    ) -> Result<Option<News>, flv::FlvError> {
        let config = match (codec, header) {
            (VideoCodecId::Avc, Some(header)) => Some(Config::read(header)?),
            _ => None,
        };
        let was = self.video.as_ref().map(|video| video.codec);
        let is_news = was != Some(codec);
        let news = match config {
            Some(_) => News::Picture,
            None => News::VideoUnknown(video_name(codec)),
        };
        self.video = Some(Video { codec, config });
        Ok(is_news.then_some(news))
    }

    /// A picture's RTP payloads, in order; none when it is broken.
    pub fn packetise(&mut self, data: &[u8], emit: &mut dyn FnMut(Payload<'_>)) {
        let Some(config) = self.video.as_ref().and_then(|video| video.config.as_ref()) else {
            return;
        };
        let view = AccessUnitView {
            avcc: data,
            length_bytes: config.length_bytes,
        };
        // A broken picture is a lost one: the next key frame mends it.
        let _ = self.packetiser.packetise_h264(&view, &config.sets, emit);
    }
}

impl Config {
    fn read(header: &[u8]) -> Result<Self, flv::FlvError> {
        let record = flv::AvcConfig::parse(header)?;
        Ok(Config {
            length_bytes: record.nal_length_bytes,
            profile: [record.profile, record.compatibility, record.level],
            sets: record
                .sps
                .iter()
                .chain(&record.pps)
                .map(|set| set.to_vec())
                .collect(),
        })
    }
}

fn codec_of(codec: AudioCodecId, header: Option<&[u8]>) -> SoundCodec {
    match codec {
        AudioCodecId::Aac => SoundCodec::Foreign(AudioSource::Aac {
            config: header.unwrap_or_default().to_vec(),
        }),
        AudioCodecId::Speex => SoundCodec::Foreign(AudioSource::Speex),
        AudioCodecId::Opus => SoundCodec::Plain(AudioCodec::Opus),
        AudioCodecId::Pcmu => SoundCodec::Plain(AudioCodec::Pcmu),
        AudioCodecId::Pcma => SoundCodec::Plain(AudioCodec::Pcma),
        other => SoundCodec::Unknown(sound_name(other)),
    }
}

/// For people.
fn video_name(codec: VideoCodecId) -> &'static str {
    match codec {
        VideoCodecId::Avc => "H.264",
        VideoCodecId::Hevc => "H.265",
        VideoCodecId::Vp8 => "VP8",
        VideoCodecId::Vp9 => "VP9",
        VideoCodecId::Av1 => "AV1",
        VideoCodecId::Sorenson => "Sorenson H.263",
        VideoCodecId::Vp6 => "VP6",
        VideoCodecId::Other(_) => "an unknown codec",
    }
}

/// For people.
fn sound_name(codec: AudioCodecId) -> &'static str {
    match codec {
        AudioCodecId::Aac => "AAC",
        AudioCodecId::Opus => "Opus",
        AudioCodecId::Pcmu | AudioCodecId::Pcma => "G.711",
        AudioCodecId::Mp3 => "MP3",
        AudioCodecId::Speex => "Speex",
        AudioCodecId::Nellymoser => "Nellymoser",
        AudioCodecId::Other(_) => "an unknown codec",
    }
}

fn has_b_slice(data: &[u8], length_bytes: u8) -> bool {
    let mut units = nal::avcc(data, length_bytes).flatten();
    units.any(|unit| {
        let head = nal::nal_type(unit).filter(|kind| nal::is_slice(*kind));
        head.and_then(|_| nal::slice_head(unit))
            .is_some_and(|head| head.slice_type == SliceType::B)
    })
}

/// The publisher's timeline, which goes on where it was when another client
/// takes the stream over.
#[derive(Default)]
struct Timeline {
    of_client: RtmpTimeline,
    /// Added to the client's own times.
    shift_ms: i64,
    /// Another client's first message is to come.
    restarted: bool,
    newest_ms: u64,
    newest_at: Option<Time>,
    /// The last time of the audio, and of the video: neither goes back, also
    /// when the other client begins with older messages of the one.
    given_ms: [u64; 2],
}

impl Timeline {
    fn restart(&mut self) {
        self.of_client = RtmpTimeline::new();
        self.restarted = true;
    }

    fn at(&mut self, lane: Lane, timestamp: u32, now: Time) -> u64 {
        let own_ms = self.of_client.on_timestamp(lane, timestamp, now);
        if self.restarted {
            self.restarted = false;
            let passed = self.newest_at.map_or(0, |at| now.since(at).as_ms());
            let goes_on = self.newest_ms.saturating_add(passed);
            self.shift_ms = i64::try_from(goes_on).unwrap_or(i64::MAX)
                - i64::try_from(own_ms).unwrap_or(i64::MAX);
        }
        let [audio_ms, video_ms] = &mut self.given_ms;
        let given_ms = match lane {
            Lane::Audio => audio_ms,
            Lane::Video => video_ms,
        };
        let ms = own_ms.saturating_add_signed(self.shift_ms).max(*given_ms);
        *given_ms = ms;
        self.newest_ms = self.newest_ms.max(ms);
        self.newest_at = Some(now);
        ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0x8c, 0x8d];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

    fn at(ms: u64) -> Time {
        Time::from_us(ms * 1_000)
    }

    fn avc_header() -> Bytes {
        let mut record = Vec::new();
        flv::AvcConfig::of_sets(SPS, PPS)
            .unwrap()
            .write(&mut record);
        let mut body = Vec::new();
        flv::write_avc_sequence_header(&mut body, &record);
        body.into()
    }

    fn picture(is_key: bool, composition_ms: i32) -> Bytes {
        let slice: &[u8] = if is_key { &[0x65, 0x88] } else { &[0x41, 0xe0] };
        let mut units = Vec::new();
        nal::write_avcc(&mut units, slice);
        let mut body = Vec::new();
        flv::write_avc_frame(&mut body, is_key, composition_ms, &units);
        body.into()
    }

    fn aac_header() -> Bytes {
        let mut body = Vec::new();
        flv::write_aac_sequence_header(&mut body, &[0x12, 0x10]);
        body.into()
    }

    fn metadata(codecs: &[&str]) -> Vec<u8> {
        let fields = codecs
            .iter()
            .map(|key| (key.to_string(), amf::Value::Number(7.0)));
        let mut body = Vec::new();
        for value in [
            amf::Value::String("@setDataFrame".into()),
            amf::Value::String("onMetaData".into()),
            amf::Value::EcmaArray(fields.collect()),
        ] {
            amf::amf0::write(&mut body, &value);
        }
        body
    }

    #[test]
    fn only_metadata_that_names_codecs_says_that_there_is_no_sound() {
        let is_complete_with_video = |keys: &[&str]| {
            let mut ingest = Ingest::new();
            ingest.take_data(at(0), &metadata(keys));
            ingest.take_video(at(0), 0, &avc_header()).unwrap();
            ingest.tracks(at(0)).is_some()
        };
        assert!(is_complete_with_video(&["videocodecid"]));
        assert!(!is_complete_with_video(&["width", "height"]));
    }

    #[test]
    fn the_tracks_are_known_when_what_was_announced_has_come() {
        let mut ingest = Ingest::new();
        ingest.take_data(at(0), &metadata(&["videocodecid", "audiocodecid"]));
        assert_eq!(ingest.tracks(at(0)), None);
        ingest.take_video(at(1), 0, &avc_header()).unwrap();
        assert_eq!(ingest.tracks(at(1)), None, "the sound is to come");
        let taken = ingest.take_audio(at(2), 0, &aac_header()).unwrap();
        assert_eq!(taken.news, Some(News::Sound));
        let tracks = Tracks {
            audio: Some(AudioCodec::Opus),
            has_video: true,
            profile: Some([0x42, 0xc0, 0x1f]),
        };
        assert_eq!(ingest.tracks(at(2)), Some(tracks));
    }

    #[test]
    fn a_track_that_was_not_announced_is_not_waited_for() {
        let mut ingest = Ingest::new();
        ingest.take_data(at(0), &metadata(&["videocodecid"]));
        ingest.take_video(at(1), 0, &avc_header()).unwrap();
        assert!(
            ingest
                .tracks(at(1))
                .is_some_and(|tracks| tracks.audio.is_none())
        );
    }

    #[test]
    fn without_announcement_what_came_within_a_second_is_all() {
        let mut ingest = Ingest::new();
        ingest.take_video(at(0), 0, &avc_header()).unwrap();
        assert_eq!(ingest.tracks(at(999)), None);
        assert!(ingest.tracks(at(1_000)).is_some());
        assert_eq!(Ingest::new().tracks(at(9_000)), None, "nothing came");
    }

    #[test]
    fn players_get_metadata_as_servers_say_it() {
        let mut ingest = Ingest::new();
        let taken = ingest.take_data(at(0), &metadata(&["videocodecid"]));
        let values = amf::amf0::read_all(&taken.tag.unwrap().body).unwrap();
        assert_eq!(values[0].as_str(), Some("onMetaData"));
        assert_eq!(values.len(), 2);
    }

    #[test]
    fn a_picture_is_shown_at_its_own_time_and_its_payloads_carry_the_sets() {
        let mut ingest = Ingest::new();
        ingest.take_video(at(0), 40, &avc_header()).unwrap();
        let taken = ingest.take_video(at(0), 40, &picture(true, 80)).unwrap();
        assert_eq!(taken.tag.unwrap().timestamp_ms, 40, "decoded then");
        let Some(Frame::Picture { pts_ms, data, .. }) = taken.frame else {
            panic!("{:?}", taken.frame);
        };
        assert_eq!(pts_ms, 120);
        let mut types = Vec::new();
        ingest.packetise(&data, &mut |payload| {
            types.push((
                payload.bytes[0] & 0x1f,
                payload.keyframe_start,
                payload.marker,
            ));
        });
        assert_eq!(types, [(24, true, false), (5, false, true)]);
    }

    #[test]
    fn another_client_goes_on_where_the_stream_was() {
        let mut ingest = Ingest::new();
        let times = |ingest: &mut Ingest, now, timestamp| {
            let taken = ingest
                .take_video(at(now), timestamp, &picture(true, 0))
                .unwrap();
            taken.tag.unwrap().timestamp_ms
        };
        ingest.take_video(at(0), 5_000, &avc_header()).unwrap();
        assert_eq!(times(&mut ingest, 0, 5_000), 5_000);
        assert_eq!(times(&mut ingest, 40, 5_040), 5_040);
        ingest.restart();
        assert_eq!(times(&mut ingest, 3_040, 0), 8_040, "3 s passed");
        assert_eq!(times(&mut ingest, 3_080, 40), 8_080);
    }

    #[test]
    fn what_browsers_cannot_show_or_hear_is_named_once() {
        let mut ingest = Ingest::new();
        let hevc = Bytes::from_static(&[0x90, b'h', b'v', b'c', b'1', 1, 2, 3]);
        let taken = ingest.take_video(at(0), 0, &hevc).unwrap();
        assert_eq!(taken.news, Some(News::VideoUnknown("H.265")));
        assert!(taken.tag.is_some(), "players may know it");
        assert_eq!(ingest.unknown_video(), Some("H.265"));
        let again = ingest.take_video(at(0), 0, &hevc).unwrap();
        assert_eq!(again.news, None);
        let nellymoser = Bytes::from_static(&[0x52, 1, 2, 3]);
        let taken = ingest.take_audio(at(0), 0, &nellymoser).unwrap();
        assert_eq!(taken.news, Some(News::SoundUnknown("Nellymoser")));
        let again = ingest.take_audio(at(20), 20, &nellymoser).unwrap();
        assert_eq!(again.news, None);
    }
}
