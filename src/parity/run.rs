//! One side of a comparison: a run folder, a trace, or a single file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use stitch_parity::{Dtype, Place, Side, SideError, Training, stage};
use stitch_trace as trace;

use crate::formats::csv;
use crate::models::weights;
use crate::run_folder::{self, Config, Metrics};
use crate::train::Engine;

/// One side of a comparison that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A trace or a file of tensors is invalid or cannot be read.
    #[error(transparent)]
    Side(#[from] SideError),
    /// A file cannot be read.
    #[error("{} cannot be read: {error}", .path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        error: io::Error,
    },
    /// A CSV or JSON file of a run folder is invalid.
    #[error("{}: {what}", .path.display())]
    Table {
        /// Path of the file.
        path: PathBuf,
        /// What is invalid.
        what: String,
    },
    /// The folder is neither a run folder nor a trace.
    #[error("{}: neither a run folder (with config.json), nor a trace (with trace.jsonl), nor a file of tensors, predictions or a confusion matrix", .0.display())]
    Unknown(PathBuf),
}

/// One side of a comparison, and the settings of its run.
#[derive(Debug)]
pub struct Run {
    /// The settings, if the side is a run folder: its `config.json`.
    pub config: Option<Config>,
    /// The tensors.
    pub side: Side,
}

/// Whether `path` is a trace, or a run folder that has one.
pub fn has_trace(path: &Path) -> bool {
    path.join(trace::RECORDS).exists() || path.join(trace::FOLDER).join(trace::RECORDS).exists()
}

/// The path of the trace if `path` is a folder with a trace but without `config.json`; any other path unchanged.
pub fn without_wrapper(path: &Path) -> PathBuf {
    let trace = path.join(trace::FOLDER);
    let is_run = path.join(run_folder::CONFIG).exists() || path.join(trace::RECORDS).exists();
    if !is_run && trace.join(trace::RECORDS).exists() { trace } else { path.into() }
}

/// Opens a run folder, a trace or a file. `with_trace: false` leaves out a run folder's trace; `key` chooses between
/// several dicts of tensors in a checkpoint.
///
/// # Errors
/// See [`RunError`].
pub fn open(path: &Path, with_trace: bool, key: Option<&str>) -> Result<Run, RunError> {
    let mut run = Run { config: None, side: Side::new(path) };
    if path.join(trace::RECORDS).exists() {
        run.side.add_trace(path)?;
    } else if path.join(run_folder::CONFIG).exists() {
        run.add_folder(path, with_trace)?;
    } else if path.is_dir() {
        return Err(RunError::Unknown(path.into()));
    } else if path.extension().is_some_and(|extension| extension == "csv") {
        run.add_csv(path)?;
    } else {
        run.add_weights(path, key)?;
    }
    Ok(run)
}

impl Run {
    fn add_folder(&mut self, folder: &Path, with_trace: bool) -> Result<(), RunError> {
        let config: Config = json(&folder.join(run_folder::CONFIG))?;
        self.side.model = Some(config.model.clone());
        self.config = Some(config);
        if folder.join(trace::FOLDER).join(trace::RECORDS).exists() {
            match with_trace {
                true => self.side.add_trace(&folder.join(trace::FOLDER))?,
                false => self.side.left_out.push("its trace: the other side has none".into()),
            }
        }
        let traced = self.side.items.len();
        for file in run_folder::FILES {
            let before = self.side.items.len();
            self.add_file(&folder.join(file), file)?;
            for item in &mut self.side.items[before..] {
                item.key.file = Some(file.into());
            }
        }
        // In causal order, as in a trace; files of one stage in the order in which they were written.
        self.side.items[traced..].sort_by_key(|item| stage::causal_order(&item.key.stage));
        Ok(())
    }

    /// One file of a run folder.
    fn add_file(&mut self, path: &Path, file: &str) -> Result<(), RunError> {
        match file {
            run_folder::HISTORY => {
                for (epoch, loss) in read_csv(path, csv::read_history)? {
                    self.push_floats(stage::EPOCH_LOSS, Place::epoch(epoch), "loss", &[], &[loss])?;
                }
            }
            run_folder::METRICS => {
                let metrics: Metrics = json(path)?;
                let averages = [metrics.macro_avg, metrics.weighted_avg];
                let averages = averages.map(|a| [a.precision, a.recall, a.f1]);
                let accuracy = [metrics.test_accuracy];
                self.push_floats(stage::ACCURACY, Place::RUN, "accuracy", &[], &accuracy)?;
                let averages = averages.as_flattened();
                self.push_floats(stage::ACCURACY, Place::RUN, "averages", &[2, 3], averages)?;
            }
            run_folder::CLASSIFICATION_REPORT => {
                let (names, numbers) = read_csv(path, csv::read_report)?;
                let shape = [names.len(), numbers.len() / names.len().max(1)];
                self.push_names(stage::ACCURACY, "lines", &names)?;
                self.push_floats(stage::ACCURACY, Place::RUN, "scores", &shape, &numbers)?;
            }
            run_folder::PREDICTIONS | run_folder::CONFUSION_MATRIX => self.add_csv(path)?,
            run_folder::STATE_DICT | run_folder::TORCHSCRIPT | run_folder::SAFETENSORS => {
                self.add_weights(path, None)?;
            }
            // The settings: `settings` compares them.
            _ => {}
        }
        Ok(())
    }

    /// A file of tensors. Those of a known model are put into definition order: safetensors orders them by
    /// size and name.
    fn add_weights(&mut self, path: &Path, key: Option<&str>) -> Result<(), RunError> {
        let range = self.side.add_tensors(path, key)?;
        let items = &mut self.side.items[range];
        let specs: Vec<_> = items.iter().filter_map(stitch_parity::Item::spec).collect();
        if let Ok(model) = weights::recognise(&specs, None) {
            let graph = model.graph();
            items.sort_by_key(|item| graph.state().position(|spec| item.key.name == spec.name));
            self.side.model.get_or_insert(model.name.into());
        }
        Ok(())
    }

    fn add_csv(&mut self, path: &Path) -> Result<(), RunError> {
        match read_csv(path, csv::read_table)? {
            csv::Table::Predictions { truth, predicted } => {
                // By its name in a trace.
                self.push_integers(stage::DATA, "test.labels", &[truth.len()], &truth)?;
                self.push_integers(stage::PREDICTIONS, "y_pred", &[predicted.len()], &predicted)
            }
            csv::Table::ConfusionMatrix { classes, counts } => {
                self.push_names(stage::CONFUSION_MATRIX, "classes", &classes)?;
                let shape = [classes.len(), classes.len()];
                self.push_integers(stage::CONFUSION_MATRIX, "counts", &shape, &counts)
            }
        }
    }

    fn push_integers(
        &mut self,
        stage: &str,
        name: &str,
        shape: &[usize],
        values: &[i64],
    ) -> Result<(), RunError> {
        let bytes = values.iter().flat_map(|n| n.to_le_bytes()).collect();
        Ok(self.side.push(stage, Place::RUN, name, Dtype::I64, shape, bytes)?)
    }

    fn push_floats(
        &mut self,
        stage: &str,
        place: Place,
        name: &str,
        shape: &[usize],
        values: &[f64],
    ) -> Result<(), RunError> {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Ok(self.side.push(stage, place, name, Dtype::F64, shape, bytes)?)
    }

    /// Adds names as the bytes of their text, one line per name.
    fn push_names(&mut self, stage: &str, name: &str, names: &[String]) -> Result<(), RunError> {
        let text = names.join("\n").into_bytes();
        Ok(self.side.push(stage, Place::RUN, name, Dtype::U8, &[text.len()], text)?)
    }
}

/// Whether stitch computed both runs; see [`stitch_parity::Options::same_program`].
pub fn same_program(reference: &Run, port: &Run) -> bool {
    let is_stitch =
        |run: &Run| run.config.as_ref().is_some_and(|config| config.program == "stitch");
    is_stitch(reference) && is_stitch(port)
}

/// The settings with which the rounding errors of a run grow; `None` without a `config.json`.
pub fn training(run: &Run) -> Option<Training> {
    let config = run.config.as_ref()?;
    Some(Training { lr: config.lr, epochs: config.epochs, batch_size: config.batch_size.max(1) })
}

/// Differences between the settings of two runs that make different bits likely, a sentence each, the most likely
/// cause first.
pub fn settings(reference: &Run, port: &Run) -> Vec<String> {
    let (Some(reference), Some(port)) = (&reference.config, &port.config) else {
        return Vec::new();
    };
    let or_off = |value: Option<usize>| Some(value.map_or("off".into(), |n| n.to_string()));
    // A run of another program is the reference for the engines that have the notebook's bits.
    let engine = |config: &Config, other: &Config| {
        let same_bits = match other.engine_name() {
            Some(name) if name == Engine::Eager.name() => Engine::Eager,
            _ => Engine::Exact,
        };
        config.engine_name().unwrap_or(same_bits.name()).to_owned()
    };
    let rows = [
        ("model", Some(reference.model.clone()), Some(port.model.clone())),
        ("engine", Some(engine(reference, port)), Some(engine(port, reference))),
        ("threads", Some(reference.threads.to_string()), Some(port.threads.to_string())),
        ("libtorch", reference.libtorch(), port.libtorch()),
        ("CPU capability", reference.cpu_capability.clone(), port.cpu_capability.clone()),
        ("kernels", reference.comparable_kernels(port), port.comparable_kernels(reference)),
        ("device", Some(reference.device.clone()), Some(port.device.clone())),
        ("seed", Some(reference.seed.to_string()), Some(port.seed.to_string())),
        ("epochs", Some(reference.epochs.to_string()), Some(port.epochs.to_string())),
        ("batch size", Some(reference.batch_size.to_string()), Some(port.batch_size.to_string())),
        ("learning rate", Some(reference.lr.to_string()), Some(port.lr.to_string())),
        ("validation images", or_off(reference.val), or_off(port.val)),
        ("patience", or_off(reference.patience), or_off(port.patience)),
    ];
    let mut lines: Vec<String> = rows
        .into_iter()
        .filter_map(|(what, expected, actual)| match (expected, actual) {
            (Some(expected), Some(actual)) if expected != actual => {
                Some(format!("{what} differs: {expected} in the reference, {actual} in the port"))
            }
            _ => None,
        })
        .collect();
    if reference.data.sha256 != port.data.sha256 {
        lines.push("the data sets differ (SHA-256)".into());
    }
    lines
}

fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    fs::read(path).map_err(|error| RunError::Io { path: path.into(), error })
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, RunError> {
    serde_json::from_slice(&read(path)?)
        .map_err(|error| RunError::Table { path: path.into(), what: error.to_string() })
}

fn read_csv<T>(path: &Path, parse: impl Fn(&[u8]) -> Result<T, String>) -> Result<T, RunError> {
    parse(&read(path)?).map_err(|what| RunError::Table { path: path.into(), what })
}
