//! Settings of the allocator, and error messages for exhausted memory.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "libtorch")]
unsafe extern "C" {
    /// In `libtorch/memory.cpp`.
    fn stitch_on_failed_allocation(callback: extern "C" fn());
}

/// Whether an allocation has failed.
static EXHAUSTED: AtomicBool = AtomicBool::new(false);
/// What [`handle_aborts`] prints.
static OUT_OF_MEMORY: OnceLock<&str> = OnceLock::new();
/// What [`handle_library_exits`] prints.
static LIBRARY_EXIT: OnceLock<&str> = OnceLock::new();
/// The exit code of usage and I/O errors.
const EXIT_CODE: i32 = 2;

/// The system's allocator; records whether an allocation has failed.
#[derive(Debug)]
pub struct Allocator;

/// Records a failed allocation; returns the pointer.
fn recorded(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() {
        EXHAUSTED.store(true, Ordering::Relaxed);
    }
    pointer
}

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        recorded(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        recorded(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        recorded(unsafe { System.realloc(pointer, layout, size) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Prints a message to stderr and exits with code 2, with functions that may be called in a signal handler.
#[cfg(unix)]
fn exit_with(message: &OnceLock<&'static str>) -> ! {
    let message = message.get().copied().unwrap_or_default();
    // SAFETY: both functions are async-signal-safe; the bytes are static, and no other code runs afterwards.
    unsafe {
        libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
        libc::_exit(EXIT_CODE)
    }
}

/// Installs a handler for aborts: after a failed allocation, a process with [`Allocator`] prints `message` and exits
/// with code 2; Rust's library prints the size of the failed allocation before it. Other aborts are unchanged. Does
/// nothing on systems other than Unix. The first `message` of the process is used.
pub fn handle_aborts(message: &'static str) {
    let _ = OUT_OF_MEMORY.set(message);
    #[cfg(unix)]
    {
        extern "C" fn on_abort(_: libc::c_int) {
            if EXHAUSTED.load(Ordering::Relaxed) {
                exit_with(&OUT_OF_MEMORY);
            }
            // When the handler returns, abort() ends the process as usual.
        }
        #[cfg(feature = "libtorch")]
        extern "C" fn failed() {
            EXHAUSTED.store(true, Ordering::Relaxed);
        }
        // SAFETY: the handlers only call async-signal-safe functions, and live as long as the process.
        unsafe {
            #[cfg(feature = "libtorch")]
            stitch_on_failed_allocation(failed);
            libc::signal(libc::SIGABRT, on_abort as *const () as libc::sighandler_t);
        }
    }
}

/// Whether [`expect_exit`] was called.
static EXIT_EXPECTED: AtomicBool = AtomicBool::new(false);

/// Installs a handler for exits by a library, such as OpenMP's when it cannot start a thread: the process then prints
/// `message` and exits with code 2 instead of OpenMP's 1, which means a failed check. The program calls
/// [`expect_exit`] before it exits by itself.
pub fn handle_library_exits(message: &'static str) {
    let _ = LIBRARY_EXIT.set(message);
    #[cfg(unix)]
    {
        extern "C" fn on_exit() {
            if !EXIT_EXPECTED.load(Ordering::Relaxed) {
                exit_with(&LIBRARY_EXIT);
            }
        }
        // SAFETY: the handler lives as long as the process. If atexit fails, the process exits as without a handler.
        unsafe {
            libc::atexit(on_exit);
        }
    }
}

/// Disables the handler of [`handle_library_exits`], because the program is about to exit by itself.
pub fn expect_exit() {
    EXIT_EXPECTED.store(true, Ordering::Relaxed);
}

/// The error message for exhausted memory; `None` if `message`, from libtorch, CUDA or the C++ library, reports
/// something else.
pub fn out_of_memory_message(message: &str) -> Option<String> {
    let parts = [
        "can't allocate memory",
        "not enough memory",
        "out of memory",
        "std::bad_alloc",
        "_STATUS_ALLOC_FAILED",
    ];
    // oneDNN does not give the reason.
    if message.contains("could not create a primitive") {
        return Some(
            "oneDNN could not create a primitive; the usual cause is exhausted memory".into(),
        );
    }
    if !parts.iter().any(|part| message.contains(part)) {
        return None;
    }
    if ["CUDA", "CUBLAS", "CUDNN"].iter().any(|library| message.contains(library)) {
        let size =
            message.split_once("Tried to allocate ").and_then(|(_, rest)| rest.split_once(". "));
        let size = size.map(|(size, _)| format!(": {size} cannot be allocated"));
        return Some(format!("out of GPU memory{}", size.unwrap_or_default()));
    }
    let size = message.split_once("tried to allocate ").map(|(_, rest)| rest);
    let size = size.and_then(|rest| rest.split_once(" bytes")).map(|(bytes, _)| bytes);
    let size = size.filter(|bytes| bytes.parse::<u64>().is_ok());
    let size = size.map(|bytes| format!(": {bytes} bytes cannot be allocated"));
    Some(format!("out of memory{}", size.unwrap_or_default()))
}

/// Configures glibc to keep freed memory for the next training step instead of returning it to the system.
///
/// Every training step allocates and frees the same sizes. By default, glibc maps blocks of more than 128 KiB anew
/// each time and trims its heap, so every step starts with page faults: they took a fifth of the time at a batch size
/// of 64 and half of it at 1,024. Results do not change. Does nothing with other C libraries.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Bytes by which the heap grows.
        const GROWTH: libc::c_int = 16 << 20;
        // SAFETY: mallopt takes two numbers and only changes settings of malloc. Its result can be ignored: if it
        // rejects a setting, the process is only slower.
        unsafe {
            // No block is mapped separately. M_MMAP_THRESHOLD would not do: its maximum is 32 MiB.
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
    fn only_messages_about_memory_are_recognized() {
        let libtorch = "Torch(\"[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate \
                        memory: you tried to allocate 188160000 bytes. Error code 12\")";
        let error = out_of_memory_message(libtorch).unwrap();
        assert!(error.starts_with("out of memory: 188160000 bytes cannot"), "{error}");
        let error = out_of_memory_message("std::bad_alloc").unwrap();
        assert_eq!(error, "out of memory");
        let cuda = "Torch(\"CUDA out of memory. Tried to allocate 8.76 GiB. GPU 0 has a total capacity of 139.80 GiB \
                    of which 699.00 MiB is free.\")";
        let error = out_of_memory_message(cuda).unwrap();
        assert_eq!(error, "out of GPU memory: 8.76 GiB cannot be allocated");
        for message in ["CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when"]
        {
            assert_eq!(out_of_memory_message(message).unwrap(), "out of GPU memory");
        }
        assert_eq!(out_of_memory_message("index out of range"), None);
    }
}
