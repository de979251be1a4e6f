//! `torch.optim.Adam` and `AdamW` over a chunk of the parameters, in one pass over memory.

use pulp::{Simd, WithSimd};

use crate::optim::{Adam, AdamConfig, EPSILON, Optimizer};

/// A chunk of the parameters with their moments and the gradient of each replica; all slices have the
/// same length.
#[derive(Debug)]
pub struct ParameterChunk<'a> {
    pub parameters: &'a mut [f32],
    pub exp_avg: &'a mut [f32],
    pub exp_avg_sq: &'a mut [f32],
    pub gradients: Vec<&'a [f32]>,
}

/// The numbers of an update, the same for all parameters.
#[derive(Debug, Clone, Copy)]
pub struct Factors {
    step_size: f32,
    bias_correction2_sqrt: f32,
    /// `1 - beta1`.
    rest1: f32,
    beta2: f32,
    /// `1 - beta2`.
    rest2: f32,
    /// L2 penalty.
    weight_decay: f32,
    /// Factor of the parameters before the update.
    kept: f32,
}

impl Factors {
    /// Those of the next update, which counts as done.
    pub fn next(adam: &mut Adam) -> Self {
        let (step_size, bias_correction2_sqrt) = adam.next_factors();
        let AdamConfig { betas: [beta1, beta2], weight_decay, decoupled_weight_decay } =
            adam.config();
        let (penalty, decay) = if decoupled_weight_decay {
            (0.0, adam.lr() * weight_decay)
        } else {
            (weight_decay, 0.0)
        };
        Self {
            step_size: step_size as f32,
            bias_correction2_sqrt: bias_correction2_sqrt as f32,
            rest1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            rest2: (1.0 - beta2) as f32,
            weight_decay: penalty as f32,
            kept: (1.0 - decay) as f32,
        }
    }
}

/// An update of a chunk with the sum of the replicas' gradients.
pub struct Update<'a, 'b>(pub Factors, pub &'b mut ParameterChunk<'a>);

impl WithSimd for Update<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(factors, ParameterChunk { parameters, exp_avg, exp_avg_sq, gradients }) = self;
        let (ps, p_rest) = S::as_mut_simd_f32s(parameters);
        let (ms, m_rest) = S::as_mut_simd_f32s(exp_avg);
        let (vs, v_rest) = S::as_mut_simd_f32s(exp_avg_sq);
        for (i, ((p, m), v)) in ps.iter_mut().zip(ms).zip(vs).enumerate() {
            let mut g = simd.splat_f32s(0.0);
            for gradient in gradients.iter() {
                g = simd.add_f32s(g, S::as_simd_f32s(gradient).0[i]);
            }
            [*p, *m, *v] = update(simd, factors, g, [*p, *m, *v]);
        }
        let mut g = simd.splat_f32s(0.0);
        for gradient in gradients.iter() {
            g = simd.add_f32s(g, simd.partial_load_f32s(S::as_simd_f32s(gradient).1));
        }
        let p = simd.partial_load_f32s(p_rest);
        let m = simd.partial_load_f32s(m_rest);
        let v = simd.partial_load_f32s(v_rest);
        let [p, m, v] = update(simd, factors, g, [p, m, v]);
        simd.partial_store_f32s(p_rest, p);
        simd.partial_store_f32s(m_rest, m);
        simd.partial_store_f32s(v_rest, v);
    }
}

/// Threshold below which gradients and first moments are flushed to 0; second moments are flushed below twice the
/// smallest normal number. Arithmetic on subnormal numbers is a hundred times slower, and parameters whose gradient stays
/// 0 have such moments. A skipped step is smaller than 1e-9 learning rates.
const FLUSH_BELOW: f32 = 1e-17;

/// Updates one vector of parameters, first moments and second moments.
#[inline(always)]
fn update<S: Simd>(simd: S, factors: Factors, g: S::f32s, [p, m, v]: [S::f32s; 3]) -> [S::f32s; 3] {
    let g = simd.mul_add_f32s(simd.splat_f32s(factors.weight_decay), p, g);
    let g = flush_below(simd, FLUSH_BELOW, g);
    let m = simd.mul_add_f32s(simd.splat_f32s(factors.rest1), simd.sub_f32s(g, m), m);
    let m = flush_below(simd, FLUSH_BELOW, m);
    let decayed = simd.mul_f32s(simd.splat_f32s(factors.beta2), v);
    let v = simd.mul_add_f32s(simd.splat_f32s(factors.rest2), simd.mul_f32s(g, g), decayed);
    let v = flush_below(simd, f32::MIN_POSITIVE * 2.0, v);
    let bias_correction2_sqrt = simd.splat_f32s(factors.bias_correction2_sqrt);
    let root = simd.div_f32s(simd.sqrt_f32s(v), bias_correction2_sqrt);
    let direction = simd.div_f32s(m, simd.add_f32s(root, simd.splat_f32s(EPSILON as f32)));
    let p = simd.mul_f32s(simd.splat_f32s(factors.kept), p);
    let p = simd.mul_add_f32s(simd.splat_f32s(-factors.step_size), direction, p);
    [p, m, v]
}

/// Replaces values whose magnitude is below `threshold` with 0.
#[inline(always)]
fn flush_below<S: Simd>(simd: S, threshold: f32, values: S::f32s) -> S::f32s {
    let is_less = simd.less_than_f32s(simd.abs_f32s(values), simd.splat_f32s(threshold));
    simd.select_f32s(is_less, simd.splat_f32s(0.0), values)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::libtorch::{dispatch, values, values_mut};

    #[test]
    fn updates_equal_pytorchs_up_to_rounding() {
        for (weight_decay, decoupled_weight_decay) in [(0.0, false), (0.1, false), (0.1, true)] {
            let config =
                AdamConfig { weight_decay, decoupled_weight_decay, ..AdamConfig::default() };
            // Whole vectors, and a part of one.
            let gradient = Tensor::linspace(-3, 3, 1003, (Kind::Float, Device::Cpu));
            let half = &gradient / 2;
            let all = [gradient.ones_like(), gradient.ones_like()];
            let [mut adam, mut fast] = [0, 1].map(|i| Adam::with_config(&all[i..=i], 1e-2, config));
            for step in 0..10 {
                // As OneCycleLR does.
                let momentum = 0.95 - 0.01 * f64::from(step);
                adam.set_momentum(momentum);
                fast.set_momentum(momentum);
                adam.update(&[gradient.shallow_clone()]);
                let factors = Factors::next(&mut fast);
                let state =
                    [&mut fast.parameters[0], &mut fast.exp_avg[0], &mut fast.exp_avg_sq[0]];
                let [parameters, exp_avg, exp_avg_sq] = state.map(values_mut::<f32>);
                let gradients = vec![values(&half); 2];
                let mut chunk = ParameterChunk { parameters, exp_avg, exp_avg_sq, gradients };
                dispatch(Update(factors, &mut chunk));
            }
            for (expected, actual) in values::<f32>(&all[0]).iter().zip(values::<f32>(&all[1])) {
                assert!((expected - actual).abs() < 2e-6, "{actual:e}, not {expected:e}");
            }
        }
    }
}
