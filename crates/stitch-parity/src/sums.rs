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
    without_relative: [f64; SUMS],
}

impl Sums {
    /// Adds elements, given their differences and values; all slices have one length.
    pub fn add(&mut self, differences: &[f64], expected: &[f64], actual: &[f64]) {
        let all = [differences, expected, actual];
        let rows = all.map(|values| values.as_chunks::<SUMS>());
        for i in 0..rows[0].0.len() {
            self.row(rows.map(|(rows, _)| &rows[i]));
        }
        // Zeros add nothing.
        let last = rows.map(|(_, rest)| {
            let mut row = [0.0; SUMS];
            row[..rest.len()].copy_from_slice(rest);
            row
        });
        self.row(last.each_ref());
    }

    #[inline(always)]
    fn row(&mut self, [differences, expected, actual]: [&[f64; SUMS]; 3]) {
        for lane in 0..SUMS {
            let (difference, magnitude) = (differences[lane], expected[lane].abs());
            let [expected, actual] = [expected[lane], actual[lane]].map(finite);
            self.differences[lane] += difference;
            let has_relative = difference == 0.0 || magnitude > 0.0;
            self.without_relative[lane] += if has_relative { 0.0 } else { 1.0 };
            // Of two infinities, too.
            let relative = difference / magnitude.min(f64::MAX);
            self.relative[lane] += if difference > 0.0 && has_relative { relative } else { 0.0 };
            self.squares[0][lane] += difference * difference;
            self.squares[1][lane] += expected * expected;
            self.squares[2][lane] += actual * actual;
            self.squares[3][lane] += expected * actual;
        }
    }

    /// Adds elements that are equal on both sides and not NaN.
    pub fn add_equal(&mut self, dtype: Dtype, bytes: &[u8]) {
        let mut squares = [0.0; SUMS];
        match dtype {
            // The two usual types in a form that the compiler turns into vector instructions.
            Dtype::F32 => add_squares(&mut squares, bytes, |x| f32::from_le_bytes(x).into()),
            Dtype::F64 => add_squares(&mut squares, bytes, f64::from_le_bytes),
            _ => for_each_element(dtype, bytes, bytes, |values| {
                squares[0] += finite(values.values.0).powi(2)
            }),
        }
        for sums in &mut self.squares[1..] {
            sums.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
        }
    }

    pub fn merge(mut self, other: &Self) -> Self {
        let pairs = [
            (&mut self.differences, &other.differences),
            (&mut self.relative, &other.relative),
            (&mut self.without_relative, &other.without_relative),
        ];
        for (sums, others) in pairs.into_iter().chain(self.squares.iter_mut().zip(&other.squares)) {
            sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
        }
        self
    }

    /// Sets the means, the cosine and the signal-to-noise ratio of a comparison of that many numbers.
    pub fn finish(&self, numbers: usize, c: &mut Comparison) {
        let mean = |sums: &[f64; SUMS], count: usize| match count {
            0 => 0.0,
            _ => sums.iter().sum::<f64>() / count as f64,
        };
        c.mean = mean(&self.differences, numbers);
        let without_relative = self.without_relative.iter().sum::<f64>() as usize;
        c.mean_rel = mean(&self.relative, numbers - without_relative);
        let [differences, expected, actual, products] =
            self.squares.map(|sums| sums.iter().sum::<f64>());
        // Of complex numbers, the products are those of the magnitudes: |a - e|^2 = |e|^2 + |a|^2 - 2 <e, a>.
        let products = match c.dtype.part() {
            Some(_) => (expected + actual - differences) / 2.0,
            None => products,
        };
        c.cosine = products / (expected.sqrt() * actual.sqrt());
        // Squares beyond float64 tell nothing.
        c.snr = match expected.is_finite() {
            true => 10.0 * (expected / differences).log10(),
            false => f64::NAN,
        };
    }
}

/// 0 in place of an infinity: where it is on both sides, it does not differ, and elsewhere the difference is infinite.
#[inline(always)]
fn finite(x: f64) -> f64 {
    if x.is_infinite() { 0.0 } else { x }
}

/// Adds the squares of elements of `SIZE` bytes.
#[inline(always)]
fn add_squares<const SIZE: usize>(
    squares: &mut [f64; SUMS],
    bytes: &[u8],
    number: impl Fn([u8; SIZE]) -> f64,
) {
    let (rows, rest) = bytes.as_chunks::<SIZE>().0.as_chunks::<SUMS>();
    for row in rows {
        for (sum, &element) in squares.iter_mut().zip(row) {
            let x = finite(number(element));
            *sum += x * x;
        }
    }
    for (sum, &element) in squares.iter_mut().zip(rest) {
        *sum += finite(number(element)).powi(2);
    }
}
