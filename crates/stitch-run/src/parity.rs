//! The format of `parity.json`, the verdict of `stitch parity` in a run folder.

use serde::{Deserialize, Serialize};

/// The verdict of `stitch parity` on a run, valid for the weights with `weights_sha256`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParityVerdict {
    /// Path of the reference, as given on the command line.
    pub reference: String,
    /// The verdict in one line.
    pub verdict: String,
    /// Whether the run equals the reference in everything that was compared.
    pub equal: bool,
    /// Number of tensors that were compared.
    pub tensors: usize,
    /// The number of tensors of each stage, in causal order; empty in files of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageVerdict>,
    /// The tolerances that were applied, with their causes; empty if every bit had to be equal.
    pub tolerances: Vec<String>,
    /// What was not compared, one phrase per item.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<String>,
    /// Path of the page that `stitch parity --html` wrote, relative to the run folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// SHA-256 of the run's `weights.safetensors` at the time of the comparison, in hex.
    pub weights_sha256: String,
}

/// The number of tensors of a stage, by outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageVerdict {
    /// Name of the stage, such as `gradient`.
    pub stage: String,
    /// Tensors with equal bits.
    pub equal: usize,
    /// Tensors that differ, within their tolerance.
    pub within: usize,
    /// Tensors that differ by more, or that only one side has.
    pub different: usize,
}
