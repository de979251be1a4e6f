//! The settings of `stitch train`: from flags, else from a `config.json`, else the model's defaults.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail, ensure};
use serde::Serialize;
use serde_json::Value;
use stitch::dataset::Dataset;
use stitch::dataset::source::Origin;
use stitch::libtorch;
use stitch::models::{self, ModelEntry};
use stitch::run_folder::{self, DataConfig, RunConfig};
use stitch::train::{self, ConfigError, TrainConfig};

use super::{Console, flags, inputs};
use crate::cli::{DataArgs, TrainArgs};

/// A `config.json` is a kilobyte; no file beyond this is read as one.
const LONGEST: u64 = 1 << 20;

/// Where a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SettingOrigin {
    Flag,
    Config,
    /// Neither: the model's default, or libtorch's choice.
    Default,
}

/// A setting, for people to read.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// Its name in `config.json`.
    pub name: String,
    /// Its value; null where it is off.
    pub value: Value,
    pub source: SettingOrigin,
}

/// What is to be trained, and where each of its settings comes from.
pub struct Settings {
    pub model: &'static ModelEntry,
    pub config: TrainConfig,
    /// All settings, in the order of `config.json`.
    pub sources: Vec<Setting>,
    /// The run that is to be repeated.
    repeated: Option<Repeated>,
}

/// The run that `--config` names.
struct Repeated {
    path: PathBuf,
    config: RunConfig,
}

impl Settings {
    /// Reads the file of `--config`, sets the threads, finds the device and checks everything.
    ///
    /// # Errors
    /// A file that is no run's configuration; a setting out of its range; a device that is not there.
    pub fn of(args: &TrainArgs, console: Console) -> Result<Self> {
        let repeated = args.config.as_deref().map(Repeated::read).transpose()?;
        let flags = args.settings.given();
        let from = repeated.as_ref().map(|repeated| repeated.config.settings.to_map());
        let mut map = match (args.model, &repeated) {
            (Some(asked), Some(repeated)) => repeated.settings_of(asked)?.to_map(),
            (Some(asked), None) => asked.config().to_map(),
            (None, Some(repeated)) => repeated.config.settings.to_map(),
            // clap has made sure of one of the two.
            (None, None) => bail!("name a model, or a run with --config"),
        };
        map.extend(flags.clone());
        map.retain(|_, value| !value.is_null());
        let config = TrainConfig::from_map(map).map_err(ConfigError::from);
        let checked = config.and_then(|config| Ok((train::check(&config)?, config)));
        let (model, mut config) = checked.map_err(|error| match (&error, &repeated) {
            (ConfigError::Setting(setting), _) if flags.contains_key(setting.name()) => {
                flags::of_setting(setting)
            }
            (_, Some(repeated)) => Error::from(error).context(repeated.to_string()),
            (ConfigError::Setting(setting), None) => flags::of_setting(setting),
            (ConfigError::Model(_), None) => error.into(),
        })?;
        inputs::check_device(config.device)?;
        config.threads = Some(inputs::set_threads(config.threads)?);
        config.engine = Some(config.engine());
        ensure!(
            config.engine().traces() || !args.trace,
            "--trace: the {} engine does not record tensors. Give --engine eager or exact, or leave \
             --trace away",
            config.engine()
        );
        if let Some(repeated) = &repeated {
            repeated.warn_of_the_machine(console);
        }
        let values = config.to_map();
        let setting = |name: String| {
            let source = match &from {
                _ if flags.contains_key(&name) => SettingOrigin::Flag,
                _ if name == "model" && args.model.is_some() => SettingOrigin::Flag,
                // A setting that neither has is off in both.
                Some(from) if from.get(&name).is_some() || !values.contains_key(&name) => {
                    SettingOrigin::Config
                }
                _ => SettingOrigin::Default,
            };
            Setting { value: values.get(&name).cloned().unwrap_or_default(), name, source }
        };
        let sources = TrainConfig::names().into_iter().map(setting).collect();
        Ok(Self { model, config, sources, repeated })
    }

    /// Reads the data and compares it with that of the run to repeat.
    ///
    /// # Errors
    /// Data that cannot be read, or is not the run's and was not named.
    pub fn dataset(&self, args: &DataArgs, console: Console) -> Result<Dataset> {
        let dataset = inputs::dataset(args, console)?;
        if let Some(repeated) = &self.repeated {
            repeated.check_data(&dataset.origin, args.data.is_some(), console)?;
        }
        Ok(dataset)
    }
}

impl std::fmt::Display for Repeated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--config {}", self.path.display())
    }
}

impl Repeated {
    /// Reads a `config.json`, or that of a run folder.
    fn read(path: &Path) -> Result<Self> {
        let path = match path.is_dir() {
            true => path.join(run_folder::CONFIG),
            false => path.to_path_buf(),
        };
        let bytes = inputs::read_short(&path, LONGEST).context("--config")?;
        let config = RunConfig::read(&bytes);
        let config = config.with_context(|| format!("--config {}", path.display()))?;
        Ok(Self { path, config })
    }

    /// The settings, which must be of the model that was asked for.
    fn settings_of(&self, asked: &'static ModelEntry) -> Result<&TrainConfig> {
        let there = models::named(&self.config.settings.model).with_context(|| self.to_string())?;
        ensure!(
            asked == there,
            "{asked} is asked for, and {self} is of a run of {there}: omit the model, or name the run's"
        );
        Ok(&self.config.settings)
    }

    /// Says so where the machine or a library is another than the run's.
    fn warn_of_the_machine(&self, console: Console) {
        let mut others = Vec::new();
        let mut compare = |what: &str, then: Option<String>, now: Option<String>| {
            if let (Some(then), Some(now)) = (then, now)
                && then != now
            {
                others.push(format!("{what} {now}, there {then}"));
            }
        };
        let libtorch = Some(env!("STITCH_LIBTORCH_VERSION").to_owned());
        compare("libtorch", self.config.libtorch(), libtorch);
        let capability = libtorch::cpu_capability();
        compare("CPU capability", self.config.cpu_capability.clone(), capability);
        if !others.is_empty() {
            let others = others.join("; ");
            console
                .note(&format!("warning: {self}: not the run's ({others}): the bits may differ"));
        }
    }

    /// Refuses other data than the run's, or says so where `--data` names it.
    fn check_data(&self, origin: &Origin, named: bool, console: Console) -> Result<()> {
        let (then, now) = (&self.config.data.sha256, DataConfig::from(origin).sha256);
        let others: Vec<&str> = now
            .iter()
            .filter(|(name, sha256)| then.get(*name) != Some(*sha256))
            .map(|(name, _)| name.as_str())
            .collect();
        if others.is_empty() {
            return Ok(());
        }
        let directory = origin.found.directory.display();
        let others = others.join(", ");
        let differ = format!("{self}: {directory} is not the run's data: {others} differ");
        if !named {
            bail!(
                "{differ}. Give --data with the folder of the run's, or with this one to train \
                 on other data"
            );
        }
        console.note(&format!("warning: {differ}, so the bits will"));
        Ok(())
    }
}
