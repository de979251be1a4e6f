//! Trains a model: the settings of a run and their checks, the training loop, and its state.

mod config;
#[cfg(feature = "libtorch")]
mod fingerprint;
#[cfg(feature = "libtorch")]
mod fit;
#[cfg(feature = "libtorch")]
mod state;
#[cfg(feature = "libtorch")]
mod trainer;

#[cfg(feature = "libtorch")]
pub(crate) use self::trainer::check_data;
#[cfg(feature = "libtorch")]
pub use self::{
    fingerprint::kernels_sha256,
    fit::{Best, Event, History, OnEvent, StepTensors, Tracer, TrainError, first_step, fit, steps},
    state::RestoreError,
    trainer::Trainer,
};
pub use config::{ConfigError, check, supports};
pub use stitch_run::{
    Device, Engine, EpochRecord, Loss, Progress, SettingError, TrainConfig, TrainState,
};
