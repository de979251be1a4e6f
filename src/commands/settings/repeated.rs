//! The run that `stitch train --config` repeats.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Error, Result, bail, ensure};
use serde_json::{Map, Value};
use stitch::dataset::Dataset;
use stitch::libtorch;
use stitch::models::{self, ModelEntry};
use stitch::run_folder::{DataConfig, RunConfig};
use stitch::train::TrainConfig;

use crate::commands::{Console, inputs};

/// The run of `--config`.
pub struct Repeated {
    /// Its `config.json`.
    pub path: PathBuf,
    pub config: RunConfig,
}

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--config {}", self.path.display())
    }
}

impl Repeated {
    /// The settings, with `model`; the run's model must be that one, or the same file at another path.
    pub fn settings_of(&self, model: &'static ModelEntry) -> Result<Map<String, Value>> {
        let settings = &self.config.settings;
        let of_run = models::named(&settings.model).with_context(|| self.to_string())?;
        let is_same_file = || match &settings.model_sha256 {
            Some(sha256) if model.is_script() => Ok(inputs::network_sha256(model)? == *sha256),
            _ => Ok::<_, Error>(false),
        };
        ensure!(
            model == of_run || is_same_file()?,
            "the model is {model}, but {self} is of a run of {of_run}: omit the model, or give {of_run}"
        );
        Ok(TrainConfig { model: model.name.into(), ..settings.clone() }.to_map())
    }

    /// Prints a warning if libtorch or the kind of CPU differs from that of the run.
    pub fn warn_other_machine(&self, console: Console) {
        let mut differences = Vec::new();
        let mut compare = |what: &str, then: Option<String>, now: Option<String>| {
            if let (Some(then), Some(now)) = (then, now)
                && then != now
            {
                differences.push(format!("{what} {now} instead of {then}"));
            }
        };
        let libtorch = Some(stitch::LIBTORCH.to_owned());
        compare("libtorch", self.config.libtorch(), libtorch);
        let capability = libtorch::cpu_capability();
        compare("CPU capability", self.config.cpu_capability.clone(), capability);
        if !differences.is_empty() {
            let differences = differences.join("; ");
            console.note(&format!(
                "warning: {self}: differs from the run ({differences}): results may not be bit-identical"
            ));
        }
    }

    /// Refuses another data set than the run's; only prints a warning if `--data` is given.
    pub fn check_data(&self, dataset: &Dataset, is_given: bool, console: Console) -> Result<()> {
        let (then, now) = (&self.config.data.sha256, DataConfig::from(dataset).sha256);
        let differing: Vec<&str> = now
            .iter()
            .filter(|(name, sha256)| then.get(*name) != Some(*sha256))
            .map(|(name, _)| name.as_str())
            .collect();
        if differing.is_empty() {
            return Ok(());
        }
        let directory = dataset.origin.found.directory.display();
        let differing = differing.join(", ");
        let message =
            format!("{self}: {directory} is not the data set of the run: {differing} differ");
        if !is_given {
            bail!(
                "{message}. Give the run's data set with --data, or this one to train on other data"
            );
        }
        console.note(&format!("warning: {message}, so the results will differ"));
        Ok(())
    }
}
