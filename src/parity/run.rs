//! One side of a comparison: a run folder, a trace, or a single file.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use stitch_parity::{Dtype, Place, Side, SideError, Training, stage};
use stitch_run::json;
use stitch_trace as trace;

use crate::formats::csv;
use crate::models::weights;
use crate::run_folder::{self, Metrics, RunConfig};
use crate::train::{Engine, TrainConfig};

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
    /// The settings in `config.json`; `None` if the side is not a run folder.
    pub config: Option<RunConfig>,
    /// Its tensors and tables; elements stay in the files until they are compared.
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
        let path = folder.join(run_folder::CONFIG);
        let config = parse(&path, RunConfig::read)?;
        self.side.model = Some(config.settings.model.clone());
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

    /// Adds the contents of one file of a run folder.
    fn add_file(&mut self, path: &Path, file: &str) -> Result<(), RunError> {
        match file {
            run_folder::HISTORY => {
                let rows = parse(path, csv::read_history)?;
                let columns = rows.first().map(json::to_object).unwrap_or_default();
                let compared = ["epoch", "loss", "lr", "seconds"];
                let others: Vec<String> = columns
                    .into_iter()
                    .map(|(name, _)| name)
                    .filter(|name| !compared.contains(&name.as_str()))
                    .collect();
                if !others.is_empty() {
                    let others = others.join(", ");
                    self.side.left_out.push(format!("{others} in history.csv"));
                }
                for row in rows {
                    let place = Place::epoch(row.epoch);
                    // Older versions did not record it.
                    if row.lr.is_finite() {
                        self.push_floats(stage::LR, place, "lr", &[], &[row.lr])?;
                    }
                    self.push_floats(stage::EPOCH_LOSS, place, "loss", &[], &[row.loss])?;
                }
            }
            run_folder::METRICS => {
                let metrics = parse(path, Metrics::read)?;
                let averages = [metrics.macro_avg, metrics.weighted_avg];
                let averages = averages.map(|a| [a.precision, a.recall, a.f1]);
                let accuracy = [metrics.test_accuracy];
                self.push_floats(stage::ACCURACY, Place::RUN, "accuracy", &[], &accuracy)?;
                let averages = averages.as_flattened();
                self.push_floats(stage::ACCURACY, Place::RUN, "averages", &[2, 3], averages)?;
            }
            run_folder::CLASSIFICATION_REPORT => {
                let rows = parse(path, csv::read_report)?;
                let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
                let scores =
                    rows.iter().map(|row| [row.precision, row.recall, row.f1, row.support]);
                let scores: Vec<f64> = scores.flatten().collect();
                self.push_names(stage::ACCURACY, "lines", &names)?;
                let shape = [rows.len(), 4];
                self.push_floats(stage::ACCURACY, Place::RUN, "scores", &shape, &scores)?;
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

    /// Adds the tensors of a file. The tensors of a known model are sorted in definition order, because safetensors
    /// orders them by size and name.
    fn add_weights(&mut self, path: &Path, key: Option<&str>) -> Result<(), RunError> {
        let range = self.side.add_tensors(path, key)?;
        let items = &mut self.side.items[range];
        let specs: Vec<_> = items.iter().filter_map(stitch_parity::Item::spec).collect();
        if let Ok(identified) = weights::identify(&specs, None) {
            let model = identified.entry;
            let graph = model.graph(&identified.options);
            items.sort_by_key(|item| graph.state().position(|spec| item.key.name == spec.name));
            self.side.model.get_or_insert(model.name.into());
        }
        Ok(())
    }

    fn add_csv(&mut self, path: &Path) -> Result<(), RunError> {
        let bytes = read(path)?;
        if csv::is_predictions(&bytes) {
            let rows = parse_bytes(path, &bytes, csv::read_predictions)?;
            let column = |value: fn(&csv::Prediction) -> i64| -> Vec<i64> {
                rows.iter().map(value).collect()
            };
            let (labels, predicted) = (column(|row| row.y_true), column(|row| row.y_pred));
            // Named as in a trace.
            self.push_integers(stage::DATA, "test.labels", &[rows.len()], &labels)?;
            self.push_integers(stage::PREDICTIONS, "y_pred", &[rows.len()], &predicted)
        } else if !is_confusion_matrix(&bytes) {
            let header = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let header = String::from_utf8_lossy(&header[..header.len().min(HEADER)]);
            let what = format!(
                "neither predictions (header index,y_true,y_pred) nor a confusion matrix (class names in the first row and \
                 column, the first cell empty): the header is {:?}",
                header.trim_end()
            );
            Err(RunError::Table { path: path.into(), what })
        } else {
            let table = parse_bytes(path, &bytes, csv::read_confusion_matrix)?;
            let csv::ConfusionTable { classes, counts } = table;
            self.push_names(stage::CONFUSION_MATRIX, "classes", &classes)?;
            let shape = [classes.len(), classes.len()];
            self.push_integers(stage::CONFUSION_MATRIX, "counts", &shape, &counts)
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

/// Whether stitch computed both runs with the same engine; see [`stitch_parity::Options::same_program`].
pub fn same_program(reference: &Run, candidate: &Run) -> bool {
    let engine = |run: &Run| {
        let config = run.config.as_ref().filter(|config| config.program == "stitch")?;
        Some(config.settings.engine)
    };
    engine(reference).is_some() && engine(reference) == engine(candidate)
}

/// The settings on which the growth of rounding errors depends; `None` without a `config.json`.
pub fn training(run: &Run) -> Option<Training> {
    let TrainConfig { lr, epochs, batch_size, .. } = run.config.as_ref()?.settings;
    Some(Training { lr, epochs, batch_size })
}

/// Differences between the settings of two runs that are likely to cause different results, one sentence per setting,
/// the most likely cause first.
pub fn settings(reference: &Run, candidate: &Run) -> Vec<String> {
    let (Some(reference), Some(candidate)) = (&reference.config, &candidate.config) else {
        return Vec::new();
    };
    let row = |name: String| {
        let expected = setting(&name, &reference.settings, &candidate.settings);
        let actual = setting(&name, &candidate.settings, &reference.settings);
        (name, Some(expected), Some(actual))
    };
    let is_likely_cause = |name: &String| ["model", "engine", "threads"].contains(&name.as_str());
    let (first, others): (Vec<_>, Vec<_>) =
        TrainConfig::names().into_iter().partition(is_likely_cause);
    let capability = |config: &RunConfig| config.cpu_capability.clone();
    let kernels =
        (reference.comparable_kernels(candidate), candidate.comparable_kernels(reference));
    let platform = [
        ("libtorch".into(), reference.libtorch(), candidate.libtorch()),
        ("CPU capability".into(), capability(reference), capability(candidate)),
        ("kernels".into(), kernels.0, kernels.1),
    ];
    let rows = first.into_iter().map(row).chain(platform).chain(others.into_iter().map(row));
    let mut lines: Vec<String> = rows
        .filter_map(|(what, expected, actual)| match (expected, actual) {
            (Some(expected), Some(actual)) if expected != actual => Some(format!(
                "{what} differs: {expected} in the reference, {actual} in the candidate"
            )),
            _ => None,
        })
        .collect();
    if reference.data.sha256 != candidate.data.sha256 {
        lines.push("the data sets differ (SHA-256)".into());
    }
    lines
}

/// The value of a setting as text, for a comparison with the settings `other`.
fn setting(name: &str, settings: &TrainConfig, other: &TrainConfig) -> String {
    if name == "engine" {
        // A run of another program has no engine. It is comparable with the engines that are bit-identical to the
        // notebook.
        let same_bits = match other.engine {
            Some(Engine::Eager) => Engine::Eager,
            _ => Engine::Exact,
        };
        return settings.engine.unwrap_or(same_bits).to_string();
    }
    match settings.value(name) {
        Value::Null => "none".into(),
        Value::String(text) => text,
        value => value.to_string(),
    }
}

/// Most bytes of a header in an error.
const HEADER: usize = 80;

/// Whether a table begins with an empty cell, as a confusion matrix with its classes does.
fn is_confusion_matrix(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    [&b","[..], b"\"\","].iter().any(|start| bytes.starts_with(start))
}

fn read(path: &Path) -> Result<Vec<u8>, RunError> {
    run_folder::read_regular(path, run_folder::MAX_FILE)
        .map_err(|error| RunError::Io { path: path.into(), error })
}

/// Reads a file of a run and parses it with `parse`.
fn parse<T, E: std::fmt::Display>(
    path: &Path,
    parse: impl Fn(&[u8]) -> Result<T, E>,
) -> Result<T, RunError> {
    parse_bytes(path, &read(path)?, parse)
}

/// Parses the content of the file `path` with `parse`.
fn parse_bytes<T, E: std::fmt::Display>(
    path: &Path,
    bytes: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, E>,
) -> Result<T, RunError> {
    parse(bytes).map_err(|error| RunError::Table { path: path.into(), what: error.to_string() })
}
