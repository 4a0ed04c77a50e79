//! The threads that transcode audio for the cores, unpinned. Their queues are
//! bounded; a core never waits for them. A codec that panics ends one stream.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::base::limits::TRANSCODE_QUEUE_MAX;
use crate::core::border::CoreId;
use crate::core::transcode::{TranscodeId, TranscodeJob, Transcoded, Transcoders};

/// Takes what came of one job to the core that asked, and wakes it. Called on
/// the worker's threads, never with nothing.
pub type Deliver = Arc<dyn Fn(CoreId, Vec<Transcoded>) + Send + Sync>;

/// A core's way to the worker. The threads end when the last one is gone and
/// their queues are empty.
#[derive(Clone)]
pub struct Worker {
    desks: Arc<Desks>,
}

/// Closed when the last [`Worker`] drops it.
struct Desks(Vec<Arc<Desk>>);

/// One thread's queues.
struct Desk {
    state: Mutex<State>,
    filled: Condvar,
}

struct State {
    /// One per core, so that none fills another's.
    lanes: Vec<Lane>,
    /// Whose turn it is.
    next: usize,
    closed: bool,
}

#[derive(Default)]
struct Lane {
    jobs: VecDeque<TranscodeJob>,
    /// Of `jobs`, how many are frames. The others are few: at most an open or
    /// a close of each stream.
    frames: usize,
}

impl Worker {
    /// Starts `threads` threads (at least one) for `cores` cores.
    pub fn start(
        threads: usize,
        cores: usize,
        deliver: &Deliver,
    ) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (mut desks, mut handles) = (Vec::new(), Vec::new());
        for n in 0..threads.max(1) {
            let desk = Arc::new(Desk::new(cores));
            let (own, deliver) = (Arc::clone(&desk), Arc::clone(deliver));
            let builder = std::thread::Builder::new().name(format!("transcode {n}"));
            handles.push(builder.spawn(move || own.work(cores, &deliver))?);
            desks.push(desk);
        }
        let desks = Arc::new(Desks(desks));
        Ok((Worker { desks }, handles))
    }

    /// Leaves a job of `core`. Jobs of one stream are done in order. With
    /// [`TRANSCODE_QUEUE_MAX`] frames waiting, the core's oldest is dropped:
    /// the threads are behind, and `true` says so.
    pub fn submit(&self, core: CoreId, job: TranscodeJob) -> bool {
        let desks = &self.desks.0;
        // A stream's jobs go to one thread; streams spread over all.
        let n = (u64::from(core.0) + job.id().0) % desks.len().max(1) as u64;
        desks
            .get(n as usize)
            .is_some_and(|desk| desk.put(core, job))
    }
}

impl Drop for Desks {
    fn drop(&mut self) {
        for desk in &self.0 {
            desk.lock().closed = true;
            desk.filled.notify_one();
        }
    }
}

impl Desk {
    fn new(cores: usize) -> Self {
        Desk {
            state: Mutex::new(State {
                lanes: (0..cores).map(|_| Lane::default()).collect(),
                next: 0,
                closed: false,
            }),
            filled: Condvar::new(),
        }
    }

    fn put(&self, core: CoreId, job: TranscodeJob) -> bool {
        let mut state = self.lock();
        let Some(lane) = state.lanes.get_mut(usize::from(core.0)) else {
            debug_assert!(false, "a job of {core:?}, which does not exist");
            return false;
        };
        let dropped = lane.put(job);
        drop(state);
        self.filled.notify_one();
        dropped
    }

    /// The next job, of the cores in turn. `None`: there will be none.
    fn take(&self) -> Option<(CoreId, TranscodeJob)> {
        let mut state = self.lock();
        loop {
            let (count, from) = (state.lanes.len(), state.next);
            for n in (0..count).map(|n| (from + n) % count) {
                if let Some(job) = state.lanes.get_mut(n).and_then(Lane::take) {
                    state.next = n + 1;
                    return Some((CoreId(n as u16), job));
                }
            }
            if state.closed {
                return None;
            }
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self, cores: usize, deliver: &Deliver) {
        let mut of_cores: Vec<Transcoders> = (0..cores).map(|_| Transcoders::default()).collect();
        while let Some((core, job)) = self.take() {
            let Some(transcoders) = of_cores.get_mut(usize::from(core.0)) else {
                continue;
            };
            let id = job.id();
            let results = self.guarded(id, transcoders, |transcoders, results| {
                transcoders.run(job, results);
            });
            if !results.is_empty() {
                deliver(core, results);
            }
        }
    }

    /// What `run` results in; when it panics, the end of the stream `id`.
    fn guarded(
        &self,
        id: TranscodeId,
        transcoders: &mut Transcoders,
        run: impl FnOnce(&mut Transcoders, &mut Vec<Transcoded>),
    ) -> Vec<Transcoded> {
        let mut results = Vec::new();
        let done = catch_unwind(AssertUnwindSafe(|| run(transcoders, &mut results)));
        if done.is_err() {
            transcoders.forget(id);
            let why = "the codec failed";
            results.push(Transcoded::Failed { id, why });
        }
        results
    }

    /// Another thread's panic leaves the queues whole: nothing here panics
    /// half-way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// Whether a frame had to go for it.
    fn put(&mut self, job: TranscodeJob) -> bool {
        let mut dropped = false;
        match &job {
            TranscodeJob::Frame { .. } => {
                if self.frames >= TRANSCODE_QUEUE_MAX {
                    let is_frame = |job: &TranscodeJob| matches!(job, TranscodeJob::Frame { .. });
                    let oldest = self.jobs.iter().position(is_frame);
                    dropped = oldest.and_then(|at| self.jobs.remove(at)).is_some();
                    self.frames -= usize::from(dropped);
                }
                self.frames += 1;
            }
            // Nobody waits for what a closed stream still had to do.
            TranscodeJob::Close { id } => {
                let before = self.jobs.len();
                let opens = |job: &TranscodeJob| matches!(job, TranscodeJob::Open { .. });
                let unopened = self.jobs.iter().any(|job| job.id() == *id && opens(job));
                self.jobs.retain(|job| job.id() != *id);
                self.frames -= before - self.jobs.len() - usize::from(unopened);
                if unopened {
                    return false;
                }
            }
            TranscodeJob::Open { .. } => {}
        }
        self.jobs.push_back(job);
        dropped
    }

    fn take(&mut self) -> Option<TranscodeJob> {
        let job = self.jobs.pop_front()?;
        self.frames -= usize::from(matches!(job, TranscodeJob::Frame { .. }));
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    use bytes::Bytes;

    use crate::proto::audio::{AudioSource, AudioTarget};

    fn open(id: u64) -> TranscodeJob {
        TranscodeJob::Open {
            id: TranscodeId(id),
            source: AudioSource::Opus { channels: 1 },
            target: AudioTarget::Aac {
                bitrate_bps: 64_000,
            },
        }
    }

    fn frame(id: u64, n: u64) -> TranscodeJob {
        TranscodeJob::Frame {
            id: TranscodeId(id),
            ticks: n * 960,
            bytes: Bytes::from_static(&[0xf8, 0xff, 0xfe]),
        }
    }

    fn close(id: u64) -> TranscodeJob {
        let id = TranscodeId(id);
        TranscodeJob::Close { id }
    }

    #[test]
    fn streams_of_all_cores_come_back_to_their_cores() {
        let (sender, receiver) = channel();
        let sender = Mutex::new(sender);
        let deliver: Deliver = Arc::new(move |core, results| {
            sender.lock().unwrap().send((core, results)).unwrap();
        });
        let (worker, threads) = Worker::start(2, 2, &deliver).unwrap();
        for core in [CoreId(0), CoreId(1)] {
            for id in 0..3 {
                assert!(!worker.submit(core, open(id)));
                for n in 0..50 {
                    assert!(!worker.submit(core, frame(id, n)));
                }
            }
        }
        drop((worker, deliver));
        for thread in threads {
            thread.join().unwrap();
        }
        let mut ends = std::collections::BTreeMap::new();
        for (core, results) in receiver {
            for result in results {
                match result {
                    Transcoded::Header { id, .. } => {
                        assert_eq!(ends.insert((core, id), 0), None);
                    }
                    Transcoded::Frame { id, ticks, .. } => {
                        let end = ends.get_mut(&(core, id)).unwrap();
                        assert_eq!(*end, ticks);
                        *end = ticks + 1_024;
                    }
                    Transcoded::Failed { .. } => panic!("{result:?}"),
                }
            }
        }
        assert_eq!(ends.len(), 6);
        assert!(ends.values().all(|end| *end > 44_000), "{ends:?}");
    }

    #[test]
    fn a_full_lane_drops_its_oldest_frame_and_nothing_else() {
        let mut lane = Lane::default();
        assert!(!lane.put(open(1)));
        for n in 0..TRANSCODE_QUEUE_MAX as u64 {
            assert!(!lane.put(frame(1, n)));
        }
        assert!(lane.put(frame(1, 9_999)));
        assert!(!lane.put(open(2)));
        assert_eq!(lane.frames, TRANSCODE_QUEUE_MAX);
        assert_eq!(
            (lane.take(), lane.take()),
            (Some(open(1)), Some(frame(1, 1)))
        );
    }

    #[test]
    fn a_close_overtakes_what_it_makes_pointless() {
        let mut lane = Lane::default();
        for job in [
            open(1),
            frame(1, 0),
            frame(2, 0),
            frame(1, 1),
            close(1),
            close(2),
        ] {
            lane.put(job);
        }
        assert_eq!(
            (lane.take(), lane.take(), lane.frames),
            (Some(close(2)), None, 0)
        );
    }

    #[test]
    fn a_panic_ends_one_stream_and_is_told() {
        let desk = Desk::new(1);
        let mut transcoders = Transcoders::default();
        let mut results = Vec::new();
        for id in [1, 2] {
            transcoders.run(open(id), &mut results);
        }
        let (id, why) = (TranscodeId(1), "the codec failed");
        let results = desk.guarded(id, &mut transcoders, |_, _| panic!("of a codec"));
        assert_eq!(results, [Transcoded::Failed { id, why }]);
        let mut results = Vec::new();
        for n in 0..3 {
            transcoders.run(frame(1, n), &mut results);
        }
        assert_eq!(results, [], "it is gone");
        for n in 0..3 {
            transcoders.run(frame(2, n), &mut results);
        }
        assert!(!results.is_empty(), "the other is not");
    }
}
