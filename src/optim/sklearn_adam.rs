//! `AdamOptimizer` of scikit-learn 1.9 (`sklearn/neural_network/_stochastic_optimizers.py`).
//!
//! The bias corrections are folded into the learning rate, so epsilon stands outside of them,
//! unlike in PyTorch.

use tch::{Device, Tensor};

use super::{BETA1, BETA2, EPSILON, Optimizer};
use crate::engine::exact::kernels::adam::GRAIN;
use crate::libtorch::{in_parts, values, values_mut};

/// Adam over a list of parameters, float64.
#[derive(Debug)]
pub struct SklearnAdam {
    parameters: Vec<Tensor>,
    ms: Vec<Tensor>,
    vs: Vec<Tensor>,
    t: u64,
    lr: f64,
}

impl SklearnAdam {
    /// `AdamOptimizer(params, learning_rate_init=lr)`; the tensors share their memory with the
    /// model.
    pub fn new(parameters: Vec<Tensor>, lr: f64) -> Self {
        let zeros = || parameters.iter().map(Tensor::zeros_like).collect();
        Self { ms: zeros(), vs: zeros(), t: 0, lr, parameters }
    }
}

impl Optimizer for SklearnAdam {
    fn step(&mut self, gradients: &[Tensor]) {
        self.t += 1;
        let t = self.t as f64;
        let lr = self.lr * (1.0 - BETA2.powf(t)).sqrt() / (1.0 - BETA1.powf(t));
        let moments = self.ms.iter_mut().zip(&mut self.vs);
        for ((parameter, g), (m, v)) in self.parameters.iter_mut().zip(gradients).zip(moments) {
            match parameter.device() {
                Device::Cpu => {
                    let written = [values_mut(parameter), values_mut(m), values_mut(v)];
                    in_parts((g.numel(), GRAIN), written, [values(g)], |written, [g]| {
                        update(written, g, lr);
                    });
                }
                _ => tch::no_grad(|| {
                    *m = &*m * BETA1 + g * (1.0 - BETA1);
                    *v = &*v * BETA2 + g.square() * (1.0 - BETA2);
                    *parameter += &*m * -lr / (v.sqrt() + EPSILON);
                }),
            }
        }
    }

    fn moments(&self) -> (&[Tensor], &[Tensor]) {
        (&self.ms, &self.vs)
    }

    fn updates(&self) -> u64 {
        self.t
    }

    fn set_updates(&mut self, updates: u64) {
        self.t = updates;
    }
}

/// One update in one pass over memory.
fn update([parameters, ms, vs]: [&mut [f64]; 3], gradients: &[f64], lr: f64) {
    let moments = ms.iter_mut().zip(vs);
    for ((parameter, &g), (m, v)) in parameters.iter_mut().zip(gradients).zip(moments) {
        *m = *m * BETA1 + g * (1.0 - BETA1);
        *v = *v * BETA2 + g * g * (1.0 - BETA2);
        *parameter += *m * -lr / (v.sqrt() + EPSILON);
    }
}
