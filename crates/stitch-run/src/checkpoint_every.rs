//! When a run writes checkpoints.

use std::num::NonZeroU64;
use std::time::Duration;

/// When checkpoints are written, besides the end of each epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointEvery {
    /// Never, not even after an epoch.
    Never,
    /// Each time this much time has passed.
    Time(Duration),
    /// After each multiple of this many steps of the run.
    Steps(NonZeroU64),
}

impl Default for CheckpointEvery {
    /// Every 30 seconds.
    fn default() -> Self {
        Self::Time(Duration::from_secs(30))
    }
}
