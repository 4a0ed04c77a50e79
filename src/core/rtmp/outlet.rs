//! What waits to be written to one player. A connection that reads keeps it
//! empty; one that does not read costs bounded memory, loses pictures up to the
//! next key frame, and is given up at last.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::limits::{
    OUTLET_ANSWERS_MAX, OUTLET_BACKLOG_MAX_BYTES, OUTLET_ENTRY_BYTES, OUTLET_PIECE_BYTES,
    OUTLET_UNREAD_MAX_BYTES, PLAYER_STALL_MAX,
};
use crate::base::time::Time;

/// What became of what was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Offered {
    /// Written, or waiting behind what is.
    Taken,
    /// Too much waited: all of it but sequence headers is gone, and what follows
    /// must begin anew.
    Dropped,
    /// The reader took nothing for [`PLAYER_STALL_MAX`].
    Stalled,
}

#[derive(Default)]
pub(in crate::core) struct Outlet {
    /// What is left of a message that is written in pieces. Nothing may come
    /// in between, and it is never dropped.
    rest: Bytes,
    /// What the connection itself has to say meanwhile.
    answers: VecDeque<Bytes>,
    /// And whether each is a sequence header.
    backlog: VecDeque<(Bytes, bool)>,
    backlog_bytes: usize,
    /// Written since the connection was last drained.
    unread_bytes: usize,
    /// A drain is awaited.
    awaited: bool,
    /// Since when the backlog has waited for a drain.
    waiting_since: Option<Time>,
}

impl Outlet {
    /// Takes bytes to write. A sequence header outlives what is dropped: the
    /// next key frame is of no use without it.
    pub fn offer(&mut self, now: Time, bytes: Bytes, is_header: bool) -> Offered {
        if let Some(since) = self.waiting_since
            && now.since(since) > PLAYER_STALL_MAX
        {
            return Offered::Stalled;
        }
        if self.backlog_bytes + cost(&bytes) > OUTLET_BACKLOG_MAX_BYTES {
            self.keep_headers();
            if is_header && self.backlog_bytes + cost(&bytes) <= OUTLET_BACKLOG_MAX_BYTES {
                self.push(bytes, true);
            }
            return Offered::Dropped;
        }
        self.push(bytes, is_header);
        Offered::Taken
    }

    fn push(&mut self, bytes: Bytes, is_header: bool) {
        self.backlog_bytes += cost(&bytes);
        self.backlog.push_back((bytes, is_header));
    }

    /// Drops everything else; them too, if nothing else is what fills it.
    fn keep_headers(&mut self) {
        self.backlog.retain(|(_, is_header)| *is_header);
        let costs = self.backlog.iter().map(|(bytes, _)| cost(bytes));
        self.backlog_bytes = costs.sum();
        if self.backlog_bytes > OUTLET_BACKLOG_MAX_BYTES / 2 {
            self.backlog.clear();
            self.backlog_bytes = 0;
        }
    }

    /// Whether a message is written in part.
    fn is_within_message(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Whether what the connection itself has to say must wait.
    pub fn holds_answers(&self) -> bool {
        self.is_within_message() || !self.answers.is_empty()
    }

    /// Takes what is to be written right behind the message at hand; `false`
    /// when the client asks and asks and reads nothing.
    pub fn answer(&mut self, bytes: Bytes) -> bool {
        let fits = self.answers.len() < OUTLET_ANSWERS_MAX;
        if fits {
            self.answers.push_back(bytes);
        }
        fits
    }

    /// The next piece to write now. When there is none and something waits,
    /// [`Outlet::wants_drain`] says that a drain is to be awaited.
    pub fn next(&mut self, now: Time) -> Option<Bytes> {
        if self.unread_bytes > OUTLET_UNREAD_MAX_BYTES {
            if !self.backlog.is_empty() || self.is_within_message() {
                self.waiting_since.get_or_insert(now);
            }
            return None;
        }
        let mut message = self.next_message()?;
        let piece = message.split_to(message.len().min(OUTLET_PIECE_BYTES));
        self.rest = message;
        self.unread_bytes += piece.len();
        Some(piece)
    }

    fn next_message(&mut self) -> Option<Bytes> {
        if self.is_within_message() {
            return Some(std::mem::take(&mut self.rest));
        }
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        let (bytes, _) = self.backlog.pop_front()?;
        self.backlog_bytes -= cost(&bytes);
        Some(bytes)
    }

    /// Whether the driver is to tell when everything written has left; `true`
    /// once for each drain.
    pub fn wants_drain(&mut self) -> bool {
        // Half full: whoever reads has it drained before it is full.
        let wants = !self.awaited && self.unread_bytes > OUTLET_UNREAD_MAX_BYTES / 2;
        self.awaited |= wants;
        wants
    }

    /// Everything written has left.
    pub fn drained(&mut self) {
        self.awaited = false;
        self.unread_bytes = 0;
        self.waiting_since = None;
    }
}

/// What a message that waits is counted as.
fn cost(bytes: &Bytes) -> usize {
    bytes.len() + OUTLET_ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Span;

    const PIECE: usize = 16 * 1024;

    fn piece() -> Bytes {
        Bytes::from(vec![0; PIECE])
    }

    fn write_all(outlet: &mut Outlet, now: Time) -> usize {
        std::iter::from_fn(|| outlet.next(now)).count()
    }

    #[test]
    fn a_reader_gets_everything_in_order_of_offers() {
        let mut outlet = Outlet::default();
        for n in 0..2_000_u32 {
            let bytes = Bytes::from(n.to_be_bytes().repeat(PIECE / 4));
            assert_eq!(
                outlet.offer(Time::ZERO, bytes.clone(), false),
                Offered::Taken
            );
            assert_eq!(outlet.next(Time::ZERO), Some(bytes));
            if outlet.wants_drain() {
                outlet.drained();
            }
        }
    }

    #[test]
    fn a_message_in_pieces_is_whole_and_answers_follow_it() {
        let mut outlet = Outlet::default();
        let picture: Vec<u8> = (0..1_500_000_u32).map(|n| n as u8).collect();
        outlet.offer(Time::ZERO, Bytes::from(picture.clone()), false);
        outlet.offer(Time::ZERO, piece(), false);
        let mut written = Vec::new();
        let first = outlet.next(Time::ZERO).unwrap();
        assert!(first.len() <= OUTLET_PIECE_BYTES && outlet.is_within_message());
        written.extend_from_slice(&first);
        assert!(outlet.answer(Bytes::from_static(b"answer")));
        // What waits is dropped; the message begun and the answer are not.
        while outlet.offer(Time::ZERO, piece(), false) != Offered::Dropped {}
        for _ in 0..100 {
            while let Some(bytes) = outlet.next(Time::ZERO) {
                written.extend_from_slice(&bytes);
            }
            assert!(outlet.unread_bytes <= OUTLET_UNREAD_MAX_BYTES + OUTLET_PIECE_BYTES);
            outlet.drained();
        }
        assert_eq!(written.len(), picture.len() + 6);
        assert!(written.starts_with(&picture) && written.ends_with(b"answer"));
        let answers = (0..).take_while(|_| outlet.answer(piece())).count();
        assert_eq!(answers, OUTLET_ANSWERS_MAX, "bounded");
    }

    #[test]
    fn who_does_not_read_costs_no_more_than_the_caps() {
        let mut outlet = Outlet::default();
        let (mut written, mut dropped) = (0, 0);
        for _ in 0..10_000 {
            match outlet.offer(Time::ZERO, piece(), false) {
                Offered::Dropped => dropped += 1,
                offered => assert_eq!(offered, Offered::Taken),
            }
            written += write_all(&mut outlet, Time::ZERO);
            outlet.wants_drain();
            assert!(outlet.backlog_bytes <= OUTLET_BACKLOG_MAX_BYTES);
        }
        assert!(dropped > 1);
        assert!(written * PIECE <= OUTLET_UNREAD_MAX_BYTES + PIECE);
    }

    #[test]
    fn sequence_headers_outlive_what_is_dropped() {
        let header = |n: u8| Bytes::from(vec![n; 40]);
        let mut outlet = Outlet::default();
        let mut dropped = 0;
        for n in 0..4_000_u32 {
            let (bytes, is_header) = match n {
                900 => (header(1), true),
                950 => (header(2), true),
                _ => (piece(), false),
            };
            let offered = outlet.offer(Time::ZERO, bytes, is_header);
            dropped += u32::from(offered == Offered::Dropped);
            write_all(&mut outlet, Time::ZERO);
        }
        assert!(dropped > 1);
        outlet.drained();
        let first = [outlet.next(Time::ZERO), outlet.next(Time::ZERO)];
        assert_eq!(first, [Some(header(1)), Some(header(2))]);

        // But they are bounded, too.
        for _ in 0..4_000 {
            outlet.offer(Time::ZERO, piece(), true);
            assert!(outlet.backlog_bytes <= OUTLET_BACKLOG_MAX_BYTES);
        }
    }

    #[test]
    fn who_takes_nothing_for_long_is_stalled_and_who_resumes_is_not() {
        let mut outlet = Outlet::default();
        let fill = |outlet: &mut Outlet, now| {
            let offered = outlet.offer(now, piece(), false);
            write_all(outlet, now);
            offered
        };
        for _ in 0..200 {
            fill(&mut outlet, Time::ZERO);
        }
        let late = Time::ZERO + PLAYER_STALL_MAX + Span::from_ms(1);
        assert_eq!(outlet.offer(late, piece(), false), Offered::Stalled);
        assert!(outlet.wants_drain());
        assert!(!outlet.wants_drain());
        outlet.drained();
        assert!(write_all(&mut outlet, late) > 0);
        assert_eq!(fill(&mut outlet, late), Offered::Taken);
    }
}
