//! Writes a trace while the port trains.
//!
//! The kept tensors stay in memory until the end of the run: one or two megabytes an epoch.

use serde::Serialize;
use sha2::{Digest, Sha256};
use tch::Tensor;

use super::trace::{FORMAT, Header, Record, Stage, VERSION};
use crate::dataset::loader::images;
use crate::dataset::{PIXELS, Split};
use crate::engine::StepOutput;
use crate::evaluate::Evaluation;
use crate::models::ModelEntry;
use crate::nn::{Model, bytes_of, dtype_of};
use crate::sha256;
use crate::train::{StepTensors, Tracer};
use tensor_files::{Metadata, NamedTensor, ReadError, safetensors};

/// Larger tensors are recorded by their hash alone.
const KEPT_BYTES: usize = 1 << 20;
/// Steps whose tensors are recorded, besides the last of each epoch.
const STEPS: [usize; 5] = [1, 2, 3, 10, 100];
/// Images that are normalised and hashed at a time.
const IMAGES: usize = 1000;

/// Writes down a run as it goes on.
#[derive(Debug)]
pub struct Recorder {
    lines: Vec<String>,
    kept: Vec<NamedTensor>,
    names: Vec<String>,
}

impl Recorder {
    /// Starts with the data and the initial parameters of `model`.
    pub fn new(entry: &ModelEntry, model: &Model, train: &Split, test: &Split) -> Self {
        let header = Header { format: FORMAT.into(), version: VERSION, model: entry.name.into() };
        let names = model.graph().parameters().iter().map(|spec| spec.name.clone()).collect();
        let mut recorder = Self { lines: vec![json(&header)], kept: Vec::new(), names };
        for (half, split) in [("train", train), ("test", test)] {
            recorder.images(&format!("{half}.images"), model, &split.images);
            let labels: Vec<i64> = split.labels.iter().map(|&label| label.into()).collect();
            let labels = Tensor::from_slice(&labels);
            recorder.record(Stage::Data, &format!("{half}.labels"), (None, None), &labels);
        }
        recorder.parameters(Stage::Init, None, model.parameters());
        recorder
    }

    /// Ends with the final parameters and buffers, and the answers on the test images.
    pub fn finish(&mut self, model: &Model, evaluation: &Evaluation) {
        for (name, tensor) in model.state() {
            self.record(Stage::Final, name, (None, None), &tensor);
        }
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
        Ok((lines.into_bytes(), safetensors::write(&self.kept, &Metadata::new())?))
    }

    fn parameters(&mut self, stage: Stage, step: Option<usize>, values: &[Tensor]) {
        for (name, value) in self.names.clone().iter().zip(values) {
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
        let sha256 = sha256::of(&data);
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
    fn images(&mut self, name: &str, model: &Model, pixels: &[u8]) {
        let normalized = |part| images(part, model.graph().input(), model.kind(), model.device());
        if pixels.len() <= IMAGES * PIXELS {
            let images = normalized(pixels);
            return self.record(Stage::Data, name, (None, None), &images);
        }
        let mut hash = Sha256::new();
        let mut shape = Vec::new();
        for part in pixels.chunks(IMAGES * PIXELS) {
            let images = normalized(part);
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
            dtype: dtype_of(model.kind()).name().into(),
            shape,
            sha256: sha256::hex(&hash.finalize()),
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
        let StepOutput { images, labels, logits, loss, gradients } = tensors.output;
        self.record(Stage::Batch, "images", at, images);
        self.record(Stage::Batch, "labels", at, labels);
        self.record(Stage::Logits, "logits", at, logits);
        self.record(Stage::Loss, "loss", at, loss);
        self.parameters(Stage::Gradient, Some(step), gradients);
        for (name, moments) in tensors.optimizer {
            match *name {
                "exp_avg" => self.parameters(Stage::ExpAvg, Some(step), moments),
                "exp_avg_sq" => self.parameters(Stage::ExpAvgSq, Some(step), moments),
                // Version 1 of the format has no stage for another state.
                _ => {}
            }
        }
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
