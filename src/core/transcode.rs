//! What the core asks of the transcode worker and what comes back, as values,
//! and the worker's state. Never runs on a media turn: the driver's worker and
//! the simulator run it beside.

use bytes::Bytes;

use crate::base::hash::Map;
use crate::base::limits::TRANSCODERS_PER_CORE_MAX;
use crate::proto::audio::{AudioError, AudioSource, AudioTarget, Transcoder};

/// A stream being transcoded, of one core. The core issues them, never reusing
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TranscodeId(pub u64);

/// What to do, in the order asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TranscodeJob {
    Open {
        id: TranscodeId,
        source: AudioSource,
        target: AudioTarget,
    },
    Frame {
        id: TranscodeId,
        /// When its sound starts, in 48ths of a millisecond.
        ticks: u64,
        bytes: Bytes,
    },
    Close {
        id: TranscodeId,
    },
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transcoded {
    /// Answers an open: OpusHead or AudioSpecificConfig of what follows.
    Header { id: TranscodeId, bytes: Bytes },
    Frame {
        id: TranscodeId,
        /// When its sound starts, in 48ths of a millisecond.
        ticks: u64,
        bytes: Bytes,
    },
    /// The stream is gone, nothing more will come of it.
    Failed { id: TranscodeId, why: &'static str },
}

impl Transcoded {
    pub fn id(&self) -> TranscodeId {
        match self {
            Transcoded::Header { id, .. }
            | Transcoded::Frame { id, .. }
            | Transcoded::Failed { id, .. } => *id,
        }
    }
}

impl TranscodeJob {
    pub fn id(&self) -> TranscodeId {
        match self {
            TranscodeJob::Open { id, .. }
            | TranscodeJob::Frame { id, .. }
            | TranscodeJob::Close { id } => *id,
        }
    }
}

/// The streams being transcoded for one core, at most
/// [`TRANSCODERS_PER_CORE_MAX`].
#[derive(Default)]
pub struct Transcoders {
    streams: Map<TranscodeId, Transcoder>,
}

impl Transcoders {
    /// Does `job` and appends what comes of it. A frame or a close of an id that
    /// is not open comes to nothing: it failed before, and was told so.
    ///
    /// Should a codec panic, [`Transcoders::forget`] the job's stream; the others
    /// are whole.
    pub fn run(&mut self, job: TranscodeJob, results: &mut Vec<Transcoded>) {
        match job {
            TranscodeJob::Open { id, source, target } => {
                results.push(match self.open(id, &source, &target) {
                    Ok(bytes) => Transcoded::Header { id, bytes },
                    Err(why) => Transcoded::Failed { id, why },
                });
            }
            TranscodeJob::Frame { id, ticks, bytes } => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.push(ticks, &bytes, &mut |ticks, frame| {
                        let bytes = Bytes::copy_from_slice(frame);
                        results.push(Transcoded::Frame { id, ticks, bytes });
                    });
                }
            }
            TranscodeJob::Close { id } => self.forget(id),
        }
    }

    pub fn forget(&mut self, id: TranscodeId) {
        self.streams.remove(&id);
    }

    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    fn open(
        &mut self,
        id: TranscodeId,
        source: &AudioSource,
        target: &AudioTarget,
    ) -> Result<Bytes, &'static str> {
        if self.streams.len() >= TRANSCODERS_PER_CORE_MAX {
            return Err("too many streams are transcoded");
        }
        let stream = Transcoder::new(source, target).map_err(|error| match error {
            AudioError::AacConfig => "AAC configuration not understood",
            AudioError::OpusChannels(_) => "Opus of more than two channels",
            AudioError::Setup(codec) => codec,
        })?;
        let header = Bytes::from(stream.header());
        self.streams.insert(id, stream);
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TranscodeId = TranscodeId(7);
    const TARGET: AudioTarget = AudioTarget::Opus {
        bitrate_bps: 32_000,
    };

    fn run(transcoders: &mut Transcoders, job: TranscodeJob) -> Vec<Transcoded> {
        let mut results = Vec::new();
        transcoders.run(job, &mut results);
        results
    }

    fn open(id: TranscodeId) -> TranscodeJob {
        let source = AudioSource::Opus { channels: 1 };
        TranscodeJob::Open {
            id,
            source,
            target: TARGET,
        }
    }

    fn silence(ticks: u64) -> TranscodeJob {
        let bytes = Bytes::from_static(&[0xf8, 0xff, 0xfe]);
        TranscodeJob::Frame {
            id: ID,
            ticks,
            bytes,
        }
    }

    #[test]
    fn a_stream_lives_from_open_to_close() {
        let mut transcoders = Transcoders::default();
        assert_eq!(run(&mut transcoders, silence(0)), []);
        let opened = run(&mut transcoders, open(ID));
        assert!(
            matches!(&opened[..], [Transcoded::Header { id: ID, bytes }] if bytes.starts_with(b"OpusHead"))
        );
        let mut ticks = Vec::new();
        for n in 10..20 {
            for result in run(&mut transcoders, silence(n * 960)) {
                let Transcoded::Frame {
                    id: ID, ticks: at, ..
                } = result
                else {
                    panic!("{result:?}");
                };
                ticks.push(at);
            }
        }
        assert_eq!(
            ticks,
            [
                8_640, 9_600, 10_560, 11_520, 12_480, 13_440, 14_400, 15_360, 16_320, 17_280
            ][..ticks.len()]
        );
        assert!(ticks.len() >= 9);
        assert_eq!(run(&mut transcoders, TranscodeJob::Close { id: ID }), []);
        assert!(transcoders.is_empty());
    }

    #[test]
    fn what_cannot_be_opened_is_said_why() {
        let mut transcoders = Transcoders::default();
        let config = vec![0xff];
        let job = TranscodeJob::Open {
            id: ID,
            source: AudioSource::Aac { config },
            target: TARGET,
        };
        let failed = Transcoded::Failed {
            id: ID,
            why: "AAC configuration not understood",
        };
        assert_eq!(run(&mut transcoders, job), [failed]);
    }

    #[test]
    fn streams_are_bounded() {
        let mut transcoders = Transcoders::default();
        for n in 0..TRANSCODERS_PER_CORE_MAX as u64 {
            let opened = run(&mut transcoders, open(TranscodeId(n)));
            assert!(matches!(opened[..], [Transcoded::Header { .. }]));
        }
        let refused = run(&mut transcoders, open(TranscodeId(9_999)));
        assert!(matches!(refused[..], [Transcoded::Failed { .. }]));
    }
}
