//! Predictions of a model on labelled images, and what they are worth.

use tch::Kind;

use crate::dataset::{PIXELS, Split};
use crate::metrics::{ClassificationReport, ConfusionMatrix};
use crate::models::Model;

/// Images a forward pass. The logits do not depend on it (checked against one pass over all
/// 10,000); activations of this size stay in the cache.
const BATCH: usize = 250;

/// A model's answers and their scores.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The predicted class of each image: the largest logit, the first of equals.
    pub predicted: Vec<u8>,
    /// True against predicted classes.
    pub matrix: ConfusionMatrix,
    /// Accuracy, precision, recall, F1.
    pub report: ClassificationReport,
}

/// Classifies every image of `data`.
pub fn evaluate(model: &dyn Model, data: &Split) -> Evaluation {
    let predicted = predict(model, &data.images);
    let matrix = ConfusionMatrix::new(&data.labels, &predicted);
    Evaluation { report: matrix.report(), predicted, matrix }
}

/// The class of each image in `pixels` (N x 784 bytes).
pub fn predict(model: &dyn Model, pixels: &[u8]) -> Vec<u8> {
    tch::no_grad(|| {
        pixels
            .chunks(BATCH * PIXELS)
            .flat_map(|batch| {
                let classes = model.forward(&model.input(batch)).argmax(1, false);
                let classes = classes.to_device(tch::Device::Cpu).to_kind(Kind::Uint8);
                let mut bytes = vec![0; classes.numel()];
                classes.copy_data_u8(&mut bytes, classes.numel());
                bytes
            })
            .collect()
    })
}
