//! The lines of `trace.jsonl`.

use serde::{Deserialize, Serialize};

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always `stitch-trace`.
    pub format: String,
    /// Version of the format.
    pub version: u32,
    /// The model, as in a run's `config.json`; `stitch parity` finds its tolerances by it.
    #[serde(default)]
    pub model: String,
}

/// The last line of a complete trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    /// Always `stitch-trace`.
    pub end: String,
    /// Number of records.
    pub records: usize,
}

/// When in the run a tensor was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Place {
    /// Counted from 1.
    pub epoch: Option<usize>,
    /// Counted from 1 over the whole run.
    pub step: Option<usize>,
}

impl Place {
    /// Before the first step or after the last.
    pub const RUN: Self = Self { epoch: None, step: None };

    /// In an epoch, counted from 1.
    pub fn epoch(epoch: usize) -> Self {
        Self { epoch: Some(epoch), step: None }
    }

    /// In a step, counted from 1 over the whole run.
    pub fn step(step: usize) -> Self {
        Self { epoch: None, step: Some(step) }
    }
}

/// Every other line: one tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The stage of the run: one of [`stage`](crate::stage), or any other.
    pub stage: String,
    /// Which tensor of the stage.
    pub name: String,
    /// Counted from 1.
    pub epoch: Option<usize>,
    /// Counted from 1 over the whole run.
    pub step: Option<usize>,
    /// PyTorch's name of the element type.
    pub dtype: String,
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// SHA-256 of the elements, row-major, little-endian, in lower-case hex.
    pub sha256: String,
    /// Number of elements that are NaN; absent in version 1, and for types other than float16,
    /// bfloat16, float32 and float64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nan: Option<usize>,
    /// Where the elements begin in `trace.bin`; absent where only the SHA-256 was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl Record {
    /// When in the run the tensor was computed.
    pub fn place(&self) -> Place {
        Place { epoch: self.epoch, step: self.step }
    }

    /// `stage/epoch=1/step=2/name`: unique in a trace, and the key of the tensor in the
    /// `trace.safetensors` of version 1.
    pub fn key(&self) -> String {
        let mut key = self.stage.clone();
        if let Some(epoch) = self.epoch {
            key += &format!("/epoch={epoch}");
        }
        if let Some(step) = self.step {
            key += &format!("/step={step}");
        }
        key + "/" + &self.name
    }

    /// Number of elements, if it fits a `usize`.
    pub fn checked_len(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n))
    }
}
