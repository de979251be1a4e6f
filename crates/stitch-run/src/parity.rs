//! `parity.json`: what `stitch parity` found of a run, beside the run.

use serde::{Deserialize, Serialize};

/// The verdict on a run's weights; on others it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParityVerdict {
    /// The other side, as the user named it.
    pub reference: String,
    /// The last line of the verdict.
    pub verdict: String,
    /// Whether the run equals the reference.
    pub equal: bool,
    /// Tensors that were compared.
    pub tensors: usize,
    /// What was excused, and why; none where every bit had to be equal.
    pub tolerances: Vec<String>,
    /// SHA-256 of the run's `weights.safetensors` then, in hex.
    pub weights_sha256: String,
}
