//! Where the orders of recordings go in a bench: nowhere, so that what is left
//! is the core's own work, or to the thread the driver gives them to, which
//! writes real files. Counts them either way.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use ringhall::core::CoreId;
use ringhall::core::record::FileTask;
use ringhall::io::records::desk::{Deliver, Desk, DeskSettings, Outcome};
use ringhall::io::records::store::SyncPolicy;
use ringhall::record::finalise::Finished;
use ringhall::record::fmp4::FLIP_TO;
use ringhall::record::order::{FileDone, FileOrder, RecordingId};

/// What was ordered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub orders: u64,
    pub writes: u64,
    /// Of the writes.
    pub bytes: u64,
    /// Writes that make a fragment one.
    pub flips: u64,
}

impl Tally {
    fn count(&mut self, task: &FileTask) {
        self.orders += 1;
        if let FileTask::Order(FileOrder::Write { bytes, .. }) = task {
            self.writes += 1;
            self.bytes += bytes.len() as u64;
            self.flips += u64::from(bytes.len() == FLIP_TO.len());
        }
    }

    /// Since `before`.
    pub fn since(&self, before: &Tally) -> Tally {
        Tally {
            orders: self.orders - before.orders,
            writes: self.writes - before.writes,
            bytes: self.bytes - before.bytes,
            flips: self.flips - before.flips,
        }
    }
}

pub struct Sink {
    to: To,
    under_way: usize,
    done: VecDeque<(RecordingId, FileDone)>,
    pub tally: Tally,
}

enum To {
    Nowhere,
    Desk(Clerk, CoreId),
}

impl Sink {
    pub fn nowhere() -> Self {
        Sink::to(To::Nowhere)
    }

    /// To files; no two sinks of a clerk may have the same core.
    pub fn files(clerk: &Clerk, core: u16) -> Self {
        Sink::to(To::Desk(clerk.clone(), CoreId(core)))
    }

    fn to(to: To) -> Self {
        Sink {
            to,
            under_way: 0,
            done: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    pub fn submit(&mut self, id: RecordingId, task: FileTask) {
        self.tally.count(&task);
        self.under_way += 1;
        match &self.to {
            To::Nowhere => self.done.push_back((id, claimed(&task))),
            To::Desk(clerk, core) => clerk.desk.submit(*core, id, task),
        }
    }

    /// Waits until everything ordered is done.
    pub fn wait(&mut self) {
        let To::Desk(clerk, core) = &self.to else {
            return;
        };
        while self.done.len() < self.under_way {
            let outcome = clerk.outcomes.take(*core);
            self.done.push_back((outcome.id, outcome.done));
        }
    }

    pub fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    /// What came of the next order.
    pub fn take(&mut self) -> Option<(RecordingId, FileDone)> {
        let done = self.done.pop_front()?;
        self.under_way -= 1;
        Some(done)
    }
}

/// What a disk would say that does all at once.
fn claimed(task: &FileTask) -> FileDone {
    let FileTask::Order(order) = task else {
        return FileDone::Noted;
    };
    match order {
        FileOrder::Begin(_) => FileDone::Begun {
            len_bytes: 1_024,
            number: 1,
        },
        FileOrder::Write { bytes, .. } => FileDone::Written { bytes: bytes.len() },
        FileOrder::Sync => FileDone::Synced,
        FileOrder::Finish | FileOrder::Extend(_) => FileDone::Whole(Finished::default()),
    }
}

#[derive(Default)]
struct Outcomes {
    by_core: Mutex<VecDeque<(CoreId, Outcome)>>,
    filled: Condvar,
}

impl Outcomes {
    fn put(&self, core: CoreId, outcome: Outcome) {
        let mut queue = self.by_core.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push_back((core, outcome));
        self.filled.notify_all();
    }

    /// Waits for the next one of a core.
    fn take(&self, core: CoreId) -> Outcome {
        let mut queue = self.by_core.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let place = queue.iter().position(|(of, _)| *of == core);
            if let Some((_, outcome)) = place.and_then(|place| queue.remove(place)) {
                return outcome;
            }
            let waited = self.filled.wait(queue);
            queue = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The driver's own thread for recordings, on a folder.
#[derive(Clone)]
pub struct Clerk {
    desk: Desk,
    outcomes: Arc<Outcomes>,
    pub folder: PathBuf,
    /// Of the thread, in `/proc`.
    thread: PathBuf,
}

impl Clerk {
    /// Nothing is forced onto the medium: that is no CPU time. To be opened
    /// before the opener is pinned, which threads inherit.
    pub fn open(folder: &Path) -> io::Result<(Self, JoinHandle<()>)> {
        let settings = DeskSettings {
            folder: folder.to_path_buf(),
            min_free_bytes: 0,
            sync: SyncPolicy::Leaves,
        };
        let outcomes = Arc::new(Outcomes::default());
        let put = Arc::clone(&outcomes);
        let deliver: Deliver = Arc::new(move |core, outcome| put.put(core, outcome));
        let (desk, joined) = Desk::open(settings, deliver, |_| {})?;
        let clerk = Clerk {
            desk,
            outcomes,
            folder: folder.to_path_buf(),
            thread: thread_called("records")?,
        };
        Ok((clerk, joined))
    }

    /// CPU time of the thread so far.
    pub fn cpu_ns(&self) -> io::Result<u64> {
        let text = fs::read_to_string(self.thread.join("schedstat"))?;
        let first = text.split_whitespace().next();
        first
            .and_then(|ns| ns.parse().ok())
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// System calls of the thread so far that wrote something.
    pub fn write_calls(&self) -> io::Result<u64> {
        let text = fs::read_to_string(self.thread.join("io"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("syscw:"));
        line.and_then(|calls| calls.trim().parse().ok())
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// A thread of this process that has just been given this name, or will be.
fn thread_called(name: &str) -> io::Result<PathBuf> {
    const LOOKS: usize = 1_000;
    for _ in 0..LOOKS {
        for task in fs::read_dir("/proc/self/task")? {
            let path = task?.path();
            let said = fs::read_to_string(path.join("comm")).unwrap_or_default();
            if said.trim_end() == name {
                return Ok(path);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    Err(io::ErrorKind::NotFound.into())
}
