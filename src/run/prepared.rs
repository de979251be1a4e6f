//! A run before its first step.

use std::collections::BTreeMap;
use std::time::Instant;

use super::RunError;
use crate::dataset::Dataset;
use crate::libtorch;
use crate::libtorch::threads;
use crate::models::ModelEntry;
use crate::run_folder::RunConfig;
use crate::train::{self, Device, TrainConfig, TrainError, Trainer};

/// A run before its first step: checked settings, data with images held out, an initialized model.
pub struct Prepared {
    /// The settings, with the number of threads and the engine in use.
    pub config: TrainConfig,
    /// The model's entry in the registry.
    pub model: &'static ModelEntry,
    /// The data; `validation` is set if images are held out.
    pub dataset: Dataset,
    pub(super) trainer: Trainer,
}

/// The result of [`Prepared::first_step`].
#[derive(Debug, Clone, Copy)]
pub struct FirstStep {
    /// Images in the batch.
    pub images: usize,
    /// Mean loss of the batch before the update.
    pub loss: f64,
    /// Seconds of the step; on a GPU of the next one, because the first one also loads the kernels.
    pub seconds: f64,
    /// Steps per epoch.
    pub steps_per_epoch: usize,
}

impl Prepared {
    /// Checks the settings, sets the number of threads, holds out validation images, and initializes the model.
    ///
    /// # Errors
    /// [`RunError::Train`], [`RunError::Threads`], [`RunError::HoldOut`].
    pub fn new(config: &TrainConfig, dataset: &Dataset) -> Result<Self, RunError> {
        let model = train::check(config).map_err(TrainError::from)?;
        let threads = Some(threads::set(config.threads)?);
        let config = TrainConfig { threads, engine: Some(config.engine()), ..config.clone() };
        let mut dataset = dataset.clone();
        if let Some(n) = config.val {
            dataset.hold_out(n)?;
        }
        let trainer = Trainer::new(&config, &dataset.train)?;
        train::check_data(model, &config, &dataset.test)?;
        Ok(Self { config, model, dataset, trainer })
    }

    /// Runs only the first step, on a GPU also another one; writes nothing.
    ///
    /// # Errors
    /// [`TrainError::Diverged`].
    pub fn first_step(mut self) -> Result<FirstStep, RunError> {
        let (config, train) = (&self.config, &self.dataset.train);
        let mut step = || {
            let start = Instant::now();
            let loss = train::first_step(&mut self.trainer, config, train)?;
            Ok::<_, TrainError>((loss, start.elapsed().as_secs_f64()))
        };
        let (loss, mut seconds) = step()?;
        if config.device != Device::Cpu {
            (_, seconds) = step()?;
        }
        let images = config.batch_size.min(train.len());
        Ok(FirstStep { images, loss, seconds, steps_per_epoch: train::steps(config, train) })
    }

    /// The `config.json` of the run.
    pub(super) fn run_config(&self) -> Result<RunConfig, RunError> {
        let versions = [
            ("stitch", env!("CARGO_PKG_VERSION")),
            // Set by build.rs from libtorch's own header.
            ("libtorch", env!("STITCH_LIBTORCH_VERSION")),
        ];
        Ok(RunConfig {
            program: "stitch".into(),
            settings: self.config.clone(),
            cpu_capability: libtorch::cpu_capability(),
            kernels_sha256: Some(train::kernels_sha256(&self.config)?),
            versions: BTreeMap::from(versions.map(|(name, version)| (name.into(), version.into()))),
            data: (&self.dataset).into(),
        })
    }
}
