//! Statistics of the elements of a tensor.

use serde_json::Number;
use stitch::stitch_trace::{self, StatisticsTally};
use stitch::tensor_files::Dtype;

use super::contents::Statistics;

/// Computes the statistics of a tensor as its elements come.
pub struct Tally {
    dtype: Dtype,
    tally: StatisticsTally,
    nan: u64,
    /// The least and the greatest integer of 64 bits, which float64 may not hold.
    range: Option<[i128; 2]>,
    /// Sum of the elements of float64 times [`SCALE`], whose plain sum may overflow.
    scaled: f64,
    /// Number of the elements in it.
    finite: u64,
}

/// A power of two: only numbers close to 0 are rounded.
const SCALE: f64 = 1.0 / (1u128 << 64) as f64;

impl Tally {
    /// Without elements yet.
    pub fn new(dtype: Dtype) -> Self {
        let tally = StatisticsTally::new();
        Self { dtype, tally, nan: 0, range: None, scaled: 0.0, finite: 0 }
    }

    /// Adds whole elements.
    pub fn add(&mut self, bytes: &[u8]) {
        self.nan += self.dtype.count_nan(bytes) as u64;
        if !self.dtype.is_complex() {
            self.tally.add(self.dtype, bytes);
        }
        let elements = bytes.as_chunks().0.iter().copied();
        match self.dtype {
            Dtype::I64 => self.widen(elements.map(|it| i64::from_le_bytes(it).into())),
            Dtype::U64 => self.widen(elements.map(|it| u64::from_le_bytes(it).into())),
            Dtype::F64 => {
                elements.map(f64::from_le_bytes).filter(|it| it.is_finite()).for_each(|it| {
                    self.scaled += it * SCALE;
                    self.finite += 1;
                })
            }
            _ => {}
        }
    }

    /// Adds integers to the range.
    fn widen(&mut self, elements: impl Iterator<Item = i128>) {
        for it in elements {
            let [least, greatest] = self.range.unwrap_or([it; 2]);
            self.range = Some([least.min(it), greatest.max(it)]);
        }
    }

    /// The statistics of all elements.
    pub fn finish(&self) -> Statistics {
        let stitch_trace::Statistics { inf, min, max, mean, .. } = self.tally.finish();
        let mean =
            mean.or_else(|| (self.finite > 0).then(|| self.scaled / self.finite as f64 / SCALE));
        let [min, max] = match self.range {
            Some(range) => range.map(Number::from_i128),
            None => [min, max].map(|it| self.extreme(it?)),
        };
        let inf = (!self.dtype.is_complex()).then_some(inf as u64);
        Statistics { min, max, mean: mean.and_then(float), nan: self.nan, inf }
    }

    /// The least or the greatest element; an integer for a type of integers, whose 32 bits float64 holds.
    fn extreme(&self, value: f64) -> Option<Number> {
        if self.dtype.is_integer() { Some((value as i64).into()) } else { float(value) }
    }
}

/// A number of JSON; 0 for -0, since the order of the two is unspecified.
fn float(value: f64) -> Option<Number> {
    Number::from_f64(value + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dtype: Dtype, bytes: &[u8]) -> [String; 3] {
        let mut tally = Tally::new(dtype);
        tally.add(bytes);
        let Statistics { min, max, mean, .. } = tally.finish();
        [min, max, mean].map(|it| it.map_or("null".into(), |it| it.to_string()))
    }

    #[test]
    fn integers_have_all_their_digits() {
        let signed = [9007199254740993, i64::MIN, i64::MAX].map(i64::to_le_bytes).concat();
        let [min, max, _] = of(Dtype::I64, &signed);
        assert_eq!([&*min, &*max], ["-9223372036854775808", "9223372036854775807"]);
        assert_eq!(of(Dtype::I64, &signed[..8])[..2], ["9007199254740993"; 2]);
        assert_eq!(of(Dtype::U64, &u64::MAX.to_le_bytes())[..2], ["18446744073709551615"; 2]);
        assert_eq!(of(Dtype::I8, &[0xff, 4]), ["-1", "4", "1.5"]);
        assert_eq!(of(Dtype::Bool, &[0, 2]), ["0", "1", "0.5"]);
        assert_eq!(of(Dtype::I64, &[]), ["null"; 3]);
    }

    #[test]
    fn the_mean_of_finite_numbers_is_finite_and_zero_has_no_sign() {
        let large = [1.7e308f64, 1.7e308, f64::INFINITY].map(f64::to_le_bytes).concat();
        assert_eq!(of(Dtype::F64, &large), ["1.7e+308"; 3]);
        let zeros = [-0.0f32, -0.0].map(f32::to_le_bytes).concat();
        assert_eq!(of(Dtype::F32, &zeros), ["0.0"; 3]);
    }
}
