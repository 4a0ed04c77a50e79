//! An allocator that counts: every call of this thread, to claim that a path
//! makes none; and, while it is switched on, the bytes that are held.

#![allow(dead_code, reason = "each test uses its part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
    static HELD_BYTES: Cell<i64> = const { Cell::new(0) };
}

fn hold(bytes: i64) {
    if IS_WATCHED.with(Cell::get) {
        HELD_BYTES.with(|held| held.set(held.get() + bytes));
    }
}

struct Counting;

// SAFETY: every call goes to the system allocator unchanged; the counter is a
// thread-local without destructor, so counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.with(|calls| calls.set(calls.get() + 1));
        hold(layout.size() as i64);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        hold(-(layout.size() as i64));
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.with(|calls| calls.set(calls.get() + 1));
        hold(size as i64 - layout.size() as i64);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// From here on what this thread takes and gives back is counted, or no more.
pub fn watch(on: bool) {
    IS_WATCHED.with(|is_watched| is_watched.set(on));
}

/// Bytes taken and not given back, both while watched.
pub fn held_bytes() -> i64 {
    HELD_BYTES.with(Cell::get)
}

/// Of this thread, so far.
pub fn calls() -> u64 {
    CALLS.with(Cell::get)
}
