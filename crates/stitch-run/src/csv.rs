//! The CSV files of a run folder, byte for byte as pandas 3 writes them with `to_csv`.

use fashion_mnist::CLASSES;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::EpochRecord;
use crate::metrics::{ClassificationReport, ConfusionMatrix, Scores};
use crate::rows::{self, TableError, records};

/// A row of `predictions.csv`: a test image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prediction {
    /// Its place in the test set, from 0.
    pub index: usize,
    /// Its label.
    pub y_true: i64,
    /// The label that the model predicts.
    pub y_pred: i64,
}

/// A row of `classification_report.csv`: a class, `accuracy` or an average.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRow {
    /// The name of the class or average; its column has no name.
    #[serde(rename = "")]
    pub name: String,
    /// Precision; in the row `accuracy` all four numbers are the accuracy, as pandas spreads it.
    pub precision: f64,
    /// Recall.
    pub recall: f64,
    /// F1 score.
    #[serde(rename = "f1-score")]
    pub f1: f64,
    /// Number of samples of the class.
    pub support: f64,
}

/// `history.csv`: a row per epoch.
pub fn history(epochs: &[EpochRecord]) -> Vec<u8> {
    rows::write(epochs)
}

/// Reads `history.csv`; there is an epoch, and epochs are numbered from 1.
///
/// # Errors
/// [`TableError`].
pub fn read_history(bytes: &[u8]) -> Result<Vec<EpochRecord>, TableError> {
    let epochs: Vec<EpochRecord> = read(bytes, "a history (epoch,loss,seconds)")?;
    match (1..).zip(&epochs).find(|(i, row)| row.epoch != *i) {
        Some((i, row)) => {
            Err(TableError::new(i + 1, format!("epoch {}, {i} is expected", row.epoch)))
        }
        None => Ok(epochs),
    }
}

/// `predictions.csv`: a row per test image.
pub fn predictions(y_true: &[u8], y_pred: &[u8]) -> Vec<u8> {
    let row = |(index, (&y_true, &y_pred)): (usize, (&u8, &u8))| Prediction {
        index,
        y_true: y_true.into(),
        y_pred: y_pred.into(),
    };
    rows::write(y_true.iter().zip(y_pred).enumerate().map(row))
}

/// Reads `predictions.csv`; images are numbered from 0.
///
/// # Errors
/// [`TableError`].
pub fn read_predictions(bytes: &[u8]) -> Result<Vec<Prediction>, TableError> {
    let rows: Vec<Prediction> = read(bytes, "predictions (index,y_true,y_pred)")?;
    match rows.iter().enumerate().find(|(i, row)| row.index != *i) {
        Some((i, row)) => {
            Err(TableError::new(i + 2, format!("index {}, {i} is expected", row.index)))
        }
        None => Ok(rows),
    }
}

/// `pd.DataFrame(classification_report(..., output_dict=True)).T.to_csv()`: the classes, then
/// `accuracy`, `macro avg`, `weighted avg`.
pub fn classification_report(report: &ClassificationReport, names: &[&str; CLASSES]) -> Vec<u8> {
    let row = |name: &str, scores: &Scores| {
        let Scores { precision, recall, f1, support } = *scores;
        ReportRow { name: name.into(), precision, recall, f1, support: support as f64 }
    };
    let classes = names.iter().zip(&report.classes).map(|(name, scores)| row(name, scores));
    let [precision, recall, f1, support] = [report.accuracy; 4];
    let accuracy = ReportRow { name: "accuracy".into(), precision, recall, f1, support };
    let averages = [row("macro avg", &report.macro_avg), row("weighted avg", &report.weighted_avg)];
    rows::write(classes.chain([accuracy]).chain(averages))
}

/// Reads `classification_report.csv`.
///
/// # Errors
/// [`TableError`].
pub fn read_report(bytes: &[u8]) -> Result<Vec<ReportRow>, TableError> {
    read(bytes, "a classification report (precision,recall,f1-score,support)")
}

/// The rows of a table; `what` names it, and its columns.
fn read<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<Vec<T>, TableError> {
    let row = |(line, map)| {
        T::deserialize(Value::Object(map))
            .map_err(|error| TableError::new(line, format!("not a row of {what}: {error}")))
    };
    let rows = rows::read(bytes)?;
    if rows.is_empty() {
        return Err(TableError::of_file(format!("not {what}: it has no rows")));
    }
    rows.into_iter().map(row).collect()
}

/// `confusion_matrix.csv`, of any classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionTable {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Row-major (true, predicted), of shape (classes, classes).
    pub counts: Vec<i64>,
}

/// `pd.DataFrame(confusion_matrix(y, p), index=names, columns=names).to_csv()`: rows true, columns
/// predicted.
pub fn confusion_matrix(matrix: &ConfusionMatrix, names: &[&str; CLASSES]) -> Vec<u8> {
    let mut writer = rows::table_writer();
    // Into memory, where nothing fails, and every row has the header's length.
    writer.write_record([""].iter().chain(names)).expect("a header is a record");
    for (name, counts) in names.iter().zip(&matrix.counts) {
        let counts = counts.iter().map(u64::to_string);
        writer.write_record([name.to_string()].into_iter().chain(counts)).expect("a record");
    }
    writer.into_inner().expect("a Vec takes every byte")
}

/// Reads `confusion_matrix.csv`.
///
/// # Errors
/// [`TableError`].
pub fn read_confusion_matrix(bytes: &[u8]) -> Result<ConfusionTable, TableError> {
    let mut rows = records(bytes)?.into_iter();
    let header = rows.next().map_or(Vec::new(), |(_, header)| header);
    let classes = header.len().saturating_sub(1);
    if !header.first().is_some_and(String::is_empty) || rows.len() != classes || classes == 0 {
        let what = "not a confusion matrix: class names on both sides are expected";
        return Err(TableError::of_file(what));
    }
    let mut counts = Vec::new();
    for ((line, row), class) in rows.zip(&header[1..]) {
        if row[0] != *class {
            return Err(TableError::new(line, format!("{:?}, {class:?} is expected", row[0])));
        }
        for cell in &row[1..] {
            let count = cell.parse();
            counts.push(count.map_err(|_| TableError::new(line, not_an_integer(cell)))?);
        }
    }
    Ok(ConfusionTable { classes: header[1..].to_vec(), counts })
}

fn not_an_integer(cell: &str) -> String {
    format!("{cell:?} is not an integer")
}

/// Whether the first line is that of `predictions.csv`.
pub fn is_predictions(bytes: &[u8]) -> bool {
    bytes.starts_with(b"index,y_true,y_pred")
}
