//! The loss functions: PyTorch's `CrossEntropyLoss` and `NLLLoss`, and the loss of scikit-learn's `MLPClassifier`.

use tch::{Device, Reduction, Tensor};

use crate::dataset::CLASSES;
use crate::dataset::loader::Batch;
use crate::libtorch::{backward, filled, in_parts, values, values_mut};
use crate::nn::{Model, cross_entropy, smoothed_cross_entropy};

/// Minimum number of elements per thread.
const GRAIN: usize = 1 << 10;

/// A loss function of logits (N, classes) and labels (N), int64.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Criterion {
    /// `nn.CrossEntropyLoss(label_smoothing=…)`: the mean over the batch, without class weights.
    CrossEntropy {
        /// Share of a label that is spread over all classes, 0 to 1.
        label_smoothing: f64,
    },
    /// `nn.NLLLoss()`: the mean over the batch of minus the output of the true class. The network returns
    /// log-probabilities: it ends with `log_softmax`.
    Nll,
    /// `MLPClassifier._backprop` of scikit-learn 1.9 (`sklearn/neural_network/_multilayer_perceptron.py`):
    /// the mean log-loss plus `0.5 * alpha * Σw² / N`. The sum is over the weights, not the intercepts.
    LogLoss {
        /// The factor of the L2 term.
        alpha: f64,
    },
}

impl Criterion {
    /// The loss, a scalar, and its gradient w.r.t. the logits: of the mean loss for PyTorch's losses; of the sum for the
    /// log-loss, in scikit-learn's order of operations.
    pub(super) fn exact(
        self,
        model: &Model,
        logits: &Tensor,
        (batch, labels): (&Batch, &Tensor),
    ) -> [Tensor; 2] {
        match self {
            Self::CrossEntropy { label_smoothing } if label_smoothing != 0.0 => {
                let logits = logits.detach().set_requires_grad(true);
                let loss =
                    tch::with_grad(|| smoothed_cross_entropy(&logits, labels, label_smoothing));
                backward(&loss, &loss.ones_like(), &[&logits])
                    .expect("the loss depends on the logits");
                [loss.detach(), logits.grad()]
            }
            Self::CrossEntropy { .. } => {
                let output = logits.log_softmax(-1, None);
                let grad = nll_loss_backward(&output, labels);
                let kind = output.kind();
                let grad = Tensor::internal_log_softmax_backward_data(&grad, &output, -1, kind);
                [output.nll_loss(labels), grad]
            }
            Self::Nll => [logits.nll_loss(labels), nll_loss_backward(logits, labels)],
            Self::LogLoss { alpha } => {
                let (log_loss, delta) = log_loss(logits, &batch.labels);
                let squares: f64 = weights(model).map(|(_, weight)| sum_of_squares(weight)).sum();
                let n = batch.len() as f64;
                let loss = log_loss / n + 0.5 * alpha * squares / n;
                [Tensor::from(loss), delta]
            }
        }
    }

    /// The loss as a tensor for autograd, computed by libtorch's operations, and its value.
    pub(super) fn eager(
        self,
        model: &Model,
        logits: &Tensor,
        (batch, labels): (&Batch, &Tensor),
    ) -> (Tensor, f64) {
        let (loss, alpha) = match self {
            Self::CrossEntropy { label_smoothing } => {
                (smoothed_cross_entropy(logits, labels, label_smoothing), None)
            }
            Self::Nll => (logits.nll_loss(labels), None),
            Self::LogLoss { alpha } => (cross_entropy(logits, labels), Some(alpha)),
        };
        let Some(alpha) = alpha else {
            let value = loss.double_value(&[]);
            return (loss, value);
        };
        let n = batch.len() as f64;
        let l2 = weights(model)
            .fold(loss.zeros_like(), |sum, (_, weight)| sum + weight.square().sum(weight.kind()))
            * (0.5 * alpha / n);
        // scikit-learn clips the probabilities in the loss, but not in its gradient.
        let (log_loss, _) = log_loss(&logits.detach().to_device(Device::Cpu), &batch.labels);
        let value = log_loss / n + l2.double_value(&[]);
        (loss + l2, value)
    }
}

/// The gradient of `nll_loss`, the mean over the batch, w.r.t. the log-probabilities.
fn nll_loss_backward(log_probabilities: &Tensor, labels: &Tensor) -> Tensor {
    let kind = log_probabilities.kind();
    let [one, n] = [1.0, labels.numel() as f64].map(|x| Tensor::from(x).to_kind(kind));
    let weight: Option<Tensor> = None;
    log_probabilities.nll_loss_backward(&one, labels, weight, Reduction::Mean, -100, &n)
}

/// The weights, which scikit-learn regularizes, with their indices: the parameters with more than one dimension.
fn weights(model: &Model) -> impl Iterator<Item = (usize, &Tensor)> {
    model.parameters().iter().enumerate().filter(|(_, parameter)| parameter.dim() > 1)
}

/// Converts the gradients of the sum of the losses to scikit-learn's gradients: `(gradient + alpha * weight) / n` for
/// weights, `gradient / n` for intercepts.
pub(super) fn regularize(model: &Model, gradients: &[Tensor], alpha: f64, n: usize) {
    let n = n as f64;
    for (gradient, parameter) in gradients.iter().zip(model.parameters()) {
        if parameter.dim() <= 1 {
            let _ = gradient.detach().g_div_scalar_(n);
        }
    }
    for (i, weight) in weights(model) {
        let mut gradient = gradients[i].detach();
        let (size, written) = (gradient.numel(), values_mut::<f64>(&mut gradient));
        in_parts((size, GRAIN), [written], [values::<f64>(weight)], |[gradients], [weights]| {
            let pairs = gradients.iter_mut().zip(weights);
            pairs.for_each(|(gradient, &weight)| *gradient = (*gradient + alpha * weight) / n);
        });
    }
}

/// The sum of the squares of all elements, independent of the number of threads.
fn sum_of_squares(weight: &Tensor) -> f64 {
    /// Number of elements with a sum of their own.
    const CHUNK: usize = 1 << 12;
    /// Number of independent sums of a chunk, for vector instructions.
    const SUMS: usize = 32;
    let chunks: Vec<&[f64]> = values(weight).chunks(CHUNK).collect();
    let mut totals = vec![0.0; chunks.len()];
    in_parts((chunks.len(), 1), [&mut totals], [&chunks], |[totals], [chunks]| {
        for (total, chunk) in totals.iter_mut().zip(chunks) {
            let mut sums = [0.0; SUMS];
            let (whole, rest) = chunk.as_chunks::<SUMS>();
            for part in whole.iter().map(|part| &part[..]).chain([rest]) {
                part.iter().zip(&mut sums).for_each(|(&weight, sum)| *sum += weight * weight);
            }
            *total = sums.iter().sum();
        }
    });
    totals.iter().sum()
}

/// Softmax and `sklearn.neural_network._base.log_loss`: returns the sum of -ln(p) of the true class, where p is clipped
/// to `[eps, 1 - eps]` with the eps of float64; and the gradient of the sum w.r.t. the logits (N, 10),
/// `probabilities - one_hot(labels)`.
fn log_loss(logits: &Tensor, labels: &[u8]) -> (f64, Tensor) {
    let mut losses = vec![0.0; labels.len()];
    let delta = filled(&logits.size(), |delta: &mut [f64]| {
        let delta = delta.as_chunks_mut::<CLASSES>().0;
        let logits = values::<f64>(logits).as_chunks::<CLASSES>().0;
        let rows: Vec<_> = logits.iter().zip(labels).collect();
        let mut written: Vec<_> = delta.iter_mut().zip(&mut losses).collect();
        in_parts((rows.len(), GRAIN / CLASSES), [&mut written], [&rows], |[written], [rows]| {
            for ((row, loss), &(logits, &label)) in written.iter_mut().zip(rows) {
                let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                **row = logits.map(|logit| (logit - max).exp());
                let total: f64 = row.iter().sum();
                row.iter_mut().for_each(|p| *p /= total);
                let p = &mut row[usize::from(label)];
                **loss = -p.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
                *p -= 1.0;
            }
        });
    });
    (losses.iter().sum(), delta)
}
