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

/// Differences that are held in memory: 4 MB, and up to three times as much while they are gathered.
const HELD: u64 = 1 << 19;
/// Bits that a pass tells apart when there are more. What is left are fewer than 32.
const BITS: u32 = 18;

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

/// The differences whose bits from `below` up are `found`, of which there are `count`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Group {
    found: u64,
    below: u32,
    count: u64,
}

/// What a pass makes of a group: all of its differences, or their number by their next bits.
enum Sorted {
    All(Vec<u64>),
    Cells(Vec<Cell>),
}

impl Group {
    /// Bits that a pass tells apart.
    fn bits(&self) -> u32 {
        BITS.min(self.below)
    }

    /// Before the pass; at most `held` differences are listed.
    fn begin(&self, held: u64) -> Sorted {
        match self.count <= held {
            true => Sorted::All(Vec::new()),
            false => Sorted::Cells(vec![Cell::default(); 1 << self.bits()]),
        }
    }

    /// Adds a difference if it is one of the group.
    #[inline(always)]
    fn add(&self, sorted: &mut Sorted, pattern: u64) {
        if pattern >> self.below != self.found {
            return;
        }
        match sorted {
            Sorted::All(all) => all.push(pattern),
            Sorted::Cells(cells) => {
                let left = self.below - self.bits();
                let rest = pattern & ((1 << left) - 1);
                cells[(pattern >> left) as usize % (1 << self.bits())].add(rest as u32);
            }
        }
    }

    /// The difference of this rank in the group, or a part of the group that it is in and its rank there.
    fn find(&self, sorted: &mut Sorted, mut rank: u64) -> io::Result<Found> {
        let cells = match sorted {
            Sorted::All(all) if all.len() as u64 != self.count => return Err(changed()),
            Sorted::All(all) => {
                let (_, ranked, _) = all.select_nth_unstable(rank as usize);
                return Ok(Found::Difference(f64::from_bits(*ranked)));
            }
            Sorted::Cells(cells) => cells,
        };
        for (here, cell) in cells.iter().enumerate() {
            if rank < cell.count {
                let left = self.below - self.bits();
                let found = self.found << self.bits() | here as u64;
                return Ok(match cell.mixed {
                    true => Found::Part(Group { found, below: left, count: cell.count }, rank),
                    false => {
                        Found::Difference(f64::from_bits(found << left | u64::from(cell.rest)))
                    }
                });
            }
            rank -= cell.count;
        }
        Err(changed())
    }
}

impl Sorted {
    fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::All(all), Self::All(others)) => all.extend(others),
            (Self::Cells(cells), Self::Cells(others)) => {
                cells.iter_mut().zip(others).for_each(|(cell, other)| cell.merge(other));
            }
            _ => {}
        }
    }
}

/// How far a difference is found.
enum Found {
    Difference(f64),
    Part(Group, u64),
}

/// The differences of these ranks, from 0 for the smallest. `spread` counts all differences.
pub(super) fn ranked<P: Pair, const N: usize>(
    pair: &mut P,
    dtype: Dtype,
    ranks: [u64; N],
    spread: &Spread,
) -> Result<[f64; N], P::Error> {
    ranked_with(pair, dtype, ranks, spread, HELD)
}

/// The same; at most `held` differences are held in memory.
pub(super) fn ranked_with<P: Pair, const N: usize>(
    pair: &mut P,
    dtype: Dtype,
    ranks: [u64; N],
    spread: &Spread,
    held: u64,
) -> Result<[f64; N], P::Error> {
    let mut found =
        ranks.map(|rank| match spread.locate(rank).filter(|_| rank >= spread.zeros()) {
            Some((found, count, rank)) => {
                Found::Part(Group { found, below: BITS_BELOW, count }, rank)
            }
            None => Found::Difference(0.0),
        });
    loop {
        let mut groups: Vec<Group> = Vec::new();
        for found in &found {
            if let Found::Part(group, _) = found
                && !groups.contains(group)
            {
                groups.push(*group);
            }
        }
        if groups.is_empty() {
            return Ok(found.map(|found| match found {
                Found::Difference(difference) => difference,
                Found::Part(..) => f64::NAN,
            }));
        }
        let held = held / groups.len() as u64;
        let lanes = [(); LANES].map(|()| groups.iter().map(|it| it.begin(held)).collect());
        let sort = |sorted: &mut Vec<Sorted>, pattern: u64| {
            groups.iter().zip(sorted).for_each(|(group, sorted)| group.add(sorted, pattern));
        };
        let [mut sorted, more] = for_each_difference(pair, dtype, lanes, sort)?;
        sorted.iter_mut().zip(more).for_each(|(sorted, more)| sorted.merge(more));
        for found in &mut found {
            if let Found::Part(group, rank) = *found
                && let Some(place) = groups.iter().position(|it| *it == group)
            {
                *found = group.find(&mut sorted[place], rank)?;
            }
        }
    }
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
