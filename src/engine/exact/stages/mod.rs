//! Parts of a network's forward and backward pass. A file is a kernel and the pattern that it supports.

pub(super) mod autograd;
mod direct;
mod linear;
mod relu_avg_pool2d;
mod reshape;

use std::fmt::Debug;

use tch::Tensor;

use crate::engine::chain::Chain;
use crate::nn::{FlatParameters, Model};

/// Finds out whether a kernel supports the operations at the beginning of a chain: the stage, and how many
/// operations it covers.
type Matcher = fn(&Chain) -> Option<(Box<dyn Stage>, usize)>;

/// Every kernel, the ones that cover most operations first.
pub(super) const KERNELS: [Matcher; 4] =
    [direct::matches, relu_avg_pool2d::matches, linear::matches, reshape::matches];

/// What a forward pass leaves for the backward pass.
pub(super) type Saved = Vec<Tensor>;

/// What a stage's backward pass reads and writes.
pub(super) struct BackwardPass<'a> {
    pub model: &'a Model,
    /// What the forward pass left.
    pub saved: Saved,
    pub grad_output: &'a Tensor,
    /// Where the gradients w.r.t. the parameters are written.
    pub gradients: &'a FlatParameters,
    /// Whether the gradient w.r.t. the input is asked for.
    pub needs_grad: bool,
}

/// A part of a network with one input and one output.
pub(super) trait Stage: Debug {
    /// Whether it has parameters to learn.
    fn has_parameters(&self) -> bool {
        true
    }

    /// The output in training mode, and what the backward pass needs. `needs_grad`: the gradient w.r.t. the
    /// input will be asked for.
    fn forward(&self, model: &Model, xs: &Tensor, needs_grad: bool) -> (Tensor, Saved);

    /// The output in evaluation mode.
    fn evaluate(&self, model: &Model, xs: &Tensor) -> Tensor {
        self.forward(model, xs, false).0
    }

    /// Writes the gradients w.r.t. the stage's parameters, given that w.r.t. its output; returns that w.r.t.
    /// its input, if it is asked for.
    fn backward(&self, pass: BackwardPass) -> Option<Tensor>;
}
