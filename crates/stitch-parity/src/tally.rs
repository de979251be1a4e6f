//! Counts the differences of two tensors, block by block.
//!
//! A block is scanned in several short loops, one for each count, which the compiler can turn into vector
//! instructions; only elements that raise a maximum are examined further.

use super::comparison::{Comparison, Greatest};
use super::element::{Element, Values, has_nan};
use super::spread::Spread;
use super::stream::LANES;
use super::sums::Sums;
use super::tolerance::Tolerance;
use tensor_files::Dtype;

/// Elements of a block.
const BLOCK_ELEMENTS: usize = 256;

/// Compares elements one block after another and sums up their differences.
pub(super) struct Tally<'a> {
    comparison: Comparison,
    tolerance: &'a Tolerance,
    equal_nan: bool,
    sums: Sums,
    spread: Spread,
    /// Where elements are gathered.
    block: Option<Box<Block>>,
}

impl<'a> Tally<'a> {
    pub fn new(dtype: Dtype, tolerance: &'a Tolerance, equal_nan: bool) -> Self {
        let comparison = Comparison {
            dtype,
            elements: 0,
            unequal: 0,
            failing: 0,
            nan: 0,
            nan_failing: 0,
            first: None,
            abs: None,
            rel: None,
            ulp: None,
            mean: 0.0,
            mean_rel: 0.0,
            median: 0.0,
            p90: 0.0,
            p99: 0.0,
            cosine: f64::NAN,
            snr: f64::NAN,
            histogram: Vec::new(),
        };
        Self {
            comparison,
            tolerance,
            equal_nan,
            sums: Sums::default(),
            spread: Spread::default(),
            block: None,
        }
    }

    /// Adds a part of the tensors, which begins at the element `start`.
    pub fn chunk(&mut self, start: usize, expected: &[u8], actual: &[u8]) {
        let dtype = self.comparison.dtype;
        let elements = expected.len() / dtype.size();
        // Equal bytes without a NaN need no closer look, and are the usual case.
        if expected == actual && (dtype.is_integer() || !has_nan(expected, dtype)) {
            self.comparison.elements += elements;
            self.spread.add_zeros(elements);
            self.sums.add_equal(dtype, expected);
            return;
        }
        // Differences are often few and far between: halves that have none are done at once.
        if elements > BLOCK_ELEMENTS {
            let middle = elements / 2 * dtype.size();
            self.chunk(start, &expected[..middle], &actual[..middle]);
            self.chunk(start + elements / 2, &expected[middle..], &actual[middle..]);
            return;
        }
        self.comparison.elements += elements;
        // The two usual types by themselves, so that no choice is made for each element.
        match dtype {
            Dtype::F32 => self.elements::<4>(Dtype::F32, start, expected, actual),
            Dtype::F64 => self.elements::<8>(Dtype::F64, start, expected, actual),
            _ => match dtype.size() {
                1 => self.elements::<1>(dtype, start, expected, actual),
                2 => self.elements::<2>(dtype, start, expected, actual),
                4 => self.elements::<4>(dtype, start, expected, actual),
                8 => self.elements::<8>(dtype, start, expected, actual),
                _ => self.elements::<16>(dtype, start, expected, actual),
            },
        }
    }

    /// Adds up to [`BLOCK_ELEMENTS`] elements.
    #[inline(always)]
    fn elements<const SIZE: usize>(
        &mut self,
        dtype: Dtype,
        start: usize,
        expected: &[u8],
        actual: &[u8],
    ) {
        let mut block = self.block.take().unwrap_or_else(Block::new);
        (block.start, block.len) = (start, 0);
        let pairs = expected.as_chunks::<SIZE>().0.iter().zip(actual.as_chunks().0);
        // A loop without a condition, the usual case.
        if dtype.is_integer() || !(has_nan(expected, dtype) || has_nan(actual, dtype)) {
            for (i, (&expected, &actual)) in pairs.enumerate().take(BLOCK_ELEMENTS) {
                block.set(i, Values::new(dtype, expected, actual));
            }
            block.len = expected.len() / SIZE;
            self.add(&block);
            self.block = Some(block);
            return;
        }
        for (&expected, &actual) in pairs {
            let values = Values::new(dtype, expected, actual);
            if values.difference.is_nan() {
                self.add(&block);
                let index = block.start + block.len;
                self.nan(values, index);
                (block.start, block.len) = (index + 1, 0);
            } else {
                block.set(block.len, values);
                block.len += 1;
            }
        }
        self.add(&block);
        self.block = Some(block);
    }

    /// Adds an element that is NaN on one side or on both.
    fn nan(&mut self, values: Values, index: usize) {
        let (c, at) = (&mut self.comparison, values.at(index));
        c.nan += 1;
        c.unequal += usize::from(at.expected != at.actual);
        if !(self.equal_nan && values.values.0.is_nan() && values.values.1.is_nan()) {
            c.failing += 1;
            c.nan_failing += 1;
            c.first.get_or_insert(at);
        }
    }

    /// Adds elements that are numbers.
    fn add(&mut self, block: &Block) {
        let differences = &block.differences[..block.len];
        self.spread.add(differences);
        self.sums.add(differences, &block.expected[..block.len], &block.actual[..block.len]);
        let unequal = block.unequal().count();
        if unequal > 0 {
            self.comparison.unequal += unequal;
            self.count_failing(block, unequal);
            self.raise(block);
        }
    }

    /// Counts the elements that differ beyond the tolerance.
    fn count_failing(&mut self, block: &Block, unequal: usize) {
        let is_float = self.comparison.dtype.is_float();
        let allowed = |&i: &usize| {
            let ulp = is_float.then_some(block.ulps[i]);
            self.tolerance.allows(block.differences[i], block.expected[i], ulp)
        };
        let (failing, first) = match self.tolerance {
            Tolerance::Bits => (unequal, block.unequal().next()),
            Tolerance::Within { .. } => {
                let mut failing = block.unequal().filter(|i| !allowed(i));
                let first = failing.next();
                (usize::from(first.is_some()) + failing.count(), first)
            }
        };
        self.comparison.failing += failing;
        self.comparison.first = self.comparison.first.or(first.map(|i| block.at(i)));
    }

    /// Notes what is greater than before.
    fn raise(&mut self, block: &Block) {
        let c = &mut self.comparison;
        let greatest = block.differences[..block.len].iter().copied().fold(0.0, f64::max);
        raise(&mut c.abs, block, greatest, |i| block.differences[i] == greatest);
        if c.dtype.is_float() {
            let greatest = block.ulps[..block.len].iter().copied().fold(0, u64::max);
            raise(&mut c.ulp, block, greatest, |i| block.ulps[i] == greatest);
        }
        // A division is slow: only where it may come to more than before.
        let floor = c.rel.map_or(0.0, |rel| rel.value * 0.999_999);
        for i in block.unequal() {
            let expected = block.expected[i].abs();
            if block.differences[i] >= floor * expected {
                let relative = relative(block.differences[i], expected);
                raise(&mut c.rel, block, relative, |j| j == i);
            }
        }
    }

    /// The comparison of all lanes, but for the quantiles, and the spread that it follows from.
    pub fn finish(lanes: [Self; LANES]) -> (Comparison, Spread) {
        let [mut all, other] = lanes;
        let (c, o) = (&mut all.comparison, other.comparison);
        c.elements += o.elements;
        c.unequal += o.unequal;
        c.failing += o.failing;
        c.nan += o.nan;
        c.nan_failing += o.nan_failing;
        c.first = earlier(c.first, o.first);
        c.abs = greater(c.abs, o.abs);
        c.rel = greater(c.rel, o.rel);
        c.ulp = greater(c.ulp, o.ulp);
        all.spread.merge(&other.spread);
        c.histogram = all.spread.histogram();
        let numbers = c.elements - c.nan;
        all.sums.merge(&other.sums).finish(numbers, c);
        (all.comparison, all.spread)
    }
}

/// Elements that are numbers on both sides, one array per property.
struct Block {
    /// Position of the first.
    start: usize,
    len: usize,
    /// Of the expected and of the actual value.
    bits: [[u64; BLOCK_ELEMENTS]; 2],
    expected: [f64; BLOCK_ELEMENTS],
    actual: [f64; BLOCK_ELEMENTS],
    differences: [f64; BLOCK_ELEMENTS],
    ulps: [u64; BLOCK_ELEMENTS],
}

impl Block {
    fn new() -> Box<Self> {
        Box::new(Self {
            start: 0,
            len: 0,
            bits: [[0; BLOCK_ELEMENTS]; 2],
            expected: [0.0; BLOCK_ELEMENTS],
            actual: [0.0; BLOCK_ELEMENTS],
            differences: [0.0; BLOCK_ELEMENTS],
            ulps: [0; BLOCK_ELEMENTS],
        })
    }

    #[inline(always)]
    fn set(&mut self, i: usize, values: Values) {
        (self.bits[0][i], self.bits[1][i]) = values.bits;
        (self.expected[i], self.actual[i]) = values.values;
        self.differences[i] = values.difference;
        self.ulps[i] = values.ulps();
    }

    /// Element `i`.
    fn at(&self, i: usize) -> Element {
        Element { index: self.start + i, expected: self.bits[0][i], actual: self.bits[1][i] }
    }

    /// The elements whose bits differ.
    fn unequal(&self) -> impl Iterator<Item = usize> {
        (0..self.len).filter(|&i| self.bits[0][i] != self.bits[1][i])
    }
}

/// The earlier of two elements.
fn earlier(one: Option<Element>, other: Option<Element>) -> Option<Element> {
    [one, other].into_iter().flatten().min_by_key(|at| at.index)
}

/// The greater of two, of equals the first.
fn greater<T: PartialOrd>(
    one: Option<Greatest<T>>,
    other: Option<Greatest<T>>,
) -> Option<Greatest<T>> {
    match (one, other) {
        (Some(one), Some(other)) => {
            let later = one.value == other.value && other.at.index > one.at.index;
            Some(if one.value > other.value || later { one } else { other })
        }
        (one, other) => one.or(other),
    }
}

/// Notes `value`, that of the first unequal element for which `has` holds, if it is greater.
fn raise<T: PartialOrd>(
    greatest: &mut Option<Greatest<T>>,
    block: &Block,
    value: T,
    has: impl Fn(usize) -> bool,
) {
    if greatest.as_ref().is_none_or(|greatest| value > greatest.value) {
        *greatest = block
            .unequal()
            .find(|&i| has(i))
            .map(|i| Greatest { at: block.at(i), value })
            .or(greatest.take());
    }
}

/// The smallest number that times `expected` is no less than `difference`.
fn relative(difference: f64, expected: f64) -> f64 {
    // 0.0 against -0.0 is no relative difference, rather than 0/0.
    let mut relative = if difference == 0.0 { 0.0 } else { difference / expected };
    while relative * expected < difference && relative.is_finite() {
        relative = relative.next_up();
    }
    relative
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relative_tolerance_that_is_named_does_pass() {
        for i in 1..2000u32 {
            let expected = f64::from((i as f32 * 0.37).sin());
            let difference = f64::from(i) * 1e-9;
            let within =
                Tolerance::Within { atol: 0.0, rtol: relative(difference, expected.abs()), ulp: 0 };
            assert!(within.allows(difference, expected, None), "{difference:e} of {expected:e}");
        }
    }
}
