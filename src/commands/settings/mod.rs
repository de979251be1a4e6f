//! The settings of `stitch train`: flags override the file of `--config`, which overrides the model's defaults.

mod config;
mod repeated;

use std::path::Path;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use serde::Serialize;
use serde_json::{Map, Value};
use stitch::dataset::Dataset;
use stitch::libtorch::{cuda, threads};
use stitch::models::{self, ModelEntry};
use stitch::run::RunError;
use stitch::train::{self, ConfigError, SettingError, TrainConfig, TrainError};
use tch::Device;

use self::config::Config;
use super::{Console, flags, inputs};
use crate::cli::{DataArgs, TrainArgs};

/// The source of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SettingOrigin {
    Flag,
    Config,
    /// The model's default, or libtorch's choice.
    Default,
}

/// A setting with its source.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// Name in `config.json`.
    pub name: String,
    /// Value; null if off.
    pub value: Value,
    pub source: SettingOrigin,
}

/// The settings of a run and their sources.
pub struct Settings {
    pub model: &'static ModelEntry,
    pub config: TrainConfig,
    /// All settings, in the order of `config.json`.
    pub sources: Vec<Setting>,
    given: Given,
}

/// What was given: model, flags and the file of `--config`.
struct Given {
    model: Option<&'static ModelEntry>,
    /// The flags' settings by name; null is off.
    flags: Map<String, Value>,
    file: Option<Config>,
}

impl Settings {
    /// Reads the file of `--config`, merges the settings, checks them, and sets the number of threads.
    ///
    /// # Errors
    /// A file that is neither the configuration of a run nor a table of settings; a setting out of range; a device that does
    /// not exist.
    pub fn of(args: &TrainArgs, console: Console) -> Result<Self> {
        let given = Given::of(args, console)?;
        let config = TrainConfig::from_map(given.merged()?).map_err(ConfigError::from);
        let checked = config.and_then(|config| Ok((train::check(&config)?, config)));
        let (model, mut config) = checked.map_err(|error| given.explained(error))?;
        if let Some(init) = &config.init {
            let read =
                inputs::model(Path::new(&init.file), Some(model), None, Device::Cpu, console);
            read.with_context(|| given.name_of("init"))?;
        }
        cuda::check(config.device).with_context(|| given.name_of("device"))?;
        let threads = threads::set(config.threads).with_context(|| given.name_of("threads"))?;
        config.threads = Some(threads);
        config.engine = Some(config.engine());
        ensure!(
            config.engine().traces() || !args.trace,
            "--trace: the {} engine does not record tensors. Give --engine eager or exact, or omit --trace",
            config.engine()
        );
        if let Some(repeated) = given.file.as_ref().and_then(Config::run) {
            repeated.warn_other_machine(console);
        }
        let sources = given.sources(&config);
        Ok(Self { model, config, sources, given })
    }

    /// The error of a run, with the flag or file that the setting concerned is from.
    pub fn explained(&self, error: Error) -> Error {
        let given = &self.given;
        match error.downcast_ref() {
            Some(RunError::HoldOut(held)) => match given.file_of("val") {
                Some(file) => anyhow!("{}: val is {}: {held}", file.place("val"), held.asked),
                None => error,
            },
            // A setting that does not suit the data set.
            Some(RunError::Train(TrainError::Config(ConfigError::Setting(setting)))) => {
                given.of_setting(setting)
            }
            Some(RunError::Init { .. }) if given.file_of("init").is_some() => {
                anyhow!("{}: {error}", given.name_of("init"))
            }
            _ => error,
        }
    }

    /// Reads the data set; it must be that of the run to repeat, unless `--data` is given.
    ///
    /// # Errors
    /// A data set that cannot be read, or differs from the run's.
    pub fn dataset(&self, args: &DataArgs, console: Console) -> Result<Dataset> {
        let dataset = inputs::dataset(args, console)?;
        if let Some(repeated) = self.given.file.as_ref().and_then(Config::run) {
            repeated.check_data(&dataset, args.data.is_some(), console)?;
        }
        Ok(dataset)
    }
}

impl Given {
    fn of(args: &TrainArgs, console: Console) -> Result<Self> {
        let file = args.config.as_deref().map(|path| Config::read(path, console)).transpose()?;
        let mut flags = args.settings.given();
        if let Some(init) = &args.settings.init {
            flags.insert("init".into(), inputs::init(init).context("--init")?);
        }
        Ok(Self { model: args.model, flags, file })
    }

    /// The settings by name: those of the flags, then of the file, then the model's defaults.
    fn merged(&self) -> Result<Map<String, Value>> {
        let mut map = match (&self.file, self.model) {
            (Some(file), model) => file.settings(model)?,
            (None, Some(model)) => model.config().to_map(),
            // clap requires one of the two.
            (None, None) => bail!("give a model, or a file with --config"),
        };
        map.extend(self.flags.clone());
        // Patience is about the validation that --val off ends.
        if self.flags.get("val").is_some_and(Value::is_null) && !self.flags.contains_key("patience")
        {
            map.shift_remove("patience");
        }
        // A path in a file that was written by hand.
        if let Some(path) = map.get("init").and_then(Value::as_str) {
            let init = inputs::init(Path::new(path)).with_context(|| self.name_of("init"))?;
            map.insert("init".into(), init);
        }
        map.retain(|_, value| !value.is_null());
        let repeats = self.model.is_none() && self.file.as_ref().and_then(Config::run).is_some();
        if !repeats
            && !map.contains_key("model_sha256")
            && let Some(Ok(model)) = map["model"].as_str().map(models::named)
            && model.is_script()
        {
            map.insert("model_sha256".into(), inputs::network_sha256(model)?.into());
        }
        Ok(map)
    }

    /// The file, if it decides about the setting.
    fn file_of(&self, name: &str) -> Option<&Config> {
        let file = self.file.as_ref().filter(|_| !self.flags.contains_key(name));
        file.filter(|file| file.decides(name))
    }

    /// The flag of a setting, or its place in the file.
    fn name_of(&self, name: &str) -> String {
        match self.file_of(name) {
            Some(file) => format!("{}: {name}", file.place(name)),
            None => flags::flag(name),
        }
    }

    fn of_setting(&self, error: &SettingError) -> Error {
        match self.file_of(error.name()) {
            Some(file) => Error::from(error.clone()).context(file.place(error.name())),
            None => flags::of_setting(error),
        }
    }

    fn explained(&self, error: ConfigError) -> Error {
        match (error, &self.file) {
            (ConfigError::Setting(error), _) => self.of_setting(&error),
            (error, Some(file)) => Error::from(error).context(file.place("model")),
            (error, None) => error.into(),
        }
    }

    /// Each setting of `config` with its source.
    fn sources(&self, config: &TrainConfig) -> Vec<Setting> {
        let values = config.to_map();
        let of_run = self.file.as_ref().and_then(Config::run);
        let of_run = of_run.map(|repeated| repeated.config.settings.to_map());
        let is_of_file = |name: &String| match &of_run {
            // A setting without a value in both is off in the file too.
            Some(of_run) => of_run.contains_key(name) || !values.contains_key(name),
            None => self.file_of(name).is_some(),
        };
        let setting = |name: String| {
            let source = match &name {
                name if self.flags.contains_key(name) => SettingOrigin::Flag,
                name if name == "model" && self.model.is_some() => SettingOrigin::Flag,
                name if is_of_file(name) => SettingOrigin::Config,
                _ => SettingOrigin::Default,
            };
            Setting { value: config.value(&name), name, source }
        };
        // Only the network of a file has the setting.
        let is_of_model = |name: &String| name != "model_sha256" || config.model_sha256.is_some();
        TrainConfig::names().into_iter().filter(is_of_model).map(setting).collect()
    }
}
