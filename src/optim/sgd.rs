//! `torch.optim.SGD`: `_single_tensor_sgd` of
//! <https://github.com/pytorch/pytorch/blob/v2.13.0/torch/optim/sgd.py>, without dampening.

use tch::Tensor;

use super::{Optimizer, decayed, zeros_like};
use crate::libtorch::add_scaled;

/// The arguments of `torch.optim.SGD` besides the parameters and the learning rate; the default is PyTorch's.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SgdConfig {
    /// Momentum factor; 0 keeps no buffer.
    pub momentum: f64,
    /// L2 penalty: this times the parameter is added to its gradient.
    pub weight_decay: f64,
    /// Nesterov momentum; needs momentum.
    pub nesterov: bool,
}

/// Stochastic gradient descent over a list of parameters.
///
/// ```
/// use stitch::optim::{Optimizer, Sgd, SgdConfig};
/// use tch::Tensor;
///
/// let weight = Tensor::from_slice(&[1f32, 2.0]);
/// let momentum = SgdConfig { momentum: 0.5, ..Default::default() };
/// let mut optimizer = Sgd::new(&[weight.shallow_clone()], 0.5, momentum);
/// optimizer.update(&[weight.ones_like()]);
/// optimizer.update(&[weight.ones_like()]);
/// assert_eq!(Vec::<f32>::try_from(&weight).unwrap(), [-0.25, 0.75]);
/// ```
#[derive(Debug)]
pub struct Sgd {
    parameters: Vec<Tensor>,
    /// Zeros until the parameter's first update; empty without momentum.
    momentum_buffer: Vec<Tensor>,
    started: Vec<bool>,
    steps: u64,
    lr: f64,
    config: SgdConfig,
}

impl Sgd {
    /// `torch.optim.SGD(parameters, lr=lr, …)`; the parameters are updated in place.
    pub fn new(parameters: &[Tensor], lr: f64, config: SgdConfig) -> Self {
        Self {
            parameters: parameters.iter().map(Tensor::shallow_clone).collect(),
            momentum_buffer: zeros_like(parameters),
            started: vec![false; parameters.len()],
            steps: 0,
            lr,
            config,
        }
    }
}

impl Optimizer for Sgd {
    fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    fn update(&mut self, gradients: &[Tensor]) {
        self.steps += 1;
        let SgdConfig { momentum, weight_decay, nesterov } = self.config;
        let buffers = self.momentum_buffer.iter_mut().zip(&mut self.started);
        let parameters = self.parameters.iter_mut().zip(gradients).zip(buffers);
        tch::no_grad(|| {
            for ((parameter, grad), (buffer, started)) in parameters {
                if !grad.defined() {
                    continue;
                }
                let mut grad = decayed(grad, parameter, weight_decay);
                if momentum != 0.0 {
                    match *started {
                        false => buffer.copy_(&grad),
                        true => {
                            let _ = buffer.g_mul_scalar_(momentum);
                            add_scaled(buffer, &grad, 1.0);
                        }
                    }
                    *started = true;
                    if nesterov {
                        grad = grad.copy();
                        add_scaled(&mut grad, buffer, momentum);
                    } else {
                        grad = buffer.shallow_clone();
                    }
                }
                add_scaled(parameter, &grad, -self.lr);
            }
        });
    }

    fn state(&self) -> Vec<(&'static str, &[Tensor])> {
        match self.config.momentum == 0.0 {
            true => Vec::new(),
            false => vec![("momentum_buffer", &self.momentum_buffer)],
        }
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn counts_steps(&self) -> bool {
        false
    }

    fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
        self.started.fill(steps > 0);
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
