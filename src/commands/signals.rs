//! Handles Ctrl-C and SIGTERM: the first signal stops training after the step in progress; a second one, or ten
//! seconds, ends the process. Other commands end at the first one.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use signal_hook::low_level;
use stitch::run_folder::end_writes;

/// The first signal received; 0: none.
static RECEIVED: AtomicI32 = AtomicI32::new(0);
/// Set once the handlers are installed.
static HANDLER: OnceLock<()> = OnceLock::new();
/// Whether the first signal stops training, so that it can be resumed, instead of ending the process.
static STOPS_TRAINING: AtomicBool = AtomicBool::new(false);

/// Time that training has to stop after the first signal, in case a step never returns.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Lets the first signal stop training; see [`received`].
pub fn stop_training() {
    STOPS_TRAINING.store(true, Ordering::Relaxed);
}

/// Installs the signal handlers. Without them, a signal would leave the temporary file of a write in progress.
pub fn listen() -> Result<()> {
    if HANDLER.set(()).is_err() {
        return Ok(());
    }
    #[cfg(unix)]
    {
        use std::sync::Arc;

        use anyhow::Context;
        use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
        use signal_hook::flag;
        use signal_hook::iterator::Signals;

        let cannot = "cannot install the signal handlers";
        // With a handler, a write beyond the file size limit (`ulimit -f`) fails with an error.
        flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).context(cannot)?;
        let mut signals = Signals::new([SIGINT, SIGTERM]).context(cannot)?;
        let wait = move || {
            for signal in &mut signals {
                let stops_training = STOPS_TRAINING.load(Ordering::Relaxed);
                if !stops_training {
                    let _ = writeln!(io::stderr(), "error: interrupted");
                }
                if !stops_training || !is_first(signal) {
                    end_process(128 + signal);
                }
            }
        };
        thread::Builder::new().name("signals".into()).spawn(wait).context(cannot)?;
    }
    Ok(())
}

/// Stops training as SIGTERM does.
pub fn terminate() {
    is_first(libc::SIGTERM);
}

/// Records a signal, and returns whether it is the first one. The process then ends after [`TIMEOUT`].
fn is_first(signal: i32) -> bool {
    let first = RECEIVED.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    if first {
        let wait = move || {
            thread::sleep(TIMEOUT);
            let _ = writeln!(
                io::stderr(),
                "error: training did not stop within {} s of the signal; exiting without another checkpoint",
                TIMEOUT.as_secs()
            );
            end_process(128 + signal)
        };
        // If the thread cannot be started, a second signal still ends the process.
        let _ = thread::Builder::new().name("deadline".into()).spawn(wait);
    }
    first
}

/// Ends the process once no file is being written.
pub fn end_process(code: i32) -> ! {
    // Most writes take milliseconds. The guard prevents new ones.
    let _guard = end_writes(Duration::from_secs(2));
    low_level::exit(code)
}

/// The first signal received, if any.
pub fn received() -> Option<i32> {
    match RECEIVED.load(Ordering::Relaxed) {
        0 => None,
        signal => Some(signal),
    }
}

/// The error of training that a signal stopped.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Interrupted {
    /// Exit code: 128 + the signal.
    pub code: u8,
    /// Where training stopped and how to resume it.
    pub message: String,
}

impl Interrupted {
    /// An error with the exit code of the received signal.
    pub fn new(message: String) -> Self {
        let code = received().and_then(|signal| u8::try_from(128 + signal).ok());
        Self { code: code.unwrap_or(130), message }
    }
}
