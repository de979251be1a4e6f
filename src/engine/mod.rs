//! Engines: implementations of a training step.
//!
//! | engine | computation |
//! |---|---|
//! | [`Eager`] | libtorch's autograd over the network's operations, on any device; the reference |
//! | [`Exact`] | bit-identical on the CPU (scikit-learn's models: within 1e-12), with kernels for supported patterns of operations |
//! | [`Fast`] | kernels with another order of summation, for chains of convolutions with pooling, then linear layers |

mod chain;
mod criterion;
mod eager;
mod exact;
mod fast;
#[cfg(test)]
pub(crate) mod test_data;
mod window;

use tch::Tensor;

pub use criterion::Criterion;
pub use eager::Eager;
pub use exact::{Exact, Forward};
pub use fast::Fast;

use crate::dataset::loader::Batch;
use crate::nn::{FlatParameters, ForwardFailed, Model};
use crate::optim::Optimizer;

/// A network with its loss and its optimizer. The methods compute the notebook's step, in this order: `zero_grad`,
/// `model(xs)`, `criterion(logits, ys)`, `backward` and `step`.
pub trait TrainStep {
    /// The network, with the parameters after the latest step.
    fn model(&self) -> &Model;

    /// `optimizer.zero_grad()`.
    fn zero_grad(&mut self);

    /// `logits = model(xs)`, in training mode.
    fn forward(&mut self, batch: &Batch);

    /// `loss = criterion(logits, ys)`; returns the mean over the batch.
    fn loss(&mut self, batch: &Batch) -> f64;

    /// `loss.backward()`.
    fn backward(&mut self);

    /// `optimizer.step()`.
    fn step(&mut self);

    /// Whether the following steps keep the outputs of the layers ([`StepOutput::layers`]), which some engines can.
    fn keep_layers(&mut self, _keep: bool) {}

    /// The results of the last step; `None` if the engine does not keep them.
    fn output(&self) -> Option<StepOutput>;

    /// The optimizer's state under PyTorch's names, in the order of the parameters. The tensors share their memory with
    /// the optimizer's.
    fn optimizer_state(&self) -> Vec<(&'static str, Vec<Tensor>)>;

    /// The optimizer, with its moments after the latest step.
    fn optimizer(&self) -> &dyn Optimizer;

    /// The optimizer, mutable.
    fn optimizer_mut(&mut self) -> &mut dyn Optimizer;

    /// Returns the trained network.
    fn into_model(self: Box<Self>) -> Model;
}

/// The results of a step before the update.
#[derive(Debug)]
pub struct StepOutput {
    /// Normalized images in the network's input shape.
    pub images: Tensor,
    /// Labels (N), int64.
    pub labels: Tensor,
    /// The outputs of the layers in the order of the forward pass, if they are kept.
    pub layers: Vec<LayerOutput>,
    /// Logits (N, classes).
    pub logits: Tensor,
    /// Mean loss, a scalar of the network's element type.
    pub loss: Tensor,
    /// Gradients w.r.t. the parameters, in the order of the parameters.
    pub gradients: Vec<Tensor>,
}

/// The output of a layer in a step.
#[derive(Debug)]
pub struct LayerOutput {
    /// Path of the layer, such as `conv1`; `path#2` for its second call.
    pub name: String,
    /// Class of the layer in `torch.nn`.
    pub class: &'static str,
    /// Its output.
    pub output: Tensor,
    /// The gradient of the loss w.r.t. the output; `None` if the loss does not depend on a parameter through it.
    pub gradient: Option<Tensor>,
}

/// The parameters that the loss of a step does not depend on: the optimizer skips them, as in Python, where their `grad` is
/// None.
#[derive(Debug, Default)]
struct Skipped(Option<Vec<usize>>);

impl Skipped {
    /// Sets the indices of these parameters in a step. Unwinds with [`ForwardFailed`] if they are not those of the step before,
    /// and the optimizer counts its steps.
    fn set(&mut self, model: &Model, optimizer: &dyn Optimizer, now: Vec<usize>) {
        let before = self.0.replace(now.clone()).filter(|_| optimizer.counts_steps());
        let before = before.unwrap_or_else(|| now.clone());
        let mut parameters = model.graph().parameters().iter().enumerate();
        if let Some((_, spec)) = parameters.find(|(i, _)| before.contains(i) != now.contains(i)) {
            ForwardFailed(format!(
                "it computes with the parameter {} in some steps only: adam and adamw do not support that, sgd, rmsprop and \
                 adadelta do",
                spec.name
            ))
            .raise();
        }
    }

    fn indices(&self) -> &[usize] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// The gradient w.r.t. a parameter; `None` if the loss does not depend on it. Unwinds with [`ForwardFailed`] if it is sparse.
fn gradient(model: &Model, index: usize) -> Option<Tensor> {
    let gradient = Some(model.parameters()[index].grad()).filter(Tensor::defined)?;
    if gradient.is_sparse() {
        let name = &model.graph().parameters()[index].name;
        let text = format!(
            "the gradient of {name} is sparse, which is not supported: use sparse=False in nn.Embedding"
        );
        ForwardFailed(text).raise();
    }
    Some(gradient)
}

/// The state, per parameter, of an optimizer whose only parameter is the flat tensor of all parameters.
fn flat_state(
    optimizer: &dyn Optimizer,
    layout: &FlatParameters,
) -> Vec<(&'static str, Vec<Tensor>)> {
    let state = optimizer.state().into_iter();
    state.map(|(name, tensors)| (name, layout.views_of(&tensors[0]))).collect()
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;

    #[test]
    fn kernels_without_avx512_are_bit_identical() {
        let mut tests = Command::new(env::current_exe().unwrap());
        tests.args(["engine::", "--skip", "without_avx512"]).env("ATEN_CPU_CAPABILITY", "avx2");
        let output = tests.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        let is_run = !text.contains("running 0 tests");
        assert!(output.status.success() && is_run, "{text}\n{errors}");
    }
}
