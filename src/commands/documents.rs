//! What `--json` prints: one document a command. docs/json.md describes them; names stay.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use stitch::dataset::classes;
use stitch::dataset::source::{Identity, Origin};
use stitch::evaluate::Evaluation;
use stitch::formats::csv;
use stitch::metrics::Scores;
use stitch::models::{Defaults, ModelEntry};
use stitch::nn::{Graph, LayerSummary};
use stitch::run_folder::{self, Metrics, RunFolder};
use stitch::sha256;
use stitch::train::EpochRecord;

/// A command that failed.
#[derive(Serialize)]
pub struct Failure {
    pub error: String,
    pub exit_code: u8,
}

/// A training, from the files that it left.
#[derive(Serialize)]
pub struct Training {
    model: String,
    out: String,
    config: Value,
    /// `history.csv`: a row per epoch.
    history: Vec<EpochRecord>,
    metrics: Value,
    #[serde(flatten)]
    answers: Answers,
    files: Vec<String>,
    /// Of `weights.safetensors`.
    weights_sha256: String,
}

/// A model of the registry; `models` gives all of them.
#[derive(Serialize)]
pub struct Model {
    name: &'static str,
    class: &'static str,
    title: &'static str,
    description: &'static str,
    library: String,
    /// The shape of an image, without the batch.
    input: &'static [i64],
    dtype: &'static str,
    parameters: u64,
    defaults: Defaults,
    paper_accuracy: Option<f64>,
    shipped: bool,
}

/// `models MODEL`
#[derive(Serialize)]
pub struct ModelLayers {
    #[serde(flatten)]
    model: Model,
    /// The shape of the output, without the batch.
    output: Vec<i64>,
    layers: Vec<LayerSummary>,
    buffers: u64,
    multiply_adds: u64,
}

/// `evaluate`
#[derive(Serialize)]
pub struct Evaluated {
    pub file: String,
    pub model: &'static str,
    pub correct: u64,
    pub total: u64,
    pub metrics: Metrics,
    #[serde(flatten)]
    pub answers: Answers,
    pub files: Vec<String>,
}

/// Scores and confusions, class by class.
#[derive(Serialize)]
pub struct Answers {
    classes: Vec<Class>,
    confusion_matrix: Matrix,
}

#[derive(Serialize)]
struct Class {
    label: usize,
    class: &'static str,
    precision: f64,
    recall: f64,
    f1: f64,
    support: u64,
}

#[derive(Serialize)]
struct Matrix {
    classes: [&'static str; 10],
    /// `counts[true][predicted]`.
    counts: [[u64; 10]; 10],
}

/// `study plan`
#[derive(Serialize)]
pub struct Planned {
    pub plan: String,
    pub runs: usize,
}

/// `study run`; with `--row` it is the row's result.
#[derive(Serialize)]
pub struct Studied {
    pub study: String,
    /// Rows that were to be run, now or before.
    pub runs: usize,
    pub done: usize,
    pub failed: usize,
}

/// `study collect`
#[derive(Serialize)]
pub struct Collected {
    pub table: String,
    pub done: usize,
    pub failed: usize,
}

/// `study report`
#[derive(Serialize)]
pub struct StudyReported {
    pub report: String,
    pub figure: String,
    pub summary: String,
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

impl Training {
    /// What `folder` holds of a complete run with these answers.
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
                // Checked, and then shown with all that is in it.
                let metrics = run_folder::METRICS;
                let _: run_folder::Metrics = serde_json::from_slice(&read(metrics)?)
                    .with_context(|| format!("{metrics} is damaged"))?;
                document(metrics)?
            },
            answers: evaluation.into(),
            files: files_of(folder.path()),
            weights_sha256: sha256::of(&read(run_folder::SAFETENSORS)?),
        })
    }
}

impl Model {
    /// What the registry says of it.
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
    /// A model and the summary of its graph.
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

impl From<&Evaluation> for Answers {
    fn from(evaluation: &Evaluation) -> Self {
        let class = |(label, scores): (usize, &Scores)| {
            let &Scores { precision, recall, f1, support } = scores;
            Class { label, class: classes::NAMES[label], precision, recall, f1, support }
        };
        Self {
            classes: evaluation.report.classes.iter().enumerate().map(class).collect(),
            confusion_matrix: Matrix { classes: classes::NAMES, counts: evaluation.matrix.counts },
        }
    }
}

/// The files in `origin`.
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

/// In a word.
pub fn identity(origin: &Origin) -> &'static str {
    match origin.identity() {
        Identity::Official => "official",
        Identity::Another => "another",
        Identity::Mixed => "mixed",
    }
}

/// The files of a run that are in `folder`.
pub fn files_of(folder: &Path) -> Vec<String> {
    let names = run_folder::FILES.into_iter().chain(run_folder::TRACE_FILES);
    let there = names.map(|name| folder.join(name)).filter(|path| path.exists());
    there.map(|path| path.display().to_string()).collect()
}
