//! `metrics.json`.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::metrics::{ClassificationReport, Scores};

/// `metrics.json`: what the numbers are worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Metrics {
    /// Correct answers over all answers on the test images.
    pub test_accuracy: f64,
    /// Plain mean over the classes.
    pub macro_avg: Average,
    /// Mean over the classes, weighted by support.
    pub weighted_avg: Average,
    /// What training took; absent in an evaluation alone.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingMetrics>,
    /// Greatest memory of the process so far in bytes, where the system tells.
    pub peak_rss_bytes: Option<u64>,
}

/// Precision, recall and F1, averaged over the classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Average {
    /// Averaged precision.
    pub precision: f64,
    /// Averaged recall.
    pub recall: f64,
    /// Averaged F1.
    pub f1: f64,
}

impl From<Scores> for Average {
    fn from(Scores { precision, recall, f1, .. }: Scores) -> Self {
        Self { precision, recall, f1 }
    }
}

/// The part of `metrics.json` that a training run adds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrainingMetrics {
    /// Mean loss of the last epoch.
    pub train_loss: f64,
    /// Epochs that were run: fewer than asked for when the stopping rule ended the training.
    pub epochs_run: usize,
    /// Wall-clock seconds of the epochs' steps alone.
    pub train_seconds: f64,
    /// What the images that were held out say; absent when none were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<ValidationMetrics>,
}

/// The part of `metrics.json` about held-out images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ValidationMetrics {
    /// How many are held out.
    pub images: usize,
    /// Mean cross-entropy after the last epoch.
    pub loss: f64,
    /// Correct answers over all answers after the last epoch.
    pub accuracy: f64,
    /// The epoch with the lowest loss, the first of equals; counted from 1.
    pub best_epoch: usize,
    /// Its loss.
    pub best_loss: f64,
    /// Its accuracy.
    pub best_accuracy: f64,
    /// The accuracy of its weights on the test images.
    pub best_test_accuracy: f64,
}

impl Metrics {
    /// The metrics of a report, and of the process as it stands.
    pub fn new(report: &ClassificationReport, training: Option<TrainingMetrics>) -> Self {
        Self {
            test_accuracy: report.accuracy,
            macro_avg: report.macro_avg.into(),
            weighted_avg: report.weighted_avg.into(),
            training,
            peak_rss_bytes: peak_rss_bytes(),
        }
    }
}

/// The greatest resident set of this process: `VmHWM` of Linux. `None` elsewhere.
pub fn peak_rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The fields of the file as they are read: one of a wrong type is an error, where a flattened struct would be
/// left out.
#[derive(Deserialize)]
struct Fields {
    test_accuracy: f64,
    macro_avg: Average,
    weighted_avg: Average,
    train_loss: Option<f64>,
    epochs_run: Option<usize>,
    train_seconds: Option<f64>,
    validation: Option<ValidationMetrics>,
    peak_rss_bytes: Option<u64>,
}

/// Training metrics of which some are missing.
#[derive(Debug, thiserror::Error)]
#[error("it has some of train_loss, epochs_run and train_seconds, and not all of them")]
struct IncompleteMetrics;

impl TryFrom<Fields> for Metrics {
    type Error = IncompleteMetrics;

    fn try_from(fields: Fields) -> Result<Self, IncompleteMetrics> {
        let Fields { test_accuracy, macro_avg, weighted_avg, validation, .. } = fields;
        let training = match (fields.train_loss, fields.epochs_run, fields.train_seconds) {
            (Some(train_loss), Some(epochs_run), Some(train_seconds)) => {
                Some(TrainingMetrics { train_loss, epochs_run, train_seconds, validation })
            }
            (None, None, None) if validation.is_none() => None,
            _ => return Err(IncompleteMetrics),
        };
        let peak_rss_bytes = fields.peak_rss_bytes;
        Ok(Self { test_accuracy, macro_avg, weighted_avg, training, peak_rss_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_wrong_type_is_an_error_and_one_that_is_left_out_is_too() {
        let whole = serde_json::json!({
            "test_accuracy": 0.5,
            "macro_avg": {"precision": 0.5, "recall": 0.5, "f1": 0.5},
            "weighted_avg": {"precision": 0.5, "recall": 0.5, "f1": 0.5},
            "train_loss": 0.25, "epochs_run": 2, "train_seconds": 1.5,
            "validation": {
                "images": 10, "loss": 0.5, "accuracy": 0.5, "best_epoch": 1, "best_loss": 0.5,
                "best_accuracy": 0.5, "best_test_accuracy": 0.5,
            },
            "peak_rss_bytes": 1,
        });
        let read = |value| serde_json::from_value::<Metrics>(value);
        assert_eq!(read(whole.clone()).unwrap().training.unwrap().epochs_run, 2);
        assert_eq!(serde_json::to_value(read(whole.clone()).unwrap()).unwrap(), whole);
        for field in whole.as_object().unwrap().keys() {
            let mut wrong = whole.clone();
            wrong[field] = "0.5".into();
            assert!(read(wrong).is_err(), "{field} as text");
            if ["train_loss", "epochs_run", "train_seconds"].contains(&field.as_str()) {
                let mut without = whole.clone();
                without.as_object_mut().unwrap().remove(field);
                assert!(read(without).is_err(), "without {field}");
            }
        }
    }
}
