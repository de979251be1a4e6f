//! scikit-learn's Adam in one pass over memory, float64.

use tch::{Device, Kind, Tensor};

use super::adam::GRAIN;
use crate::libtorch::{in_parts, values, values_mut};
use crate::optim::{BETA1, BETA2, EPSILON, SklearnAdam};

/// Performs one update of [`SklearnAdam`] over one flat tensor. Supports float64 on the CPU; otherwise returns false and
/// changes nothing.
pub fn update(adam: &mut SklearnAdam, gradient: &Tensor) -> bool {
    if gradient.device() != Device::Cpu || gradient.kind() != Kind::Double {
        return false;
    }
    let lr = adam.next_lr();
    let written = [&mut adam.parameters[0], &mut adam.exp_avg[0], &mut adam.exp_avg_sq[0]];
    let written = written.map(values_mut::<f64>);
    in_parts((gradient.numel(), GRAIN), written, [values(gradient)], |written, [gradients]| {
        update_part(written, gradients, lr);
    });
    true
}

fn update_part([parameters, ms, vs]: [&mut [f64]; 3], gradients: &[f64], lr: f64) {
    let moments = ms.iter_mut().zip(vs);
    for ((parameter, &g), (m, v)) in parameters.iter_mut().zip(gradients).zip(moments) {
        *m = *m * BETA1 + g * (1.0 - BETA1);
        *v = *v * BETA2 + g * g * (1.0 - BETA2);
        *parameter += *m * -lr / (v.sqrt() + EPSILON);
    }
}
