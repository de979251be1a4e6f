//! Optimizers as PyTorch and scikit-learn compute them, operation by operation.

mod adadelta;
mod adam;
pub mod lr_scheduler;
mod rmsprop;
mod sgd;
mod sklearn_adam;

use std::any::Any;
use std::fmt::Debug;

pub use adadelta::{Adadelta, AdadeltaConfig};
pub(crate) use adam::update_moments;
pub use adam::{Adam, AdamConfig};
pub use rmsprop::{RmsProp, RmsPropConfig};
pub use sgd::{Sgd, SgdConfig};
pub use sklearn_adam::SklearnAdam;
use tch::Tensor;

use crate::libtorch::{add_scaled, clear_grad};

/// Updates parameters from their gradients.
///
/// A custom optimizer:
///
/// ```
/// use stitch::optim::Optimizer;
/// use tch::Tensor;
///
/// /// `torch.optim.SGD(parameters, lr)`.
/// #[derive(Debug)]
/// struct Sgd {
///     parameters: Vec<Tensor>,
///     lr: f64,
///     steps: u64,
/// }
///
/// impl Optimizer for Sgd {
///     fn parameters(&self) -> &[Tensor] {
///         &self.parameters
///     }
///
///     fn update(&mut self, gradients: &[Tensor]) {
///         self.steps += 1;
///         tch::no_grad(|| {
///             for (parameter, grad) in self.parameters.iter_mut().zip(gradients) {
///                 if grad.defined() {
///                     *parameter -= grad * self.lr;
///                 }
///             }
///         });
///     }
///
///     fn state(&self) -> Vec<(&'static str, &[Tensor])> {
///         Vec::new()
///     }
///
///     fn steps(&self) -> u64 {
///         self.steps
///     }
///
///     fn lr(&self) -> f64 {
///         self.lr
///     }
///
///     fn set_lr(&mut self, lr: f64) {
///         self.lr = lr;
///     }
///
///     fn set_steps(&mut self, steps: u64) {
///         self.steps = steps;
///     }
/// }
///
/// let weight = Tensor::from_slice(&[1f32, 2.0]).set_requires_grad(true);
/// let mut optimizer = Sgd { parameters: vec![weight.shallow_clone()], lr: 0.5, steps: 0 };
/// optimizer.zero_grad();
/// (&weight * 2.0).sum(None).backward();
/// optimizer.step();
/// assert_eq!(Vec::<f32>::try_from(&weight.detach()).unwrap(), [0.0, 1.0]);
/// ```
pub trait Optimizer: Any + Debug {
    /// The parameters that it updates; they share their memory with the network's.
    fn parameters(&self) -> &[Tensor];

    /// Performs one update. `gradients` are in the order of the parameters; a parameter with an undefined gradient
    /// (`grad` is None) is skipped.
    fn update(&mut self, gradients: &[Tensor]);

    /// The state of each parameter under PyTorch's names, such as `exp_avg`.
    fn state(&self) -> Vec<(&'static str, &[Tensor])>;

    /// The number of updates so far.
    fn steps(&self) -> u64;

    /// Whether an update depends on the number of earlier updates, as Adam's bias correction does. In Python, each parameter
    /// has its own number, without the steps in which its `grad` is None; here, all have the same.
    fn counts_steps(&self) -> bool {
        true
    }

    /// Sets the number of updates, to resume a training. The caller also overwrites the tensors of
    /// [`Optimizer::state`] in place.
    fn set_steps(&mut self, steps: u64);

    /// The learning rate of the next step: `param_groups[0]["lr"]`.
    fn lr(&self) -> f64;

    /// Sets the learning rate of the following steps, as a scheduler does.
    fn set_lr(&mut self, lr: f64);

    /// Sets the momentum of the following steps, or beta1 of an optimizer with betas; does nothing for others.
    fn set_momentum(&mut self, _momentum: f64) {}

    /// `optimizer.zero_grad()`: sets the gradients to None.
    fn zero_grad(&mut self) {
        self.parameters().iter().for_each(clear_grad);
    }

    /// `optimizer.step()`: one update from the gradients that `loss.backward()` computed.
    fn step(&mut self) {
        let gradients: Vec<Tensor> = self.parameters().iter().map(Tensor::grad).collect();
        self.update(&gradients);
    }
}

/// Decay rate of the first moment in both libraries.
pub(crate) const BETA1: f64 = 0.9;
/// Decay rate of the second moment in both libraries.
pub(crate) const BETA2: f64 = 0.999;
/// Term that keeps the division finite in both libraries.
pub(crate) const EPSILON: f64 = 1e-8;

/// Makes MKL choose its implementation of the square root, which it does at the first call. If two threads make that
/// call at the same time, one of them may use the least accurate implementation for it (observed in 1 of 40 runs).
/// PyTorch's first call is on a parameter too small to be split over threads; so is this one.
fn choose_sqrt() {
    drop(Tensor::from(1f32).sqrt());
}

/// `torch.zeros_like` of each parameter.
fn zeros_like(parameters: &[Tensor]) -> Vec<Tensor> {
    parameters.iter().map(|parameter| parameter.detach().zeros_like()).collect()
}

/// `grad.add(parameter, alpha=weight_decay)`; the gradient itself without weight decay.
fn decayed(grad: &Tensor, parameter: &Tensor, weight_decay: f64) -> Tensor {
    if weight_decay == 0.0 {
        return grad.shallow_clone();
    }
    let mut grad = grad.copy();
    add_scaled(&mut grad, parameter, weight_decay);
    grad
}

/// `average.mul_(decay).addcmul_(values, values, value=1 - decay)`.
fn update_square_avg(average: &mut Tensor, values: &Tensor, decay: f64) {
    // tch has no `value`: scaling one factor first gives the same bits.
    let _ = average.g_mul_scalar_(decay).addcmul_(&(values * (1.0 - decay)), values);
}
