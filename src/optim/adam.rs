//! `torch.optim.Adam` in its default form on the CPU: `_single_tensor_adam` of
//! <https://github.com/pytorch/pytorch/blob/v2.13.0/torch/optim/adam.py>.
//!
//! libtorch's C++ Adam, which tch's `nn::Adam` wraps, rounds differently.

use tch::Tensor;

use super::{
    BETA1, BETA2, EPSILON, Optimizer, choose_sqrt, decayed, update_square_avg, zeros_like,
};

/// Adam or AdamW over a list of parameters, without amsgrad.
///
/// ```
/// use stitch::nn::{Linear, Model, cross_entropy};
/// use stitch::optim::{Adam, Optimizer};
/// use tch::{Device, Kind, Tensor};
///
/// tch::manual_seed(0);
/// let model = Model::new("Net", &[784], Kind::Float, |vs| Linear::new(vs / "fc", 784, 10))?;
/// let mut optimizer = Adam::new(model.parameters(), 1e-3);
/// let xs = Tensor::rand([8, 784], (Kind::Float, Device::Cpu));
/// let ys = Tensor::from_slice(&[0i64, 1, 2, 3, 4, 5, 6, 7]);
/// let mut losses = Vec::new();
/// for _step in 0..3 {
///     optimizer.zero_grad();
///     let loss = cross_entropy(&model.forward(&xs, true), &ys);
///     loss.backward();
///     optimizer.step();
///     losses.push(loss.double_value(&[]));
/// }
/// assert!(losses[0] > losses[1] && losses[1] > losses[2], "{losses:?}");
/// assert_eq!(optimizer.steps(), 3);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
#[derive(Debug)]
pub struct Adam {
    pub(crate) parameters: Vec<Tensor>,
    pub(crate) exp_avg: Vec<Tensor>,
    pub(crate) exp_avg_sq: Vec<Tensor>,
    steps: u64,
    lr: f64,
    config: AdamConfig,
}

/// The arguments of `torch.optim.Adam` besides the parameters and the learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamConfig {
    /// Decay of the first and the second moment.
    pub betas: [f64; 2],
    /// L2 penalty, or with `decoupled_weight_decay` the decay of the parameters.
    pub weight_decay: f64,
    /// `AdamW`: each step multiplies the parameters by `1 - lr * weight_decay` first, and leaves the gradients as they
    /// are.
    pub decoupled_weight_decay: bool,
}

impl Default for AdamConfig {
    /// PyTorch's.
    fn default() -> Self {
        Self { betas: [BETA1, BETA2], weight_decay: 0.0, decoupled_weight_decay: false }
    }
}

impl Adam {
    /// `torch.optim.Adam(parameters, lr=lr)`; the parameters are updated in place.
    pub fn new(parameters: &[Tensor], lr: f64) -> Self {
        choose_sqrt();
        let (exp_avg, exp_avg_sq) = (zeros_like(parameters), zeros_like(parameters));
        let parameters = parameters.iter().map(Tensor::shallow_clone).collect();
        Self { parameters, exp_avg, exp_avg_sq, steps: 0, lr, config: AdamConfig::default() }
    }

    /// `torch.optim.Adam(parameters, lr=lr, …)`, or with `decoupled_weight_decay` `torch.optim.AdamW`, whose default
    /// weight decay is 0.01.
    pub fn with_config(parameters: &[Tensor], lr: f64, config: AdamConfig) -> Self {
        Self { config, ..Self::new(parameters, lr) }
    }

    /// The arguments as they are for the next step.
    pub(crate) fn config(&self) -> AdamConfig {
        self.config
    }

    /// Increments the step count; returns the step size and the square root of the second bias correction.
    pub(crate) fn next_factors(&mut self) -> (f64, f64) {
        self.steps += 1;
        // Python's `beta ** step` is C's pow; powi would multiply repeatedly and round differently.
        let [beta1, beta2] = self.config.betas;
        let bias_correction1 = 1.0 - beta1.powf(self.steps as f64);
        let bias_correction2 = 1.0 - beta2.powf(self.steps as f64);
        (self.lr / bias_correction1, bias_correction2.powf(0.5))
    }
}

/// `exp_avg.lerp_(grad, weight)`; `exp_avg_sq.mul_(decay).addcmul_(grad, grad, value=1 - decay)`.
pub(crate) fn update_moments(
    exp_avg: &mut Tensor,
    exp_avg_sq: &mut Tensor,
    grad: &Tensor,
    [weight, decay]: [f64; 2],
) {
    tch::no_grad(|| {
        let _ = exp_avg.lerp_(grad, weight);
        update_square_avg(exp_avg_sq, grad, decay);
    });
}

impl Optimizer for Adam {
    fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    fn update(&mut self, gradients: &[Tensor]) {
        let (step_size, bias_correction2_sqrt) = self.next_factors();
        let AdamConfig { betas: [beta1, beta2], weight_decay, decoupled_weight_decay } =
            self.config;
        let moments = self.exp_avg.iter_mut().zip(&mut self.exp_avg_sq);
        let parameters = self.parameters.iter_mut().zip(gradients).zip(moments);
        tch::no_grad(|| {
            for ((parameter, grad), (exp_avg, exp_avg_sq)) in parameters {
                if !grad.defined() {
                    continue;
                }
                let penalty = if decoupled_weight_decay { 0.0 } else { weight_decay };
                let grad = decayed(grad, parameter, penalty);
                if weight_decay != 0.0 && decoupled_weight_decay {
                    let _ = parameter.g_mul_scalar_(1.0 - self.lr * weight_decay);
                }
                update_moments(exp_avg, exp_avg_sq, &grad, [1.0 - beta1, beta2]);
                let denom = (exp_avg_sq.sqrt() / bias_correction2_sqrt).g_add_scalar_(EPSILON);
                // addcdiv_(exp_avg, denom, value=-step_size), scaled the same way.
                let _ = parameter.addcdiv_(&(&*exp_avg * -step_size), &denom);
            }
        });
    }

    fn state(&self) -> Vec<(&'static str, &[Tensor])> {
        vec![("exp_avg", &self.exp_avg), ("exp_avg_sq", &self.exp_avg_sq)]
    }

    fn steps(&self) -> u64 {
        self.steps
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
        self.config.betas[0] = momentum;
    }
}
