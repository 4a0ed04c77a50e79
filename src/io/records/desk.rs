//! The thread that does with recordings' files what takes its time: making
//! them, their heads and tails, making them whole; and, where a core has no
//! io_uring, their writes. A core never waits for it. Each recording has one
//! order here at most, so that what waits is bounded by their number.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::repair::repair_leftovers;
use super::store::{FileStore, SyncPolicy, fault};
use crate::core::border::CoreId;
use crate::core::record::FileTask;
use crate::io::sys;
use crate::ops::event::Event;
use crate::ops::manifest::{self, Manifest};
use crate::ops::record_name::{PART_SUFFIX, numbered};
use crate::record::order::{Begin, Extend, FileDone, FileOrder, RecordingId, finish};
use crate::record::store::{FileFault, Store};

/// How often the disk is asked how much space it has, while something is
/// written.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);

/// Names tried for a file whose own is taken.
const NAMES_MAX: u32 = 1_000;

/// What the operator wants of files.
#[derive(Clone, Debug)]
pub struct DeskSettings {
    /// The folder of recordings; made for the first of them.
    pub folder: PathBuf,
    /// Nothing is recorded while the disk has less free.
    pub min_free_bytes: u64,
    /// Whether files are forced onto the medium when they are made whole.
    pub sync: SyncPolicy,
}

impl Default for DeskSettings {
    fn default() -> Self {
        DeskSettings {
            folder: PathBuf::from("records"),
            min_free_bytes: 0,
            sync: SyncPolicy::Waits,
        }
    }
}

/// What came of an order, and of a beginning the open file.
pub struct Outcome {
    pub id: RecordingId,
    pub done: FileDone,
    pub opened: Option<File>,
}

/// Takes an outcome to the core that ordered, and wakes it.
pub type Deliver = Arc<dyn Fn(CoreId, Outcome) + Send + Sync>;

/// A core's way to the thread, which ends when the last one is gone and
/// everything is done.
#[derive(Clone)]
pub struct Desk {
    shared: Arc<Handle>,
}

/// Closed when the last [`Desk`] drops it.
struct Handle(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    is_full: AtomicBool,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<(CoreId, RecordingId, FileTask)>,
    closed: bool,
}

impl Desk {
    /// What an earlier run left unfinished in the folder is repaired first.
    pub fn open(
        settings: DeskSettings,
        deliver: Deliver,
        print: fn(&Event),
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            filled: Condvar::new(),
            is_full: AtomicBool::new(false),
        });
        let clerk = Clerk {
            settings,
            shared: Arc::clone(&shared),
            deliver,
            print,
            open: HashMap::new(),
            asked: None,
        };
        let builder = std::thread::Builder::new().name("records".to_string());
        let thread = builder.spawn(move || clerk.work())?;
        let shared = Arc::new(Handle(shared));
        Ok((Desk { shared }, thread))
    }

    pub fn submit(&self, core: CoreId, id: RecordingId, task: FileTask) {
        let shared = &self.shared.0;
        shared.lock().tasks.push_back((core, id, task));
        shared.filled.notify_one();
    }

    /// Whether the disk has too little space for more.
    pub fn is_full(&self) -> bool {
        self.shared.0.is_full.load(Relaxed)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.filled.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's own.
struct Clerk {
    settings: DeskSettings,
    shared: Arc<Shared>,
    deliver: Deliver,
    print: fn(&Event),
    /// Files not whole yet, by whose they are: the name they will have, and
    /// the file.
    open: HashMap<(CoreId, RecordingId), (String, FileStore)>,
    /// When the disk was last asked for its space.
    asked: Option<Instant>,
}

impl Clerk {
    fn work(mut self) {
        repair_leftovers(&self.settings.folder, self.print);
        while let Some((core, id, task)) = self.take() {
            let outcome = match task {
                FileTask::Order(order) => self.carry_out(core, id, order),
                FileTask::Manifest { name, manifest } => self.write_manifest(id, &name, &manifest),
            };
            (self.deliver)(core, outcome);
        }
    }

    /// The next task; in between the disk is looked at. `None`: there will be
    /// none.
    fn take(&mut self) -> Option<(CoreId, RecordingId, FileTask)> {
        loop {
            self.ask_for_space();
            let state = self.shared.lock();
            let is_idle = |state: &mut State| state.tasks.is_empty() && !state.closed;
            let wait = &self.shared.filled;
            let (mut state, timeout) = match self.open.is_empty() {
                true => {
                    let state = wait.wait_while(state, is_idle);
                    (state.unwrap_or_else(PoisonError::into_inner), false)
                }
                false => {
                    let waited = wait.wait_timeout_while(state, SPACE_INTERVAL, is_idle);
                    let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    (state, timeout.timed_out())
                }
            };
            match state.tasks.pop_front() {
                Some(task) => return Some(task),
                None if timeout => {}
                None if state.closed => return None,
                None => {}
            }
        }
    }

    fn ask_for_space(&mut self) {
        let is_soon = |at: Instant| at.elapsed() < SPACE_INTERVAL;
        if self.open.is_empty() || self.asked.is_some_and(is_soon) {
            return;
        }
        self.measure_space();
    }

    fn measure_space(&mut self) {
        self.asked = Some(Instant::now());
        let free = sys::free_bytes(&self.settings.folder);
        // A disk that does not tell is one that says so when it is full.
        let is_full = free.is_ok_and(|free| free < self.settings.min_free_bytes);
        self.shared.is_full.store(is_full, Relaxed);
    }

    fn carry_out(&mut self, core: CoreId, id: RecordingId, order: FileOrder) -> Outcome {
        let mut opened = None;
        let done = match order {
            FileOrder::Begin(begin) => match self.begin(&begin) {
                Ok((done, name, store)) => {
                    opened = store.handle().ok();
                    self.open.insert((core, id), (name, store));
                    done
                }
                Err(fault) => failed(fault),
            },
            FileOrder::Write { offset, bytes } => self.write((core, id), offset, &bytes),
            FileOrder::Sync => match self.open.get_mut(&(core, id)) {
                Some((_, store)) => match store.sync() {
                    Ok(()) => FileDone::Synced,
                    Err(fault) => failed(fault),
                },
                None => failed(FileFault::Missing),
            },
            FileOrder::Finish => self.finish((core, id)),
            FileOrder::Extend(extend) => self.extend(&extend),
        };
        Outcome { id, done, opened }
    }

    fn begin(&mut self, begin: &Begin) -> Result<(FileDone, String, FileStore), FileFault> {
        let folder = &self.settings.folder;
        fs::create_dir_all(folder).map_err(|error| fault(&error))?;
        self.measure_space();
        if self.shared.is_full.load(Relaxed) {
            return Err(FileFault::NoSpace);
        }
        let (number, name, mut store) = self.make(&begin.name)?;
        match begin.write(&mut store) {
            Ok(len_bytes) => Ok((FileDone::Begun { len_bytes, number }, name, store)),
            Err(fault) => {
                // Nothing of a stream is in it yet.
                let _ = fs::remove_file(self.part(&name));
                Err(fault)
            }
        }
    }

    /// Makes a file no other has the name of, whole or not.
    fn make(&self, wanted: &str) -> Result<(u32, String, FileStore), FileFault> {
        for number in 1..=NAMES_MAX {
            let name = match number {
                1 => wanted.to_string(),
                _ => numbered(wanted, number as usize),
            };
            if self.whole(&name).exists() {
                continue;
            }
            match FileStore::create(&self.part(&name), self.settings.sync) {
                // Nobody is to repair it meanwhile.
                Ok(store) if store.keep() => return Ok((number, name, store)),
                Ok(_) | Err(FileFault::Exists) => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(FileFault::Exists)
    }

    fn write(&self, whose: (CoreId, RecordingId), offset: u64, bytes: &[u8]) -> FileDone {
        if self.shared.is_full.load(Relaxed) {
            return failed(FileFault::NoSpace);
        }
        let Some((_, store)) = self.open.get(&whose) else {
            return failed(FileFault::Missing);
        };
        written(store.write_some(offset, bytes))
    }

    fn finish(&mut self, whose: (CoreId, RecordingId)) -> FileDone {
        let Some((name, mut store)) = self.open.remove(&whose) else {
            return failed(FileFault::Missing);
        };
        let finished = match finish(&mut store) {
            Ok(finished) => finished,
            Err(error) => return FileDone::Failed(error.info()),
        };
        match self.rename(&self.part(&name), &self.whole(&name)) {
            Ok(()) => FileDone::Whole(finished),
            Err(error) => failed(fault(&error)),
        }
    }

    fn extend(&self, extend: &Extend) -> FileDone {
        let opened = FileStore::open(&self.whole(&extend.name), self.settings.sync);
        let mut store = match opened {
            Ok(store) => store,
            Err(fault) => return failed(fault),
        };
        match extend.write(&mut store) {
            Ok(finished) => FileDone::Whole(finished),
            Err(error) => FileDone::Failed(error.info()),
        }
    }

    fn write_manifest(&self, id: RecordingId, name: &str, manifest: &Manifest) -> Outcome {
        let done = match self.note(name, &manifest::render(manifest)) {
            Ok(()) => FileDone::Noted,
            Err(error) => failed(fault(&error)),
        };
        Outcome {
            id,
            done,
            opened: None,
        }
    }

    /// The old text stays until the new one is there.
    fn note(&self, name: &str, text: &str) -> io::Result<()> {
        let part = self.part(name);
        fs::write(&part, text)?;
        if self.waits() {
            File::open(&part)?.sync_data()?;
        }
        self.rename(&part, &self.whole(name))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        if self.waits() {
            File::open(&self.settings.folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Whether names are on the medium before they are told.
    fn waits(&self) -> bool {
        self.settings.sync == SyncPolicy::Waits
    }

    fn whole(&self, name: &str) -> PathBuf {
        self.settings.folder.join(name)
    }

    fn part(&self, name: &str) -> PathBuf {
        self.settings.folder.join(format!("{name}{PART_SUFFIX}"))
    }
}

/// What a write of the system came to; nothing written of something is a full
/// disk's way to say so.
pub fn written(result: io::Result<usize>) -> FileDone {
    match result {
        Ok(0) => failed(FileFault::NoSpace),
        Ok(bytes) => FileDone::Written { bytes },
        Err(error) => failed(fault(&error)),
    }
}

pub fn failed(fault: FileFault) -> FileDone {
    FileDone::Failed(fault.info())
}
