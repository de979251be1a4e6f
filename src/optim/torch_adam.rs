//! `torch.optim.Adam` in its default form on the CPU: `_single_tensor_adam` of
//! <https://github.com/pytorch/pytorch/blob/v2.13.0/torch/optim/adam.py>.
//!
//! libtorch's C++ Adam, which tch's `nn::Adam` wraps, rounds differently.

use tch::{Device, Tensor};

use super::{BETA1, BETA2, EPSILON, Optimizer};
use crate::engine::exact::kernels::adam;

/// Adam over a list of parameters, without weight decay or amsgrad.
#[derive(Debug)]
pub struct TorchAdam {
    parameters: Vec<Tensor>,
    exp_avg: Vec<Tensor>,
    exp_avg_sq: Vec<Tensor>,
    steps: u64,
    lr: f64,
}

impl TorchAdam {
    /// `torch.optim.Adam(parameters, lr=lr)`; the tensors share their memory with the model.
    pub fn new(parameters: Vec<Tensor>, lr: f64) -> Self {
        let zeros = || parameters.iter().map(Tensor::zeros_like).collect();
        // MKL's square root picks its code at its first call. When two threads make that call
        // together, one of them can get the code of least accuracy for it (seen in one run of forty).
        // PyTorch's first call is on conv1.weight, which is too small to be shared; so is this one.
        drop(Tensor::from(1f32).sqrt());
        Self { exp_avg: zeros(), exp_avg_sq: zeros(), steps: 0, lr, parameters }
    }
}

impl Optimizer for TorchAdam {
    fn step(&mut self, gradients: &[Tensor]) {
        self.steps += 1;
        // Python's `beta ** step` is C's pow: not powi, which multiplies.
        let bias_correction1 = 1.0 - BETA1.powf(self.steps as f64);
        let bias_correction2 = 1.0 - BETA2.powf(self.steps as f64);
        let step_size = self.lr / bias_correction1;
        let bias_correction2_sqrt = bias_correction2.powf(0.5);
        let moments = self.exp_avg.iter_mut().zip(&mut self.exp_avg_sq);
        for ((parameter, g), (m, v)) in self.parameters.iter_mut().zip(gradients).zip(moments) {
            let on_cpu = parameter.device() == Device::Cpu;
            match adam::rounding().filter(|_| on_cpu) {
                Some(rounding) => adam::update_moments(m, v, g, [1.0 - BETA1, BETA2], rounding),
                None => adam::update_moments_with_libtorch(m, v, g, [1.0 - BETA1, BETA2]),
            }
            let root = v.sqrt();
            if on_cpu {
                adam::update_parameter(
                    parameter,
                    m,
                    &root,
                    [step_size, bias_correction2_sqrt, EPSILON],
                );
            } else {
                let denominator = (root / bias_correction2_sqrt).g_add_scalar_(EPSILON);
                let step = &*m * -step_size;
                tch::no_grad(|| drop(parameter.addcdiv_(&step, &denominator)));
            }
        }
    }

    fn moments(&self) -> (&[Tensor], &[Tensor]) {
        (&self.exp_avg, &self.exp_avg_sq)
    }

    fn updates(&self) -> u64 {
        self.steps
    }

    fn set_updates(&mut self, updates: u64) {
        self.steps = updates;
    }
}
