//! How the process keeps freed memory, and how it ends when memory is exhausted.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

unsafe extern "C" {
    /// In `libtorch/memory.cpp`.
    fn stitch_note_failed_allocations(failed: extern "C" fn());
}

/// Whether an allocation has failed.
static EXHAUSTED: AtomicBool = AtomicBool::new(false);
/// Before the sentence of Rust's library, which says how much was wanted.
const SENTENCE: &[u8] =
    b"error: out of memory. Free memory, or give a smaller --batch-size or fewer --jobs\n";
/// The exit code, that of input and output that fail.
const CODE: i32 = 2;

/// The system's allocator, which remembers that an allocation has failed.
#[derive(Debug)]
pub struct Allocator;

/// Remembers a failed allocation.
fn noted(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() {
        EXHAUSTED.store(true, Ordering::Relaxed);
    }
    pointer
}

// SAFETY: every call is passed to the system's allocator as it is.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        noted(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        noted(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        noted(unsafe { System.realloc(pointer, layout, size) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Makes a process with [`Allocator`] that aborts after a failed allocation end with an error message and exit
/// code 2. Any other abort is unchanged. Does nothing on systems other than Unix.
pub fn end_well_when_exhausted() {
    #[cfg(unix)]
    {
        extern "C" fn on_abort(_: libc::c_int) {
            if EXHAUSTED.load(Ordering::Relaxed) {
                // SAFETY: both may be called in a signal handler; the bytes are static.
                unsafe {
                    libc::write(libc::STDERR_FILENO, SENTENCE.as_ptr().cast(), SENTENCE.len());
                    libc::_exit(CODE);
                }
            }
            // After the handler, abort() ends the process as without it.
        }
        extern "C" fn failed() {
            EXHAUSTED.store(true, Ordering::Relaxed);
        }
        // SAFETY: the handlers call nothing that may not be called in one, and live as long as the process.
        unsafe {
            stitch_note_failed_allocations(failed);
            libc::signal(libc::SIGABRT, on_abort as *const () as libc::sighandler_t);
        }
    }
}

/// Whether the process ends because [`end`] was called.
static ENDS: AtomicBool = AtomicBool::new(false);

/// Makes a process that a library ends (as OpenMP's does when it cannot start a thread) exit with code 2:
/// OpenMP's own code is that of a failed check. The program calls [`end`] before it ends by itself.
pub fn watch_exits() {
    #[cfg(unix)]
    {
        const SENTENCE: &[u8] =
            b"error: a library has ended the process, for the reason above. Give fewer \
            --threads, or free some memory\n";

        extern "C" fn on_exit() {
            if !ENDS.load(Ordering::Relaxed) {
                // SAFETY: the bytes are static, and nothing is to be written any more.
                unsafe {
                    libc::write(libc::STDERR_FILENO, SENTENCE.as_ptr().cast(), SENTENCE.len());
                    libc::_exit(CODE);
                }
            }
        }
        // SAFETY: the handler lives as long as the process. Without room for it, nothing changes.
        unsafe {
            libc::atexit(on_exit);
        }
    }
}

/// Disables [`watch_exits`]: the program ends the process itself.
pub fn end() {
    ENDS.store(true, Ordering::Relaxed);
}

/// The error message for a failed allocation that libtorch, CUDA or the C++ library reports in `message`.
pub fn exhaustion(message: &str) -> Option<String> {
    let parts = ["can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc"];
    // oneDNN does not say why.
    if message.contains("could not create a primitive") {
        let sentence = "oneDNN could not create a primitive, as happens when memory is exhausted. Free some, or \
                        give a smaller --batch-size or fewer --jobs";
        return Some(sentence.into());
    }
    if !parts.iter().any(|part| message.contains(part)) {
        return None;
    }
    let wanted = message.split_once("tried to allocate ").map(|(_, rest)| rest);
    let wanted = wanted.and_then(|rest| rest.split_once(" bytes")).map(|(bytes, _)| bytes);
    let wanted = wanted.filter(|bytes| bytes.parse::<u64>().is_ok());
    let wanted = wanted.map(|bytes| format!(": {bytes} bytes cannot be allocated"));
    Some(format!(
        "out of memory{}. Free memory, or give a smaller --batch-size or fewer --jobs",
        wanted.unwrap_or_default()
    ))
}

/// Keeps freed memory for the next step instead of giving it back to the system.
///
/// A training step takes and frees the same megabytes each time. glibc would map blocks of more
/// than 128 KiB anew each time and trim its heap, so every step would begin with page faults: they
/// took a fifth of the time at a batch size of 64, and half of it at 1,024. Changes no bit of a
/// result. Does nothing where the C library is another one.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// What the heap grows by.
        const GROWTH: libc::c_int = 16 << 20;
        // SAFETY: mallopt takes two numbers and changes settings of malloc alone. What it returns
        // says whether it took them; if not, the process is slower, and nothing else.
        unsafe {
            // Not the threshold, which may be no more than 32 MiB: no block is mapped by itself.
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
            libc::mallopt(libc::M_TOP_PAD, GROWTH);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_about_memory_become_its_sentence() {
        let libtorch = "Torch(\"[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate \
                        memory: you tried to allocate 188160000 bytes. Error code 12\")";
        let sentence = exhaustion(libtorch).unwrap();
        assert!(sentence.starts_with("out of memory: 188160000 bytes cannot"), "{sentence}");
        let sentence = exhaustion("std::bad_alloc").unwrap();
        assert!(sentence.starts_with("out of memory. Free memory"), "{sentence}");
        assert_eq!(exhaustion("index out of range"), None);
    }
}
