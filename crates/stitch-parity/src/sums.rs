//! Sums over the elements of two tensors, and the means, the cosine and the signal-to-noise ratio that follow from them.

use tensor_files::Dtype;

use super::comparison::Comparison;
use super::element::for_each_element;

/// Sums that are kept side by side. A fixed number, so that they are the same on every machine.
const SUMS: usize = 8;

/// Sums over the elements that are numbers on both sides.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    /// Of the differences.
    differences: [f64; SUMS],
    /// Of the differences, each relative to the expected value.
    relative: [f64; SUMS],
    /// Of the squares of the differences, of the expected and of the actual values, and of the products of the latter two.
    squares: [[f64; SUMS]; 4],
    /// Number of elements that are 0 in the reference alone.
    without_relative: usize,
}

impl Sums {
    /// Adds elements, given their differences, values and products; all slices have one length.
    pub fn add(&mut self, differences: &[f64], expected: &[f64], actual: &[f64], products: &[f64]) {
        for begin in (0..differences.len()).step_by(SUMS) {
            for i in begin..differences.len().min(begin + SUMS) {
                let (difference, magnitude) = (differences[i], expected[i].abs());
                let lane = i - begin;
                self.differences[lane] += difference;
                let has_relative = difference == 0.0 || magnitude > 0.0;
                self.without_relative += usize::from(!has_relative);
                self.relative[lane] +=
                    if difference > 0.0 && has_relative { difference / magnitude } else { 0.0 };
                self.squares[0][lane] += difference * difference;
                self.squares[1][lane] += expected[i] * expected[i];
                self.squares[2][lane] += actual[i] * actual[i];
                self.squares[3][lane] += products[i];
            }
        }
    }

    /// Adds elements that are equal on both sides and not NaN.
    pub fn add_equal(&mut self, dtype: Dtype, bytes: &[u8]) {
        let mut squares = [0.0; SUMS];
        let mut lane = 0;
        for_each_element(dtype, bytes, bytes, |values| {
            squares[lane % SUMS] += values.product;
            lane += 1;
        });
        for sums in &mut self.squares[1..] {
            sums.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
        }
    }

    pub fn merge(mut self, other: &Self) -> Self {
        let pairs =
            [(&mut self.differences, &other.differences), (&mut self.relative, &other.relative)];
        let squares = self.squares.iter_mut().zip(&other.squares);
        for (sums, others) in pairs.into_iter().chain(squares) {
            sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
        }
        self.without_relative += other.without_relative;
        self
    }

    /// Sets the means, the cosine and the signal-to-noise ratio of a comparison of that many numbers.
    pub fn finish(&self, numbers: usize, c: &mut Comparison) {
        let mean = |sums: &[f64; SUMS], count: usize| match count {
            0 => 0.0,
            _ => sums.iter().sum::<f64>() / count as f64,
        };
        c.mean = mean(&self.differences, numbers);
        c.mean_rel = mean(&self.relative, numbers - self.without_relative);
        let [differences, expected, actual, products] =
            self.squares.map(|sums| sums.iter().sum::<f64>());
        c.cosine = products / (expected.sqrt() * actual.sqrt());
        c.snr = 10.0 * (expected / differences).log10();
    }
}
