//! The orders of summation that libtorch is known to use for LeNet-5's convolutions.

use std::ops::Range;

/// The position of the bias in the sum of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bias {
    /// The sum starts from the bias.
    First,
    /// The bias is added to the finished sum.
    Last,
}

/// The order of summation of the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backward {
    /// Number of filters per block of the sums of conv2's `grad_input`.
    pub block: usize,
    /// Partition of the sums of conv1's `grad_weight` and `grad_bias`.
    pub conv1: RowPartition,
    /// Partition of the sums of conv2's `grad_weight` and `grad_bias`.
    pub conv2: RowPartition,
}

/// A partition of the rows of all images of a batch into ranges of almost equal length, the longer ones first. libtorch
/// sums each range on one thread and then adds the sums in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowPartition {
    /// Number of ranges.
    pub count: usize,
    /// Whether a range may start within an image.
    pub within_images: bool,
}

impl RowPartition {
    /// The ranges over `n` images of `height` rows each.
    pub fn ranges(self, n: usize, height: usize) -> Vec<Range<usize>> {
        let (items, rows) = if self.within_images { (n * height, 1) } else { (n, height) };
        let (length, longer) = (items / self.count, items % self.count);
        let start = |i: usize| i * length + i.min(longer);
        (0..self.count).map(|i| start(i) * rows..start(i + 1) * rows).collect()
    }

    /// The partitions that `threads` threads may use for `rows` rows, the most likely first.
    pub fn candidates(threads: usize, rows: usize) -> impl Iterator<Item = Self> {
        let counts = std::iter::once(threads).chain(1..threads.min(rows));
        counts.flat_map(|count| [true, false].map(|within_images| Self { count, within_images }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_of_almost_equal_length_and_in_order() {
        let ranges = |count, within_images| RowPartition { count, within_images }.ranges(3, 10);
        assert_eq!(ranges(1, false), vec![Range { start: 0, end: 30 }]);
        assert_eq!(ranges(2, true), [0..15, 15..30]);
        assert_eq!(ranges(2, false), [0..20, 20..30]);
        assert_eq!(ranges(4, false), [0..10, 10..20, 20..30, 30..30]);
    }
}
