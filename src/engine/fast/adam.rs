//! `torch.optim.Adam` over a chunk of the parameters, in one pass over memory.

use pulp::{Simd, WithSimd};

use crate::optim::{BETA1, BETA2, EPSILON};

/// A chunk of the parameters with their moments and the gradient of each replica; all slices have the
/// same length.
#[derive(Debug)]
pub struct ParameterChunk<'a> {
    pub parameters: &'a mut [f32],
    pub exp_avg: &'a mut [f32],
    pub exp_avg_sq: &'a mut [f32],
    pub gradients: Vec<&'a [f32]>,
}

/// An Adam update of a chunk with the sum of the replicas' gradients. The factors are the step size and the square root
/// of the second bias correction.
pub struct Update<'a, 'b>(pub (f64, f64), pub &'b mut ParameterChunk<'a>);

impl WithSimd for Update<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(
            (step_size, bias_correction2_sqrt),
            ParameterChunk { parameters, exp_avg, exp_avg_sq, gradients },
        ) = self;
        let factors = [step_size as f32, bias_correction2_sqrt as f32];
        for start in (0..parameters.len()).step_by(S::F32_LANES) {
            let range = start..(start + S::F32_LANES).min(parameters.len());
            let mut g = simd.splat_f32s(0.0);
            for gradient in gradients.iter() {
                g = simd.add_f32s(g, simd.partial_load_f32s(&gradient[range.clone()]));
            }
            let p = simd.partial_load_f32s(&parameters[range.clone()]);
            let m = simd.partial_load_f32s(&exp_avg[range.clone()]);
            let v = simd.partial_load_f32s(&exp_avg_sq[range.clone()]);
            let [p, m, v] = update(simd, factors, g, [p, m, v]);
            simd.partial_store_f32s(&mut parameters[range.clone()], p);
            simd.partial_store_f32s(&mut exp_avg[range.clone()], m);
            simd.partial_store_f32s(&mut exp_avg_sq[range], v);
        }
    }
}

/// Threshold below which gradients and first moments are flushed to 0; second moments are flushed below twice the
/// smallest normal number. Arithmetic on subnormal numbers is a hundred times slower, and parameters whose gradient stays
/// 0 have such moments. A skipped step is smaller than 1e-9 learning rates.
const FLUSH_BELOW: f32 = 1e-17;

/// Updates one vector of parameters, first moments and second moments.
#[inline(always)]
fn update<S: Simd>(
    simd: S,
    [step_size, bias_correction2_sqrt]: [f32; 2],
    g: S::f32s,
    [p, m, v]: [S::f32s; 3],
) -> [S::f32s; 3] {
    let [rest1, rest2] = [1.0 - BETA1, 1.0 - BETA2].map(|factor| factor as f32);
    let g = flush_below(simd, FLUSH_BELOW, g);
    let m = simd.mul_add_f32s(simd.splat_f32s(rest1), simd.sub_f32s(g, m), m);
    let m = flush_below(simd, FLUSH_BELOW, m);
    let decayed = simd.mul_f32s(simd.splat_f32s(BETA2 as f32), v);
    let v = simd.mul_add_f32s(simd.splat_f32s(rest2), simd.mul_f32s(g, g), decayed);
    let v = flush_below(simd, f32::MIN_POSITIVE * 2.0, v);
    let root = simd.div_f32s(simd.sqrt_f32s(v), simd.splat_f32s(bias_correction2_sqrt));
    let direction = simd.div_f32s(m, simd.add_f32s(root, simd.splat_f32s(EPSILON as f32)));
    let p = simd.mul_add_f32s(simd.splat_f32s(-step_size), direction, p);
    [p, m, v]
}

/// Replaces values whose magnitude is below `threshold` with 0.
#[inline(always)]
fn flush_below<S: Simd>(simd: S, threshold: f32, values: S::f32s) -> S::f32s {
    let is_less = simd.less_than_f32s(simd.abs_f32s(values), simd.splat_f32s(threshold));
    simd.select_f32s(is_less, simd.splat_f32s(0.0), values)
}
