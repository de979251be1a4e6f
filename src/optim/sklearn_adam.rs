//! `AdamOptimizer` of scikit-learn 1.9 (`sklearn/neural_network/_stochastic_optimizers.py`).
//!
//! The learning rate includes the bias corrections, so unlike in PyTorch they do not scale epsilon.

use tch::Tensor;

use super::{BETA1, BETA2, EPSILON, Optimizer};

/// scikit-learn's Adam over a list of parameters.
///
/// ```
/// use stitch::optim::{Optimizer, SklearnAdam};
/// use tch::{Device, Kind, Tensor};
///
/// let coefs = Tensor::zeros([64, 10], (Kind::Double, Device::Cpu));
/// let mut optimizer = SklearnAdam::new(&[coefs.shallow_clone()], 1e-3);
/// optimizer.update(&[coefs.ones_like()]);
/// // Up to epsilon, the first step equals the learning rate.
/// assert!((coefs.double_value(&[0, 0]) + 1e-3).abs() < 1e-9);
/// ```
#[derive(Debug)]
pub struct SklearnAdam {
    pub(crate) parameters: Vec<Tensor>,
    pub(crate) exp_avg: Vec<Tensor>,
    pub(crate) exp_avg_sq: Vec<Tensor>,
    t: u64,
    lr: f64,
}

impl SklearnAdam {
    /// `AdamOptimizer(params, learning_rate_init=lr)`; the parameters are updated in place. The moments, `ms` and
    /// `vs` in scikit-learn, have PyTorch's names.
    pub fn new(parameters: &[Tensor], lr: f64) -> Self {
        let zeros = || parameters.iter().map(|p| p.detach().zeros_like()).collect();
        let (exp_avg, exp_avg_sq) = (zeros(), zeros());
        let parameters = parameters.iter().map(Tensor::shallow_clone).collect();
        Self { parameters, exp_avg, exp_avg_sq, t: 0, lr }
    }

    /// Increments the step count; returns the learning rate of the update.
    pub(crate) fn next_lr(&mut self) -> f64 {
        self.t += 1;
        let t = self.t as f64;
        self.lr * (1.0 - BETA2.powf(t)).sqrt() / (1.0 - BETA1.powf(t))
    }
}

impl Optimizer for SklearnAdam {
    fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    fn update(&mut self, gradients: &[Tensor]) {
        let lr = self.next_lr();
        let moments = self.exp_avg.iter_mut().zip(&mut self.exp_avg_sq);
        let parameters = self.parameters.iter_mut().zip(gradients).zip(moments);
        tch::no_grad(|| {
            for ((parameter, grad), (m, v)) in parameters {
                m.copy_(&(&*m * BETA1 + grad * (1.0 - BETA1)));
                v.copy_(&(&*v * BETA2 + grad.square() * (1.0 - BETA2)));
                let _ = parameter.g_add_(&(&*m * -lr / (v.sqrt() + EPSILON)));
            }
        });
    }

    fn state(&self) -> Vec<(&'static str, &[Tensor])> {
        vec![("exp_avg", &self.exp_avg), ("exp_avg_sq", &self.exp_avg_sq)]
    }

    fn steps(&self) -> u64 {
        self.t
    }

    fn set_steps(&mut self, steps: u64) {
        self.t = steps;
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }
}
