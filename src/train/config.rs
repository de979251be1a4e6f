//! The settings of a run.

use tch::Device;

use super::Engine;
use crate::models::{Defaults, ModelEntry, names_of};

/// The settings of a run that change its numbers, except the number of threads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainConfig {
    /// Passes over the training images; `max_iter` in scikit-learn.
    pub epochs: usize,
    /// Images per step, at least 1; the last batch of an epoch may be shorter.
    pub batch_size: usize,
    /// Learning rate of Adam; finite and above 0.
    pub lr: f64,
    /// Seed of the initial parameters and of every shuffle.
    pub seed: u64,
    /// Where the model computes.
    pub device: Device,
    /// Which code computes its steps.
    pub engine: Engine,
    /// Training images that are held out, the last ones; at least 1.
    pub val: Option<usize>,
    /// Epochs in a row without a lower validation loss that end the run; at least 1, and only where
    /// images are held out.
    pub patience: Option<usize>,
}

impl TrainConfig {
    /// These settings on the CPU with the exact engine and the seed 0; no images are held out.
    ///
    /// ```
    /// use stitch::train::{Engine, TrainConfig};
    ///
    /// let config = TrainConfig { engine: Engine::Eager, ..TrainConfig::new(5, 64, 1e-3) };
    /// assert_eq!((config.epochs, config.batch_size, config.seed), (5, 64, 0));
    /// ```
    pub fn new(epochs: usize, batch_size: usize, lr: f64) -> Self {
        Self {
            epochs,
            batch_size,
            lr,
            seed: 0,
            device: Device::Cpu,
            engine: Engine::Exact,
            val: None,
            patience: None,
        }
    }

    /// The model's default settings: the notebook's, where it gives them. The seed is 0, which was not
    /// chosen by its result.
    pub fn notebook(model: &ModelEntry) -> Self {
        let Defaults { epochs, batch_size, lr } = model.defaults;
        Self::new(epochs, batch_size, lr)
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first setting out of its range.
    pub fn check(&self, model: &'static ModelEntry) -> Result<(), ConfigError> {
        if self.seed > model.library.largest_seed() {
            return Err(ConfigError::Seed(self.seed, model));
        }
        self.engine.check(model, self.device)?;
        self.check_ranges()
    }

    /// Checks what does not depend on the model.
    pub(super) fn check_ranges(&self) -> Result<(), ConfigError> {
        if self.epochs == 0 {
            return Err(ConfigError::Epochs);
        }
        if self.batch_size == 0 {
            return Err(ConfigError::BatchSize);
        }
        if !(self.lr.is_finite() && self.lr > 0.0) {
            return Err(ConfigError::LearningRate(self.lr));
        }
        if self.val == Some(0) {
            return Err(ConfigError::Val);
        }
        match self.patience {
            Some(0) => Err(ConfigError::Patience),
            Some(patience) if self.val.is_none() => Err(ConfigError::PatienceWithoutVal(patience)),
            _ => Ok(()),
        }
    }
}

/// A setting out of its range.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No epoch.
    #[error("--epochs is 0: it must be at least 1")]
    Epochs,
    /// Empty batches.
    #[error("--batch-size is 0: it must be at least 1")]
    BatchSize,
    /// A learning rate that is not a positive number.
    #[error("--lr is {0}: it must be finite and above 0")]
    LearningRate(f64),
    /// A seed that the model's library refuses.
    #[error("--seed is {}: {} takes 0 to {}, as {} does", .0, .1, .1.library.largest_seed(), .1.library)]
    Seed(u64, &'static ModelEntry),
    /// A model that the engine does not train.
    #[error(
        "--engine {} does not support {}: it supports {}. Give another --engine",
        .0, .1, names_of(.0.models())
    )]
    EngineModel(Engine, &'static ModelEntry),
    /// An engine for the CPU on another device.
    #[error(
        "--engine {} computes on the CPU only, not on --device {}. Give --engine eager, or \
         --device cpu",
        .0, device_name(*.1)
    )]
    EngineDevice(Engine, Device),
    /// No image held out.
    #[error("--val is 0: it must be at least 1, or off")]
    Val,
    /// No epoch to wait.
    #[error("--patience is 0: it must be at least 1, or off")]
    Patience,
    /// Nothing to be patient with.
    #[error("--patience is {0}, and no images are held out: give --val N too, or --patience off")]
    PatienceWithoutVal(usize),
}

/// A device as the command line and `config.json` name it: `cpu` or `cuda:N`.
pub fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(number) => format!("cuda:{number}"),
        _ => "cpu".into(),
    }
}
