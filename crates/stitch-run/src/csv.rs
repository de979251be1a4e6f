//! The CSV files of a run folder, byte for byte as pandas 3 writes them with `to_csv`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::EpochRecord;
use crate::metrics::{ClassificationReport, ConfusionMatrix, Scores};
use crate::rows::{self, TableError, records};

/// A row of `predictions.csv`, one per test image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prediction {
    /// Index in the test set.
    pub index: usize,
    /// True label.
    pub y_true: i64,
    /// Predicted label.
    pub y_pred: i64,
}

/// A row of `classification_report.csv`: a class, `accuracy` or an average.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRow {
    /// Name of the class or average; the column has no name.
    #[serde(rename = "")]
    pub name: String,
    /// Precision; in the row `accuracy` all four numbers are the accuracy, as in pandas.
    pub precision: f64,
    /// Recall.
    pub recall: f64,
    /// F1 score.
    #[serde(rename = "f1-score")]
    pub f1: f64,
    /// Number of samples of the class.
    pub support: f64,
}

/// Formats `history.csv`: one row per epoch.
pub fn history(epochs: &[EpochRecord]) -> Vec<u8> {
    rows::write(epochs)
}

/// Reads `history.csv`; it must have at least one epoch, and epochs must be numbered from 1.
///
/// # Errors
/// [`TableError`].
pub fn read_history(bytes: &[u8]) -> Result<Vec<EpochRecord>, TableError> {
    let epochs: Vec<EpochRecord> = read(bytes, "a history (epoch,loss,seconds)")?;
    let is_validated = epochs.first().is_some_and(|row| row.val_loss.is_some());
    if let Some(row) = epochs.iter().find(|row| !row.has_validation(is_validated)) {
        let what = "val_loss and val_accuracy are expected in every epoch, or in none";
        return Err(TableError::new(row.epoch + 1, what));
    }
    match (1..).zip(&epochs).find(|(i, row)| row.epoch != *i) {
        Some((i, row)) => Err(TableError::new(i + 1, format!("epoch {}, expected {i}", row.epoch))),
        None => Ok(epochs),
    }
}

/// Formats `predictions.csv`: one row per test image.
pub fn predictions(y_true: &[u8], y_pred: &[u8]) -> Vec<u8> {
    let row = |(index, (&y_true, &y_pred)): (usize, (&u8, &u8))| Prediction {
        index,
        y_true: y_true.into(),
        y_pred: y_pred.into(),
    };
    rows::write(y_true.iter().zip(y_pred).enumerate().map(row))
}

/// Reads `predictions.csv`; images must be numbered from 0.
///
/// # Errors
/// [`TableError`].
pub fn read_predictions(bytes: &[u8]) -> Result<Vec<Prediction>, TableError> {
    let rows: Vec<Prediction> = read(bytes, "predictions (index,y_true,y_pred)")?;
    match rows.iter().enumerate().find(|(i, row)| row.index != *i) {
        Some((i, row)) => Err(TableError::new(i + 2, format!("index {}, expected {i}", row.index))),
        None => Ok(rows),
    }
}

/// Formats `classification_report.csv`: the classes, then `accuracy`, `macro avg`, `weighted avg`, as
/// `pd.DataFrame(classification_report(..., output_dict=True)).T.to_csv()`.
pub fn classification_report(report: &ClassificationReport, names: &[impl AsRef<str>]) -> Vec<u8> {
    let row = |name: &str, scores: &Scores| {
        let Scores { precision, recall, f1, support } = *scores;
        ReportRow { name: name.into(), precision, recall, f1, support: support as f64 }
    };
    let classes =
        names.iter().zip(&report.classes).map(|(name, scores)| row(name.as_ref(), scores));
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

/// Reads the rows of a table; `what` is its name with its columns, for errors.
fn read<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<Vec<T>, TableError> {
    let row = |(line, map)| {
        T::deserialize(Value::Object(map))
            .map_err(|error| TableError::new(line, format!("not a row of {what}: {error}")))
    };
    // The names of classes, in a column without a name, may be numbers.
    let rows = rows::read_with_text(bytes, &[""])?;
    if rows.is_empty() {
        return Err(TableError::of_file(format!("not {what}: it has no rows")));
    }
    rows.into_iter().map(row).collect()
}

/// The content of `confusion_matrix.csv`, for any classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionTable {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Counts (true, predicted), row-major, of shape (classes, classes).
    pub counts: Vec<i64>,
}

/// Formats `confusion_matrix.csv` (rows: true, columns: predicted) with a name for each class, as
/// `pd.DataFrame(confusion_matrix(y, p), index=names, columns=names).to_csv()`.
pub fn confusion_matrix(matrix: &ConfusionMatrix, names: &[impl AsRef<str>]) -> Vec<u8> {
    let mut writer = rows::table_writer();
    // Writes to memory cannot fail, and every row has the header's length.
    let header = [""].into_iter().chain(names.iter().map(AsRef::as_ref));
    writer.write_record(header).expect("a header is a record");
    for (name, counts) in names.iter().zip(&matrix.counts) {
        let counts = counts.iter().map(u64::to_string);
        let row = [name.as_ref().to_owned()].into_iter().chain(counts);
        writer.write_record(row).expect("a record");
    }
    writer.into_inner().expect("writes to a Vec cannot fail")
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
        let what = "not a confusion matrix: expected class names in the first row and column";
        return Err(TableError::of_file(what));
    }
    let mut counts = Vec::new();
    for ((line, row), class) in rows.zip(&header[1..]) {
        if row[0] != *class {
            return Err(TableError::new(line, format!("{:?}, expected {class:?}", row[0])));
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

/// Whether the file starts with the header of `predictions.csv`.
pub fn is_predictions(bytes: &[u8]) -> bool {
    bytes.starts_with(b"index,y_true,y_pred")
}
