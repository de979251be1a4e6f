//! The settings of `stitch train`: from flags, else from a `config.json`, else the notebook's.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Serialize;
use serde_json::Value;
use stitch::dataset::Dataset;
use stitch::dataset::source::Origin;
use stitch::models::{self, ModelEntry};
use stitch::run_folder::{self, Config, DataConfig, read_recipe};
use stitch::train::{Engine, TrainConfig, device_name};
use tch::Device;

use super::{Console, inputs};
use crate::cli::{ComputeArgs, DataArgs, NumberOrOff, TrainArgs};

/// A `config.json` is a kilobyte; no file beyond this is read as one.
const LONGEST: u64 = 1 << 20;

/// Where a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SettingOrigin {
    Flag,
    Config,
    /// Neither: the notebook's, or libtorch's choice.
    Default,
}

/// A setting, for people to read.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// Its name in `config.json`.
    pub name: &'static str,
    /// Its value; null where it is off.
    pub value: Value,
    pub source: SettingOrigin,
}

/// What is to be trained, and where each of its settings comes from.
pub struct Settings {
    pub model: &'static ModelEntry,
    pub config: TrainConfig,
    /// All of them, in the order of `config.json`.
    pub sources: Vec<Setting>,
    /// The run that is to be repeated.
    recipe: Option<Recipe>,
}

/// The run that `--config` names.
struct Recipe {
    path: PathBuf,
    model: &'static ModelEntry,
    engine: Engine,
    config: Config,
}

impl Settings {
    /// Reads the file of `--config`, sets the threads, finds the device and checks everything.
    ///
    /// # Errors
    /// A file that is no run's configuration; a setting out of its range; a device that is not there.
    pub fn of(args: &TrainArgs, console: Console) -> Result<Self> {
        let recipe = args.config.as_deref().map(Recipe::read).transpose()?;
        let from = recipe.as_ref().map(|recipe| &recipe.config);
        let mut choice = Choice { sources: Vec::new(), recipe: recipe.is_some() };
        let model = choice.model(args.model, recipe.as_ref())?;
        let notebook = TrainConfig::notebook(model);
        let epochs = choice.of("epochs", args.epochs, from.map(|c| c.epochs), notebook.epochs);
        let batch_size = choice.of(
            "batch_size",
            args.batch_size,
            from.map(|c| c.batch_size),
            notebook.batch_size,
        );
        let lr = choice.of("lr", args.lr, from.map(|c| c.lr), notebook.lr);
        let seed = choice.of("seed", args.seed, from.map(|c| c.seed), notebook.seed);
        let device = choice.compute(&args.compute, from)?;
        let engine = choice.named(
            "engine",
            args.engine.asked(),
            recipe.as_ref().map(|recipe| recipe.engine),
            Engine::default_on(device),
            |engine| engine.name().into(),
        );
        let val = choice.of("val", args.val.map(number), from.and_then(|c| c.val.map(Some)), None);
        let patience = choice.of(
            "patience",
            args.patience.map(number),
            from.and_then(|c| c.patience.map(Some)),
            None,
        );
        let config = TrainConfig { epochs, batch_size, lr, seed, device, engine, val, patience };
        config.check(model)?;
        ensure!(
            engine.traces() || !args.trace,
            "--trace: the {engine} engine shows no tensors. Give --engine eager or exact, or leave \
             --trace away"
        );
        if let Some(recipe) = &recipe {
            recipe.warn_of_the_machine(console);
        }
        Ok(Self { model, config, sources: choice.sources, recipe })
    }

    /// Reads the data, compares it with that of the run to repeat, and holds images out.
    ///
    /// # Errors
    /// Data that cannot be read, or is not the run's and was not named.
    pub fn dataset(&self, args: &DataArgs, console: Console) -> Result<Dataset> {
        let mut dataset = inputs::dataset(args, console)?;
        if let Some(recipe) = &self.recipe {
            recipe.check_data(&dataset.origin, args.data.is_some(), console)?;
        }
        if let Some(n) = self.config.val {
            dataset.hold_out(n).map_err(|error| anyhow!("--val is {n}: {error}"))?;
        }
        Ok(dataset)
    }
}

fn number(given: NumberOrOff) -> Option<usize> {
    match given {
        NumberOrOff::Off => None,
        NumberOrOff::Number(n) => Some(n),
    }
}

/// Chooses each setting, and remembers where it came from.
struct Choice {
    sources: Vec<Setting>,
    recipe: bool,
}

impl Choice {
    /// A flag goes before a `config.json`, and that before the default.
    fn of<T: Copy + Serialize>(
        &mut self,
        name: &'static str,
        flag: Option<T>,
        recipe: Option<T>,
        default: T,
    ) -> T {
        let shown = |value| serde_json::to_value(value).unwrap_or_default();
        self.named(name, flag, recipe, default, shown)
    }

    /// The same of a value that is shown as something else.
    fn named<T: Copy>(
        &mut self,
        name: &'static str,
        flag: Option<T>,
        recipe: Option<T>,
        default: T,
        shown: impl Fn(T) -> Value,
    ) -> T {
        let (value, source) = match (flag, recipe) {
            (Some(value), _) => (value, SettingOrigin::Flag),
            (None, Some(value)) => (value, SettingOrigin::Config),
            // A run that says nothing of it did without.
            (None, None) if self.recipe && ["val", "patience"].contains(&name) => {
                (default, SettingOrigin::Config)
            }
            (None, None) => (default, SettingOrigin::Default),
        };
        self.sources.push(Setting { name, value: shown(value), source });
        value
    }

    /// The model: an argument that must agree with the run to repeat.
    fn model(
        &mut self,
        asked: Option<&'static ModelEntry>,
        recipe: Option<&Recipe>,
    ) -> Result<&'static ModelEntry> {
        let there = recipe.map(|recipe| recipe.model);
        if let (Some(asked), Some(there), Some(recipe)) = (asked, there, recipe)
            && asked != there
        {
            bail!(
                "{asked} is asked for, and --config {} is of a run of {there}: omit the model, or \
                 name the run's",
                recipe.path.display()
            );
        }
        // clap has made sure of one of the two.
        let model = asked.or(there).context("name a model, or a run with --config")?;
        let shown = |model: &ModelEntry| model.name.into();
        Ok(self.named("model", asked, there, model, shown))
    }

    /// Threads and device: sets the ones and finds the other.
    fn compute(&mut self, args: &ComputeArgs, recipe: Option<&Config>) -> Result<Device> {
        let there = recipe.map(|config| device(&config.device));
        let chosen = args.device.or(there).unwrap_or(Device::Cpu);
        // A configuration is checked to hold 1 to 4096, as the flag is.
        let threads = args.threads.or(recipe.and_then(|config| config.threads.try_into().ok()));
        let found = inputs::compute(&ComputeArgs { threads, device: Some(chosen) })?;
        let running = tch::get_num_threads();
        self.of(
            "threads",
            args.threads.map(i64::from),
            recipe.map(|config| config.threads as i64),
            running.into(),
        );
        self.named("device", args.device, there, Device::Cpu, |it| device_name(it).into());
        Ok(found)
    }
}

/// A device of a `config.json`, which is checked to be `cpu` or `cuda:N`.
fn device(name: &str) -> Device {
    let number = name.strip_prefix("cuda:").and_then(|number| number.parse().ok());
    number.map_or(Device::Cpu, Device::Cuda)
}

impl Recipe {
    /// Reads a `config.json`, or that of a run folder.
    fn read(path: &Path) -> Result<Self> {
        let file = match path.is_dir() {
            true => path.join(run_folder::CONFIG),
            false => path.to_path_buf(),
        };
        let bytes = inputs::read_short(&file, LONGEST).context("--config")?;
        let named = || format!("--config {}", file.display());
        let config = read_recipe(&bytes).with_context(named)?;
        let model = models::named(&config.model).with_context(named)?;
        // Of another program: the engine that has its bits.
        let engine = config.engine_name().map_or(Ok(Engine::Exact), Engine::named);
        let engine = engine.with_context(named)?;
        Ok(Self { path: file, model, engine, config })
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
        let capability = run_folder::cpu_capability();
        compare("CPU capability", self.config.cpu_capability.clone(), capability);
        if !others.is_empty() {
            console.note(&format!(
                "warning: --config {}: not the run's ({}): the bits may differ",
                self.path.display(),
                others.join("; ")
            ));
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
        let path = self.path.display();
        let differ = format!(
            "--config {path}: {directory} is not the run's data: {} differ",
            others.join(", ")
        );
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
