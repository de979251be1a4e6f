//! A run as a report tells of it, and its being read from the files of a run folder.

use serde::Deserialize;

use super::figures::Curves;
use crate::dataset::{CLASSES, classes};
use crate::formats::csv::{self, Table};
use crate::metrics::ConfusionMatrix;
use crate::models::{self, ModelEntry};
use crate::run_folder::{CONFIG, CONFUSION_MATRIX, Config, HISTORY, METRICS, Metrics, PREDICTIONS};

/// What a run was, and what it answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The model.
    pub model: &'static ModelEntry,
    /// Settings, versions, data.
    pub config: Config,
    /// Losses, one an epoch that was run.
    pub curves: Curves,
    /// The class of each test image, 0 to 9.
    pub truth: Vec<u8>,
    /// The answer for each.
    pub predicted: Vec<u8>,
    /// The two, counted.
    pub matrix: ConfusionMatrix,
}

/// The files of a run folder that are read, as bytes; any of them may be damaged or of another run.
#[derive(Debug, Clone)]
pub struct RunFiles {
    /// `config.json`.
    pub config: Vec<u8>,
    /// `history.csv`.
    pub history: Vec<u8>,
    /// `metrics.json`.
    pub metrics: Vec<u8>,
    /// `predictions.csv`.
    pub predictions: Vec<u8>,
    /// `confusion_matrix.csv`.
    pub confusion_matrix: Vec<u8>,
}

/// A file that is not what a run leaves.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {what}")]
pub struct RunError {
    /// Its name.
    pub file: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl Run {
    /// `truth` and `predicted` have one length and hold 0 to 9.
    pub fn new(
        model: &'static ModelEntry,
        config: Config,
        curves: Curves,
        (truth, predicted): (Vec<u8>, Vec<u8>),
    ) -> Self {
        let matrix = ConfusionMatrix::new(&truth, &predicted);
        Self { model, config, curves, truth, predicted, matrix }
    }

    /// Reads the files of a run folder, and checks that they belong together.
    ///
    /// # Errors
    /// [`RunError`] for the first file that cannot be of a run, or not of this one.
    pub fn read(files: &RunFiles) -> Result<Self, RunError> {
        let config: Config = json(CONFIG, &files.config)?;
        let model =
            models::named(&config.model).map_err(|unknown| wrong(CONFIG, unknown.to_string()))?;
        let curves = curves(&files.history).map_err(|what| wrong(HISTORY, what))?;
        let answers = answers(&files.predictions).map_err(|what| wrong(PREDICTIONS, what))?;
        let run = Self::new(model, config, curves, answers);
        let matrix = matrix(&files.confusion_matrix).map_err(|e| wrong(CONFUSION_MATRIX, e))?;
        if matrix != run.matrix {
            let what = "its counts are not those of predictions.csv: the files are of two runs";
            return Err(wrong(CONFUSION_MATRIX, what.into()));
        }
        let metrics: Metrics = json(METRICS, &files.metrics)?;
        let accuracy = run.matrix.report().accuracy;
        if metrics.test_accuracy != accuracy {
            let what = format!(
                "test_accuracy is {}, and predictions.csv gives {accuracy}: the files are of two runs",
                metrics.test_accuracy
            );
            return Err(wrong(METRICS, what));
        }
        Ok(run)
    }
}

fn wrong(file: &'static str, what: String) -> RunError {
    RunError { file, what }
}

fn json<'a, T: Deserialize<'a>>(file: &'static str, bytes: &'a [u8]) -> Result<T, RunError> {
    serde_json::from_slice(bytes).map_err(|error| wrong(file, error.to_string()))
}

/// The columns of `history.csv`, found by their names.
fn curves(bytes: &[u8]) -> Result<Curves, String> {
    let mut columns = csv::read_columns(bytes)?;
    let mut take = |name: &str| {
        let at = columns.iter().position(|(column, _)| column == name)?;
        Some(columns.swap_remove(at).1)
    };
    let epochs = take("epoch").ok_or("there is no column epoch")?;
    if let Some((i, epoch)) = (1..).zip(&epochs).find(|&(i, &epoch)| epoch != f64::from(i)) {
        return Err(format!("line {}: epoch {epoch} where {i} is wanted", i + 1));
    }
    let curves = Curves {
        loss: take("loss").ok_or("there is no column loss")?,
        val_loss: take("val_loss"),
        val_accuracy: take("val_accuracy"),
    };
    if curves.loss.is_empty() {
        return Err("it holds no epoch".into());
    }
    let columns = [Some(&curves.loss), curves.val_loss.as_ref(), curves.val_accuracy.as_ref()];
    if let Some(value) = columns.into_iter().flatten().flatten().find(|value| !value.is_finite()) {
        return Err(format!("{value} is no loss: a complete run has finite ones"));
    }
    Ok(curves)
}

/// True and predicted labels.
fn answers(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let Table::Predictions { truth, predicted } = csv::read_table(bytes)? else {
        return Err("it is a confusion matrix, not predictions (index,y_true,y_pred)".into());
    };
    if truth.is_empty() {
        return Err("it holds no answer".into());
    }
    let labels = |labels: Vec<i64>| -> Result<Vec<u8>, String> {
        let label = |(line, label): (usize, i64)| match u8::try_from(label) {
            Ok(class) if usize::from(class) < CLASSES => Ok(class),
            _ => Err(format!("line {line}: {label} is no class: they are 0 to {}", CLASSES - 1)),
        };
        (2..).zip(labels).map(label).collect()
    };
    Ok((labels(truth)?, labels(predicted)?))
}

fn matrix(bytes: &[u8]) -> Result<ConfusionMatrix, String> {
    let Table::ConfusionMatrix { classes: names, counts } = csv::read_table(bytes)? else {
        return Err("it is a table of predictions, not a confusion matrix".into());
    };
    if names != classes::NAMES {
        return Err(format!("its classes are {}, not Fashion-MNIST's", names.join(", ")));
    }
    let mut matrix = ConfusionMatrix { counts: [[0; CLASSES]; CLASSES] };
    for (cell, count) in matrix.counts.as_flattened_mut().iter_mut().zip(counts) {
        *cell = u64::try_from(count).map_err(|_| format!("{count} is no number of images"))?;
    }
    Ok(matrix)
}
