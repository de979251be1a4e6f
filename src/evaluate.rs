//! Predictions of a model and their probabilities, and their scores on labeled images.

use tch::{Device, Kind, Tensor};

use crate::dataset::Split;
use crate::dataset::classes::Classes;
use crate::engine::Forward;
use crate::libtorch::adapt_waiting;
use crate::metrics::{ClassificationReport, ConfusionMatrix};
use crate::nn::Model;

/// Number of images per forward pass. The logits do not depend on it (verified against a single pass over 10,000
/// images); activations of this size stay in the cache.
pub const BATCH: usize = 250;

/// A model's predictions and their scores.
#[derive(Debug)]
pub struct Evaluation {
    /// Logits (N, classes) of each image, on the CPU.
    pub logits: Tensor,
    /// The predicted class of each image: the index of the largest logit, the first in case of a tie.
    pub predicted: Vec<u8>,
    /// Confusion matrix (rows: true, columns: predicted).
    pub matrix: ConfusionMatrix,
    /// Accuracy, precision, recall, F1.
    pub report: ClassificationReport,
    /// The names of the classes, one for each logit.
    pub classes: Classes,
}

/// Classifies every image of `data`.
///
/// # Panics
/// If the images do not have the size of the model's input, or a label has no logit.
pub fn evaluate(model: &Model, data: &Split) -> Evaluation {
    let logits = logits(model, &data.images);
    let classes = logits.argmax(1, false).to_kind(Kind::Uint8);
    let mut predicted = vec![0; classes.numel()];
    classes.copy_data_u8(&mut predicted, classes.numel());
    let classes = data.classes.clone().at_least(logits.size()[1] as usize);
    let matrix = ConfusionMatrix::new(classes.len(), &data.labels, &predicted);
    Evaluation { logits, report: matrix.report(), predicted, matrix, classes }
}

/// Computes the logits (N, classes) of the images in `pixels`; returns them on the CPU.
pub fn logits(model: &Model, pixels: &[u8]) -> Tensor {
    tch::no_grad(|| {
        let forward = Forward::new(model);
        let bytes = model.graph().input().iter().product::<i64>() as usize;
        let (n, classes) = ((pixels.len() / bytes) as i64, model.graph().output()[0]);
        let logits = Tensor::empty([n, classes], (model.kind(), Device::Cpu));
        // The network of a TorchScript file may change its buffers; the weights that are saved are those that were trained.
        let buffers: Vec<Tensor> = model.buffers().iter().map(Tensor::copy).collect();
        // All logits are in one tensor: many small ones between freed large ones would fragment the heap.
        for (rows, batch) in
            logits.split(BATCH as i64, 0).iter_mut().zip(pixels.chunks(BATCH * bytes))
        {
            adapt_waiting();
            rows.copy_(&forward.logits(&model.images(batch)));
        }
        for (buffer, before) in model.buffers().iter().zip(&buffers) {
            buffer.shallow_clone().copy_(before);
        }
        logits
    })
}

/// `F.cross_entropy` in float64: the mean of -ln(p) of the true class, where p is the softmax of `logits` (N, classes),
/// summed in the order of the images. `labels` has N elements.
pub fn cross_entropy(logits: &Tensor, labels: &[u8]) -> f64 {
    let losses = rows(logits).into_iter().zip(labels).map(|(row, &label)| {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|logit| (logit - max).exp()).sum();
        sum.ln() - (row[usize::from(label)] - max)
    });
    losses.sum::<f64>() / labels.len() as f64
}

/// `F.nll_loss` in float64: the mean of minus the output of the true class, summed in the order of the images; `outputs`
/// (N, classes) are log-probabilities. `labels` has N elements.
pub fn nll(outputs: &Tensor, labels: &[u8]) -> f64 {
    let losses =
        rows(outputs).into_iter().zip(labels).map(|(row, &label)| -row[usize::from(label)]);
    losses.sum::<f64>() / labels.len() as f64
}

/// The probability of each class per image: the softmax of `logits` (N, classes) in float64.
pub fn probabilities(logits: &Tensor) -> Vec<Vec<f64>> {
    rows(&logits.softmax(-1, Kind::Double))
}

/// Copies the rows of a tensor (N, classes) to float64.
pub(crate) fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
    elements(tensor).chunks(tensor.size()[1] as usize).map(<[f64]>::to_vec).collect()
}

/// Copies the elements of a tensor to float64, row-major.
pub(crate) fn elements(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_kind(Kind::Double).contiguous();
    let mut elements = vec![0.0; tensor.numel()];
    tensor.copy_data(&mut elements, tensor.numel());
    elements
}
