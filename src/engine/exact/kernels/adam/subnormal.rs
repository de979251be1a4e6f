//! The first moment of a parameter whose gradient has become zero: it fades until it is subnormal, and
//! stays there, since the smallest numbers times 0.9 are rounded to themselves. A CPU takes a hundred
//! times as long to multiply such numbers, and a dead unit has thousands of them. So they are
//! multiplied as what they are, whole numbers of 2^-149, with the same bits.

use super::Rounding;

/// Of the longest vectors.
const LANES: usize = 16;
/// All bits but the sign.
const MAGNITUDE: u32 = !SIGN;
const SIGN: u32 = 1 << 31;
/// Up to the smallest normal number the bits of a magnitude are its multiple of 2^-149.
const LARGEST: u32 = f32::MIN_POSITIVE.to_bits();

/// Whether `m` is to be computed here: it is subnormal (or the number above these), and `g` is too or 0.
#[inline(always)]
fn is_tiny(m: f32, g: f32) -> bool {
    let [m, g] = [m, g].map(|value| value.to_bits() & MAGNITUDE);
    // One comparison for 1 to LARGEST.
    (m.wrapping_sub(1) < LARGEST) & (g <= LARGEST)
}

/// Where a vector has such numbers: sets `m` and `g` to 0 there (as for the second moment, the square
/// of such a `g` is nothing), and gives the bits of `m + weight * (g - m)`, 0 at the others.
#[inline(always)]
pub fn take(m: &mut [f32], g: &mut [f32], weight: f32, rounding: Rounding) -> Option<[u32; LANES]> {
    let tiny = m.iter().zip(&*g).fold(false, |any, (&m, &g)| any | is_tiny(m, g));
    if !tiny {
        return None;
    }
    let mut aside = [0; LANES];
    for ((m, g), aside) in m.iter_mut().zip(g).zip(&mut aside) {
        if is_tiny(*m, *g) {
            *aside = lerp(*m, *g, weight, rounding);
            (*m, *g) = (0.0, 0.0);
        }
    }
    Some(aside)
}

/// Puts the results of [`take`] where 0 has stayed 0.
#[inline(always)]
pub fn put_back(aside: &[u32; LANES], m: &mut [f32]) {
    for (m, aside) in m.iter_mut().zip(aside) {
        *m = f32::from_bits(m.to_bits() | aside);
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
    // The addition rounds to whole numbers, to the even ones of two as near, and leaves them in the last
    // bits: here, unlike a conversion, for all lanes at once.
    (sum.abs() + TWO_TO_52).to_bits() as u32 | sign
}

/// From it on the float64 are whole numbers.
const TWO_TO_52: f64 = (1_u64 << 52) as f64;
