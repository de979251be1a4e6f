//! The element-wise operations of `torch.optim.Adam` in two passes over memory, with libtorch's bits.
//!
//! libtorch's vectorised `lerp_` and `addcmul_` fuse a multiplication and an addition where the CPU
//! can; whether they do is found out by asking them. Its square root is MKL's, which is not always the
//! nearest number, so it stays libtorch's.

use std::sync::OnceLock;

use pulp::{Arch, Simd, WithSimd};
use tch::Tensor;

use super::noise::noise;
use super::parallel::in_parts;
use super::values::{values, values_mut};

/// Elements of an optimizer's buffers that are worth a thread of their own.
pub const GRAIN: usize = 4096;

/// How `a + b * c` is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Once.
    Fused,
    /// After the multiplication and after the addition.
    Separate,
}

/// How libtorch rounds; `None` when it is neither way.
pub fn rounding() -> Option<Rounding> {
    static FOUND: OnceLock<Option<Rounding>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // Whole vectors and a rest, which libtorch has other code for.
        const COUNT: i64 = 1039;
        let [m, v, g] = [1, 2, 3].map(|i| noise(&[COUNT + i]).narrow(0, 0, COUNT).contiguous());
        let weights = [0.1, 0.999];
        let mut expected = [m.copy(), v.copy()];
        let [expected_m, expected_v] = &mut expected;
        by_libtorch(expected_m, expected_v, &g, weights);
        [Rounding::Fused, Rounding::Separate].into_iter().find(|&rounding| {
            let mut actual = [m.copy(), v.copy()];
            let [m, v] = &mut actual;
            moments(m, v, &g, weights, rounding);
            expected.iter().zip(&actual).all(|(expected, actual)| expected.equal(actual))
        })
    })
}

/// `m.lerp_(g, weight)`; `v.mul_(decay).addcmul_(g, g, value=1 - decay)`.
pub fn by_libtorch(m: &mut Tensor, v: &mut Tensor, g: &Tensor, [weight, decay]: [f64; 2]) {
    tch::no_grad(|| {
        let _ = m.lerp_(g, weight);
        // tch has no `value=`: scaling one factor first gives the same bits.
        let _ = v.g_mul_scalar_(decay).addcmul_(&(g * (1.0 - decay)), g);
    });
}

/// As [`by_libtorch`], in one pass.
pub fn moments(
    m: &mut Tensor,
    v: &mut Tensor,
    g: &Tensor,
    [weight, decay]: [f64; 2],
    rounding: Rounding,
) {
    let factors = [weight, decay, 1.0 - decay].map(|factor| factor as f32);
    let written = [values_mut::<f32>(m), values_mut(v)];
    in_parts((g.numel(), GRAIN), written, [values::<f32>(g)], |[m, v], [g]| {
        Arch::new().dispatch(Moments { m, v, g, factors, rounding });
    });
}

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
        match self.rounding {
            Rounding::Fused => self.update(simd, |a, b, c| simd.mul_add_f32s(a, b, c)),
            Rounding::Separate => {
                self.update(simd, |a, b, c| simd.add_f32s(simd.mul_f32s(a, b), c));
            }
        }
    }
}

impl Moments<'_> {
    #[inline(always)]
    fn update<S: Simd>(self, simd: S, mul_add: impl Fn(S::f32s, S::f32s, S::f32s) -> S::f32s) {
        let [weight, decay, rest] = self.factors.map(|factor| simd.splat_f32s(factor));
        let update = |m: &mut S::f32s, v: &mut S::f32s, g: S::f32s| {
            *m = mul_add(weight, simd.sub_f32s(g, *m), *m);
            *v = mul_add(simd.mul_f32s(g, rest), g, simd.mul_f32s(*v, decay));
        };
        let (ms, m_rest) = S::as_mut_simd_f32s(self.m);
        let (vs, v_rest) = S::as_mut_simd_f32s(self.v);
        let (gs, g_rest) = S::as_simd_f32s(self.g);
        ms.iter_mut().zip(vs).zip(gs).for_each(|((m, v), &g)| update(m, v, g));
        let [mut m, mut v] = [&*m_rest, &*v_rest].map(|rest| simd.partial_load_f32s(rest));
        update(&mut m, &mut v, simd.partial_load_f32s(g_rest));
        simd.partial_store_f32s(m_rest, m);
        simd.partial_store_f32s(v_rest, v);
    }
}

/// `parameter.addcdiv_(m, (root / correction).add_(epsilon), value=-step_size)`, in one pass.
pub fn apply(
    parameter: &mut Tensor,
    m: &Tensor,
    root: &Tensor,
    [step_size, correction, epsilon]: [f64; 3],
) {
    let factors = [-step_size, correction, epsilon].map(|factor| factor as f32);
    let read = [values::<f32>(m), values(root)];
    let written = [values_mut::<f32>(parameter)];
    in_parts((m.numel(), GRAIN), written, read, |[parameter], [m, root]| {
        Arch::new().dispatch(Apply { parameter, m, root, factors });
    });
}

struct Apply<'a> {
    parameter: &'a mut [f32],
    m: &'a [f32],
    root: &'a [f32],
    factors: [f32; 3],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [step, correction, epsilon] = self.factors;
        for ((parameter, m), root) in self.parameter.iter_mut().zip(self.m).zip(self.root) {
            *parameter += m * step / (root / correction + epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn both_passes_have_libtorchs_bits() {
        let rounding = rounding().expect("libtorch rounds once or twice");
        for count in [1, 7, 16, 1001, 62_000] {
            let random = || Tensor::randn([count], (Kind::Float, Device::Cpu));
            let g = random() * 1e-3;
            let (m, v, p) = (random() * 1e-3, random().square() * 1e-6, random());
            let (mut expected, mut actual) = ([m.copy(), v.copy()], [m, v]);
            let [expected_m, expected_v] = &mut expected;
            by_libtorch(expected_m, expected_v, &g, [0.1, 0.999]);
            let [m, v] = &mut actual;
            moments(m, v, &g, [0.1, 0.999], rounding);
            assert!(expected[0].equal(m) && expected[1].equal(v), "{count} moments");
            let root = v.sqrt();
            let [step_size, correction, epsilon] = [1.1e-3, 0.2342, 1e-8];
            let (mut expected, mut actual) = (p.copy(), p);
            let denominator = (&root / correction).g_add_scalar_(epsilon);
            let _ = expected.addcdiv_(&(&*m * -step_size), &denominator);
            apply(&mut actual, m, &root, [step_size, correction, epsilon]);
            assert!(expected.equal(&actual), "{count} parameters");
        }
    }
}
