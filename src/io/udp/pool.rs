//! Receive buffers shared with the kernel: a ring of free buffers it takes from
//! and the buffers themselves, in one mapping that never moves.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::base::limits::{RECEIVE_BUFFER_BYTES, RECEIVE_BUFFERS};

const ENTRIES_BYTES: usize = RECEIVE_BUFFERS as usize * size_of::<BufRingEntry>();
const MAPPED_BYTES: usize = ENTRIES_BYTES + RECEIVE_BUFFERS as usize * RECEIVE_BUFFER_BYTES;
const MASK: u16 = RECEIVE_BUFFERS - 1;

// The kernel wants the entries on a page boundary, where the mapping starts;
// the buffers behind them should start on one too.
const _: () = assert!(ENTRIES_BYTES.is_multiple_of(4_096));

/// Every buffer is either the kernel's (published in the ring) or ours (taken
/// by a completion and not yet given back).
pub struct Pool {
    mapping: NonNull<u8>,
    tail: u16,
}

impl Pool {
    /// Maps the buffers; all of them are the kernel's once registered.
    pub fn new() -> io::Result<Self> {
        // SAFETY: an anonymous private mapping at an address the kernel picks
        // touches no memory of ours.
        let mapped = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                MAPPED_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapping = NonNull::new(mapped.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut pool = Pool { mapping, tail: 0 };
        for id in 0..RECEIVE_BUFFERS {
            pool.give(id);
        }
        pool.publish();
        Ok(pool)
    }

    /// Registers the pool as buffer group `group` of a ring.
    ///
    /// # Safety
    /// The pool must outlive the ring's use of it: until the ring has no
    /// request that selects from `group`.
    pub unsafe fn register(&self, submitter: &Submitter<'_>, group: u16) -> io::Result<()> {
        // SAFETY: the mapping starts with RECEIVE_BUFFERS entries on a page
        // boundary; the caller keeps the pool.
        unsafe {
            submitter.register_buf_ring_with_flags(
                self.mapping.as_ptr() as u64,
                RECEIVE_BUFFERS,
                group,
                0,
            )
        }
    }

    /// The bytes of buffer `id`, which a completion gave us.
    pub fn bytes(&mut self, id: u16) -> Option<&mut [u8]> {
        let at = buffer_offset(id)?;
        // SAFETY: `at` is the start of buffer `id` inside the mapping. The
        // buffer is ours: callers pass ids of completions they have not given
        // back, and the kernel writes only to buffers it holds. The borrow of
        // `self` keeps a second slice from being made.
        Some(unsafe {
            std::slice::from_raw_parts_mut(self.mapping.as_ptr().add(at), RECEIVE_BUFFER_BYTES)
        })
    }

    /// Queues buffer `id` to go back to the kernel at the next publish.
    pub fn give(&mut self, id: u16) {
        let Some(at) = buffer_offset(id) else {
            return;
        };
        let entry = usize::from(self.tail & MASK);
        // SAFETY: `entry` < RECEIVE_BUFFERS, so it lies in the entries at the
        // mapping's start, aligned since those start on a page. The kernel does
        // not read entries beyond the published tail. Only address, length and
        // id are written, so entry 0's tail field stays.
        unsafe {
            let entry = &mut *self.mapping.as_ptr().cast::<BufRingEntry>().add(entry);
            entry.set_addr(self.mapping.as_ptr().add(at) as u64);
            entry.set_len(RECEIVE_BUFFER_BYTES as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see every buffer given back so far.
    pub fn publish(&mut self) {
        // SAFETY: the mapping starts with the first entry; its tail field is a
        // 16-bit value the kernel only reads, so an atomic store is sound.
        let tail = unsafe {
            let tail = BufRingEntry::tail(self.mapping.as_ptr().cast::<BufRingEntry>());
            AtomicU16::from_ptr(tail.cast_mut())
        };
        tail.store(self.tail, Ordering::Release);
    }
}

fn buffer_offset(id: u16) -> Option<usize> {
    (id < RECEIVE_BUFFERS).then(|| ENTRIES_BYTES + usize::from(id) * RECEIVE_BUFFER_BYTES)
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, made with this length, and unmapped
        // once. The owner of the ring drops the pool only after the kernel
        // has let go of it.
        unsafe { libc::munmap(self.mapping.as_ptr().cast(), MAPPED_BYTES) };
    }
}
