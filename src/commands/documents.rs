//! The JSON documents of the commands, described in docs/json.md. Names must not change.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use stitch::dataset::source::{Identity, Origin};
#[cfg(feature = "libtorch")]
use stitch::evaluate::Evaluation;
use stitch::formats::csv;
use stitch::metrics::Scores;
use stitch::models::{Defaults, ModelEntry};
use stitch::nn::{Graph, LayerSummary};
use stitch::run_folder::{self, Metrics, RunFolder};
use stitch::sha256;
use stitch::train::EpochRecord;

/// The document of a command that failed.
#[derive(Serialize)]
pub struct Failure {
    pub error: String,
    pub exit_code: u8,
}

/// `train`: a training run, from the files in its folder.
#[derive(Serialize)]
pub struct Training {
    model: String,
    out: String,
    config: Value,
    /// `history.csv`: a row per epoch.
    history: Vec<EpochRecord>,
    metrics: Value,
    #[serde(flatten)]
    classes: ClassResults,
    files: Vec<String>,
    /// SHA-256 of `weights.safetensors`.
    weights_sha256: String,
}

/// An element of `models`: a registered model.
#[derive(Serialize)]
pub struct Model {
    name: &'static str,
    class: &'static str,
    title: &'static str,
    description: &'static str,
    library: String,
    /// Shape of an image, without the batch dimension.
    input: &'static [i64],
    dtype: &'static str,
    parameters: u64,
    defaults: Defaults,
    paper_accuracy: Option<f64>,
    shipped: bool,
}

/// The document of `models MODEL`.
#[derive(Serialize)]
pub struct ModelLayers {
    #[serde(flatten)]
    model: Model,
    /// Shape of the output, without the batch dimension.
    output: Vec<i64>,
    layers: Vec<LayerSummary>,
    buffers: u64,
    multiply_adds: u64,
}

/// The document of `evaluate`.
#[derive(Serialize)]
pub struct Evaluated {
    pub file: String,
    pub model: &'static str,
    pub correct: u64,
    pub total: u64,
    pub metrics: Metrics,
    #[serde(flatten)]
    pub classes: ClassResults,
    pub files: Vec<String>,
}

/// Scores by class and the confusion matrix.
#[derive(Serialize)]
pub struct ClassResults {
    classes: Vec<Class>,
    confusion_matrix: Matrix,
}

#[derive(Serialize)]
struct Class {
    label: usize,
    class: String,
    precision: f64,
    recall: f64,
    f1: f64,
    support: u64,
}

#[derive(Serialize)]
struct Matrix {
    classes: Vec<String>,
    /// `counts[true][predicted]`.
    counts: Vec<Vec<u64>>,
}

/// The document of `study plan`.
#[derive(Serialize)]
pub struct Planned {
    pub plan: String,
    pub runs: usize,
}

/// The document of `study run` without `--row`.
#[derive(Serialize)]
pub struct Studied {
    pub study: String,
    /// Number of rows.
    pub runs: usize,
    pub done: usize,
    pub failed: usize,
}

/// The document of `study collect`.
#[derive(Serialize)]
pub struct Collected {
    pub table: String,
    pub done: usize,
    pub failed: usize,
}

/// The document of `study report`.
#[derive(Serialize)]
pub struct StudyReported {
    pub report: String,
    pub figure: String,
    pub summary: String,
    /// Only if configurations differ in an option.
    pub effects: Option<String>,
}

/// A file of the data set.
#[derive(Serialize)]
pub struct DataFile {
    name: &'static str,
    path: String,
    count: usize,
    sha256: String,
    official: bool,
}

#[cfg(feature = "libtorch")]
impl Training {
    /// Reads a complete run from its folder.
    pub fn read(folder: &RunFolder, evaluation: &Evaluation) -> Result<Self> {
        let read = |file: &str| -> Result<Vec<u8>> {
            let path = folder.path().join(file);
            fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))
        };
        let document = |file: &str| -> Result<Value> {
            serde_json::from_slice(&read(file)?).with_context(|| format!("{file} is damaged"))
        };
        let config = document(run_folder::CONFIG)?;
        Ok(Self {
            model: config["model"].as_str().unwrap_or_default().into(),
            out: folder.path().display().to_string(),
            config,
            history: csv::read_history(&read(run_folder::HISTORY)?)?,
            metrics: {
                // Parsed as a check, then printed with all its fields.
                let metrics = run_folder::METRICS;
                let _: run_folder::Metrics = serde_json::from_slice(&read(metrics)?)
                    .with_context(|| format!("{metrics} is damaged"))?;
                document(metrics)?
            },
            classes: evaluation.into(),
            files: files_of(folder.path()),
            weights_sha256: sha256::of(&read(run_folder::SAFETENSORS)?),
        })
    }
}

impl Model {
    /// The document of a registered model.
    pub fn of(entry: &ModelEntry) -> Self {
        Self {
            name: entry.name,
            class: entry.class,
            title: entry.title,
            description: entry.description,
            library: entry.library.to_string(),
            input: entry.input,
            dtype: entry.dtype.name(),
            parameters: entry.parameter_count(),
            defaults: entry.defaults,
            paper_accuracy: entry.paper_accuracy(),
            shipped: entry.shipped.is_some(),
        }
    }
}

impl ModelLayers {
    /// The document of a model and its layers.
    pub fn of(entry: &ModelEntry, graph: &Graph) -> Self {
        let summary = graph.summary();
        Self {
            model: Model::of(entry),
            output: graph.output().to_vec(),
            layers: summary.layers,
            buffers: summary.buffers,
            multiply_adds: summary.multiply_adds,
        }
    }
}

#[cfg(feature = "libtorch")]
impl From<&Evaluation> for ClassResults {
    fn from(evaluation: &Evaluation) -> Self {
        let class = |(label, scores): (usize, &Scores)| {
            let &Scores { precision, recall, f1, support } = scores;
            let class = evaluation.classes.name(label);
            Class { label, class, precision, recall, f1, support }
        };
        let (classes, counts) = (evaluation.classes.names(), &evaluation.matrix.counts);
        Self {
            classes: evaluation.report.classes.iter().enumerate().map(class).collect(),
            confusion_matrix: Matrix { classes: classes.to_vec(), counts: counts.clone() },
        }
    }
}

/// The files of the data set.
pub fn data_files(origin: &Origin) -> Vec<DataFile> {
    let file = |file: &stitch::dataset::source::FileOrigin| DataFile {
        name: file.name,
        path: file.path.display().to_string(),
        count: file.count,
        sha256: file.sha256.clone(),
        official: file.official,
    };
    origin.files.iter().map(file).collect()
}

/// The identity of a data set as a word.
pub fn identity(origin: &Origin) -> &'static str {
    match origin.identity() {
        Identity::Official => "official",
        Identity::Another => "another",
        Identity::Mixed => "mixed",
    }
}

/// The files of a run that are in `folder`.
pub fn files_of(folder: &Path) -> Vec<String> {
    let names = run_folder::files(true, true, true).into_iter();
    let existing = names.map(|name| folder.join(name)).filter(|path| path.exists());
    existing.map(|path| path.display().to_string()).collect()
}
