//! `torch.optim.Adadelta` in its default form on the CPU: `_single_tensor_adadelta` of
//! <https://github.com/pytorch/pytorch/blob/v2.13.0/torch/optim/adadelta.py>.

use tch::Tensor;

use super::{Optimizer, choose_sqrt, decayed, update_square_avg, zeros_like};
use crate::libtorch::add_scaled;

/// The arguments of `torch.optim.Adadelta` besides the parameters and the learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdadeltaConfig {
    /// Decay of the squared gradients and of the squared updates.
    pub rho: f64,
    /// Term added to both before their square roots.
    pub eps: f64,
    /// L2 penalty: this times the parameter is added to its gradient.
    pub weight_decay: f64,
}

impl Default for AdadeltaConfig {
    /// PyTorch's.
    fn default() -> Self {
        Self { rho: 0.9, eps: 1e-6, weight_decay: 0.0 }
    }
}

/// Adadelta over a list of parameters.
///
/// ```
/// use stitch::optim::{Adadelta, AdadeltaConfig, Optimizer};
/// use tch::Tensor;
///
/// let weight = Tensor::from_slice(&[1f32, 2.0]);
/// let mut optimizer = Adadelta::new(&[weight.shallow_clone()], 1.0, AdadeltaConfig::default());
/// optimizer.update(&[weight.ones_like()]);
/// // The first step is sqrt(eps) / sqrt((1 - rho) + eps).
/// assert!((weight.double_value(&[0]) - (1.0 - 3.16e-3)).abs() < 1e-5);
/// ```
#[derive(Debug)]
pub struct Adadelta {
    parameters: Vec<Tensor>,
    square_avg: Vec<Tensor>,
    acc_delta: Vec<Tensor>,
    steps: u64,
    lr: f64,
    config: AdadeltaConfig,
}

impl Adadelta {
    /// `torch.optim.Adadelta(parameters, lr=lr, …)`, whose default learning rate is 1; the parameters are updated in
    /// place.
    pub fn new(parameters: &[Tensor], lr: f64, config: AdadeltaConfig) -> Self {
        choose_sqrt();
        let (square_avg, acc_delta) = (zeros_like(parameters), zeros_like(parameters));
        let parameters = parameters.iter().map(Tensor::shallow_clone).collect();
        Self { parameters, square_avg, acc_delta, steps: 0, lr, config }
    }
}

impl Optimizer for Adadelta {
    fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    fn update(&mut self, gradients: &[Tensor]) {
        self.steps += 1;
        let AdadeltaConfig { rho, eps, weight_decay } = self.config;
        let averages = self.square_avg.iter_mut().zip(&mut self.acc_delta);
        let parameters = self.parameters.iter_mut().zip(gradients).zip(averages);
        tch::no_grad(|| {
            for ((parameter, grad), (square_avg, acc_delta)) in parameters {
                if !grad.defined() {
                    continue;
                }
                let grad = decayed(grad, parameter, weight_decay);
                update_square_avg(square_avg, &grad, rho);
                let std = square_avg.g_add_scalar(eps).sqrt_();
                let mut delta = acc_delta.g_add_scalar(eps).sqrt_();
                let delta = delta.g_div_(&std).g_mul_(&grad);
                update_square_avg(acc_delta, &delta, rho);
                add_scaled(parameter, &delta, -self.lr);
            }
        });
    }

    fn state(&self) -> Vec<(&'static str, &[Tensor])> {
        vec![("square_avg", &self.square_avg), ("acc_delta", &self.acc_delta)]
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
}
