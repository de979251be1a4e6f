//! Reports failed allocations of libtorch as an error with exit code 2 instead of a panic.

use std::panic;
use std::sync::atomic::Ordering;

use stitch::memory;

use super::{PRINTED, print_error, print_failure, signals};

/// What to do when memory is exhausted.
const ADVICE: &str =
    "Free memory; training takes less with a smaller --batch-size, a study with fewer --jobs";
/// The message of an abort for exhausted memory.
pub const OUT_OF_MEMORY: &str = "error: out of memory. Free memory; training takes less with a smaller --batch-size, a study with fewer --jobs\n";
/// The message when a library ends the process.
pub const LIBRARY_EXIT: &str = "error: a library ended the process; see its message above. Use fewer --threads, or free memory\n";

/// The exit code of an I/O error.
const CODE: u8 = 2;

/// Installs a panic hook: a panic of any thread whose message reports exhausted memory ends the process with an error
/// message, and a JSON document if `json`. Other panics are unchanged.
pub fn listen(json: bool) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let message = payload.downcast_ref::<String>().map(String::as_str);
        let message = message.or(payload.downcast_ref().copied()).unwrap_or_default();
        let Some(error) = memory::out_of_memory_message(message) else {
            // A panic of the main thread ends the process.
            memory::expect_exit();
            return before(info);
        };
        let error = format!("{error}. {ADVICE}");
        print_error(&anyhow::anyhow!("{error}"));
        if json && !PRINTED.load(Ordering::Relaxed) {
            print_failure(error, CODE);
        }
        signals::end_process(CODE.into());
    }));
}
