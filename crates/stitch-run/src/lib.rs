#![doc = include_str!("../README.md")]

/// Implements `TryFrom<String>` and `Into<String>`, which serde uses, by `FromStr` and `Display`.
macro_rules! string_conversions {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = <Self as std::str::FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}
pub(crate) use string_conversions;

mod augment;
mod check;
pub mod checkpoint;
mod checkpoint_every;
pub mod closest;
mod config_file;
pub mod csv;
mod device;
mod engine;
mod init;
pub mod json;
mod loss;
mod lr_schedule;
pub mod metrics;
mod metrics_file;
mod normalize;
mod optimizer;
mod parity;
mod progress;
pub mod rows;
mod run_config;
mod setting_error;
mod setting_names;
pub mod sha256;
mod train_config;

pub use augment::{Augment, Transform, UnknownTransform};
pub use check::THREADS;
pub use checkpoint::{Checkpoint, CheckpointError, Events};
pub use checkpoint_every::CheckpointEvery;
pub use config_file::{ConfigFile, ConfigFileError, Given, SettingsFile, from_toml};
pub use device::{Device, UnknownDevice};
pub use engine::Engine;
pub use init::Init;
pub use loss::Loss;
pub use lr_schedule::{LrSchedule, UnknownSchedule};
pub use metrics_file::{Average, Metrics, TrainingMetrics, ValidationMetrics, peak_rss_bytes};
pub use normalize::{InvalidNormalize, Normalize};
pub use optimizer::Optimizer;
pub use parity::{ParityVerdict, StageVerdict};
pub use progress::{EpochRecord, Progress, TrainState, counted};
pub use run_config::{DataConfig, ImageSize, RunConfig, RunConfigError, digest};
pub use setting_error::{SettingError, expected, find_wrong};
pub use setting_names::{plain, setting_of};
pub use train_config::TrainConfig;
