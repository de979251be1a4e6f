//! The trace of a run: its files, its records, and how they are read.
//!
//! The format is described in `docs/trace-format.md`. [`super::recorder`] and
//! `tests/reference/tracing.py` write it.

use serde::{Deserialize, Serialize};

/// Folder of the trace in a run folder.
pub const FOLDER: &str = "trace";
/// The records.
pub const RECORDS: &str = "trace.jsonl";
/// The tensors that were kept.
pub const TENSORS: &str = "trace.safetensors";
/// The version of the format that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// The header's `format`.
pub(super) const FORMAT: &str = "stitch-trace";

/// What a tensor is to the run, in causal order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Normalised images and labels.
    Data,
    /// Parameters before the first step.
    Init,
    /// The order of an epoch.
    Permutation,
    /// Images and labels of a step.
    Batch,
    /// Logits of a step.
    Logits,
    /// Loss of a step.
    Loss,
    /// Gradient of a parameter.
    Gradient,
    /// Adam's first moment.
    ExpAvg,
    /// Adam's second moment.
    ExpAvgSq,
    /// A parameter after a step.
    Parameter,
    /// Mean loss of an epoch.
    EpochLoss,
    /// A parameter after the last step.
    Final,
    /// Logits of the test images.
    TestLogits,
    /// Predicted classes of the test images.
    Predictions,
    /// Counts of true against predicted classes.
    ConfusionMatrix,
    /// Correct answers over all.
    Accuracy,
}

/// The first line of `trace.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always `stitch-trace`.
    pub format: String,
    /// Version of the format.
    pub version: u32,
    /// The model, as in `config.json`.
    #[serde(default)]
    pub model: String,
}

/// Every other line: one tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What it is to the run.
    pub stage: Stage,
    /// Which tensor of the stage.
    pub name: String,
    /// Counted from 1.
    pub epoch: Option<usize>,
    /// Counted from 1 over the run.
    pub step: Option<usize>,
    /// PyTorch's name of the element type.
    pub dtype: String,
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// SHA-256 of the elements, row-major, little-endian, in hex.
    pub sha256: String,
}

impl Record {
    /// The key of the tensor in `trace.safetensors`.
    pub fn key(&self) -> String {
        let stage = serde_json::to_value(self.stage).unwrap_or_default();
        let mut key = stage.as_str().unwrap_or_default().to_owned();
        if let Some(epoch) = self.epoch {
            key += &format!("/epoch={epoch}");
        }
        if let Some(step) = self.step {
            key += &format!("/step={step}");
        }
        key + "/" + &self.name
    }
}

/// A `trace.jsonl` that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Not the header of a trace.
    #[error("line 1 is not the header of a trace ({{\"format\": \"{FORMAT}\", \"version\": …}})")]
    Header,
    /// A newer format.
    #[error(
        "it is a trace of version {0}; this stitch reads up to version {VERSION}: use a newer one"
    )]
    Version(u32),
    /// A line that is no record.
    #[error("line {line} is not a record of a trace: {error}")]
    Record {
        /// Counted from 1.
        line: usize,
        /// The parser's reason.
        error: serde_json::Error,
    },
}

/// Parses `trace.jsonl`.
///
/// # Errors
/// See [`TraceError`].
pub fn parse(text: &str) -> Result<(Header, Vec<Record>), TraceError> {
    let mut lines = text.lines();
    let header = lines.next().and_then(|line| serde_json::from_str::<Header>(line).ok());
    let header = header.filter(|header| header.format == FORMAT).ok_or(TraceError::Header)?;
    if header.version > VERSION {
        return Err(TraceError::Version(header.version));
    }
    let record = |(i, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| TraceError::Record { line: i + 2, error })
    };
    Ok((header, lines.enumerate().map(record).collect::<Result<_, _>>()?))
}
