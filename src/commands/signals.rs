//! Ctrl-C and SIGTERM: the first ends the training after the step in progress; a second, or ten seconds, the
//! process.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use signal_hook::low_level;
use stitch::run_folder::wait_for_writes;

/// The first signal that came; 0: none.
static RECEIVED: AtomicI32 = AtomicI32::new(0);
/// Handlers are set once per process.
static HANDLER: OnceLock<()> = OnceLock::new();

/// How long a training may take to end after the first signal: a step that never returns must not keep the
/// process.
const LONGEST: Duration = Duration::from_secs(10);

/// Installs the signal handlers; see [`received`].
pub fn listen() -> Result<()> {
    if HANDLER.set(()).is_err() {
        return Ok(());
    }
    #[cfg(unix)]
    {
        use std::sync::Arc;
        use std::sync::atomic::AtomicBool;

        use anyhow::Context;
        use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
        use signal_hook::flag;
        use signal_hook::iterator::Signals;

        let cannot = "the handler of Ctrl-C cannot be set";
        // A limit on the size of files (`ulimit -f`) is then an error of the write.
        flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).context(cannot)?;
        let mut signals = Signals::new([SIGINT, SIGTERM]).context(cannot)?;
        let wait = move || {
            for signal in &mut signals {
                if !is_first(signal) {
                    end_process(128 + signal);
                }
            }
        };
        thread::Builder::new().name("signals".into()).spawn(wait).context(cannot)?;
    }
    Ok(())
}

/// Ends the training as SIGTERM does.
pub fn terminate() {
    is_first(libc::SIGTERM);
}

/// Notes a signal; whether it is the first one. The process then ends after [`LONGEST`].
fn is_first(signal: i32) -> bool {
    let first = RECEIVED.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    if first {
        let wait = move || {
            thread::sleep(LONGEST);
            let _ = writeln!(
                io::stderr(),
                "error: the training has not ended {} s after the signal; the process ends without a further \
                 checkpoint",
                LONGEST.as_secs()
            );
            end_process(128 + signal)
        };
        // Without a thread a second signal ends the process.
        let _ = thread::Builder::new().name("deadline".into()).spawn(wait);
    }
    first
}

/// Ends the process at once, but not within the writing of a file.
pub fn end_process(code: i32) -> ! {
    // Milliseconds; longer only when the disk does not answer.
    let _none_begins = wait_for_writes(Duration::from_secs(2));
    low_level::exit(code)
}

/// The signal that came, if one did.
pub fn received() -> Option<i32> {
    match RECEIVED.load(Ordering::Relaxed) {
        0 => None,
        signal => Some(signal),
    }
}

/// A training that a signal ended: the sentence, and the exit code of a process that it killed.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct Interrupted {
    /// 128 + the signal.
    pub code: u8,
    /// How far it got and how to resume it.
    pub sentence: String,
}

impl Interrupted {
    /// With the code of the signal that was received.
    pub fn new(sentence: String) -> Self {
        let code = received().and_then(|signal| u8::try_from(128 + signal).ok());
        Self { code: code.unwrap_or(130), sentence }
    }
}
