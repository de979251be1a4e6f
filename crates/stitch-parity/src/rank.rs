//! The difference of a given rank (the median, say) without a list of all differences.
//!
//! The counts of a [`Spread`] tell the upper bits of the difference that is looked for. One further
//! pass over the streams is usually enough: it collects the differences with these bits where they
//! are few, and otherwise counts them by their next bits, of which most have one value only.

use std::io;

use super::element::for_each_element;
use super::spread::{BITS_BELOW, Spread};
use super::stream::{LANES, Pair, for_each_chunk, in_lanes};
use tensor_files::Dtype;

/// Differences that are held in memory: 32 MB, and up to three times as much while they are gathered.
pub(super) const HELD: u64 = 1 << 22;
/// Bits that a pass tells apart when there are more. What is left are fewer than 32.
const BITS: u32 = 20;

/// Differences that have their upper bits in common.
#[derive(Clone, Copy, Default)]
struct Cell {
    count: u64,
    /// The bits below of the first.
    rest: u32,
    /// Whether another has other bits below.
    mixed: bool,
}

impl Cell {
    fn add(&mut self, rest: u32) {
        self.merge(Cell { count: 1, rest, mixed: false });
    }

    fn merge(&mut self, other: Self) {
        if self.count == 0 {
            *self = other;
        } else if other.count > 0 {
            self.mixed |= other.mixed || other.rest != self.rest;
            self.count += other.count;
        }
    }
}

/// The differences of these ranks, from 0 for the smallest; see [`ranked`].
pub(super) fn all<P: Pair, const N: usize>(
    pair: &mut P,
    dtype: Dtype,
    ranks: [u64; N],
    spread: &Spread,
) -> Result<[f64; N], P::Error> {
    let places = ranks.map(|rank| spread.locate(rank).unwrap_or_default());
    let mut bins: Vec<(u64, u64)> =
        places.iter().map(|&(found, count, _)| (found, count)).collect();
    bins.sort_unstable();
    bins.dedup();
    // One pass for all of them, if what it collects is not too much.
    if bins.iter().map(|(_, count)| count).sum::<u64>() <= HELD {
        let lanes = [(); LANES].map(|()| vec![Vec::new(); bins.len()]);
        let push = |all: &mut Vec<Vec<u64>>, pattern: u64| {
            if let Ok(bin) = bins.binary_search_by_key(&(pattern >> BITS_BELOW), |bin| bin.0) {
                all[bin].push(pattern);
            }
        };
        let [mut all, more] = for_each_difference(pair, dtype, lanes, push)?;
        all.iter_mut().zip(more).for_each(|(all, more)| all.extend(more));
        if all.iter().zip(&bins).any(|(all, (_, count))| all.len() as u64 != *count) {
            return Err(changed().into());
        }
        return Ok(places.map(|(found, _, rank)| {
            let bin = bins.partition_point(|bin| bin.0 < found);
            f64::from_bits(*all[bin].select_nth_unstable(rank as usize).1)
        }));
    }
    let mut values = [0.0; N];
    for (value, rank) in values.iter_mut().zip(ranks) {
        *value = ranked(pair, dtype, rank, spread, HELD)?;
    }
    Ok(values)
}

/// The difference of this rank, from 0 for the smallest. `spread` counts all differences; when at
/// most `held` of them have the bits found so far, they are sorted out in memory.
pub(super) fn ranked<P: Pair>(
    pair: &mut P,
    dtype: Dtype,
    rank: u64,
    spread: &Spread,
    held: u64,
) -> Result<f64, P::Error> {
    let Some((mut found, mut count, mut rank)) = spread.locate(rank) else { return Ok(0.0) };
    let mut below = BITS_BELOW;
    while below > 0 {
        if count <= held {
            let lanes = [Vec::new(), Vec::new()];
            let push = |all: &mut Vec<u64>, pattern: u64| {
                if pattern >> below == found {
                    all.push(pattern);
                }
            };
            let mut all = for_each_difference(pair, dtype, lanes, push)?.concat();
            if all.len() as u64 != count {
                return Err(changed().into());
            }
            let (_, ranked, _) = all.select_nth_unstable(rank as usize);
            return Ok(f64::from_bits(*ranked));
        }
        let bits = BITS.min(below);
        let left = below - bits;
        let lanes = [(); LANES].map(|()| vec![Cell::default(); 1 << bits]);
        let sort = |cells: &mut Vec<Cell>, pattern: u64| {
            if pattern >> below == found {
                let rest = pattern & ((1 << left) - 1);
                cells[(pattern >> left) as usize % (1 << bits)].add(rest as u32);
            }
        };
        let [mut cells, more] = for_each_difference(pair, dtype, lanes, sort)?;
        cells.iter_mut().zip(more).for_each(|(cell, more)| cell.merge(more));
        let here = (0..cells.len()).find(|&here| {
            let inside = rank < cells[here].count;
            rank -= if inside { 0 } else { cells[here].count };
            inside
        });
        let here = here.ok_or_else(changed)?;
        let cell = cells[here];
        (found, below, count) = (found << bits | here as u64, left, cell.count);
        if !cell.mixed {
            return Ok(f64::from_bits(found << below | u64::from(cell.rest)));
        }
    }
    Ok(f64::from_bits(found))
}

/// The second pass has not found what the first has.
fn changed() -> io::Error {
    io::Error::other("a file was changed while it was compared")
}

/// Calls `each` with the pattern of every difference that is not NaN, and with the lane that it is in; returns the lanes.
fn for_each_difference<P: Pair, T: Send>(
    pair: &mut P,
    dtype: Dtype,
    mut lanes: [T; LANES],
    each: impl Fn(&mut T, u64) + Sync,
) -> Result<[T; LANES], P::Error> {
    for_each_chunk(pair, |expected, actual| {
        in_lanes(&mut lanes, dtype, expected, actual, |lane, _, expected, actual| {
            for_each_element(dtype, expected, actual, |values| {
                if !values.difference.is_nan() {
                    each(lane, values.difference.to_bits());
                }
            });
        });
    })?;
    Ok(lanes)
}
