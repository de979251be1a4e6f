//! The JSON documents of `stitch inspect`, described in docs/json.md. Names must not change.

use serde::Serialize;
use serde_json::{Number, Value};
use stitch::tensor_files::Metadata;

/// One file.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Document {
    Shown {
        file: String,
        #[serde(flatten)]
        contents: Contents,
    },
    Failed {
        file: String,
        error: String,
    },
}

/// What is in a file or folder.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Contents {
    Tensors(Box<Tensors>),
    Trace(Box<Trace>),
    Run(Box<Run>),
    Idx(Box<Idx>),
}

/// The size and the SHA-256 of a file.
#[derive(Serialize)]
pub struct FileSum {
    pub bytes: u64,
    pub sha256: String,
}

/// A file of tensors.
#[derive(Serialize)]
pub struct Tensors {
    /// `state_dict`, `checkpoint`, `torchscript`, `safetensors`, `npz`, `npy` or `stitch_checkpoint`.
    pub kind: &'static str,
    /// The kind in words.
    #[serde(skip)]
    pub title: &'static str,
    #[serde(flatten)]
    pub sum: FileSum,
    /// The tensors; `None` if there are several dicts of tensors.
    #[serde(flatten)]
    pub weights: Option<Weights>,
    /// The dicts of tensors, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Weights>,
    /// How many more there are than [`Self::candidates`], if they are very many.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_candidates: usize,
    pub metadata: Metadata,
    pub skipped: Vec<Skipped>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torchscript: Option<Script>,
}

/// A dict of tensors.
#[derive(Serialize)]
pub struct Weights {
    pub key: Option<String>,
    pub model: Option<&'static str>,
    pub elements: u64,
    pub tensor_bytes: u64,
    pub tensors_sha256: String,
    pub tensors: Vec<Tensor>,
}

#[derive(Serialize)]
pub struct Tensor {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub elements: u64,
    pub bytes: u64,
    /// Of the elements, row-major, little-endian.
    pub sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
}

/// Minimum, maximum and mean are those of the finite elements; null for complex numbers, or without any. The number of infinite
/// elements is null for complex numbers, too.
#[derive(Serialize)]
pub struct Statistics {
    /// An integer for a type of integers, else in float64; `max`, too.
    pub min: Option<Number>,
    pub max: Option<Number>,
    /// In float64.
    pub mean: Option<Number>,
    pub nan: u64,
    pub inf: Option<u64>,
}

/// A value of a checkpoint that is not a tensor of the weights.
#[derive(Serialize)]
pub struct Skipped {
    pub path: String,
    pub what: String,
}

/// The state of a run in a checkpoint of stitch.
#[derive(Serialize)]
pub struct Checkpoint {
    pub version: u64,
    /// Finished epochs.
    pub epochs: usize,
    /// Steps of the epoch in progress.
    pub steps: u64,
    /// Optimizer steps.
    pub updates: u64,
    /// As in `config.json`.
    pub config: Value,
}

/// The code of a TorchScript file.
#[derive(Serialize)]
pub struct Script {
    pub class: String,
    /// The mode that was saved; null if the module has none.
    pub training: Option<bool>,
    /// Lines of code.
    pub lines: usize,
    /// The signature of `forward`; null if there is none.
    pub forward: Option<String>,
    /// Text by Python module, with `--code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<serde_json::Map<String, Value>>,
}

/// A trace folder.
#[derive(Serialize)]
pub struct Trace {
    pub kind: &'static str,
    pub version: u32,
    pub model: String,
    /// Whether it has its end marker; without it, the run did not end.
    pub complete: bool,
    pub tensors: usize,
    /// Tensors of which only the SHA-256 was kept.
    pub hash_only: usize,
    pub epochs: usize,
    pub steps: usize,
    pub stages: Vec<Stage>,
    pub files: Vec<NamedFile>,
}

/// The tensors of a stage of a trace.
#[derive(Serialize)]
pub struct Stage {
    pub stage: String,
    pub tensors: usize,
    pub hash_only: usize,
    /// The first and the last step; null if they are of no step.
    pub steps: Option<[usize; 2]>,
    pub names: usize,
}

/// A file in a folder.
#[derive(Serialize)]
pub struct NamedFile {
    pub name: String,
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A run folder.
#[derive(Serialize)]
pub struct Run {
    /// `run` or `evaluation`.
    pub kind: &'static str,
    pub complete: bool,
    pub model: Option<String>,
    /// `config.json`; of an interrupted run, that in its newest intact checkpoint.
    pub config: Option<Value>,
    /// `metrics.json`.
    pub metrics: Option<Value>,
    /// SHA-256 of `weights.safetensors`.
    pub weights_sha256: Option<String>,
    pub files: Vec<NamedFile>,
}

/// An IDX file.
#[derive(Serialize)]
pub struct Idx {
    /// `idx_images` or `idx_labels`.
    pub kind: &'static str,
    #[serde(flatten)]
    pub sum: FileSum,
    /// Whether it is compressed by gzip.
    pub gzip: bool,
    /// Of the unpacked file.
    pub unpacked: FileSum,
    /// The name of the official file of Fashion-MNIST that it is.
    pub official: Option<&'static str>,
    /// Number of images or labels.
    pub count: u64,
    /// Channels, height and width of the images; null for labels.
    pub shape: Option<[usize; 3]>,
    /// How many labels there are of each value; null for images.
    pub labels: Option<Vec<Label>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
}

#[derive(Serialize)]
pub struct Label {
    pub label: u8,
    /// The name of the class in an official file.
    pub class: Option<String>,
    pub count: u64,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}
