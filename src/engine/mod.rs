//! How a training step is computed.
//!
//! | engine | what it is |
//! |---|---|
//! | [`Eager`] | libtorch's autograd over the network's operations, on any device: the reference |
//! | [`Exact`] | the same bits on the CPU (scikit-learn's models: within 1e-12), with kernels for the patterns that they support |
//! | [`Fast`] | another order of summation, for networks of one shape |

mod chain;
mod criterion;
mod eager;
pub(crate) mod exact;
pub(crate) mod fast;

use tch::Tensor;

pub use criterion::Criterion;
pub use eager::Eager;
pub use exact::{Exact, Forward};
pub use fast::Fast;

use crate::dataset::loader::Batch;
use crate::nn::{FlatParameters, Model};
use crate::optim::Optimizer;

/// A network, its loss and its optimizer, and how they compute a step: the notebook's `zero_grad`,
/// `model(xs)`, `criterion(logits, ys)`, `backward` and `step`, to be called in this order.
pub trait TrainStep {
    /// The network.
    fn model(&self) -> &Model;

    /// `optimizer.zero_grad()`.
    fn zero_grad(&mut self);

    /// `logits = model(xs)`, in training mode.
    fn forward(&mut self, batch: &Batch);

    /// `loss = criterion(logits, ys)`: the mean over the batch.
    fn loss(&mut self, batch: &Batch) -> f64;

    /// `loss.backward()`.
    fn backward(&mut self);

    /// `optimizer.step()`.
    fn step(&mut self);

    /// What the last step computed; `None` where an engine does not keep it.
    fn output(&self) -> Option<StepOutput>;

    /// What the optimizer keeps for each parameter, by PyTorch's names, in the order of the parameters; the
    /// tensors share their memory with the optimizer's.
    fn optimizer_state(&self) -> Vec<(&'static str, Vec<Tensor>)>;

    /// The optimizer.
    fn optimizer(&self) -> &dyn Optimizer;

    /// The optimizer, to continue it.
    fn optimizer_mut(&mut self) -> &mut dyn Optimizer;

    /// The trained network.
    fn into_model(self: Box<Self>) -> Model;
}

/// What a step computes before the update.
#[derive(Debug)]
pub struct StepOutput {
    /// Normalized images, in the shape that the network takes.
    pub images: Tensor,
    /// Labels (N), int64.
    pub labels: Tensor,
    /// Logits (N, classes).
    pub logits: Tensor,
    /// Mean loss, a scalar of the network's type.
    pub loss: Tensor,
    /// Gradients w.r.t. the parameters, in their order.
    pub gradients: Vec<Tensor>,
}

/// The state of an optimizer whose only parameter is the buffer of all parameters.
fn flat_state(
    optimizer: &dyn Optimizer,
    layout: &FlatParameters,
) -> Vec<(&'static str, Vec<Tensor>)> {
    let state = optimizer.state().into_iter();
    state.map(|(name, tensors)| (name, layout.views_of(&tensors[0]))).collect()
}
