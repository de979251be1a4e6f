//! The element-wise operations of `torch.optim.Adam` in two passes over memory, with libtorch's bits.
//!
//! libtorch's vectorized `lerp_` and `addcmul_` use fused multiply-adds on CPUs that have them; [`rounding`] detects
//! this by comparison with libtorch. libtorch computes the square root between the two passes, because MKL's is not
//! always correctly rounded.
//!
//! Names follow Adam's paper: `m` is `exp_avg`, `v` is `exp_avg_sq`, `g` is the gradient.

mod subnormal;

use std::slice;
use std::sync::OnceLock;

use pulp::bytemuck::{self, Pod};
use pulp::{Simd, WithSimd};
use tch::{Device, Kind, Tensor};

use super::noise::noise;
use super::one_thread::{self, Probe};
use crate::libtorch::{dispatch, in_parts, ranges, values, values_mut};
use crate::optim::{self, Adam, AdamConfig, EPSILON};

/// Minimum number of elements per thread.
pub const GRAIN: usize = 4096;
/// Values of 1 - beta1 that the kernel supports.
const WEIGHTS: std::ops::Range<f64> = 0.015_625..0.5;

/// Performs one update of [`Adam`] over one flat tensor. Supports float32 on the CPU if libtorch's rounding is known;
/// otherwise returns false and changes nothing.
pub fn update(adam: &mut Adam, gradient: &Tensor) -> bool {
    let AdamConfig { betas: [beta1, beta2], weight_decay, .. } = adam.config();
    let supported = gradient.device() == Device::Cpu
        && gradient.kind() == Kind::Float
        && weight_decay == 0.0
        && WEIGHTS.contains(&(1.0 - beta1));
    let Some(rounding) = rounding().filter(|_| supported) else { return false };
    let (step_size, correction) = adam.next_factors();
    let (m, v) = (&mut adam.exp_avg[0], &mut adam.exp_avg_sq[0]);
    update_moments(m, v, gradient, [1.0 - beta1, beta2], rounding);
    let root = square_root(v);
    update_parameter(&mut adam.parameters[0], m, &root, [step_size, correction, EPSILON]);
    true
}

/// Returns `v.sqrt()`. On one thread, it is computed in the ranges that libtorch gives its threads: MKL computes the last elements of
/// a range, fewer than a vector, with other code.
fn square_root(v: &Tensor) -> Tensor {
    static PROBE: Probe<i64> = Probe::new();
    let (all, range) = (v.numel() as i64, sqrt_range(v.numel()));
    let found = PROBE.find([v], (all, &[range]), |[v], size| vec![square_root_in_ranges(v, size)]);
    one_thread::run(found, all, |size| square_root_in_ranges(v, size))
}

/// The number of elements, of `count`, whose square roots the first of libtorch's threads computes.
fn sqrt_range(count: usize) -> i64 {
    /// The grain size of libtorch's `sqrt_kernel` (`UnaryOpsKernel.cpp`, 2.13).
    const GRAIN: usize = 2048;
    ranges(count, GRAIN, tch::get_num_threads() as usize)
        .next()
        .map_or(1, |range| range.len() as i64)
}

/// `v.sqrt()`, by one call for each range of `size` elements.
fn square_root_in_ranges(v: &Tensor, size: i64) -> Tensor {
    if size >= v.numel() as i64 {
        return v.sqrt();
    }
    let root = v.empty_like();
    for (root, v) in root.split(size, 0).iter().zip(v.split(size, 0)) {
        let _ = v.sqrt_out(root);
    }
    root
}

/// The rounding of `a + b * c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Rounded once, at the end.
    Fused,
    /// Rounded after the multiplication and after the addition.
    Separate,
}

/// libtorch's rounding in this process; `None` if neither variant gives libtorch's bits. Cached.
pub fn rounding() -> Option<Rounding> {
    static FOUND: OnceLock<Option<Rounding>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // Full vectors and a remainder, for which libtorch has separate code.
        const COUNT: i64 = 1039;
        let [m, v, g] = [1, 2, 3].map(|i| noise(&[COUNT + i]).narrow(0, 0, COUNT).contiguous());
        let weights = [0.1, 0.999];
        let mut expected = [m.copy(), v.copy()];
        let [expected_m, expected_v] = &mut expected;
        optim::update_moments(expected_m, expected_v, &g, weights);
        [Rounding::Fused, Rounding::Separate].into_iter().find(|&rounding| {
            let mut actual = [m.copy(), v.copy()];
            let [m, v] = &mut actual;
            update_moments(m, v, &g, weights, rounding);
            expected.iter().zip(&actual).all(|(expected, actual)| expected.equal(actual))
        })
    })
}

/// Same as [`optim::update_moments`] in one pass over memory, for float32 on the CPU. `weight` must be in [2^-6, 1/2);
/// Adam's is 1 - beta1.
fn update_moments(
    m: &mut Tensor,
    v: &mut Tensor,
    g: &Tensor,
    [weight, decay]: [f64; 2],
    rounding: Rounding,
) {
    debug_assert!(WEIGHTS.contains(&weight), "weight {weight}");
    let factors = [weight, decay, 1.0 - decay].map(|factor| factor as f32);
    let written = [values_mut::<f32>(m), values_mut(v)];
    in_parts((g.numel(), GRAIN), written, [values::<f32>(g)], |[m, v], [g]| {
        dispatch(Moments { m, v, g, factors, rounding });
    });
}

/// One thread's part of [`update_moments`]; `factors` are weight, decay and 1 - decay.
struct Moments<'a> {
    m: &'a mut [f32],
    v: &'a mut [f32],
    g: &'a [f32],
    factors: [f32; 3],
    rounding: Rounding,
}

impl WithSimd for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { m, v, g, factors, rounding } = self;
        let (ms, m_rest) = S::as_mut_simd_f32s(m);
        let (vs, v_rest) = S::as_mut_simd_f32s(v);
        let (gs, g_rest) = S::as_simd_f32s(g);
        for ((m, v), &g) in ms.iter_mut().zip(vs).zip(gs) {
            update_vector(simd, [m, v], g, factors, rounding);
        }
        let [mut m, mut v] = [&*m_rest, &*v_rest].map(|rest| simd.partial_load_f32s(rest));
        let g = simd.partial_load_f32s(g_rest);
        update_vector(simd, [&mut m, &mut v], g, factors, rounding);
        simd.partial_store_f32s(m_rest, m);
        simd.partial_store_f32s(v_rest, v);
    }
}

/// Updates one vector of both moments. Not a closure: a closure that is not inlined is compiled
/// without the CPU's vector instructions.
#[inline(always)]
fn update_vector<S: Simd>(
    simd: S,
    [m, v]: [&mut S::f32s; 2],
    mut g: S::f32s,
    factors: [f32; 3],
    rounding: Rounding,
) {
    let tiny = subnormal::extract(lanes_mut(m), lanes_mut(&mut g), factors[0], rounding);
    let [weight, decay, rest] = factors.map(|factor| simd.splat_f32s(factor));
    let (difference, scaled) = (simd.sub_f32s(g, *m), simd.mul_f32s(g, rest));
    let decayed = simd.mul_f32s(*v, decay);
    [*m, *v] = match rounding {
        Rounding::Fused => {
            [simd.mul_add_f32s(weight, difference, *m), simd.mul_add_f32s(scaled, g, decayed)]
        }
        Rounding::Separate => [
            simd.add_f32s(simd.mul_f32s(weight, difference), *m),
            simd.add_f32s(simd.mul_f32s(scaled, g), decayed),
        ],
    };
    if let Some(tiny) = tiny {
        subnormal::insert(&tiny, lanes_mut(m));
    }
}

/// The elements of a vector as a slice.
#[inline(always)]
fn lanes_mut<V: Pod>(vector: &mut V) -> &mut [f32] {
    bytemuck::cast_slice_mut(slice::from_mut(vector))
}

/// `parameter.addcdiv_(m, (root / correction).add_(epsilon), value=-step_size)` in one pass over memory, for float32 on
/// the CPU; `root` is `v.sqrt()`.
fn update_parameter(
    parameter: &mut Tensor,
    m: &Tensor,
    root: &Tensor,
    [step_size, correction, epsilon]: [f64; 3],
) {
    let factors = [-step_size, correction, epsilon].map(|factor| factor as f32);
    let read = [values::<f32>(m), values(root)];
    let written = [values_mut::<f32>(parameter)];
    in_parts((m.numel(), GRAIN), written, read, |[parameter], [m, root]| {
        dispatch(ParameterUpdate { parameter, m, root, factors });
    });
}

/// One thread's part of [`update_parameter`]; `factors` are -step_size, correction and epsilon.
struct ParameterUpdate<'a> {
    parameter: &'a mut [f32],
    m: &'a [f32],
    root: &'a [f32],
    factors: [f32; 3],
}

impl WithSimd for ParameterUpdate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [step, correction, epsilon] = self.factors;
        // A step below 2^-26 of the parameter does not change it. Using 0 for `m` then avoids arithmetic on subnormal
        // numbers, which is slow (see `subnormal`).
        let threshold = 2f32.powi(-26) * epsilon / step.abs();
        for ((parameter, m), root) in self.parameter.iter_mut().zip(self.m).zip(self.root) {
            let threshold = parameter.abs() * threshold;
            let m = if m.abs() < threshold && threshold < f32::INFINITY { 0.0 } else { *m };
            *parameter += m * step / (root / correction + epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtorch::{on_one_thread, threads};

    /// Zeros, subnormal numbers, and normal numbers up to the largest, of both signs.
    fn numbers_of_all_magnitudes(count: u32, salt: u32) -> Tensor {
        let magnitudes = [
            0,
            1,
            5,
            0x1234,
            0x7f_ffff,
            0x80_0000,
            0x80_0001,
            0x10f0_0000,
            0x3f80_0000,
            0x7f7f_fff0,
        ];
        let bits = |i: u32| {
            let random = i.wrapping_mul(2_654_435_761);
            let magnitude = magnitudes[random as usize / 7 % magnitudes.len()];
            f32::from_bits(magnitude ^ (random >> 31 << 31) ^ (random >> 9 & 0xf))
        };
        let all = (0..count).map(|i| bits(i.wrapping_mul(2 * salt + 1) ^ salt << 20));
        Tensor::from_slice(&all.collect::<Vec<_>>())
    }

    /// The bits of all elements, so that 0 and -0 differ.
    fn bits(tensor: &Tensor) -> Vec<u32> {
        values::<f32>(tensor).iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn numbers_of_all_magnitudes_have_libtorchs_bits() {
        let rounding = rounding().expect("libtorch uses one of the two roundings");
        for weight in [0.1, 0.25, 0.4999] {
            let [g, m, v, p] = [1, 2, 3, 4].map(|salt| numbers_of_all_magnitudes(62_003, salt));
            let v = v.abs();
            let _ = p.narrow(0, 0, 1000).fill_(f64::INFINITY);
            let (mut expected, mut actual) = ([m.copy(), v.copy()], [m, v]);
            let [expected_m, expected_v] = &mut expected;
            optim::update_moments(expected_m, expected_v, &g, [weight, 0.999]);
            let [m, v] = &mut actual;
            update_moments(m, v, &g, [weight, 0.999], rounding);
            let root = v.sqrt();
            for step_size in [1e-38, 1e-3, 7.0, 1e38] {
                let [correction, epsilon] = [0.2342, 1e-8];
                let (mut expected, mut actual) = (p.copy(), p.copy());
                let denominator = (&root / correction).g_add_scalar_(epsilon);
                let _ = expected.addcdiv_(&(&*m * -step_size), &denominator);
                update_parameter(&mut actual, m, &root, [step_size, correction, epsilon]);
                assert!(bits(&expected) == bits(&actual), "weight {weight} step {step_size}");
            }
            for (expected, actual) in expected.iter().zip(&actual) {
                assert!(bits(expected) == bits(actual), "weight {weight}");
            }
        }
    }

    #[test]
    fn the_square_root_has_the_same_bits_on_one_thread() {
        let _threads = threads::of_test(2);
        for n in [1, 2048, 2064, 10_001, 32_769, 61_712] {
            for exponent in [0, -10, -30] {
                let v = noise(&[n]).abs() * 10f64.powi(exponent);
                let expected = v.sqrt();
                let range = sqrt_range(n as usize);
                let actual = on_one_thread(|| square_root_in_ranges(&v, range));
                assert!(bits(&expected) == bits(&actual), "{n} elements of 1e{exponent}");
            }
        }
    }

    #[test]
    fn both_passes_have_libtorchs_bits() {
        let rounding = rounding().expect("libtorch uses one of the two roundings");
        for count in [1, 7, 16, 1001, 62_000] {
            let random = || Tensor::randn([count], (Kind::Float, Device::Cpu));
            let g = random() * 1e-3;
            let (m, v, p) = (random() * 1e-3, random().square() * 1e-6, random());
            let (mut expected, mut actual) = ([m.copy(), v.copy()], [m, v]);
            let [expected_m, expected_v] = &mut expected;
            optim::update_moments(expected_m, expected_v, &g, [0.1, 0.999]);
            let [m, v] = &mut actual;
            update_moments(m, v, &g, [0.1, 0.999], rounding);
            assert!(expected[0].equal(m) && expected[1].equal(v), "{count} moments");
            let root = v.sqrt();
            let [step_size, correction, epsilon] = [1.1e-3, 0.2342, 1e-8];
            let (mut expected, mut actual) = (p.copy(), p);
            let denominator = (&root / correction).g_add_scalar_(epsilon);
            let _ = expected.addcdiv_(&(&*m * -step_size), &denominator);
            update_parameter(&mut actual, m, &root, [step_size, correction, epsilon]);
            assert!(expected.equal(&actual), "{count} parameters");
        }
    }
}
