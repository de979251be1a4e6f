//! The format of `metrics.json`.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::json;
use crate::metrics::{ClassificationReport, Scores};

/// The content of `metrics.json`: scores on the test images, training time, memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Metrics {
    /// Accuracy on the test images.
    pub test_accuracy: f64,
    /// Unweighted mean over the classes.
    pub macro_avg: Average,
    /// Mean over the classes, weighted by support.
    pub weighted_avg: Average,
    /// Loss and time of training; absent for an evaluation.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingMetrics>,
    /// Peak memory (resident set) of the process in bytes, if the system reports it.
    pub peak_rss_bytes: Option<u64>,
}

/// Precision, recall and F1, averaged over the classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Average {
    /// Mean precision.
    pub precision: f64,
    /// Mean recall.
    pub recall: f64,
    /// Mean F1.
    pub f1: f64,
}

impl From<Scores> for Average {
    fn from(Scores { precision, recall, f1, .. }: Scores) -> Self {
        Self { precision, recall, f1 }
    }
}

/// The fields of `metrics.json` for a training run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrainingMetrics {
    /// Mean loss of the last epoch.
    pub train_loss: f64,
    /// Number of epochs; fewer than in the settings if training stopped early.
    pub epochs_run: usize,
    /// Wall-clock seconds of all steps, without validation.
    pub train_seconds: f64,
    /// Validation metrics; absent if no images were held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<ValidationMetrics>,
}

/// The field `validation` of `metrics.json`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationMetrics {
    /// Number of held-out images.
    pub images: usize,
    /// Mean cross-entropy after the last epoch.
    pub loss: f64,
    /// Accuracy after the last epoch.
    pub accuracy: f64,
    /// The epoch with the lowest loss, counted from 1; the first one in case of a tie.
    pub best_epoch: usize,
    /// Loss of the best epoch.
    pub best_loss: f64,
    /// Accuracy of the best epoch.
    pub best_accuracy: f64,
    /// Accuracy of the best epoch's weights on the test images.
    pub best_test_accuracy: f64,
}

impl Metrics {
    /// Reads `metrics.json`.
    ///
    /// # Errors
    /// Bytes that are not JSON; an unknown, missing, duplicate or invalid field.
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_value(json::read_object(bytes)?.into())
    }

    /// The metrics of a classification report, with the current peak memory of the process.
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

/// Peak resident set of this process in bytes (`VmHWM`); `None` on systems other than Linux.
pub fn peak_rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The fields of the file for reading. With a flattened `Option<TrainingMetrics>`, serde would ignore a field of a wrong
/// type.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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

/// Some training metrics are missing.
#[derive(Debug, thiserror::Error)]
#[error("it has only some of train_loss, epochs_run and train_seconds")]
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
    fn fields_of_a_wrong_type_and_missing_fields_are_errors() {
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
