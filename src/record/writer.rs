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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::layout::Layout;

    fn begun(durability: Durability) -> Writer {
        let begin = Begin {
            name: "a.mp4".to_owned(),
            layout: Layout::default(),
            head: None,
        };
        let mut writer = Writer::new(Box::new(begin), durability);
        assert!(matches!(writer.next_order(), Some(FileOrder::Begin(_))));
        assert!(writer.next_order().is_none(), "one order at a time");
        let begun = FileDone::Begun {
            len_bytes: 1_000,
            number: 1,
        };
        assert_eq!(writer.done(begun), None);
        writer
    }

    /// Where the next order writes, and what; or another order's name.
    fn next(writer: &mut Writer) -> Option<(u64, Vec<u8>)> {
        match writer.next_order()? {
            FileOrder::Write { offset, bytes } => Some((offset, bytes.to_vec())),
            FileOrder::Sync => Some((0, b"sync".to_vec())),
            FileOrder::Finish => Some((0, b"finish".to_vec())),
            other => panic!("{other:?}"),
        }
    }

    fn fragment() -> Bytes {
        Bytes::from_static(b"....free and what follows")
    }

    #[test]
    fn a_fragment_counts_when_all_of_it_is_written() {
        let mut writer = begun(Durability::Whole);
        assert_eq!(next(&mut writer), None);
        writer.push(fragment());
        let whole = fragment();
        assert_eq!(next(&mut writer), Some((1_000, whole.to_vec())));
        writer.done(FileDone::Written { bytes: 10 });
        assert_eq!(next(&mut writer), Some((1_010, whole[10..].to_vec())));
        writer.done(FileDone::Written { bytes: 15 });
        assert_eq!(next(&mut writer), Some((1_004, b"moof".to_vec())));
        writer.done(FileDone::Written { bytes: 3 });
        assert_eq!(next(&mut writer), Some((1_007, b"f".to_vec())));
        writer.done(FileDone::Written { bytes: 1 });
        assert_eq!((next(&mut writer), writer.queued_bytes()), (None, 0));
        writer.push(fragment());
        assert_eq!(next(&mut writer).unwrap().0, 1_025);
    }

    #[test]
    fn a_fragment_is_on_the_medium_before_it_counts_where_that_is_wanted() {
        let mut writer = begun(Durability::Fragment);
        writer.push(fragment());
        next(&mut writer);
        writer.done(FileDone::Written { bytes: 25 });
        assert_eq!(next(&mut writer).unwrap().1, b"sync");
        writer.done(FileDone::Synced);
        assert_eq!(next(&mut writer).unwrap().1, b"moof");
    }

    #[test]
    fn a_fault_ends_the_file_with_what_it_has() {
        let mut writer = begun(Durability::Whole);
        writer.push(fragment());
        writer.push(fragment());
        next(&mut writer);
        writer.done(FileDone::Failed("the disk is full"));
        assert_eq!(writer.fault(), Some("the disk is full"));
        writer.push(fragment());
        assert_eq!(next(&mut writer).unwrap().1, b"finish");
        let ended = writer.done(FileDone::Failed("the disk is full"));
        assert_eq!(ended, Some(Ended::Left("the disk is full")));
        assert_eq!(next(&mut writer), None);
    }

    #[test]
    fn what_waits_for_a_slow_disk_is_bounded() {
        let mut writer = begun(Durability::Whole);
        let large = Bytes::from(vec![0; RECORD_QUEUE_MAX_BYTES / 4]);
        for _ in 0..4 {
            writer.push(large.clone());
            assert_eq!(writer.fault(), None);
        }
        writer.push(large);
        assert_eq!(writer.fault(), Some(TOO_SLOW));
    }
}
