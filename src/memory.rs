//! How the process holds on to memory.

#![allow(unsafe_code)]

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
