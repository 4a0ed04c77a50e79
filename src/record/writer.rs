//! The order in which a recording's file is written. A fragment goes out as
//! bytes that every reader skips (`free`); four bytes make it one (`moof`) once
//! all of it is reported written, so that a file cut off anywhere holds whole
//! fragments only. Owns what waits to be written, which is bounded.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::limits::RECORD_QUEUE_MAX_BYTES;
use crate::record::finalise::Finished;
use crate::record::fmp4::{FLIP_AT, FLIP_TO};
use crate::record::order::{Begin, FileDone, FileOrder};

/// When what is written is forced onto the medium.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When the system likes.
    Never,
    /// When a file is made whole.
    #[default]
    Whole,
    /// Before each fragment is made one, too.
    Fragment,
}

pub struct Writer {
    durability: Durability,
    begin: Option<Box<Begin>>,
    /// Where the next fragment goes.
    offset: u64,
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    step: Step,
    is_closing: bool,
    /// Why nothing more is written.
    fault: Option<&'static str>,
}

/// What the next order is, or what is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    New,
    Beginning,
    /// Bytes of the fragment at hand that are written.
    Fragment(usize),
    Writing(usize),
    Sync,
    Syncing,
    /// Bytes of the four that are written.
    Flip(usize),
    Flipping(usize),
    Finishing,
    Over,
}

/// More waits to be written than may.
const TOO_SLOW: &str = "the disk is too slow";

/// How a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Whole(Finished),
    /// What there is, is left as it is.
    Left(&'static str),
}

impl Writer {
    pub fn new(begin: Box<Begin>, durability: Durability) -> Self {
        Writer {
            durability,
            begin: Some(begin),
            offset: 0,
            queue: VecDeque::new(),
            queued_bytes: 0,
            step: Step::New,
            is_closing: false,
            fault: None,
        }
    }

    /// Takes a fragment. Too much waiting is a fault: the disk does not keep up.
    pub fn push(&mut self, fragment: Bytes) {
        if self.fault.is_some() {
            return;
        }
        if self.queued_bytes + fragment.len() > RECORD_QUEUE_MAX_BYTES {
            self.fault = Some(TOO_SLOW);
            return;
        }
        self.queued_bytes += fragment.len();
        self.queue.push_back(fragment);
    }

    /// Nothing more will come: the file is made whole once all is written.
    pub fn close(&mut self) {
        self.is_closing = true;
    }

    /// Why nothing more is written, if so.
    pub fn fault(&self) -> Option<&'static str> {
        self.fault
    }

    /// Bytes waiting to be written.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// The next order; `None` while one is under way, and while there is nothing
    /// to do.
    pub fn next_order(&mut self) -> Option<FileOrder> {
        match self.step {
            Step::New => {
                self.step = Step::Beginning;
                self.begin.take().map(FileOrder::Begin)
            }
            Step::Fragment(done) => match self.queue.front() {
                Some(fragment) if self.fault.is_none() => {
                    self.step = Step::Writing(done);
                    Some(FileOrder::Write {
                        offset: self.offset + done as u64,
                        bytes: fragment.slice(done.min(fragment.len())..),
                    })
                }
                _ if self.is_closing || self.fault.is_some() => {
                    self.step = Step::Finishing;
                    Some(FileOrder::Finish)
                }
                _ => None,
            },
            Step::Sync => {
                self.step = Step::Syncing;
                Some(FileOrder::Sync)
            }
            Step::Flip(done) => {
                self.step = Step::Flipping(done);
                Some(FileOrder::Write {
                    offset: self.offset + FLIP_AT + done as u64,
                    bytes: Bytes::from_static(FLIP_TO.get(done..).unwrap_or_default()),
                })
            }
            Step::Beginning
            | Step::Writing(_)
            | Step::Syncing
            | Step::Flipping(_)
            | Step::Finishing
            | Step::Over => None,
        }
    }

    /// Takes what came of the order under way; how the file ended, if it did.
    pub fn done(&mut self, done: FileDone) -> Option<Ended> {
        match (self.step, done) {
            (Step::Beginning, FileDone::Begun { len_bytes, .. }) => {
                self.offset = len_bytes;
                self.step = Step::Fragment(0);
            }
            (Step::Beginning, FileDone::Failed(fault)) => {
                // There is no file to make whole.
                self.step = Step::Over;
                return Some(Ended::Left(fault));
            }
            (Step::Writing(before), FileDone::Written { bytes }) => self.wrote(before + bytes),
            (Step::Syncing, FileDone::Synced) => self.step = Step::Flip(0),
            (Step::Flipping(before), FileDone::Written { bytes }) => {
                self.step = match before + bytes < FLIP_TO.len() {
                    true => Step::Flip(before + bytes),
                    false => {
                        self.fragment_is_whole();
                        Step::Fragment(0)
                    }
                };
            }
            (Step::Finishing, FileDone::Whole(finished)) => {
                self.step = Step::Over;
                return Some(Ended::Whole(finished));
            }
            (Step::Finishing, FileDone::Failed(fault)) => {
                self.step = Step::Over;
                return Some(Ended::Left(self.fault.unwrap_or(fault)));
            }
            (_, FileDone::Failed(fault)) => {
                self.fault.get_or_insert(fault);
                self.queue.clear();
                self.queued_bytes = 0;
                self.step = Step::Fragment(0);
            }
            // A driver answers what it was asked.
            _ => debug_assert!(false, "{done:?} while {:?}", self.step),
        }
        None
    }

    fn wrote(&mut self, done: usize) {
        let whole = self.queue.front().map_or(0, Bytes::len);
        self.step = match (done < whole, self.durability) {
            (true, _) => Step::Fragment(done),
            (false, Durability::Fragment) => Step::Sync,
            (false, Durability::Never | Durability::Whole) => Step::Flip(0),
        };
    }

    fn fragment_is_whole(&mut self) {
        if let Some(fragment) = self.queue.pop_front() {
            self.offset += fragment.len() as u64;
            self.queued_bytes -= fragment.len();
        }
    }
}
