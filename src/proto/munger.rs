//! Sequence numbers and timestamps of one stream toward one viewer: owns the
//! relation between what the publisher sent and what the viewer gets. It drops
//! runs of packets and changes sources without the viewer seeing a gap, and
//! finds the packet a viewer's NACK means.
//!
//! Refuses, by never doing it, to give one outgoing index to two packets:
//! under AES-GCM that would break the key (RFC 7714 section 8.1 makes the nonce of it).

use crate::base::limits::MUNGER_RUNS_MAX;
use crate::proto::rtx_window::extend_sequence;

/// Indices a key may protect (RFC 3711 section 9.2: 2^48 packets).
const INDEX_END: u64 = 1 << 48;

/// Where a packet goes in the viewer's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Out {
    /// Outgoing SRTP index: rollover counter << 16 | `sequence`.
    pub index: u64,
    pub sequence: u16,
    pub timestamp: u32,
}

/// The mapping of one DownTrack. Exists from the first forwarded packet on.
#[derive(Clone, Debug)]
pub struct Munger {
    /// Contiguous runs, oldest first, never empty, at most `MUNGER_RUNS_MAX`;
    /// the last one grows. Never reallocated.
    runs: Vec<Run>,
    /// Number of the current source; runs of earlier ones cannot be resent.
    source: u32,
    paused: bool,
    /// Outgoing timestamp of the newest packet.
    newest_timestamp: u32,
}

/// A run of the publisher's packets forwarded without omission. Each run's
/// indices begin where those of the run before end.
#[derive(Clone, Copy, Debug)]
struct Run {
    source: u32,
    /// The publisher's first sequence, and one past the newest mapped.
    in_start: u64,
    in_end: u64,
    /// Index of `in_start`.
    out_start: u64,
    /// Added to the publisher's timestamps, wrapping.
    ts_offset: u32,
}

impl Run {
    fn out_end(&self) -> u64 {
        let length = self.in_end.saturating_sub(self.in_start);
        self.out_start.saturating_add(length)
    }

    fn index_of(&self, ext_seq: u64) -> Option<u64> {
        let index = self
            .out_start
            .checked_add(ext_seq.checked_sub(self.in_start)?)?;
        (index < INDEX_END).then_some(index)
    }
}

impl Munger {
    /// A mapping that sends the packet `first_ext_seq` with timestamp
    /// `first_ts` as `out_seq_start`, `out_ts_start`. Callers choose
    /// `out_seq_start` below 2^15, so that losing the first packets cannot
    /// hide a roll-over from the viewer (RFC 3711 section 3.3.1).
    pub fn start(first_ext_seq: u64, first_ts: u32, out_seq_start: u16, out_ts_start: u32) -> Self {
        let mut runs = Vec::with_capacity(MUNGER_RUNS_MAX);
        runs.push(Run {
            source: 0,
            in_start: first_ext_seq,
            in_end: first_ext_seq,
            out_start: u64::from(out_seq_start),
            ts_offset: out_ts_start.wrapping_sub(first_ts),
        });
        Munger {
            runs,
            source: 0,
            paused: false,
            newest_timestamp: out_ts_start,
        }
    }

    /// Reads what the next packet will be mapped by.
    pub fn touch(&self) -> u64 {
        let run = self.runs.last();
        run.map_or(0, |run| run.in_start ^ run.in_end)
    }

    /// Maps a packet of the current source. `None`: from before the start,
    /// from within a pause, or so old that its run is forgotten. The same
    /// packet always maps to the same index; whether a duplicate may be sent
    /// is the caller's matter ([`RtxWindow`] tells).
    ///
    /// [`RtxWindow`]: crate::proto::rtx_window::RtxWindow
    pub fn map(&mut self, ext_seq: u64, ts: u32) -> Option<Out> {
        let paused = self.paused;
        let run = self.runs.last_mut()?;
        if ext_seq < run.in_start {
            return self.map_late(ext_seq, ts);
        }
        if ext_seq >= run.in_end && paused {
            return None;
        }
        let out = out_of(run, ext_seq, ts)?;
        if ext_seq >= run.in_end {
            run.in_end = ext_seq.checked_add(1)?;
            self.newest_timestamp = out.timestamp;
        }
        Some(out)
    }

    /// Ends the current run: packets newer than any mapped are dropped until
    /// [`resume`](Self::resume) or [`switch`](Self::switch). Late ones of the
    /// run still pass.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Goes on with the same source at `next_ext_seq`, whose timestamp is
    /// `ts`; everything between is dropped without a gap in the viewer's
    /// numbers. Timestamps keep their offset, as the source's clock ran on;
    /// only if that would step back, they go on `ts_gap` RTP units (the time
    /// passed since the newest packet was forwarded) after it.
    pub fn resume(&mut self, next_ext_seq: u64, ts: u32, ts_gap: u32) {
        let Some(run) = self.runs.last().copied() else {
            return;
        };
        let ahead = ts
            .wrapping_add(run.ts_offset)
            .wrapping_sub(self.newest_timestamp) as i32;
        let ts_offset = if ahead >= 0 {
            run.ts_offset
        } else {
            self.offset_after_gap(ts, ts_gap)
        };
        self.open_run(Run {
            source: self.source,
            in_start: next_ext_seq.max(run.in_end),
            in_end: next_ext_seq.max(run.in_end),
            out_start: run.out_end(),
            ts_offset,
        });
    }

    /// Goes on with another source (another SSRC, with sequence numbers and
    /// timestamps of its own) at `next_ext_seq` with timestamp `ts`, placed
    /// `ts_gap` RTP units after the newest packet. Packets of the old source
    /// must no longer be given to [`map`](Self::map).
    pub fn switch(&mut self, next_ext_seq: u64, ts: u32, ts_gap: u32) {
        let Some(run) = self.runs.last().copied() else {
            return;
        };
        self.source = self.source.wrapping_add(1);
        self.open_run(Run {
            source: self.source,
            in_start: next_ext_seq,
            in_end: next_ext_seq,
            out_start: run.out_end(),
            ts_offset: self.offset_after_gap(ts, ts_gap),
        });
    }

    /// The publisher's packet that went out as `out_seq`, for a NACK. `None`:
    /// never sent, forgotten, or of an earlier source. A packet that was lost
    /// on its way to us has a number too; the window knows whether it came.
    pub fn reverse(&self, out_seq: u16) -> Option<u64> {
        let newest = self.runs.last()?.out_end().checked_sub(1)?;
        let index = extend_sequence(newest, out_seq);
        let run = self.runs.iter().rev().find(|run| index >= run.out_start)?;
        if run.source != self.source || index >= run.out_end() {
            return None;
        }
        run.in_start
            .checked_add(index.saturating_sub(run.out_start))
    }

    /// Outgoing minus publisher's timestamp of the current run, wrapping: what
    /// a sender report toward the viewer must add.
    pub fn timestamp_offset(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.ts_offset)
    }

    /// Outgoing timestamp of the newest packet.
    pub fn newest_timestamp(&self) -> u32 {
        self.newest_timestamp
    }

    /// A packet from before the current run: belongs to an earlier run of the
    /// same source, or to a dropped stretch.
    fn map_late(&self, ext_seq: u64, ts: u32) -> Option<Out> {
        let run = self
            .runs
            .iter()
            .rev()
            .take_while(|run| run.source == self.source)
            .find(|run| ext_seq >= run.in_start)?;
        if ext_seq >= run.in_end {
            return None;
        }
        out_of(run, ext_seq, ts)
    }

    fn offset_after_gap(&self, ts: u32, ts_gap: u32) -> u32 {
        // At least one unit, so that two pictures never share a timestamp.
        self.newest_timestamp
            .wrapping_add(ts_gap.max(1))
            .wrapping_sub(ts)
    }

    fn open_run(&mut self, run: Run) {
        self.paused = false;
        // A run nothing was mapped in has no numbers to remember.
        self.runs.pop_if(|last| last.in_start == last.in_end);
        if self.runs.len() >= MUNGER_RUNS_MAX {
            self.runs.remove(0);
        }
        self.runs.push(run);
    }
}

fn out_of(run: &Run, ext_seq: u64, ts: u32) -> Option<Out> {
    let index = run.index_of(ext_seq)?;
    Some(Out {
        index,
        sequence: index as u16,
        timestamp: ts.wrapping_add(run.ts_offset),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::random::Noise;

    fn out(index: u64, timestamp: u32) -> Option<Out> {
        Some(Out {
            index,
            sequence: index as u16,
            timestamp,
        })
    }

    #[test]
    fn numbers_are_shifted_and_wrap() {
        let mut munger = Munger::start(1_000, 500, 0x7fff, u32::MAX - 1);
        assert_eq!(munger.map(1_000, 500), out(0x7fff, u32::MAX - 1));
        assert_eq!(munger.map(1_002, 503), out(0x8001, 1));
        assert_eq!(munger.map(1_001, 500), out(0x8000, u32::MAX - 1));
        assert_eq!(munger.map(999, 400), None);
        for ext_seq in 1_003..100_000 {
            assert_eq!(
                munger.map(ext_seq, 0).unwrap().index,
                ext_seq - 1_000 + 0x7fff
            );
        }
        assert_eq!(munger.timestamp_offset(), 0u32.wrapping_sub(502));
        assert_eq!(munger.newest_timestamp(), 0u32.wrapping_sub(502));
    }

    #[test]
    fn a_pause_leaves_no_gap() {
        let mut munger = Munger::start(100, 9_000, 10, 0);
        munger.map(100, 9_000);
        munger.map(103, 12_000);
        munger.pause();
        assert_eq!(munger.map(104, 15_000), None);
        assert_eq!(munger.map(102, 12_000), out(12, 3_000));
        munger.resume(200, 309_000, 999);
        assert_eq!(munger.map(200, 309_000), out(14, 300_000));
        assert_eq!(munger.map(150, 200_000), None);
        assert_eq!(munger.map(101, 9_000), out(11, 0));
        assert_eq!(munger.reverse(13), Some(103));
        assert_eq!(munger.reverse(14), Some(200));
        assert_eq!(munger.reverse(15), None);
        assert_eq!(munger.reverse(9), None);
    }

    #[test]
    fn one_packet_is_dropped_within_a_frame() {
        let mut munger = Munger::start(5, 700, 0, 700);
        munger.map(5, 700);
        munger.pause();
        munger.resume(7, 700, 90);
        assert_eq!(munger.map(7, 700), out(1, 700));
    }

    #[test]
    fn a_resumed_timestamp_never_steps_back() {
        let mut munger = Munger::start(5, 100_000, 0, 100_000);
        munger.map(5, 100_000);
        munger.pause();
        munger.resume(9, 20_000, 4_500);
        assert_eq!(munger.map(9, 20_000), out(1, 104_500));
        assert_eq!(munger.timestamp_offset(), 84_500);
    }

    #[test]
    fn a_switch_continues_with_another_source() {
        let mut munger = Munger::start(65_535, 1, 0, 50);
        munger.map(65_535, 1);
        munger.map(65_536, 2);
        munger.switch(65_530, 4_000_000_000, 3_000);
        assert_eq!(munger.map(65_530, 4_000_000_000), out(2, 3_051));
        assert_eq!(munger.map(65_536, 4_000_000_009), out(8, 3_060));
        assert_eq!(munger.map(65_529, 0), None);
        assert_eq!(munger.reverse(8), Some(65_536));
        // Of the first source: not to be resent from the second one's window.
        assert_eq!(munger.reverse(1), None);
        munger.switch(1, 7, 0);
        assert_eq!(munger.map(1, 7), out(9, 3_061));
    }

    #[test]
    fn resuming_twice_or_behind_is_harmless() {
        let mut munger = Munger::start(10, 0, 0, 0);
        munger.resume(20, 5, 1);
        munger.resume(30, 6, 1);
        assert_eq!(munger.map(20, 5), None);
        assert_eq!(munger.map(30, 6), out(0, 6));
        munger.pause();
        munger.resume(3, 7, 1);
        assert_eq!(munger.map(30, 6), out(0, 6));
        assert_eq!(munger.map(31, 7), out(1, 7));
        assert_eq!(munger.reverse(0), Some(30));
    }

    #[test]
    fn old_runs_are_forgotten_not_mistaken() {
        let mut munger = Munger::start(0, 0, 0, 0);
        for run in 0..100u64 {
            munger.map(run * 10, 0);
            munger.pause();
            munger.resume((run + 1) * 10, 0, 0);
        }
        assert_eq!(munger.map(990, 0), out(99, 0));
        assert_eq!(munger.map(0, 0), None);
        assert_eq!(munger.reverse(0), None);
        assert_eq!(munger.reverse(98), Some(980));
        // The run being filled and those before it that still fit.
        assert_eq!(munger.reverse(69), Some(690));
        assert_eq!(munger.reverse(67), None);
    }

    #[test]
    fn extremes_end_the_stream_instead_of_wrapping_it() {
        let mut munger = Munger::start(0, 0, u16::MAX, 0);
        assert_eq!(munger.reverse(u16::MAX), None);
        assert_eq!(munger.map(u64::MAX, 0), None);
        assert_eq!(munger.map(INDEX_END, 0), None);
        let last = INDEX_END - 1 - u64::from(u16::MAX);
        assert_eq!(munger.map(last, 0), out(INDEX_END - 1, 0));
        assert_eq!(munger.map(last + 1, 0), None);
        munger.resume(u64::MAX, 0, u32::MAX);
        assert_eq!(munger.map(u64::MAX, 0), None);
        munger.switch(u64::MAX, 0, u32::MAX);
        assert_eq!(munger.map(u64::MAX, 0), None);
    }

    /// Random pauses, switches, losses and reordering against a table of
    /// everything ever mapped.
    #[test]
    fn no_index_ever_serves_two_packets() {
        for seed in 0..20 {
            let mut noise = Noise::new(seed);
            let mut munger = Munger::start(70_000, 0, 30_000, 0);
            let mut packet_of = BTreeMap::new();
            let (mut source, mut newest, mut paused) = (0, 70_000u64, false);
            for _ in 0..5_000 {
                match noise.below(40) {
                    0 => {
                        munger.pause();
                        paused = true;
                    }
                    1 => {
                        newest += noise.below(500);
                        munger.resume(newest, 0, 1);
                        paused = false;
                    }
                    2 => {
                        source += 1;
                        newest = noise.below(200_000);
                        munger.switch(newest, 0, 1);
                        paused = false;
                    }
                    _ => {
                        newest += noise.below(3);
                        let ext_seq = newest.saturating_sub(noise.below(4));
                        let Some(out) = munger.map(ext_seq, 0) else {
                            continue;
                        };
                        let packet = (source, ext_seq);
                        assert_eq!(*packet_of.entry(out.index).or_insert(packet), packet);
                        assert_eq!(munger.reverse(out.sequence), Some(ext_seq));
                        assert!(!paused || packet_of.len() > 1 || ext_seq <= newest);
                    }
                }
            }
            assert!(packet_of.len() > 1_000);
        }
    }
}
