//! Records the trace of a training run.

use std::fs::File;
use std::path::Path;

use crate::libtorch::{bytes_of, dtype_of};
use stitch_trace::{Place, WriteError, Writer, stage};
use tch::Tensor;

use crate::dataset::Split;
use crate::engine::{LayerOutput, StepOutput};
use crate::evaluate::Evaluation;
use crate::models::ModelEntry;
use crate::nn::Model;
use crate::parity::TracedSteps;
use crate::train::{StepTensors, Tracer};

/// Number of images that are normalized and hashed at once.
const CHUNK: usize = 1000;

/// Records a run while it trains. Each tensor is written when it is recorded: the trace of a run that does not end is
/// truncated, and can be read up to there.
#[derive(Debug)]
pub struct Recorder {
    trace: Writer<File, File>,
    parameters: Vec<String>,
    buffers: Vec<String>,
    steps: TracedSteps,
    /// The first error, which [`Recorder::finish`] returns.
    result: Result<(), WriteError>,
}

impl Recorder {
    /// Starts a trace of `steps` in `folder`, which replaces one that is there, and records the data sets and the initial
    /// parameters of `model`.
    ///
    /// # Errors
    /// [`WriteError`] if the folder or its files cannot be created.
    pub fn create(
        folder: &Path,
        steps: TracedSteps,
        entry: &ModelEntry,
        model: &Model,
        [train, test]: [&Split; 2],
    ) -> Result<Self, WriteError> {
        let graph = model.graph();
        let parameters = graph.parameters().iter().map(|spec| spec.name.clone()).collect();
        let buffers = graph.buffers().iter().map(|spec| spec.name.clone()).collect();
        let trace = Writer::create(folder, entry.name)?;
        let mut recorder = Self { trace, parameters, buffers, steps, result: Ok(()) };
        for (half, split) in [("train", train), ("test", test)] {
            recorder.images(&format!("{half}.images"), model, &split.images);
            let labels: Vec<i64> = split.labels.iter().map(|&label| label.into()).collect();
            let labels = Tensor::from_slice(&labels);
            recorder.record(stage::DATA, &format!("{half}.labels"), Place::RUN, &labels);
        }
        recorder.parameters(stage::INIT, Place::RUN, model.parameters());
        Ok(recorder)
    }

    /// Records the final parameters and buffers, and logits, predictions and scores of the test images, and ends the trace.
    ///
    /// # Errors
    /// [`WriteError`] if a tensor could not be recorded, now or during the run.
    pub fn finish(mut self, model: &Model, evaluation: &Evaluation) -> Result<(), WriteError> {
        for (name, tensor) in model.state() {
            self.record(stage::FINAL, name, Place::RUN, &tensor);
        }
        self.record(stage::TEST_LOGITS, "logits", Place::RUN, &evaluation.logits);
        let predicted: Vec<i64> = evaluation.predicted.iter().map(|&class| class.into()).collect();
        self.record(stage::PREDICTIONS, "y_pred", Place::RUN, &Tensor::from_slice(&predicted));
        let counts = &evaluation.matrix.counts;
        let flat: Vec<i64> = counts.iter().flatten().map(|&count| count as i64).collect();
        let counts = Tensor::from_slice(&flat).view([counts.len() as i64, -1]);
        self.record(stage::CONFUSION_MATRIX, "counts", Place::RUN, &counts);
        let accuracy = Tensor::from(evaluation.report.accuracy);
        self.record(stage::ACCURACY, "accuracy", Place::RUN, &accuracy);
        self.result?;
        let (records, elements) = self.trace.finish()?;
        records.sync_all()?;
        Ok(elements.sync_all()?)
    }

    /// The first error, if a tensor could not be recorded.
    pub fn into_error(self) -> Option<WriteError> {
        self.result.err()
    }

    fn named(&mut self, stage: &str, place: Place, names: &[String], values: &[Tensor]) {
        for (name, value) in names.iter().zip(values) {
            self.record(stage, name, place, value);
        }
    }

    fn parameters(&mut self, stage: &str, place: Place, values: &[Tensor]) {
        let names = self.parameters.clone();
        self.named(stage, place, &names, values);
    }

    fn layer(&mut self, stage: &str, place: Place, layer: &LayerOutput, tensor: &Tensor) {
        self.trace.set_class(Some(layer.class));
        self.record(stage, &layer.name, place, tensor);
        self.trace.set_class(None);
    }

    fn record(&mut self, stage: &str, name: &str, place: Place, tensor: &Tensor) {
        if self.result.is_ok() {
            let dtype = dtype_of(tensor.kind());
            let shape: Vec<usize> = tensor.size().iter().map(|&size| size as usize).collect();
            let bytes = bytes_of(tensor);
            self.result = self.trace.record(stage, name, place, dtype, &shape, &bytes);
        }
    }

    /// Records all images as one tensor, in chunks of [`CHUNK`].
    fn images(&mut self, name: &str, model: &Model, pixels: &[u8]) {
        let (kind, input) = (model.kind(), model.graph().input());
        let normalized = |part| bytes_of(&model.images(part));
        let sizes: Vec<usize> = input.iter().map(|&size| size as usize).collect();
        let bytes = sizes.iter().product::<usize>();
        let shape = [&[pixels.len() / bytes][..], &sizes].concat();
        let parts = pixels.chunks(CHUNK * bytes).map(normalized);
        if self.result.is_ok() {
            let (trace, dtype) = (&mut self.trace, dtype_of(kind));
            self.result = trace.record_parts(stage::DATA, name, Place::RUN, dtype, &shape, parts);
        }
    }
}

impl Tracer for Recorder {
    fn order(&mut self, epoch: usize, order: &[u32]) {
        let order: Vec<i64> = order.iter().map(|&i| i.into()).collect();
        let order = Tensor::from_slice(&order);
        self.record(stage::PERMUTATION, "order", Place::epoch(epoch), &order);
    }

    fn traces(&self, step: usize, last: bool) -> bool {
        self.steps.contains(step, last)
    }

    fn before_step(&mut self, step: usize, buffers: &[Tensor]) {
        let names = self.buffers.clone();
        self.named(stage::BUFFER_BEFORE, Place::step(step), &names, buffers);
    }

    fn step(&mut self, step: usize, tensors: &StepTensors) {
        let at = Place::step(step);
        let StepOutput { images, labels, layers, logits, loss, gradients } = tensors.output;
        self.record(stage::BATCH, "images", at, images);
        self.record(stage::BATCH, "labels", at, labels);
        for layer in layers {
            self.layer(stage::FORWARD, at, layer, &layer.output);
        }
        self.record(stage::LOGITS, "logits", at, logits);
        self.record(stage::LOSS, "loss", at, loss);
        for layer in layers.iter().rev() {
            if let Some(gradient) = &layer.gradient {
                self.layer(stage::BACKWARD, at, layer, gradient);
            }
        }
        self.parameters(stage::GRADIENT, at, gradients);
        self.record(stage::LEARNING_RATE, "0", at, &Tensor::from(tensors.lr));
        for (name, state) in tensors.optimizer {
            self.parameters(name, at, state);
        }
        self.parameters(stage::PARAMETER, at, tensors.parameters);
        let names = self.buffers.clone();
        self.named(stage::BUFFER, at, &names, tensors.buffers);
    }

    fn has_failed(&self) -> bool {
        self.result.is_err()
    }

    fn epoch(&mut self, epoch: usize, loss: f64) {
        self.record(stage::EPOCH_LOSS, "loss", Place::epoch(epoch), &Tensor::from(loss));
    }
}
