//! Initial parameters, drawn as `MLPClassifier._init_coef` (scikit-learn 1.9) and
//! `torch.nn`'s `reset_parameters` (PyTorch 2.13) draw them.

use tch::{Kind, Tensor};

use super::lenet5;
use crate::rng::numpy::RandomState;

/// The MLP's parameters in definition order, and the generator that goes on to shuffle.
///
/// Glorot-uniform for weights and intercepts alike, bound `sqrt(6 / (fan_in + fan_out))`; drawn
/// layer by layer, weights `(in, out)` row-major, then intercepts.
pub fn mlp(rng: &mut RandomState) -> Vec<Tensor> {
    let mut parameters = Vec::new();
    for (fan_in, fan_out) in [(784, 64), (64, 10)] {
        let bound = (6.0 / (fan_in + fan_out) as f64).sqrt();
        let mut draw = |n: i64| Tensor::from_slice(&rng.uniform(-bound, bound, n as usize));
        let weight = draw(fan_in * fan_out).view([fan_in, fan_out]);
        parameters.push(weight.tr().contiguous());
        parameters.push(draw(fan_out));
    }
    parameters
}

/// LeNet-5's parameters in definition order, float32, on the CPU.
///
/// `torch.manual_seed(seed)`, then for each layer `weight ~ U(-b, b)` (`kaiming_uniform_` with
/// `a = sqrt(5)`) and `bias ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in))`. The draws come from libtorch's
/// global generator, which this seeds; nothing else uses it.
pub fn lenet5(seed: u64) -> Vec<Tensor> {
    // libtorch takes the seed's bits; the sign is the binding's.
    tch::manual_seed(seed as i64);
    let mut fan_in = 0;
    let draw = |&(name, shape): &super::ParameterSpec| {
        let bound = if name.ends_with(".weight") {
            fan_in = shape[1..].iter().product();
            weight_bound(fan_in)
        } else {
            1.0 / (fan_in as f64).sqrt()
        };
        Tensor::empty(shape, (Kind::Float, tch::Device::Cpu)).uniform_(-bound, bound)
    };
    lenet5::ENTRY.parameters.iter().map(draw).collect()
}

/// The bound of `kaiming_uniform_(a=math.sqrt(5))` in Python's order of operations; `sqrt(5)**2`
/// is 5.000000000000001 there and here.
fn weight_bound(fan_in: i64) -> f64 {
    let negative_slope = 5f64.sqrt();
    let gain = (2.0 / (1.0 + negative_slope.powf(2.0))).sqrt();
    let std = gain / (fan_in as f64).sqrt();
    3f64.sqrt() * std
}
