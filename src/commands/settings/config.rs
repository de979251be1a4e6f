//! The file of `stitch train --config`: a run to repeat, or settings written by hand.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, ensure};
use clap::CommandFactory;
use serde_json::{Map, Value};
use stitch::models::{self, ModelEntry};
use stitch::run_folder;
use stitch::stitch_run::{ConfigFile, ConfigFileError, SettingError, SettingsFile, expected};
use stitch::train::TrainConfig;

use super::repeated::Repeated;
use crate::cli::Cli;
use crate::cli::other_flags::{Hint, hint};
use crate::commands::{Console, inputs};

/// Maximum size in bytes of a file of settings, which usually has about a kilobyte.
const MAX_CONFIG: u64 = 1 << 20;

/// The file of `--config`.
pub enum Config {
    Run(Box<Repeated>),
    Settings(Written),
}

/// Settings written by hand.
pub struct Written {
    path: PathBuf,
    file: SettingsFile,
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self {
            Self::Run(repeated) => &repeated.path,
            Self::Settings(written) => &written.path,
        };
        write!(f, "--config {}", path.display())
    }
}

impl Config {
    /// Reads a file, or the `config.json` of a run folder. Prints a note about each setting that has another program's name.
    ///
    /// # Errors
    /// A file that is neither the `config.json` of a run nor a table of settings.
    pub fn read(path: &Path, console: Console) -> Result<Self> {
        let path = match path.is_dir() {
            true => path.join(run_folder::CONFIG),
            false => path.to_path_buf(),
        };
        let bytes = inputs::read_limited(&path, MAX_CONFIG).context("--config")?;
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        let read = ConfigFile::read(&bytes, is_json).map_err(explained);
        let config = match read.with_context(|| format!("--config {}", path.display()))? {
            ConfigFile::Run(config) => Self::Run(Box::new(Repeated { path, config: *config })),
            ConfigFile::Settings(file) => Self::Settings(Written { path, file }),
        };
        if let Self::Settings(Written { file, .. }) = &config {
            for given in file.settings().iter().filter(|given| given.written != given.name) {
                let (written, name) = (&given.written, &given.name);
                console.note(&format!("note: {config}: {written} is the setting {name}"));
            }
        }
        Ok(config)
    }

    /// The run, if the file is that of a run.
    pub fn run(&self) -> Option<&Repeated> {
        match self {
            Self::Run(repeated) => Some(repeated),
            Self::Settings(_) => None,
        }
    }

    /// The file, with the line of a setting and the name that it has there.
    pub fn place(&self, name: &str) -> String {
        let given = match self {
            Self::Run(_) => None,
            Self::Settings(Written { file, .. }) => file.get(name),
        };
        let place = given.map(|given| format!("{self}: {}", given.place())).unwrap_or_default();
        if place.is_empty() { self.to_string() } else { place.trim_end_matches(": ").to_owned() }
    }

    /// Whether a setting's value is from the file. A run has a value for each, also for what is off.
    pub fn decides(&self, name: &str) -> bool {
        match self {
            Self::Run(_) => true,
            Self::Settings(Written { file, .. }) => file.get(name).is_some(),
        }
    }

    /// The settings for `model`, or for the model in the file.
    ///
    /// # Errors
    /// No model, or two.
    pub fn settings(&self, model: Option<&'static ModelEntry>) -> Result<Map<String, Value>> {
        let file = match (self, model) {
            (Self::Run(repeated), Some(model)) => return repeated.settings_of(model),
            (Self::Run(repeated), None) => return Ok(repeated.config.settings.to_map()),
            (Self::Settings(Written { file, .. }), _) => file,
        };
        let place = || self.place("model");
        let of_file = file.get("model").and_then(|given| given.value.as_str());
        let of_file = of_file.map(models::named).transpose().with_context(place)?;
        if let (Some(model), Some(of_file)) = (model, of_file) {
            ensure!(
                model == of_file,
                "the model is {model}, but that of {} is {of_file}: omit one of them, or give the same",
                place()
            );
        }
        let model = model.or(of_file).ok_or_else(|| {
            anyhow!("{self} has no model: add one, such as model = \"lenet5\", or give MODEL before --config")
        })?;
        let mut map = model.config().to_map();
        for (name, value) in file.to_map() {
            match value.is_null() {
                // An option that is not there is off.
                true => map.remove(&name),
                false => map.insert(name, value),
            };
        }
        Ok(map)
    }
}

/// The error, with the flag for what is not a setting.
fn explained(error: ConfigFileError) -> Error {
    let (place, name) = match &error {
        ConfigFileError::Setting { place, error: SettingError::Unknown { name, .. } }
        | ConfigFileError::Table { place, name } => (place, name),
        _ => return error.into(),
    };
    let command = Cli::command();
    let flag = command.find_subcommand("train").and_then(|train| hint(train, name));
    match flag {
        Some(Hint::Use(flag)) if !TrainConfig::names().contains(&setting_of_flag(&flag).0) => {
            anyhow!(
                "{place}{name:?} is not a setting of the model or its training: give it on the command line, with {flag}"
            )
        }
        Some(Hint::Use(flag)) => {
            let (setting, value) = setting_of_flag(&flag);
            match value {
                Some(value) => {
                    anyhow!("{place}there is no setting {name:?}: give {setting} = {value:?}")
                }
                None => {
                    let expected = expected(&setting);
                    anyhow!("{place}there is no setting {name:?}: give {setting}, {expected}")
                }
            }
        }
        Some(Hint::None(reason)) => anyhow!("{place}there is no setting {name:?}: {reason}"),
        None => error.into(),
    }
}

/// The setting of a flag such as `--device cuda`, and its value there.
fn setting_of_flag(flag: &str) -> (String, Option<&str>) {
    let (flag, value) =
        flag.split_once(' ').map_or((flag, None), |(flag, value)| (flag, Some(value)));
    (flag.trim_start_matches("--").replace('-', "_"), value)
}
