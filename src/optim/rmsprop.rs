//! `torch.optim.RMSprop` on the CPU: `_single_tensor_rmsprop` of
//! <https://github.com/pytorch/pytorch/blob/v2.13.0/torch/optim/rmsprop.py>, not centered.

use tch::Tensor;

use super::{EPSILON, Optimizer, choose_sqrt, decayed, update_square_avg, zeros_like};
use crate::libtorch::add_scaled;

/// The arguments of `torch.optim.RMSprop` besides the parameters and the learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsPropConfig {
    /// Decay of the squared gradients.
    pub alpha: f64,
    /// Term added to the square root of their average.
    pub eps: f64,
    /// L2 penalty: this times the parameter is added to its gradient.
    pub weight_decay: f64,
    /// Momentum factor; 0 keeps no buffer.
    pub momentum: f64,
}

impl Default for RmsPropConfig {
    /// PyTorch's.
    fn default() -> Self {
        Self { alpha: 0.99, eps: EPSILON, weight_decay: 0.0, momentum: 0.0 }
    }
}

/// RMSprop over a list of parameters.
///
/// ```
/// use stitch::optim::{Optimizer, RmsProp, RmsPropConfig};
/// use tch::Tensor;
///
/// let weight = Tensor::from_slice(&[1f32, 2.0]);
/// let mut optimizer = RmsProp::new(&[weight.shallow_clone()], 0.01, RmsPropConfig::default());
/// optimizer.update(&[weight.ones_like()]);
/// // The first step is lr / sqrt(1 - alpha), up to epsilon.
/// assert!((weight.double_value(&[0]) - 0.9).abs() < 1e-6);
/// ```
#[derive(Debug)]
pub struct RmsProp {
    parameters: Vec<Tensor>,
    square_avg: Vec<Tensor>,
    momentum_buffer: Vec<Tensor>,
    steps: u64,
    lr: f64,
    config: RmsPropConfig,
}

impl RmsProp {
    /// `torch.optim.RMSprop(parameters, lr=lr, …)`; the parameters are updated in place.
    pub fn new(parameters: &[Tensor], lr: f64, config: RmsPropConfig) -> Self {
        choose_sqrt();
        let (square_avg, momentum_buffer) = (zeros_like(parameters), zeros_like(parameters));
        let parameters = parameters.iter().map(Tensor::shallow_clone).collect();
        Self { parameters, square_avg, momentum_buffer, steps: 0, lr, config }
    }
}

impl Optimizer for RmsProp {
    fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    fn update(&mut self, gradients: &[Tensor]) {
        self.steps += 1;
        let RmsPropConfig { alpha, eps, weight_decay, momentum } = self.config;
        let state = self.square_avg.iter_mut().zip(&mut self.momentum_buffer);
        let parameters = self.parameters.iter_mut().zip(gradients).zip(state);
        tch::no_grad(|| {
            for ((parameter, grad), (square_avg, buffer)) in parameters {
                if !grad.defined() {
                    continue;
                }
                let grad = decayed(grad, parameter, weight_decay);
                update_square_avg(square_avg, &grad, alpha);
                let avg = square_avg.sqrt().g_add_scalar_(eps);
                if momentum > 0.0 {
                    let _ = buffer.g_mul_scalar_(momentum).addcdiv_(&grad, &avg);
                    add_scaled(parameter, buffer, -self.lr);
                } else {
                    // addcdiv_(grad, avg, value=-lr): scaling the dividend first gives the same bits.
                    let _ = parameter.addcdiv_(&(grad * -self.lr), &avg);
                }
            }
        });
    }

    fn state(&self) -> Vec<(&'static str, &[Tensor])> {
        let momentum =
            (self.config.momentum > 0.0).then_some(("momentum_buffer", &self.momentum_buffer[..]));
        [("square_avg", &self.square_avg[..])].into_iter().chain(momentum).collect()
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn counts_steps(&self) -> bool {
        false
    }

    fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }

    fn set_momentum(&mut self, momentum: f64) {
        self.config.momentum = momentum;
    }
}
