//! `metrics.json`.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::metrics::{ClassificationReport, Scores};

/// `metrics.json`: what the numbers are worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
