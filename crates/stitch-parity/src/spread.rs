//! How the differences of two tensors are spread: counts by the upper bits of their patterns.
//!
//! As integers the bit patterns of positive float64 are in the order of the numbers, so a bin holds
//! the differences of an interval. Both the histogram by powers of ten and the rank of a difference
//! follow from the counts.

use std::sync::LazyLock;

/// Exponents of the decades of [`Comparison::histogram`](crate::Comparison::histogram): differences below 1e-19,
/// from 1e-19 on, …, from 1e9 on.
pub const DECADES: std::ops::Range<i32> = -20..10;

/// Bins: the upper 16 bits of a pattern, of which the sign is 0.
const BINS: usize = 1 << 15;
/// Bits of a pattern that tell the differences of one bin apart.
pub(super) const BITS_BELOW: u32 = 48;

/// Lower ends of the decades but the first, which has none. Parsed, not computed: `powi` would be
/// off by some ULP.
static POWERS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let powers = DECADES.skip(1).map(|decade| format!("1e{decade}").parse());
    powers.map(|power| power.unwrap_or(f64::NAN)).collect()
});

/// What parts each bin in two: the power of ten in it. A bin spans less than a factor of two, so it
/// holds one at most. The first bin is parted between 0 and everything else.
static PARTED_AT: LazyLock<Box<[f64; BINS]>> = LazyLock::new(|| {
    let mut parted = Box::new([f64::INFINITY; BINS]);
    POWERS.iter().for_each(|&power| parted[bin(power)] = power);
    parted[0] = f64::from_bits(1);
    parted
});

/// The bin of a difference, which is not negative.
fn bin(difference: f64) -> usize {
    (difference.to_bits() >> BITS_BELOW) as usize % BINS
}

/// Counts of differences.
#[derive(Debug, Clone, Default)]
pub(super) struct Spread {
    /// Elements without a difference.
    zeros: u64,
    /// The first bin that is counted.
    first: usize,
    /// For each bin from there on, below and from its parting on. It covers the differences so far.
    counts: Vec<[u64; 2]>,
}

/// Bins that are added on each side of a new one.
const MARGIN: usize = 64;

impl Spread {
    /// Counts differences, which are neither negative nor NaN.
    pub fn add(&mut self, differences: &[f64]) {
        let parted_at: &[f64; BINS] = &PARTED_AT;
        for &difference in differences {
            if difference == 0.0 {
                self.zeros += 1;
                continue;
            }
            let bin = bin(difference);
            if bin.wrapping_sub(self.first) >= self.counts.len() {
                self.cover(bin.saturating_sub(MARGIN)..(bin + MARGIN).min(BINS));
            }
            self.counts[bin - self.first][usize::from(difference >= parted_at[bin])] += 1;
        }
    }

    /// Extends the counts to a range of bins.
    #[cold]
    fn cover(&mut self, bins: std::ops::Range<usize>) {
        let (first, end) = match self.counts.len() {
            0 => (bins.start, bins.end),
            len => (self.first.min(bins.start), (self.first + len).max(bins.end)),
        };
        let mut counts = vec![[0; 2]; end - first];
        for (old, count) in (self.first - first.min(self.first)..).zip(&self.counts) {
            counts[old] = *count;
        }
        (self.first, self.counts) = (first, counts);
    }

    /// Number of elements without a difference.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Counts that many elements without a difference.
    pub fn add_zeros(&mut self, count: usize) {
        self.zeros += count as u64;
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        self.zeros += other.zeros;
        if !other.counts.is_empty() {
            self.cover(other.first..other.first + other.counts.len());
            let counts = self.counts[other.first - self.first..].as_flattened_mut().iter_mut();
            counts.zip(other.counts.as_flattened()).for_each(|(count, more)| *count += more);
        }
    }

    /// The upper bits of the difference of this rank (from 0 for the smallest), how many
    /// differences share them, and its rank among these.
    pub fn locate(&self, mut rank: u64) -> Option<(u64, u64, u64)> {
        for (bin, [below, above]) in self.bins() {
            let count = below + above;
            if rank < count {
                return Some((bin as u64, count, rank));
            }
            rank -= count;
        }
        None
    }

    /// The bins that hold something, the lowest first.
    fn bins(&self) -> impl Iterator<Item = (usize, [u64; 2])> {
        let counts = (self.first..).zip(self.counts.iter().copied());
        // Everything in the first bin but 0 is above its parting.
        let tiny =
            if self.first == 0 { self.counts.first().map_or(0, |count| count[1]) } else { 0 };
        let bins =
            std::iter::once((0, [self.zeros, tiny])).chain(counts.filter(|(bin, _)| *bin > 0));
        bins.filter(|(_, [below, above])| below + above > 0)
    }

    /// Number of differences of 0, then of each decade of [`DECADES`].
    pub fn histogram(&self) -> Vec<u64> {
        let mut histogram = vec![0; DECADES.len() + 1];
        for (bin, [below, above]) in self.bins() {
            if bin == 0 {
                (histogram[0], histogram[1]) = (below, above);
                continue;
            }
            let begin = f64::from_bits((bin as u64) << BITS_BELOW);
            // Powers up to the first difference of the bin: one less than its place. A power that
            // the bin begins with parts off nothing, so `below` is then 0.
            let decade = 1 + POWERS.partition_point(|&power| power <= begin);
            let above_decade =
                1 + POWERS.partition_point(|&power| power <= begin.max(PARTED_AT[bin]));
            histogram[decade] += below;
            histogram[if above == 0 { decade } else { above_decade }] += above;
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where in the histogram one difference is counted.
    fn decade(difference: f64) -> usize {
        let mut spread = Spread::default();
        spread.add(&[difference]);
        let histogram = spread.histogram();
        assert_eq!(histogram.iter().sum::<u64>(), 1, "{difference:e}");
        histogram.iter().position(|&count| count == 1).unwrap()
    }

    #[test]
    fn a_decade_begins_at_its_power_of_ten() {
        let below = |x: f64| f64::from_bits(x.to_bits() - 1);
        assert_eq!([0.0, f64::from_bits(1), 1e-300, 1e-20, 9.99e-20].map(decade), [0, 1, 1, 1, 1]);
        for (place, power) in (2..).zip(DECADES.skip(1)) {
            let power: f64 = format!("1e{power}").parse().unwrap();
            assert_eq!([below(power), power].map(decade), [place - 1, place], "{power:e}");
        }
        assert_eq!([2e9, f64::MAX, f64::INFINITY].map(decade), [30, 30, 30]);
    }

    #[test]
    fn a_rank_is_located_among_the_counts() {
        let mut spread = Spread::default();
        spread.add_zeros(2);
        spread.add(&[1.0, 1.0, 2.0]);
        let found = (0..6).map(|rank| spread.locate(rank)).collect::<Vec<_>>();
        let upper = |x: f64| x.to_bits() >> BITS_BELOW;
        let (one, two) = (upper(1.0), upper(2.0));
        let located = [(0, 2, 0), (0, 2, 1), (one, 2, 0), (one, 2, 1), (two, 1, 0)].map(Some);
        assert_eq!(found[..5], located);
        assert_eq!(found[5], None);
    }
}
