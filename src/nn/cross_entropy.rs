//! `F.cross_entropy` and `nn.CrossEntropyLoss` on tensors: the loss is not a layer of a network.

use tch::{Reduction, Tensor};

/// `F.cross_entropy(logits, labels)`: the mean over the batch, a scalar that autograd can differentiate.
/// `logits` are (N, classes); `labels` (N) are int64.
///
/// ```
/// use stitch::nn::cross_entropy;
/// use tch::Tensor;
///
/// let logits = Tensor::zeros([2, 10], (tch::Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
/// let labels = Tensor::from_slice(&[3i64, 7]);
/// let loss = cross_entropy(&logits, &labels);
/// assert!((loss.double_value(&[]) - 10f64.ln()).abs() < 1e-6);
/// loss.backward();
/// assert_eq!(logits.grad().size(), [2, 10]);
/// ```
///
/// # Panics
/// With libtorch's message if shapes or element types do not match.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    smoothed_cross_entropy(logits, labels, 0.0)
}

/// `F.cross_entropy(logits, labels, label_smoothing=…)`, with a smoothing from 0 to 1.
///
/// # Panics
/// As [`cross_entropy`].
pub fn smoothed_cross_entropy(logits: &Tensor, labels: &Tensor, label_smoothing: f64) -> Tensor {
    // The other arguments, class weights, reduction and ignore_index, have PyTorch's defaults.
    logits.cross_entropy_loss::<Tensor>(labels, None, Reduction::Mean, -100, label_smoothing)
}
