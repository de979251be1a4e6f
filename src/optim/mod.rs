//! Adam twice: PyTorch's and scikit-learn's differ in where epsilon stands and in how they round.

mod sklearn_adam;
mod torch_adam;

pub use sklearn_adam::SklearnAdam;
use tch::Tensor;
pub use torch_adam::TorchAdam;

/// Changes the parameters that it was made for.
pub trait Optimizer {
    /// One update from `gradients`, in the order of the parameters and of their shapes.
    fn step(&mut self, gradients: &[Tensor]);

    /// First and second moments, in the order of the parameters.
    fn moments(&self) -> (&[Tensor], &[Tensor]);

    /// Updates made so far.
    fn updates(&self) -> u64;

    /// Goes on as after so many updates; the moments are overwritten in place.
    fn set_updates(&mut self, updates: u64);
}

/// Decay of the first moment, in both libraries.
pub(crate) const BETA1: f64 = 0.9;
/// Decay of the second moment, in both libraries.
pub(crate) const BETA2: f64 = 0.999;
/// Keeps the division finite, in both libraries.
pub(crate) const EPSILON: f64 = 1e-8;
