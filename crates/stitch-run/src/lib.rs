#![doc = include_str!("../README.md")]

pub mod checkpoint;
mod config;
pub mod csv;
pub mod metrics;
mod metrics_file;
mod parity;
mod progress;
pub mod recipe;
pub mod sha256;

pub use checkpoint::{Checkpoint, CheckpointError, Events};
pub use config::{Config, DataConfig};
pub use metrics_file::{Average, Metrics, TrainingMetrics, ValidationMetrics, peak_rss_bytes};
pub use parity::ParityVerdict;
pub use progress::{EpochRecord, Progress, TrainState, Validation};
