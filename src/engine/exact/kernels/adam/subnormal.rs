//! `m + weight * (g - m)` for subnormal `m`, computed on whole numbers, with the same bits.
//!
//! When the gradient of a parameter becomes zero, its first moment decays until it is subnormal and
//! stays there, since the smallest numbers times 0.9 round to themselves. A CPU takes about a hundred
//! times as long to multiply subnormal numbers, and a dead unit has thousands of them. They are
//! multiplied here as the multiples of 2^-149 that they are.

use super::Rounding;

/// Lanes of the longest vectors (AVX-512).
const LANES: usize = 16;
/// All bits except the sign.
const MAGNITUDE: u32 = !SIGN;
const SIGN: u32 = 1 << 31;
/// The bits of the smallest normal number. Up to it, the bits of a magnitude, read as a whole number,
/// count multiples of 2^-149.
const LARGEST: u32 = f32::MIN_POSITIVE.to_bits();

/// Whether `m` is handled here: `m` is subnormal (or the smallest normal number), and so is `g`, or 0.
#[inline(always)]
fn is_tiny(m: f32, g: f32) -> bool {
    let [m, g] = [m, g].map(|value| value.to_bits() & MAGNITUDE);
    // One comparison for 1 to LARGEST.
    (m.wrapping_sub(1) < LARGEST) & (g <= LARGEST)
}

/// Takes the tiny numbers out of a vector: sets `m` and `g` to 0 in their lanes and returns the bits of
/// `m + weight * (g - m)` there, 0 in the other lanes; `None` when no lane is tiny. The update of the
/// second moment may use the 0 too, since the square of such a `g` rounds to 0.
#[inline(always)]
pub fn take(m: &mut [f32], g: &mut [f32], weight: f32, rounding: Rounding) -> Option<[u32; LANES]> {
    let tiny = m.iter().zip(&*g).fold(false, |any, (&m, &g)| any | is_tiny(m, g));
    if !tiny {
        return None;
    }
    let mut taken = [0; LANES];
    for ((m, g), taken) in m.iter_mut().zip(g).zip(&mut taken) {
        if is_tiny(*m, *g) {
            *taken = lerp(*m, *g, weight, rounding);
            (*m, *g) = (0.0, 0.0);
        }
    }
    Some(taken)
}

/// Writes the results of [`take`] into their lanes, where `m` is still 0.
#[inline(always)]
pub fn put_back(taken: &[u32; LANES], m: &mut [f32]) {
    for (m, taken) in m.iter_mut().zip(taken) {
        *m = f32::from_bits(m.to_bits() | taken);
    }
}

/// The bits of `m + weight * (g - m)`. In float64 the product and the sum are exact: they are multiples of
/// 2^-149 times the last place of `weight`, which is at least 2^-6, and below 2^-125.
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
    // The addition rounds to whole numbers, ties to even, and leaves them in the last bits. Unlike a
    // conversion to an integer, it is vectorized.
    (sum.abs() + TWO_TO_52).to_bits() as u32 | sign
}

/// From here on, every float64 is a whole number.
const TWO_TO_52: f64 = (1_u64 << 52) as f64;
