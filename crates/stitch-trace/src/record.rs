//! The lines of `trace.jsonl`.

use serde::{Deserialize, Serialize};

use crate::Statistics;

/// The first line of `trace.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always `stitch-trace`.
    pub format: String,
    /// Version of the format: 1 or 2.
    pub version: u32,
    /// Name of the model, free text; empty if the header has none. `stitch parity` chooses its tolerances by it.
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

/// The epoch or step of a run in which a tensor was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Place {
    /// Epoch, counted from 1; `None` for tensors of a step or of the whole run.
    pub epoch: Option<usize>,
    /// Step, counted from 1 over the whole run; `None` for tensors of an epoch or of the whole run.
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

/// One tensor of a trace: every line of `trace.jsonl` between the header and the end marker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Stage of the run: one of [`stage`](crate::stage), or any other text.
    pub stage: String,
    /// Name of the tensor, unique within stage, epoch and step.
    pub name: String,
    /// Class of the module that the tensor belongs to, such as `Conv2d`, in the stages `forward` and `backward`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Epoch, counted from 1, if the tensor belongs to one.
    pub epoch: Option<usize>,
    /// Step, counted from 1 over the whole run, if the tensor belongs to one.
    pub step: Option<usize>,
    /// PyTorch's name of the dtype, such as `float32`. Types unknown to [`Dtype`](crate::Dtype) are allowed where
    /// the elements are not kept.
    pub dtype: String,
    /// Sizes of the dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// SHA-256 of the elements, row-major, little-endian, in lower-case hex; with `blocks`, that of their sums.
    pub sha256: String,
    /// SHA-256 of each block of [`BLOCK`](crate::BLOCK) bytes, for a tensor of more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Vec<String>>,
    /// Number of elements that are NaN; absent in version 1, and for types other than float16,
    /// bfloat16, float32 and float64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nan: Option<usize>,
    /// Statistics of the elements of a real type that were not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
    /// Position in `trace.bin` in bytes where the elements begin; absent where only the SHA-256 was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl Record {
    /// The epoch or step in which the tensor was computed.
    pub fn place(&self) -> Place {
        Place { epoch: self.epoch, step: self.step }
    }

    /// `stage/epoch=1/step=2/name`: unique in a trace, and the name of the tensor in the
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

    /// Number of elements; `None` if it does not fit a `usize`.
    pub(crate) fn elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n))
    }
}
