//! The trace of a run: its records, and the recorder that a training run feeds.
//!
//! The format is described in `docs/trace-format.md`; `tests/reference/tracing.py` is its other
//! writer.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use crate::dataset::{PIXELS, Split};
use crate::evaluate::Evaluation;
use crate::formats::{Dtype, NamedTensor, ReadError, safetensors};
use crate::models::Model;
use crate::train::{StepTensors, Tracer};

/// Folder of the trace in a run folder.
pub const FOLDER: &str = "trace";
/// The records.
pub const RECORDS: &str = "trace.jsonl";
/// The tensors that were kept.
pub const TENSORS: &str = "trace.safetensors";
/// The version of the format that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// The header's `format`.
const FORMAT: &str = "stitch-trace";
/// Larger tensors are recorded by their hash alone.
const KEPT_BYTES: usize = 1 << 20;
/// Steps whose tensors are recorded, besides the last of each epoch.
const STEPS: [usize; 5] = [1, 2, 3, 10, 100];
/// Images that are normalised and hashed at a time.
const IMAGES: usize = 1000;

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

/// Writes down a run as it goes on.
#[derive(Debug)]
pub struct Recorder {
    lines: Vec<String>,
    kept: Vec<NamedTensor>,
    names: Vec<&'static str>,
}

impl Recorder {
    /// Starts with the data and the initial parameters of `model`.
    pub fn new(model: &dyn Model, train: &Split, test: &Split) -> Self {
        let header = Header {
            format: FORMAT.into(),
            version: VERSION,
            model: model.architecture().name().into(),
        };
        let names = model.architecture().parameters().iter().map(|&(name, _)| name).collect();
        let mut recorder = Self { lines: vec![json(&header)], kept: Vec::new(), names };
        for (half, split) in [("train", train), ("test", test)] {
            recorder.images(&format!("{half}.images"), model, &split.images);
            let labels: Vec<i64> = split.labels.iter().map(|&label| label.into()).collect();
            let labels = Tensor::from_slice(&labels);
            recorder.record(Stage::Data, &format!("{half}.labels"), (None, None), &labels);
        }
        recorder.parameters(Stage::Init, None, &model.parameters());
        recorder
    }

    /// Ends with the final parameters and the answers on the test images.
    pub fn finish(&mut self, model: &dyn Model, evaluation: &Evaluation) {
        self.parameters(Stage::Final, None, &model.parameters());
        let nowhere = (None, None);
        self.record(Stage::TestLogits, "logits", nowhere, &evaluation.logits);
        let predicted: Vec<i64> = evaluation.predicted.iter().map(|&class| class.into()).collect();
        self.record(Stage::Predictions, "y_pred", nowhere, &Tensor::from_slice(&predicted));
        let counts = evaluation.matrix.counts;
        let flat: Vec<i64> = counts.as_flattened().iter().map(|&count| count as i64).collect();
        let counts = Tensor::from_slice(&flat).view([counts.len() as i64, -1]);
        self.record(Stage::ConfusionMatrix, "counts", nowhere, &counts);
        let accuracy = Tensor::from(evaluation.report.accuracy);
        self.record(Stage::Accuracy, "accuracy", nowhere, &accuracy);
    }

    /// The bytes of `trace.jsonl` and of `trace.safetensors`.
    ///
    /// # Errors
    /// When the tensors cannot be put into a safetensors file.
    pub fn into_files(self) -> Result<(Vec<u8>, Vec<u8>), ReadError> {
        let lines = self.lines.join("\n") + "\n";
        Ok((lines.into_bytes(), safetensors::write(&self.kept)?))
    }

    fn parameters(&mut self, stage: Stage, step: Option<usize>, values: &[Tensor]) {
        for (name, value) in self.names.clone().into_iter().zip(values) {
            self.record(stage, name, (None, step), value);
        }
    }

    /// Records a tensor with its elements, if they are few enough.
    fn record(
        &mut self,
        stage: Stage,
        name: &str,
        (epoch, step): (Option<usize>, Option<usize>),
        tensor: &Tensor,
    ) {
        let dtype = dtype_of(tensor.kind());
        let shape: Vec<usize> = tensor.size().iter().map(|&n| n as usize).collect();
        let data = bytes_of(tensor);
        let sha256 = hex(&Sha256::digest(&data));
        let dtype_name = dtype.name().to_owned();
        let name = name.to_owned();
        let record =
            Record { stage, name, epoch, step, dtype: dtype_name, shape: shape.clone(), sha256 };
        if data.len() <= KEPT_BYTES {
            self.kept.push(NamedTensor { name: record.key(), dtype, shape, data });
        }
        self.lines.push(json(&record));
    }

    /// Records all images as one tensor, a part of them at a time.
    fn images(&mut self, name: &str, model: &dyn Model, pixels: &[u8]) {
        if pixels.len() <= IMAGES * PIXELS {
            let images = model.input(pixels);
            return self.record(Stage::Data, name, (None, None), &images);
        }
        let mut hash = Sha256::new();
        let mut shape = Vec::new();
        for part in pixels.chunks(IMAGES * PIXELS) {
            let images = model.input(part);
            shape = images.size().iter().map(|&n| n as usize).collect();
            hash.update(bytes_of(&images));
        }
        if let Some(count) = shape.first_mut() {
            *count = pixels.len() / PIXELS;
        }
        self.lines.push(json(&Record {
            stage: Stage::Data,
            name: name.to_owned(),
            epoch: None,
            step: None,
            dtype: dtype_of(model.architecture().kind()).name().into(),
            shape,
            sha256: hex(&hash.finalize()),
        }));
    }
}

impl Tracer for Recorder {
    fn order(&mut self, epoch: usize, order: &[u32]) {
        let order: Vec<i64> = order.iter().map(|&i| i.into()).collect();
        let order = Tensor::from_slice(&order);
        self.record(Stage::Permutation, "order", (Some(epoch), None), &order);
    }

    fn wants(&self, step: usize, last: bool) -> bool {
        last || STEPS.contains(&step)
    }

    fn step(&mut self, step: usize, tensors: &StepTensors) {
        let at = (None, Some(step));
        self.record(Stage::Batch, "images", at, tensors.images);
        self.record(Stage::Batch, "labels", at, tensors.labels);
        self.record(Stage::Logits, "logits", at, tensors.logits);
        self.record(Stage::Loss, "loss", at, tensors.loss);
        self.parameters(Stage::Gradient, Some(step), tensors.gradients);
        self.parameters(Stage::ExpAvg, Some(step), tensors.exp_avg);
        self.parameters(Stage::ExpAvgSq, Some(step), tensors.exp_avg_sq);
        self.parameters(Stage::Parameter, Some(step), tensors.parameters);
    }

    fn epoch(&mut self, epoch: usize, loss: f64) {
        self.record(Stage::EpochLoss, "loss", (Some(epoch), None), &Tensor::from(loss));
    }
}

fn json(value: &impl Serialize) -> String {
    // Strings, numbers and lists of them always serialise.
    serde_json::to_string(value).unwrap_or_default()
}

/// Bytes as hexadecimal digits.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The element types that a run of ours has.
fn dtype_of(kind: Kind) -> Dtype {
    match kind {
        Kind::Double => Dtype::F64,
        Kind::Int64 => Dtype::I64,
        _ => Dtype::F32,
    }
}

fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, tensor.numel());
    bytes
}
