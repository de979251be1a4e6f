//! Ctrl-C and SIGTERM: the first ends the training after the step in progress, a second the process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::Result;

/// The first signal that came; 0: none.
static RECEIVED: AtomicI32 = AtomicI32::new(0);
/// Handlers are set once a process.
static HANDLER: OnceLock<()> = OnceLock::new();

/// From now on the signals are heard; see [`received`].
pub fn listen() -> Result<()> {
    if HANDLER.set(()).is_err() {
        return Ok(());
    }
    #[cfg(unix)]
    {
        use std::sync::Arc;
        use std::sync::atomic::AtomicBool;
        use std::thread;
        use std::time::Duration;

        use anyhow::Context;
        use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
        use signal_hook::iterator::Signals;
        use signal_hook::{flag, low_level};
        use stitch::run_folder::wait_for_writes;

        let cannot = "the handler of Ctrl-C cannot be set";
        // A limit on the size of files (`ulimit -f`) is then an error of the write.
        flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).context(cannot)?;
        let mut signals = Signals::new([SIGINT, SIGTERM]).context(cannot)?;
        let wait = move || {
            for signal in &mut signals {
                let none =
                    RECEIVED.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
                if none.is_err() {
                    // Milliseconds; longer only when the disk does not answer.
                    let _none_begins = wait_for_writes(Duration::from_secs(2));
                    low_level::exit(128 + signal);
                }
            }
        };
        thread::Builder::new().name("signals".into()).spawn(wait).context(cannot)?;
    }
    Ok(())
}

/// Ends the training as SIGTERM does.
pub fn terminate() {
    let _ = RECEIVED.compare_exchange(0, libc::SIGTERM, Ordering::Relaxed, Ordering::Relaxed);
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
    /// Where it stands and how it goes on.
    pub sentence: String,
}

impl Interrupted {
    /// With the code of the signal that was received.
    pub fn new(sentence: String) -> Self {
        let code = received().and_then(|signal| u8::try_from(128 + signal).ok());
        Self { code: code.unwrap_or(130), sentence }
    }
}
