//! Predictions of a model, their probabilities, and on labelled images what they are worth.

use tch::{Device, Kind, Tensor};

use crate::dataset::loader::images;
use crate::dataset::{CLASSES, PIXELS, Split};
use crate::engine::Forward;
use crate::metrics::{ClassificationReport, ConfusionMatrix};
use crate::nn::Model;

/// Images a forward pass. The logits do not depend on it (checked against one pass over all
/// 10,000); activations of this size stay in the cache.
pub const BATCH: usize = 250;

/// A model's answers and their scores.
#[derive(Debug)]
pub struct Evaluation {
    /// Logits (N, 10) of each image, on the CPU.
    pub logits: Tensor,
    /// The predicted class of each image: the largest logit, the first of equals.
    pub predicted: Vec<u8>,
    /// True against predicted classes.
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

/// The logits (N, 10), on the CPU, of the images in `pixels` (N x 784 bytes).
pub fn logits(model: &Model, pixels: &[u8]) -> Tensor {
    let n = (pixels.len() / PIXELS) as i64;
    tch::no_grad(|| {
        let forward = Forward::new(model);
        let (input, kind, device) = (model.graph().input(), model.kind(), model.device());
        let logits = Tensor::empty([n, CLASSES as i64], (kind, Device::Cpu));
        // Into one tensor: small ones that stay between large ones that go would scatter the memory.
        for (rows, batch) in
            logits.split(BATCH as i64, 0).iter_mut().zip(pixels.chunks(BATCH * PIXELS))
        {
            rows.copy_(&forward.logits(&images(batch, input, kind, device)));
        }
        logits
    })
}

/// The mean over the images of -ln(p) of the true class, p the softmax of `logits` (N, 10), in float64
/// and in the order of the images: `F.cross_entropy` but for its float32. `labels` has N.
pub fn cross_entropy(logits: &Tensor, labels: &[u8]) -> f64 {
    let losses = rows(logits).into_iter().zip(labels).map(|(row, &label)| {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|logit| (logit - max).exp()).sum();
        sum.ln() - (row[usize::from(label)] - max)
    });
    losses.sum::<f64>() / labels.len() as f64
}

/// The probability of each class, image by image: the softmax of `logits` (N, 10) in float64.
pub fn probabilities(logits: &Tensor) -> Vec<[f64; CLASSES]> {
    rows(&logits.softmax(-1, Kind::Double))
}

/// The rows of (N, 10), as float64.
pub(crate) fn rows(tensor: &Tensor) -> Vec<[f64; CLASSES]> {
    elements(tensor).as_chunks().0.to_vec()
}

/// The elements, row by row, as float64.
pub(crate) fn elements(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_kind(Kind::Double).contiguous();
    let mut elements = vec![0.0; tensor.numel()];
    tensor.copy_data(&mut elements, tensor.numel());
    elements
}
