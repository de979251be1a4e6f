//! scikit-learn's Adam in one pass over memory, float64.

use pulp::{Simd, WithSimd};
use tch::{Device, Kind, Tensor};

use super::adam::GRAIN;
use crate::libtorch::{dispatch, in_parts, values, values_mut};
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
        dispatch(Update { written, gradients, lr });
    });
    true
}

/// One thread's part of [`update`]: parameters, first moments and second moments.
struct Update<'a> {
    written: [&'a mut [f64]; 3],
    gradients: &'a [f64],
    lr: f64,
}

impl WithSimd for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { written: [parameters, ms, vs], gradients, lr } = self;
        let moments = ms.iter_mut().zip(vs);
        for ((parameter, &g), (m, v)) in parameters.iter_mut().zip(gradients).zip(moments) {
            *m = *m * BETA1 + g * (1.0 - BETA1);
            *v = *v * BETA2 + g * g * (1.0 - BETA2);
            *parameter += *m * -lr / (v.sqrt() + EPSILON);
        }
    }
}
