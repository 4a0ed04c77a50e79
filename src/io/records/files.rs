//! A core's recordings as its driver sees them: writes go through io_uring where
//! the core has it, everything else to the desk's thread. What came of either is
//! told at the next turn.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::rc::Rc;
use std::task::Waker;

use super::desk::{Desk, Outcome, failed, written};
use super::store::fault;
use crate::core::border::CoreId;
use crate::core::record::FileTask;
use crate::io::Engine;
use crate::record::order::{FileDone, FileOrder, RecordingId};
use crate::record::store::FileFault;

/// What came of writes, and who waits to hear.
#[derive(Default)]
struct Done {
    outcomes: VecDeque<(RecordingId, FileDone)>,
    waker: Option<Waker>,
    in_flight: usize,
}

pub struct Files {
    core: CoreId,
    engine: Engine,
    desk: Desk,
    open: HashMap<RecordingId, Rc<tokio_uring::fs::File>>,
    done: Rc<RefCell<Done>>,
}

impl Files {
    pub fn new(core: CoreId, engine: Engine, desk: Desk) -> Self {
        Files {
            core,
            engine,
            desk,
            open: HashMap::new(),
            done: Rc::default(),
        }
    }

    pub fn submit(&mut self, id: RecordingId, task: FileTask) {
        let order = match task {
            FileTask::Order(order) => order,
            FileTask::Manifest { .. } => return self.desk.submit(self.core, id, task),
        };
        if let FileOrder::Finish = order {
            // The desk has its own handle of the file.
            self.open.remove(&id);
        }
        let file = match (&order, self.engine) {
            (FileOrder::Write { .. } | FileOrder::Sync, Engine::Uring) => self.open.get(&id),
            _ => None,
        };
        let Some(file) = file.map(Rc::clone) else {
            return self.desk.submit(self.core, id, FileTask::Order(order));
        };
        let done = Rc::clone(&self.done);
        let is_full = self.desk.is_full();
        self.done.borrow_mut().in_flight += 1;
        tokio::task::spawn_local(async move {
            let outcome = match order {
                FileOrder::Write { .. } if is_full => failed(FileFault::NoSpace),
                FileOrder::Write { offset, bytes } => {
                    written(file.write_at(bytes, offset).submit().await.0)
                }
                _ => match file.sync_data().await {
                    Ok(()) => FileDone::Synced,
                    Err(error) => failed(fault(&error)),
                },
            };
            let mut done = done.borrow_mut();
            done.in_flight -= 1;
            done.outcomes.push_back((id, outcome));
            if let Some(waker) = done.waker.take() {
                waker.wake();
            }
        });
    }

    /// Takes what the desk's thread did.
    pub fn on_outcome(&mut self, outcome: Outcome) -> (RecordingId, FileDone) {
        if let (Engine::Uring, Some(file)) = (self.engine, outcome.opened) {
            self.keep(outcome.id, file);
        }
        (outcome.id, outcome.done)
    }

    fn keep(&mut self, id: RecordingId, file: File) {
        let file = tokio_uring::fs::File::from_std(file);
        self.open.insert(id, Rc::new(file));
    }

    /// Whether no write is in the kernel.
    pub fn is_idle(&self) -> bool {
        self.done.borrow().in_flight == 0
    }

    /// What came of the next write.
    pub fn take(&mut self) -> Option<(RecordingId, FileDone)> {
        self.done.borrow_mut().outcomes.pop_front()
    }

    /// Whether [`Files::take`] has something; wakes `waker` when it will.
    pub fn has_outcomes(&self, waker: &Waker) -> bool {
        let mut done = self.done.borrow_mut();
        let has_some = !done.outcomes.is_empty();
        if !has_some {
            done.waker = Some(waker.clone());
        }
        has_some
    }
}
