//! The settings of `stitch train`: flags override a `config.json`, which overrides the model's defaults.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use serde::Serialize;
use serde_json::{Map, Value};
use stitch::dataset::Dataset;
use stitch::libtorch::{self, cuda, threads};
use stitch::models::{self, ModelEntry};
use stitch::run::RunError;
use stitch::run_folder::{self, DataConfig, RunConfig};
use stitch::train::{self, ConfigError, TrainConfig, TrainError};
use tch::Device;

use super::{Console, flags, inputs};
use crate::cli::{DataArgs, TrainArgs};

/// Maximum size in bytes of a `config.json`, which usually has about a kilobyte.
const MAX_CONFIG: u64 = 1 << 20;

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
    /// The run of `--config`; `None` without it.
    repeated: Option<Repeated>,
}

/// The run of `--config`.
struct Repeated {
    path: PathBuf,
    config: RunConfig,
}

impl Settings {
    /// Reads the file of `--config`, merges the settings, checks them, and sets the number of threads.
    ///
    /// # Errors
    /// A file that is not the configuration of a run; a setting out of range; a device that does not exist.
    pub fn of(args: &TrainArgs, console: Console) -> Result<Self> {
        let repeated = args.config.as_deref().map(Repeated::read).transpose()?;
        let mut flags = args.settings.given();
        if let Some(init) = &args.settings.init {
            flags.insert("init".into(), inputs::init(init)?);
        }
        let from = repeated.as_ref().map(|repeated| repeated.config.settings.to_map());
        let mut map = match (args.model, &repeated) {
            (Some(model), Some(repeated)) => repeated.settings_of(model)?,
            (Some(model), None) => model.config().to_map(),
            (None, Some(repeated)) => repeated.config.settings.to_map(),
            // clap requires one of the two.
            (None, None) => bail!("give a model, or a run with --config"),
        };
        map.extend(flags.clone());
        // Patience is about the validation that --val off ends.
        if flags.get("val").is_some_and(Value::is_null) && !flags.contains_key("patience") {
            map.shift_remove("patience");
        }
        map.retain(|_, value| !value.is_null());
        if let (Some(model), None) = (args.model, map.get("model_sha256"))
            && model.is_script()
        {
            map.insert("model_sha256".into(), inputs::network_sha256(model)?.into());
        }
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
        if let Some(init) = &config.init {
            let read =
                inputs::model(Path::new(&init.file), Some(model), None, Device::Cpu, console);
            read.with_context(|| match &repeated {
                Some(repeated) if !flags.contains_key("init") => format!("{repeated}: init"),
                _ => "--init".into(),
            })?;
        }
        cuda::check(config.device).with_context(|| match &repeated {
            Some(repeated) if !flags.contains_key("device") => format!("{repeated}: device"),
            _ => "--device".into(),
        })?;
        let threads = threads::set(config.threads).with_context(|| match &repeated {
            Some(repeated) if !flags.contains_key("threads") => format!("{repeated}: threads"),
            _ => "--threads".into(),
        })?;
        config.threads = Some(threads);
        config.engine = Some(config.engine());
        ensure!(
            config.engine().traces() || !args.trace,
            "--trace: the {} engine does not record tensors. Give --engine eager or exact, or omit --trace",
            config.engine()
        );
        if let Some(repeated) = &repeated {
            repeated.warn_other_machine(console);
        }
        let values = config.to_map();
        let setting = |name: String| {
            let source = match &from {
                _ if flags.contains_key(&name) => SettingOrigin::Flag,
                _ if name == "model" && args.model.is_some() => SettingOrigin::Flag,
                // A setting without a value in both is off in the file too.
                Some(from) if from.get(&name).is_some() || !values.contains_key(&name) => {
                    SettingOrigin::Config
                }
                _ => SettingOrigin::Default,
            };
            Setting { value: config.value(&name), name, source }
        };
        // Only the network of a file has the setting.
        let is_of_model = |name: &String| name != "model_sha256" || config.model_sha256.is_some();
        let sources = TrainConfig::names().into_iter().filter(is_of_model).map(setting).collect();
        Ok(Self { model, config, sources, repeated })
    }

    /// The error of a run, with the flag or file that the setting concerned is from.
    pub fn explained(&self, error: Error) -> Error {
        let is_flag = |name: &str| {
            let flag = |it: &&Setting| it.name == name && it.source == SettingOrigin::Flag;
            self.sources.iter().any(|setting| flag(&setting))
        };
        match (error.downcast_ref(), &self.repeated) {
            (Some(RunError::HoldOut(held)), Some(repeated)) if !is_flag("val") => {
                anyhow!("{repeated}: val is {}: {held}", held.asked)
            }
            // A setting that does not suit the data set.
            (
                Some(RunError::Train(TrainError::Config(ConfigError::Setting(setting)))),
                repeated,
            ) => match repeated {
                Some(repeated) if !is_flag(setting.name()) => anyhow!("{repeated}: {setting}"),
                _ => flags::of_setting(setting),
            },
            (Some(RunError::Init { .. }), Some(repeated)) if !is_flag("init") => {
                anyhow!("{repeated}: init: {error}")
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
        if let Some(repeated) = &self.repeated {
            repeated.check_data(&dataset, args.data.is_some(), console)?;
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
    /// Reads a `config.json`, or the one in a run folder.
    fn read(path: &Path) -> Result<Self> {
        let path = match path.is_dir() {
            true => path.join(run_folder::CONFIG),
            false => path.to_path_buf(),
        };
        let bytes = inputs::read_limited(&path, MAX_CONFIG).context("--config")?;
        let config = RunConfig::read(&bytes);
        let config = config.with_context(|| format!("--config {}", path.display()))?;
        Ok(Self { path, config })
    }

    /// The settings, with `model`; the run's model must be that one, or the same file at another path.
    fn settings_of(&self, model: &'static ModelEntry) -> Result<Map<String, Value>> {
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
    fn warn_other_machine(&self, console: Console) {
        let mut differences = Vec::new();
        let mut compare = |what: &str, then: Option<String>, now: Option<String>| {
            if let (Some(then), Some(now)) = (then, now)
                && then != now
            {
                differences.push(format!("{what} {now} instead of {then}"));
            }
        };
        let libtorch = Some(env!("STITCH_LIBTORCH_VERSION").to_owned());
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
    fn check_data(&self, dataset: &Dataset, is_given: bool, console: Console) -> Result<()> {
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
