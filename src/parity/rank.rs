//! The difference of a given rank (the median, say) without a list of all differences.
//!
//! As integers the bit patterns of positive float64 are in the order of the numbers, so counting
//! their digits of 16 bits, highest first, narrows down to any rank in a few passes over the
//! streams. When few enough differences are left they are sorted out in memory.

use super::compare::{LANES, Pair, add, difference, for_each_chunk, for_each_element, in_lanes};
use super::element::Element;
use crate::formats::Dtype;

/// Differences that may be held in memory: 32 MB.
pub(super) const HELD: u64 = 1 << 22;
/// Values of a digit of 16 bits.
pub(super) const DIGITS: usize = 1 << 16;

/// Digit `place` (3 the highest, 0 the lowest) of a difference's bit pattern. As integers the
/// patterns of positive float64 are in the order of the numbers.
pub(super) fn digit(difference: f64, place: u32) -> usize {
    (difference.to_bits() >> (16 * place)) as usize % DIGITS
}

/// The difference of this rank, from 0 for the smallest. `counts` are those of the highest digit;
/// when at most `held` differences share the digits found so far, they are sorted out in memory.
pub(super) fn ranked<P: Pair>(
    pair: &mut P,
    dtype: Dtype,
    mut rank: u64,
    mut counts: Vec<u64>,
    held: u64,
) -> Result<f64, P::Error> {
    let mut found = 0u64;
    for place in (0..4).rev() {
        let mut below = 0;
        let here = counts.iter().position(|&count| {
            let inside = rank < below + count;
            below += if inside { 0 } else { count };
            inside
        });
        let here = here.unwrap_or(0);
        rank -= below;
        found |= (here as u64) << (16 * place);
        if place == 0 {
            break;
        }
        if counts[here] <= held {
            let lanes = [Vec::new(), Vec::new()];
            let push = |all: &mut Vec<f64>, difference| all.push(difference);
            let mut all = for_each_difference(pair, dtype, (found, place), lanes, push)?.concat();
            let (_, ranked, _) = all.select_nth_unstable_by(rank as usize, f64::total_cmp);
            return Ok(*ranked);
        }
        let lanes = [vec![0; DIGITS], vec![0; DIGITS]];
        let count = |counts: &mut Vec<u64>, x| counts[digit(x, place - 1)] += 1;
        let [mut sum, more] = for_each_difference(pair, dtype, (found, place), lanes, count)?;
        add(&mut sum, &more);
        counts = sum;
    }
    Ok(f64::from_bits(found))
}

/// Calls `each` with every difference whose digits from `place` up are those of `found`, and with
/// the lane that it is in; returns the lanes.
fn for_each_difference<P: Pair, T: Send>(
    pair: &mut P,
    dtype: Dtype,
    (found, place): (u64, u32),
    mut lanes: [T; LANES],
    each: impl Fn(&mut T, f64) + Sync,
) -> Result<[T; LANES], P::Error> {
    let shift = 16 * place;
    for_each_chunk(pair, |expected, actual| {
        in_lanes(&mut lanes, dtype, expected, actual, |lane, _, expected, actual| {
            for_each_element(dtype, expected, actual, |expected, actual| {
                let at = Element { index: 0, expected: expected.0, actual: actual.0 };
                let difference = difference(dtype, at, expected.1, actual.1);
                let nan = expected.1.is_nan() || actual.1.is_nan();
                if !nan && difference.to_bits() >> shift == found >> shift {
                    each(lane, difference);
                }
            });
        });
    })?;
    Ok(lanes)
}
