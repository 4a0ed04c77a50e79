//! Key frames: [`KeyframeGate`] holds a viewer's video back until it can be
//! decoded, [`KeyframeRequester`] turns any number of wishes for a key frame
//! into few requests upstream (PLI, RFC 4585 section 6.3.1) and repeats them
//! until one arrives. Neither sees a packet's bytes.

use crate::base::limits::KEYFRAME_FRESH_INTERVAL;
use crate::base::time::{Span, Time};
use crate::proto::nack::RttEstimate;

/// Keeps a video stream toward one viewer closed until a key frame begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyframeGate {
    open: bool,
}

impl KeyframeGate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to forward this packet; the first of a key frame opens.
    pub fn allow(&mut self, is_keyframe_start: bool) -> bool {
        self.open |= is_keyframe_start;
        self.open
    }

    /// Closes: after a pause, a source switch or a loss beyond repair the next
    /// decodable picture is a key frame.
    pub fn close(&mut self) {
        self.open = false;
    }

    pub fn is_open(&self) -> bool {
        self.open
    }
}

/// Why a key frame is wished for; counted, so that operators see what makes a
/// publisher's encoder work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A viewer began or resumed to play.
    Joined,
    /// Packets from the publisher are lost for good.
    Lost,
    /// A recording begins.
    Recorder,
    /// A viewer sent PLI or FIR.
    Viewer,
}

impl Reason {
    pub const ALL: [Reason; 4] = [
        Reason::Joined,
        Reason::Lost,
        Reason::Recorder,
        Reason::Viewer,
    ];
}

/// Least time between a key frame (or a request nobody waits for any more) and
/// the next fresh request: 500 viewers who join together cost the publisher
/// two key frames a second, not 500.
const FRESH_INTERVAL: Span = KEYFRAME_FRESH_INTERVAL;

/// First repetition of an unanswered request, and the bound its doubling
/// grows to. A lost PLI must not cost a second of black picture; a camera that
/// is switched off must not be asked five times a second for an hour.
const REPEAT_MIN: Span = Span::from_ms(200);
const REPEAT_MAX: Span = Span::from_ms(1_000);

/// What an encoder needs to make a key frame, beyond the round trip.
const ENCODE_TIME: Span = Span::from_ms(100);

/// The key frame requests of one publication.
#[derive(Clone, Debug)]
pub struct KeyframeRequester {
    outstanding: Option<Outstanding>,
    /// No fresh request before this.
    quiet_until: Time,
    rtt: Span,
    /// Wishes by `Reason`, in the order of its variants.
    wished: [u64; Reason::ALL.len()],
    sent: u64,
}

#[derive(Clone, Copy, Debug)]
struct Outstanding {
    due: Time,
    /// Time to the repetition after this one; doubles.
    repeat: Span,
}

impl Default for KeyframeRequester {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyframeRequester {
    pub fn new() -> Self {
        KeyframeRequester {
            outstanding: None,
            quiet_until: Time::ZERO,
            rtt: RttEstimate::DEFAULT,
            wished: [0; Reason::ALL.len()],
            sent: 0,
        }
    }

    /// Someone needs a key frame that begins after `now`. Joins the request
    /// under way, or starts one, delayed if a key frame has only just passed.
    pub fn request(&mut self, now: Time, reason: Reason) {
        if let Some(wished) = self.wished.get_mut(reason as usize) {
            *wished = wished.saturating_add(1);
        }
        if self.outstanding.is_none() {
            self.outstanding = Some(Outstanding {
                due: now.max(self.quiet_until),
                repeat: REPEAT_MIN,
            });
        }
    }

    /// The publisher's round-trip time, held within what is believable.
    pub fn on_rtt(&mut self, rtt: Span) {
        self.rtt = rtt.clamp(RttEstimate::MIN, RttEstimate::MAX);
    }

    /// A key frame began: whoever waited is served.
    pub fn on_keyframe(&mut self, now: Time) {
        self.outstanding = None;
        self.quiet_until = self.quiet_until.max(now + FRESH_INTERVAL);
    }

    /// Nobody waits for a key frame any more.
    pub fn cancel(&mut self) {
        self.outstanding = None;
    }

    /// Whether to send a PLI now; if so, the repetition is scheduled.
    pub fn poll(&mut self, now: Time) -> bool {
        let Some(outstanding) = &mut self.outstanding else {
            return false;
        };
        if outstanding.due > now {
            return false;
        }
        let wait = outstanding.repeat.max(self.rtt + ENCODE_TIME);
        outstanding.due = now + wait;
        outstanding.repeat = outstanding.repeat.scaled(2, 1).min(REPEAT_MAX);
        self.quiet_until = self.quiet_until.max(now + FRESH_INTERVAL);
        self.sent = self.sent.saturating_add(1);
        true
    }

    /// When to poll; `None` while no key frame is wished for.
    pub fn next_due(&self) -> Option<Time> {
        self.outstanding.map(|outstanding| outstanding.due)
    }

    /// Requests made for `reason` so far.
    pub fn wished(&self, reason: Reason) -> u64 {
        self.wished.get(reason as usize).copied().unwrap_or(0)
    }

    /// PLIs sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Time {
        Time::from_us(ms * 1_000)
    }

    /// Polls at each deadline until `end`; the times PLIs were sent, in ms.
    fn run(requester: &mut KeyframeRequester, end: Time) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(due) = requester.next_due().filter(|due| *due < end) {
            assert!(requester.poll(due));
            assert!(!requester.poll(due));
            sent.push(due.as_us() / 1_000);
        }
        sent
    }

    #[test]
    fn the_gate_opens_with_a_key_frame_only() {
        let mut gate = KeyframeGate::new();
        assert!(!gate.allow(false));
        assert!(gate.allow(true));
        assert!(gate.allow(false));
        gate.close();
        assert!(!gate.is_open());
        assert!(!gate.allow(false));
        assert!(gate.allow(true));
    }

    #[test]
    fn an_unanswered_request_is_repeated_ever_slower() {
        let mut requester = KeyframeRequester::new();
        assert_eq!(requester.next_due(), None);
        assert!(!requester.poll(ms(0)));
        requester.request(ms(10), Reason::Joined);
        let sent = run(&mut requester, ms(5_000));
        assert_eq!(sent, [10, 210, 610, 1_410, 2_410, 3_410, 4_410]);
        requester.on_keyframe(ms(5_000));
        assert_eq!(requester.next_due(), None);
        assert_eq!(requester.sent(), 7);
    }

    #[test]
    fn a_slow_path_is_not_asked_before_it_can_answer() {
        let mut requester = KeyframeRequester::new();
        requester.on_rtt(Span::from_ms(600));
        requester.request(ms(0), Reason::Lost);
        assert_eq!(run(&mut requester, ms(3_200)), [0, 700, 1_400, 2_200]);
        requester.on_rtt(Span::from_us(u64::MAX));
        requester.cancel();
        requester.request(ms(10_000), Reason::Lost);
        assert_eq!(run(&mut requester, ms(12_101)), [10_000, 12_100]);
    }

    #[test]
    fn five_hundred_joiners_cost_one_request() {
        let mut requester = KeyframeRequester::new();
        for joiner in 0..500 {
            requester.request(ms(joiner / 10), Reason::Joined);
            requester.poll(ms(joiner / 10));
        }
        assert_eq!(requester.sent(), 1);
        assert_eq!(requester.wished(Reason::Joined), 500);
        assert_eq!(requester.wished(Reason::Viewer), 0);
    }

    #[test]
    fn a_joiner_just_after_a_key_frame_gets_the_next_one_later() {
        let mut requester = KeyframeRequester::new();
        requester.request(ms(0), Reason::Joined);
        assert!(requester.poll(ms(0)));
        requester.on_keyframe(ms(60));
        requester.request(ms(61), Reason::Joined);
        assert_eq!(requester.next_due(), Some(ms(560)));
        assert!(!requester.poll(ms(559)));
        assert!(requester.poll(ms(560)));
        requester.on_keyframe(ms(620));
        requester.request(ms(9_000), Reason::Viewer);
        assert_eq!(requester.next_due(), Some(ms(9_000)));
    }

    #[test]
    fn a_key_frame_by_itself_serves_the_delayed() {
        let mut requester = KeyframeRequester::new();
        requester.on_keyframe(ms(0));
        requester.request(ms(100), Reason::Recorder);
        requester.on_keyframe(ms(300));
        assert_eq!(requester.next_due(), None);
    }

    #[test]
    fn viewers_asking_without_end_get_two_key_frames_a_second() {
        let mut requester = KeyframeRequester::new();
        let mut answer_at = None;
        for t in 0..10_000 {
            requester.request(ms(t), Reason::Viewer);
            if answer_at == Some(t) {
                requester.on_keyframe(ms(t));
            }
            if requester.poll(ms(t)) {
                answer_at = Some(t + 50);
            }
        }
        assert!(requester.sent() <= 20, "{} requests", requester.sent());
        assert!(requester.sent() >= 17, "{} requests", requester.sent());
    }

    #[test]
    fn giving_up_and_asking_again_is_held_to_the_same_pace() {
        let mut requester = KeyframeRequester::new();
        for t in 0..2_000 {
            requester.request(ms(t), Reason::Joined);
            requester.poll(ms(t));
            requester.cancel();
        }
        assert_eq!(requester.sent(), 4);
    }
}
