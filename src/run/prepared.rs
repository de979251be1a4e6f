//! A run before its first step.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use stitch_run::Init;
use tch::Device;
use tensor_files::read_weights;

use super::{RunError, network};
use crate::dataset::Dataset;
use crate::libtorch;
use crate::libtorch::threads;
use crate::models::{self, Classifier, ModelEntry};
use crate::nn::Model;
use crate::run_folder::{MAX_FILE, RunConfig, read_regular};
use crate::sha256;
use crate::train::{self, TrainConfig, TrainError, Trainer};

/// Replaces the initial values by those of a file, as `model.load_state_dict(torch.load(file))` after the constructor
/// does: the file changes neither what was drawn nor what is drawn next.
fn load_init(model: &Model, entry: &'static ModelEntry, init: &Init) -> Result<(), RunError> {
    let wrong = |what: String| RunError::Init { file: init.file.clone(), what };
    let bytes = read_regular(Path::new(&init.file), MAX_FILE);
    let bytes = bytes.map_err(|error| wrong(format!("it cannot be read: {error}")))?;
    let sha256 = sha256::of(&bytes);
    if sha256 != init.sha256 {
        let what =
            format!("its SHA-256 is {sha256}; the run has {}: the file has changed", init.sha256);
        return Err(wrong(what));
    }
    let tensors = read_weights(&bytes).map_err(|error| wrong(error.to_string()))?;
    let loaded = Classifier::from_named(&tensors, Some(entry), Device::Cpu);
    let loaded = loaded.map_err(|error| wrong(error.to_string()))?;
    let done = model.load_state_dict(&loaded.model.state_dict());
    done.map_err(|error| {
        wrong(format!(
            "the network has other options (batch norm, or the number of classes): {error}"
        ))
    })
}

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
    /// [`RunError::Train`], [`RunError::Threads`], [`RunError::HoldOut`], [`RunError::Init`].
    pub fn new(config: &TrainConfig, dataset: &Dataset) -> Result<Self, RunError> {
        let model = train::check(config).map_err(TrainError::from)?;
        let threads = Some(threads::set(config.threads)?);
        let config = TrainConfig { threads, engine: Some(config.engine()), ..config.clone() };
        let mut dataset = dataset.clone();
        if let Some(n) = config.val {
            dataset.hold_out(n)?;
        }
        let trainer = match model.is_script() {
            true => {
                let network = network::load(&config, dataset.train.shape)?;
                // As right before the `DataLoader` is created: the file has the initial values.
                tch::manual_seed(config.seed as i64);
                let trainer = Trainer::pytorch(network, &config, &dataset.train)?;
                let network = trainer.model();
                models::check_data(network.class(), network.graph(), &dataset.test)
                    .map_err(TrainError::from)?;
                trainer
            }
            false => {
                let trainer = Trainer::new(&config, &dataset.train)?;
                train::check_data(model, &config, &dataset.test)?;
                trainer
            }
        };
        if let Some(init) = &config.init {
            load_init(trainer.model(), model, init)?;
        }
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
        if config.device != train::Device::Cpu {
            (_, seconds) = step()?;
        }
        let images = config.batch_size.min(train.len());
        Ok(FirstStep { images, loss, seconds, steps_per_epoch: train::steps(config, train) })
    }

    /// The `config.json` of the run.
    pub(super) fn run_config(&self) -> Result<RunConfig, RunError> {
        let versions = [("stitch", env!("CARGO_PKG_VERSION")), ("libtorch", crate::LIBTORCH)];
        // What a custom network computes for other images and parameters is unknown.
        let kernels_sha256 = (!self.model.is_script()).then(|| train::kernels_sha256(&self.config));
        Ok(RunConfig {
            program: "stitch".into(),
            settings: self.config.clone(),
            cpu_capability: libtorch::cpu_capability(),
            kernels_sha256: kernels_sha256.transpose()?,
            versions: BTreeMap::from(versions.map(|(name, version)| (name.into(), version.into()))),
            data: (&self.dataset).into(),
        })
    }
}
