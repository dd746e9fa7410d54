//! An allocator that counts what it is asked for, while it is told to; beside that it is the one that the
//! host has.
//!
//! Published ones haven't been kept up, and there is little to it: this file is the only one of the
//! benchmarks with `unsafe` in it, for an allocator can't be without.
#![allow(unsafe_code, reason = "an allocator's contract can't be said in safe code")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The system's allocator, counted.
pub struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// What was allocated in a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Calls of `malloc`, and of `realloc`.
    pub allocations: u64,
    /// Bytes that were asked for.
    pub bytes: u64,
}

/// What all threads allocate while that runs.
pub fn counted<T>(what: impl FnOnce() -> T) -> (T, Counted) {
    let told = || (ALLOCATIONS.load(Ordering::SeqCst), BYTES.load(Ordering::SeqCst));
    let before = told();
    ON.store(true, Ordering::SeqCst);
    let result = what();
    ON.store(false, Ordering::SeqCst);
    let after = told();
    (result, Counted { allocations: after.0 - before.0, bytes: after.1 - before.1 })
}

fn note(bytes: usize) {
    if ON.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

// SAFETY: each call is handed on as it is to the system's allocator, whose contract is the same; counting
// allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}
