//! A step of Adam for every parameter of a module: burn's own, or with PyTorch's settings.

use std::collections::HashMap;

use burn::module::{ModuleMapper, Param, ParamId};
use burn::optim::{AdamState, AdaptiveMomentumState, DynState, GradientsParams, Optimizer};
use burn::tensor::{Tensor, TensorData};

pub enum Adam {
    Burn(burn::optim::Adam),
    Float64 { epsilon: f64 },
}

impl Adam {
    fn step<const D: usize>(
        &self,
        lr: f64,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, AdamState<D>) {
        match self {
            Self::Burn(adam) => {
                let (parameter, state) = adam.step(lr, parameter, gradient, state);
                (parameter, state.expect("Adam has a state"))
            }
            Self::Float64 { epsilon } => float64_adam(lr, *epsilon, parameter, gradient, state),
        }
    }
}

/// Adam of Python (`_single_tensor_adam` of torch.optim), whose settings and bias corrections are float64. burn's are
/// float32, for tensors of any type.
fn float64_adam<const D: usize>(
    lr: f64,
    epsilon: f64,
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    state: Option<AdamState<D>>,
) -> (Tensor<D>, AdamState<D>) {
    let (beta1, beta2) = (0.9f64, 0.999f64);
    let mut state = match state {
        Some(state) => state.momentum,
        None => AdaptiveMomentumState::new(0, gradient.zeros_like(), gradient.zeros_like()),
    };
    state.time += 1;
    let bias_correction1 = 1.0 - beta1.powi(state.time as i32);
    let bias_correction2 = 1.0 - beta2.powi(state.time as i32);
    let change = (gradient.clone() - state.moment_1.clone()).mul_scalar(1.0 - beta1);
    state.moment_1 = state.moment_1 + change;
    state.moment_2 = state.moment_2.mul_scalar(beta2) + gradient.square().mul_scalar(1.0 - beta2);
    let denom =
        state.moment_2.clone().sqrt().div_scalar(bias_correction2.sqrt()).add_scalar(epsilon);
    let update = (state.moment_1.clone() / denom).mul_scalar(lr / bias_correction1);
    (parameter - update, AdamState::new(state))
}

/// One step for all parameters of a module, and what is recorded of it.
pub struct Step<'a> {
    adam: &'a Adam,
    lr: f64,
    gradients: GradientsParams,
    /// After the step; those of the step before are passed to `new`.
    pub states: HashMap<ParamId, DynState>,
    path: Vec<String>,
    pub exp_avg: Vec<(String, TensorData)>,
    pub exp_avg_sq: Vec<(String, TensorData)>,
}

impl<'a> Step<'a> {
    pub fn new(
        adam: &'a Adam,
        lr: f64,
        gradients: GradientsParams,
        states: HashMap<ParamId, DynState>,
    ) -> Self {
        let (path, exp_avg, exp_avg_sq) = (Vec::new(), Vec::new(), Vec::new());
        Self { adam, lr, gradients, states, path, exp_avg, exp_avg_sq }
    }
}

impl ModuleMapper for Step<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = parameter.consume();
        let gradient = self.gradients.remove::<D>(id).expect("every parameter has a gradient");
        let state = self.states.remove(&id).map(DynState::downcast::<AdamState<D>>);
        let (value, state) = self.adam.step(self.lr, value.inner(), gradient, state);
        let name = self.path.join(".");
        self.exp_avg.push((name.clone(), state.momentum.moment_1.to_data()));
        self.exp_avg_sq.push((name, state.momentum.moment_2.to_data()));
        self.states.insert(id, DynState::create(state, D));
        Param::from_mapped_value(id, Tensor::from_inner(value).require_grad(), mapper)
    }
}
