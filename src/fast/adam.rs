//! `torch.optim.Adam` over a share of the parameters, in one pass over memory.

use pulp::{Simd, WithSimd};

use crate::optim::{BETA1, BETA2, EPSILON};

/// The factors of one step.
#[derive(Debug, Clone, Copy)]
pub struct Factors {
    step_size: f32,
    bias_correction2_sqrt: f32,
}

impl Factors {
    /// Those of step `t`, counted from 1.
    pub fn at(t: u64, lr: f64) -> Self {
        let t = t as f64;
        Self {
            step_size: (lr / (1.0 - BETA1.powf(t))) as f32,
            bias_correction2_sqrt: (1.0 - BETA2.powf(t)).sqrt() as f32,
        }
    }
}

/// A share of the parameters with their moments, and each replica's gradient by them: slices of
/// one length.
#[derive(Debug)]
pub struct Share<'a> {
    pub parameters: &'a mut [f32],
    pub exp_avg: &'a mut [f32],
    pub exp_avg_sq: &'a mut [f32],
    pub gradients: Vec<&'a [f32]>,
}

/// Updates a share by the sum of the gradients.
pub struct Update<'a, 'b>(pub Factors, pub &'b mut Share<'a>);

impl WithSimd for Update<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(factors, Share { parameters, exp_avg, exp_avg_sq, gradients }) = self;
        for start in (0..parameters.len()).step_by(S::F32_LANES) {
            let part = start..(start + S::F32_LANES).min(parameters.len());
            let mut g = simd.splat_f32s(0.0);
            for gradient in gradients.iter() {
                g = simd.add_f32s(g, simd.partial_load_f32s(&gradient[part.clone()]));
            }
            let [p, m, v] = [&*parameters, &*exp_avg, &*exp_avg_sq]
                .map(|values| simd.partial_load_f32s(&values[part.clone()]));
            let [p, m, v] = update(simd, factors, g, [p, m, v]);
            simd.partial_store_f32s(&mut parameters[part.clone()], p);
            simd.partial_store_f32s(&mut exp_avg[part.clone()], m);
            simd.partial_store_f32s(&mut exp_avg_sq[part], v);
        }
    }
}

/// Parameters and moments after one step.
#[inline(always)]
fn update<S: Simd>(simd: S, factors: Factors, g: S::f32s, [p, m, v]: [S::f32s; 3]) -> [S::f32s; 3] {
    let splat = |x: f64| simd.splat_f32s(x as f32);
    let m = simd.mul_add_f32s(splat(1.0 - BETA1), simd.sub_f32s(g, m), m);
    let v =
        simd.mul_add_f32s(splat(1.0 - BETA2), simd.mul_f32s(g, g), simd.mul_f32s(splat(BETA2), v));
    let root = simd.div_f32s(simd.sqrt_f32s(v), simd.splat_f32s(factors.bias_correction2_sqrt));
    let direction = simd.div_f32s(m, simd.add_f32s(root, splat(EPSILON)));
    let p = simd.mul_add_f32s(simd.splat_f32s(-factors.step_size), direction, p);
    [p, m, v]
}
