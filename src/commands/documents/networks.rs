//! The documents of the commands that run networks.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use stitch::evaluate::Evaluation;
use stitch::formats::csv;
use stitch::metrics::Scores;
use stitch::run_folder::{self, Metrics, RunFolder};
use stitch::sha256;
use stitch::train::EpochRecord;

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

/// The document of `study run` without `--row`.
#[derive(Serialize)]
pub struct Studied {
    pub study: String,
    /// Number of rows.
    pub runs: usize,
    pub done: usize,
    pub failed: usize,
}

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

/// The files of a run that are in `folder`.
pub fn files_of(folder: &Path) -> Vec<String> {
    let names = run_folder::files(true, true, true).into_iter();
    let existing = names.map(|name| folder.join(name)).filter(|path| path.exists());
    existing.map(|path| path.display().to_string()).collect()
}
