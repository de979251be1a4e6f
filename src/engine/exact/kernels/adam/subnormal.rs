//! `m + weight * (g - m)` for subnormal `m`, computed on integers, with the same bits.
//!
//! When the gradient of a parameter becomes zero, its first moment decays until it is subnormal and stays so, since the
//! smallest numbers times 0.9 round to themselves. A CPU multiplies subnormal numbers about a hundred times slower, and
//! a dead unit has thousands of them. This module computes with them as integer multiples of 2^-149.

use super::Rounding;

/// Number of lanes of the longest vectors (AVX-512).
const LANES: usize = 16;
/// All bits except the sign.
const MAGNITUDE: u32 = !SIGN;
const SIGN: u32 = 1 << 31;
/// The bits of the smallest normal number. Up to this number, the bits of a magnitude, read as an integer, count
/// multiples of 2^-149.
const MIN_NORMAL: u32 = f32::MIN_POSITIVE.to_bits();

/// Whether `m` is subnormal or the smallest normal number, and `g` is too, or is 0.
#[inline(always)]
fn is_tiny(m: f32, g: f32) -> bool {
    let [m, g] = [m, g].map(|value| value.to_bits() & MAGNITUDE);
    // A single comparison checks that `m` is in 1..=MIN_NORMAL.
    (m.wrapping_sub(1) < MIN_NORMAL) & (g <= MIN_NORMAL)
}

/// Extracts the tiny numbers from a vector: sets `m` and `g` to 0 in their lanes and returns the bits of
/// `m + weight * (g - m)` there, 0 in the other lanes; `None` if no lane is tiny. The update of the second moment may
/// use the 0, too, since the square of such a `g` rounds to 0.
#[inline(always)]
pub fn extract(
    m: &mut [f32],
    g: &mut [f32],
    weight: f32,
    rounding: Rounding,
) -> Option<[u32; LANES]> {
    let tiny = m.iter().zip(&*g).fold(false, |any, (&m, &g)| any | is_tiny(m, g));
    if !tiny {
        return None;
    }
    let mut results = [0; LANES];
    for ((m, g), result) in m.iter_mut().zip(g).zip(&mut results) {
        if is_tiny(*m, *g) {
            *result = lerp(*m, *g, weight, rounding);
            (*m, *g) = (0.0, 0.0);
        }
    }
    Some(results)
}

/// Inserts the results of [`extract`] into their lanes, where `m` is still 0.
#[inline(always)]
pub fn insert(results: &[u32; LANES], m: &mut [f32]) {
    for (m, result) in m.iter_mut().zip(results) {
        *m = f32::from_bits(m.to_bits() | result);
    }
}

/// The bits of `m + weight * (g - m)`. In float64, the product and the sum are exact: they are multiples of 2^-149 times
/// the last place of `weight`, which is at least 2^-6, and they are below 2^-125.
#[inline(always)]
fn lerp(m: f32, g: f32, weight: f32, rounding: Rounding) -> u32 {
    let [m, g] = [m, g].map(|value| {
        let units = f64::from((value.to_bits() & MAGNITUDE) as i32);
        if value.to_bits() & SIGN == 0 { units } else { -units }
    });
    let product = f64::from(weight) * (g - m);
    let sum = match rounding {
        Rounding::Fused => product + m,
        Rounding::Separate => product.round_ties_even() + m,
    };
    let sign = if sum.is_sign_negative() { SIGN } else { 0 };
    // The addition rounds to an integer, ties to even, whose bits are the last bits of the sum. Unlike a conversion to
    // an integer type, it is vectorized.
    (sum.abs() + TWO_TO_52).to_bits() as u32 | sign
}

/// The smallest number from which every float64 is an integer.
const TWO_TO_52: f64 = (1_u64 << 52) as f64;
