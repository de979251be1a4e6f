//! Initial parameters as `MLPClassifier._init_coef` of scikit-learn 1.9 draws them.
//! [`crate::nn::Model::reset_parameters`] draws PyTorch's.

use tch::Tensor;

use crate::nn::Model;
use crate::rng::numpy::RandomState;

/// Draws the parameters of a network of linear layers from `rng`.
///
/// Weights and intercepts are Glorot-uniform with bound `sqrt(6 / (fan_in + fan_out))`. They are drawn layer by
/// layer: weights `(in, out)` row-major, then intercepts. The model stores weights as `(out, in)`, as PyTorch
/// does.
pub fn sklearn(model: &Model, rng: &mut RandomState) {
    let mut bound = 0.0;
    for parameter in model.parameters() {
        let value = match parameter.size()[..] {
            [fan_out, fan_in] => {
                bound = (6.0 / (fan_in + fan_out) as f64).sqrt();
                draw(rng, bound, fan_in * fan_out).view([fan_in, fan_out]).tr()
            }
            _ => draw(rng, bound, parameter.numel() as i64),
        };
        tch::no_grad(|| parameter.shallow_clone().copy_(&value));
    }
}

fn draw(rng: &mut RandomState, bound: f64, count: i64) -> Tensor {
    Tensor::from_slice(&rng.uniform(-bound, bound, count as usize))
}
