//! Stages of a network's forward and backward pass. Each file has one stage and the pattern of operations that it
//! supports.

pub(super) mod autograd;
mod conv2d;
mod direct;
mod linear;
mod norm_relu_pool;
mod reshape;
mod sklearn_linear;

use std::fmt::Debug;

use tch::Tensor;

use crate::engine::chain::Chain;
use crate::nn::{FlatParameters, Model};

/// Returns the stage for the first operations of a chain and the number of operations that it covers; `None` if the
/// kernel does not support them.
pub(super) type Matcher = fn(&Chain) -> Option<(Box<dyn Stage>, usize)>;

/// The kernels with the eager engine's bits; those that cover the most operations come first.
pub(super) const KERNELS: &[Matcher] =
    &[direct::matches, norm_relu_pool::matches, conv2d::matches, linear::matches, reshape::matches];
/// The kernels for scikit-learn's models, within 1e-12 of the eager engine.
pub(super) const SKLEARN_KERNELS: &[Matcher] = &[sklearn_linear::matches, reshape::matches];

/// The tensors that a forward pass saves for the backward pass.
pub(super) type Saved = Vec<Tensor>;

/// The arguments of [`Stage::backward`].
pub(super) struct BackwardPass<'a> {
    pub model: &'a Model,
    /// The tensors that the forward pass saved.
    pub saved: Saved,
    pub grad_output: &'a Tensor,
    /// The gradients w.r.t. all parameters, of which the stage writes its own.
    pub gradients: &'a FlatParameters,
    /// Whether the gradient w.r.t. the input is needed.
    pub needs_grad: bool,
    /// Gets the parameters of the stage that its output does not depend on.
    pub skipped: &'a mut Vec<usize>,
}

/// A part of a network with one input and one output.
pub(super) trait Stage: Debug {
    /// Whether the stage has parameters.
    fn has_parameters(&self) -> bool {
        true
    }

    /// The output in training mode, and the tensors that the backward pass needs. `needs_grad` is whether the gradient
    /// w.r.t. the input will be needed.
    fn forward(&self, model: &Model, xs: &Tensor, needs_grad: bool) -> (Tensor, Saved);

    /// The output in evaluation mode.
    fn evaluate(&self, model: &Model, xs: &Tensor) -> Tensor {
        self.forward(model, xs, false).0
    }

    /// Writes the gradients w.r.t. the stage's parameters, given `grad_output`; returns `grad_input` if it is needed.
    fn backward(&self, pass: BackwardPass) -> Option<Tensor>;
}
