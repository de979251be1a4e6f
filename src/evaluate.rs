//! Predictions of a model and their probabilities, and their scores on labeled images.

use tch::{Device, Kind, Tensor};

use crate::dataset::{CLASSES, PIXELS, Split};
use crate::engine::Forward;
use crate::metrics::{ClassificationReport, ConfusionMatrix};
use crate::nn::Model;

/// Number of images per forward pass. The logits do not depend on it (verified against a single pass over 10,000
/// images); activations of this size stay in the cache.
pub const BATCH: usize = 250;

/// A model's predictions and their scores.
#[derive(Debug)]
pub struct Evaluation {
    /// Logits (N, 10) of each image, on the CPU.
    pub logits: Tensor,
    /// The predicted class of each image: the index of the largest logit, the first in case of a tie.
    pub predicted: Vec<u8>,
    /// Confusion matrix (rows: true, columns: predicted).
    pub matrix: ConfusionMatrix,
    /// Accuracy, precision, recall, F1.
    pub report: ClassificationReport,
}

/// Classifies every image of `data`.
pub fn evaluate(model: &Model, data: &Split) -> Evaluation {
    let logits = logits(model, &data.images);
    let classes = logits.argmax(1, false).to_kind(Kind::Uint8);
    let mut predicted = vec![0; classes.numel()];
    classes.copy_data_u8(&mut predicted, classes.numel());
    let matrix = ConfusionMatrix::new(&data.labels, &predicted);
    Evaluation { logits, report: matrix.report(), predicted, matrix }
}

/// Computes the logits (N, 10) of the images in `pixels` (N x 784 bytes); returns them on the CPU.
pub fn logits(model: &Model, pixels: &[u8]) -> Tensor {
    let n = (pixels.len() / PIXELS) as i64;
    tch::no_grad(|| {
        let forward = Forward::new(model);
        let logits = Tensor::empty([n, CLASSES as i64], (model.kind(), Device::Cpu));
        // All logits are in one tensor: many small ones between freed large ones would fragment the heap.
        for (rows, batch) in
            logits.split(BATCH as i64, 0).iter_mut().zip(pixels.chunks(BATCH * PIXELS))
        {
            rows.copy_(&forward.logits(&model.images(batch)));
        }
        logits
    })
}

/// `F.cross_entropy` in float64: the mean of -ln(p) of the true class, where p is the softmax of `logits` (N, 10),
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
/// (N, 10) are log-probabilities. `labels` has N elements.
pub fn nll(outputs: &Tensor, labels: &[u8]) -> f64 {
    let losses =
        rows(outputs).into_iter().zip(labels).map(|(row, &label)| -row[usize::from(label)]);
    losses.sum::<f64>() / labels.len() as f64
}

/// The probability of each class per image: the softmax of `logits` (N, 10) in float64.
pub fn probabilities(logits: &Tensor) -> Vec<[f64; CLASSES]> {
    rows(&logits.softmax(-1, Kind::Double))
}

/// Copies the rows of a tensor (N, 10) to float64.
pub(crate) fn rows(tensor: &Tensor) -> Vec<[f64; CLASSES]> {
    elements(tensor).as_chunks().0.to_vec()
}

/// Copies the elements of a tensor to float64, row-major.
pub(crate) fn elements(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_kind(Kind::Double).contiguous();
    let mut elements = vec![0.0; tensor.numel()];
    tensor.copy_data(&mut elements, tensor.numel());
    elements
}
