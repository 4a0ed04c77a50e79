//! What crosses threads: mail between cores, parcels of other threads for a core,
//! and the order to stop. Plain values in bounded lanes; a sleeping core is rung once.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::sys;
use crate::base::limits::{MAIL_LANE_MAX, RELAY_LANE_MAX_BYTES};
use crate::core::border::{ConnectionId, CoreId, Rendered};
use crate::core::transcode::Transcoded;
use crate::io::records::desk::Outcome;
use crate::proto::tls;

/// What threads that are no cores hand to one.
pub enum Parcel {
    /// A finished render.
    Rendered {
        connection: ConnectionId,
        response: Rendered,
    },
    /// The https port's new certificate.
    Certificate(tls::Identity),
    /// What came of sound to convert.
    Transcoded(Vec<Transcoded>),
    /// What came of a recording's order.
    File(Outcome),
}

/// The boxes of all cores.
pub struct Post<T> {
    boxes: Vec<Inbox<T>>,
    /// Bytes a message is worth, of which a lane holds so many.
    weigh: fn(&T) -> usize,
    stopping: AtomicBool,
}

struct Inbox<T> {
    /// One lane per sending core, so that none fills another's.
    lanes: Vec<Mutex<Lane<T>>>,
    parcels: Mutex<VecDeque<Parcel>>,
    /// Something was put here since the core last looked.
    filled: AtomicBool,
    /// The core is about to wait, or waits, on `bell`.
    asleep: AtomicBool,
    bell: OwnedFd,
}

struct Lane<T> {
    queue: VecDeque<T>,
    /// Of all in it.
    bytes: usize,
}

impl<T> Lane<T> {
    /// Whether there is room for so many bytes more. An empty lane takes anything.
    fn takes(&self, bytes: usize) -> bool {
        let is_light = bytes == 0 || self.bytes + bytes <= RELAY_LANE_MAX_BYTES;
        self.queue.is_empty() || (self.queue.len() < MAIL_LANE_MAX && is_light)
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Lane {
            queue: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<T> Post<T> {
    /// `weigh` says what a message takes of memory, if that is worth counting.
    pub fn new(cores: usize, weigh: fn(&T) -> usize) -> io::Result<Self> {
        let boxes = (0..cores).map(|_| {
            Ok(Inbox {
                lanes: (0..cores).map(|_| Mutex::default()).collect(),
                parcels: Mutex::default(),
                filled: AtomicBool::new(false),
                asleep: AtomicBool::new(false),
                bell: sys::eventfd()?,
            })
        });
        Ok(Post {
            boxes: boxes.collect::<io::Result<_>>()?,
            weigh,
            stopping: AtomicBool::new(false),
        })
    }

    pub fn cores(&self) -> usize {
        self.boxes.len()
    }

    /// A duplicate of the eventfd that wakes `core`.
    pub fn bell(&self, core: CoreId) -> io::Result<OwnedFd> {
        let inbox = self.boxes.get(usize::from(core.0));
        inbox.ok_or(io::ErrorKind::NotFound)?.bell.try_clone()
    }

    /// Rings `core`'s own bell, to come round once more without having slept.
    pub fn ring(&self, core: CoreId) {
        if let Some(inbox) = self.boxes.get(usize::from(core.0)) {
            sys::ring(&inbox.bell);
        }
    }

    /// Delivers mail of core `from`; what a full lane does not take stays in
    /// `mail`, in order. Each receiver is woken once.
    pub fn deliver(&self, from: CoreId, mail: &mut Vec<(CoreId, T)>) {
        if mail.is_empty() {
            return;
        }
        let mut full: Vec<CoreId> = Vec::new();
        let mut woken: Vec<CoreId> = Vec::new();
        for (to, message) in std::mem::take(mail) {
            let Some(inbox) = self.boxes.get(usize::from(to.0)) else {
                debug_assert!(false, "mail to {to:?}, which does not exist");
                continue;
            };
            let Some(lane) = inbox.lanes.get(usize::from(from.0)) else {
                continue;
            };
            let mut lane = lock(lane);
            let bytes = (self.weigh)(&message);
            if full.contains(&to) || !lane.takes(bytes) {
                if !full.contains(&to) {
                    full.push(to);
                }
                mail.push((to, message));
                continue;
            }
            lane.queue.push_back(message);
            lane.bytes += bytes;
            if !woken.contains(&to) {
                woken.push(to);
            }
        }
        for to in woken {
            self.wake(to);
        }
    }

    /// Takes what is in `core`'s lanes, if anything came since the last time:
    /// each lane's mail is appended to its queue in `into`, while that is short.
    pub fn collect(&self, core: CoreId, into: &mut [VecDeque<T>]) {
        let Some(inbox) = self.boxes.get(usize::from(core.0)) else {
            return;
        };
        if !inbox.filled.swap(false, SeqCst) {
            return;
        }
        for (lane, queue) in inbox.lanes.iter().zip(into) {
            let mut lane = lock(lane);
            if queue.is_empty() {
                // The lane gets the empty queue's room in return.
                std::mem::swap(&mut lane.queue, queue);
                lane.bytes = 0;
            } else if !lane.queue.is_empty() {
                // Still busy with the last lot: look again later.
                inbox.filled.store(true, SeqCst);
            }
        }
    }

    /// Hands a parcel to `to`.
    pub fn put_parcel(&self, to: CoreId, parcel: Parcel) {
        if let Some(inbox) = self.boxes.get(usize::from(to.0)) {
            lock(&inbox.parcels).push_back(parcel);
            self.wake(to);
        }
    }

    /// Replaces the certificate of every core.
    pub fn put_certificate(&self, identity: &tls::Identity) {
        for core in 0..self.boxes.len() {
            let parcel = Parcel::Certificate(identity.clone());
            self.put_parcel(CoreId(core as u16), parcel);
        }
    }

    /// The next parcel of `core`. To be looked for after [`Post::collect`],
    /// which forgets that something came.
    pub fn take_parcel(&self, core: CoreId) -> Option<Parcel> {
        let inbox = self.boxes.get(usize::from(core.0))?;
        lock(&inbox.parcels).pop_front()
    }

    /// Whether `core` may sleep: nothing is waiting, and whoever puts something
    /// here from now on will ring.
    pub fn may_sleep(&self, core: CoreId) -> bool {
        let Some(inbox) = self.boxes.get(usize::from(core.0)) else {
            return true;
        };
        // A sender sets `filled`, then looks at `asleep`; we the other way
        // round: one of us sees the other.
        inbox.asleep.store(true, SeqCst);
        let quiet = !inbox.filled.load(SeqCst);
        if !quiet {
            inbox.asleep.store(false, SeqCst);
        }
        quiet
    }

    /// The core is up again; no need to ring it.
    pub fn awake(&self, core: CoreId) {
        if let Some(inbox) = self.boxes.get(usize::from(core.0)) {
            inbox.asleep.store(false, SeqCst);
        }
    }

    fn wake(&self, core: CoreId) {
        if let Some(inbox) = self.boxes.get(usize::from(core.0)) {
            inbox.filled.store(true, SeqCst);
            if inbox.asleep.swap(false, SeqCst) {
                sys::ring(&inbox.bell);
            }
        }
    }

    /// Tells every core to stop.
    pub fn stop(&self) {
        self.stopping.store(true, SeqCst);
        for core in 0..self.boxes.len() {
            self.wake(CoreId(core as u16));
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }
}

/// Another thread's panic leaves a queue whole: nothing here panics half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: CoreId = CoreId(0);
    const B: CoreId = CoreId(1);
    const C: CoreId = CoreId(2);

    fn queues() -> Vec<VecDeque<u32>> {
        (0..3).map(|_| VecDeque::new()).collect()
    }

    #[test]
    fn mail_arrives_in_order_per_sender() {
        let post = Post::new(3, |_| 0).unwrap();
        let mut mail = vec![(B, 1), (C, 2), (B, 3), (A, 4)];
        post.deliver(A, &mut mail);
        post.deliver(C, &mut vec![(B, 5)]);
        assert!(mail.is_empty());
        let mut into = queues();
        post.collect(B, &mut into);
        assert_eq!((&into[0], &into[2]), (&[1, 3].into(), &[5].into()));
        post.collect(A, &mut into);
        assert_eq!(into[0], [1, 3], "a busy queue is not overtaken");
    }

    #[test]
    fn a_full_lane_keeps_the_rest_in_order_and_lets_others_pass() {
        let post = Post::new(3, |_| 0).unwrap();
        let mut mail: Vec<(CoreId, u32)> = (0..MAIL_LANE_MAX as u32 + 2).map(|n| (B, n)).collect();
        mail.push((C, 7));
        post.deliver(A, &mut mail);
        let first_left = MAIL_LANE_MAX as u32;
        assert_eq!(mail, [(B, first_left), (B, first_left + 1)]);
        let mut into = queues();
        post.collect(C, &mut into);
        assert_eq!(into[0], [7]);
        into[0].clear();
        post.collect(B, &mut into);
        assert_eq!(into[0].len(), MAIL_LANE_MAX);
        post.deliver(A, &mut mail);
        assert!(mail.is_empty());
        // The lane holds mail, but the core has not finished the last lot.
        post.collect(B, &mut into);
        into[0].clear();
        post.collect(B, &mut into);
        assert_eq!(into[0], [first_left, first_left + 1]);
    }

    #[test]
    fn a_lane_holds_so_many_bytes_and_anything_that_weighs_nothing() {
        let post = Post::new(3, |n: &u32| *n as usize).unwrap();
        let half = RELAY_LANE_MAX_BYTES as u32 / 2;
        let mut mail = vec![(B, half), (B, half), (B, 0)];
        post.deliver(A, &mut mail);
        assert!(mail.is_empty());
        let mut more = vec![(B, 1), (B, 0)];
        post.deliver(A, &mut more);
        assert_eq!(more, [(B, 1), (B, 0)], "order is kept behind what waits");
        let mut into = queues();
        post.collect(B, &mut into);
        post.deliver(A, &mut more);
        assert!(more.is_empty());
        // More than a lane holds: it goes alone.
        let mut huge = vec![(C, 3 * half), (C, 1)];
        post.deliver(A, &mut huge);
        assert_eq!(huge, [(C, 1)]);
    }

    #[test]
    fn nobody_sleeps_through_mail() {
        let post = std::sync::Arc::new(Post::<u32>::new(3, |_| 0).unwrap());
        assert!(post.may_sleep(B));
        post.awake(B);
        let sender = std::sync::Arc::clone(&post);
        const COUNT: u32 = 20_000;
        let thread = std::thread::spawn(move || {
            for n in 0..COUNT {
                let mut mail = vec![(B, n)];
                while !mail.is_empty() {
                    sender.deliver(A, &mut mail);
                }
            }
        });
        let bell = post.bell(B).unwrap();
        let never = sys::eventfd().unwrap();
        let mut into = queues();
        let mut expected = 0;
        while expected < COUNT {
            post.collect(B, &mut into);
            while let Some(n) = into[0].pop_front() {
                assert_eq!(n, expected);
                expected += 1;
            }
            if expected < COUNT && post.may_sleep(B) {
                // Would hang here, were a wake-up ever lost.
                sys::wait_either(&bell, &never).unwrap();
                sys::drain(&bell);
            }
            post.awake(B);
        }
        thread.join().unwrap();
    }
}
