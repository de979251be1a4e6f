//! Two tensors of one type and shape, element by element, as streams.
//!
//! Bit equality is the question; everything else describes how it fails. Memory does not grow with
//! the tensors: also the median is exact without a list of all differences, by counting the digits
//! of their bit patterns, which are in the order of the differences.

use std::io::{self, Read};
use std::sync::LazyLock;
use std::thread;

use serde::Serialize;

use super::element::{Element, bits, has_nan, number, ulp_distance};
use super::rank::{self, DIGITS, digit};
use super::tolerance::Tolerance;
use crate::formats::Dtype;

/// Bytes that are read at a time; a multiple of every element's size.
const CHUNK: usize = 1 << 20;
/// Elements that are looked at one by one when any of them differs.
const BLOCK: usize = 32;
/// Powers of ten that the histogram tells apart: below 1e-19, from 1e-19 on, …, from 1e9 on.
pub const DECADES: std::ops::Range<i32> = -20..10;

/// Two streams of equal length that can be read from the start as often as needed.
pub trait Pair {
    /// Why a stream could not be opened or read.
    type Error: From<io::Error>;

    /// The elements of the expected and of the actual tensor, row-major, little-endian.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    #[allow(clippy::type_complexity)] // Two boxed readers, nothing more.
    fn streams(&mut self) -> Result<(Box<dyn Read + '_>, Box<dyn Read + '_>), Self::Error>;
}

/// An element where something is greatest, and how great.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Greatest<T> {
    /// Where.
    pub at: Element,
    /// How much.
    pub value: T,
}

/// How two tensors compare.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Element type of both.
    #[serde(serialize_with = "dtype_name")]
    pub dtype: Dtype,
    /// Number of elements.
    pub elements: usize,
    /// Elements whose bits differ.
    pub unequal: usize,
    /// Elements that the tolerance does not excuse.
    pub failing: usize,
    /// Elements that are NaN on one side or on both.
    pub nan: usize,
    /// The first element that the tolerance does not excuse.
    pub first: Option<Element>,
    /// Greatest absolute difference.
    pub abs: Option<Greatest<f64>>,
    /// Greatest difference relative to the expected value.
    pub rel: Option<Greatest<f64>>,
    /// Greatest distance in units in the last place; floating-point types only.
    pub ulp: Option<Greatest<u64>>,
    /// Mean absolute difference over all elements that are numbers.
    pub mean: f64,
    /// Median absolute difference over all elements that are numbers.
    pub median: f64,
    /// Number of differences by size: 0, then one entry a decade of [`DECADES`].
    pub histogram: Vec<u64>,
}

fn dtype_name<S: serde::Serializer>(dtype: &Dtype, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(dtype.name())
}

impl Comparison {
    /// Whether every bit is equal.
    pub fn is_bit_equal(&self) -> bool {
        self.unequal == 0 && self.failing == 0
    }

    /// Whether the tolerance excuses all that differs.
    pub fn passes(&self) -> bool {
        self.failing == 0
    }
}

/// Compares two tensors.
///
/// # Errors
/// When a stream cannot be read or ends early.
pub fn compare<P: Pair>(
    pair: &mut P,
    dtype: Dtype,
    tolerance: &Tolerance,
    equal_nan: bool,
) -> Result<Comparison, P::Error> {
    let mut lanes = [(); LANES].map(|()| Tally::new(dtype, tolerance, equal_nan));
    let mut start = 0;
    for_each_chunk(pair, |expected, actual| {
        in_lanes(&mut lanes, dtype, expected, actual, |tally, offset, expected, actual| {
            tally.at = start + offset;
            tally.chunk(expected, actual);
        });
        start += expected.len() / dtype.size();
    })?;
    let mut tally = Tally::new(dtype, tolerance, equal_nan);
    lanes.into_iter().for_each(|lane| tally.merge(lane));
    let mut comparison = tally.comparison;
    let numbers = comparison.elements - comparison.nan;
    comparison.mean = if numbers == 0 { 0.0 } else { tally.sum / numbers as f64 };
    let rank = numbers.saturating_sub(1) as u64 / 2;
    // The smallest differences are those of 0, and the usual median is one of them.
    if numbers > 0 && rank >= comparison.histogram[0] {
        comparison.median = rank::ranked(pair, dtype, rank, tally.digits, rank::HELD)?;
    }
    Ok(comparison)
}

/// Reads both streams to their end, in chunks of one length.
pub(super) fn for_each_chunk<P: Pair>(
    pair: &mut P,
    mut each: impl FnMut(&[u8], &[u8]),
) -> Result<(), P::Error> {
    let (mut expected, mut actual) = pair.streams()?;
    let mut buffers = [vec![0; CHUNK], vec![0; CHUNK]];
    loop {
        let [left, right] = &mut buffers;
        let lengths = [fill(&mut expected, left)?, fill(&mut actual, right)?];
        if lengths[0] != lengths[1] {
            let error = "one of two tensors of one shape ends before the other";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error).into());
        }
        if lengths[0] == 0 {
            return Ok(());
        }
        each(&left[..lengths[0]], &right[..lengths[0]]);
    }
}

/// Parts of a chunk that are worked on at once. A fixed number, so that sums are the same on every
/// machine.
pub(super) const LANES: usize = 2;

/// Shares a chunk between the lanes: each gets its elements and where they begin in the chunk.
/// Equal bytes are looked at faster than a thread is started.
pub(super) fn in_lanes<T: Send>(
    lanes: &mut [T; LANES],
    dtype: Dtype,
    expected: &[u8],
    actual: &[u8],
    work: impl Fn(&mut T, usize, &[u8], &[u8]) + Sync,
) {
    let [one, two] = lanes;
    if expected == actual {
        return work(one, 0, expected, actual);
    }
    let offset = expected.len() / dtype.size() / 2;
    let (expected, actual) =
        (expected.split_at(offset * dtype.size()), actual.split_at(offset * dtype.size()));
    thread::scope(|scope| {
        scope.spawn(|| work(one, 0, expected.0, actual.0));
        work(two, offset, expected.1, actual.1);
    });
}

/// Reads until `buffer` is full or the stream ends.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

/// The running comparison.
struct Tally<'a> {
    comparison: Comparison,
    /// Position of the next element.
    at: usize,
    tolerance: &'a Tolerance,
    equal_nan: bool,
    sum: f64,
    /// Differences by the highest digit of their bit patterns, see [`digit`].
    digits: Vec<u64>,
}

impl<'a> Tally<'a> {
    fn new(dtype: Dtype, tolerance: &'a Tolerance, equal_nan: bool) -> Self {
        let comparison = Comparison {
            dtype,
            elements: 0,
            unequal: 0,
            failing: 0,
            nan: 0,
            first: None,
            abs: None,
            rel: None,
            ulp: None,
            mean: 0.0,
            median: 0.0,
            histogram: vec![0; DECADES.len() + 1],
        };
        Self { comparison, at: 0, tolerance, equal_nan, sum: 0.0, digits: vec![0; DIGITS] }
    }

    fn chunk(&mut self, expected: &[u8], actual: &[u8]) {
        let dtype = self.comparison.dtype;
        let elements = expected.len() / dtype.size();
        // Equal bytes without a NaN need no closer look, and are the usual case.
        if expected == actual && !(dtype.is_float() && has_nan(expected, dtype)) {
            self.at += elements;
            self.comparison.elements += elements;
            self.comparison.histogram[0] += elements as u64;
            self.digits[0] += elements as u64;
            return;
        }
        // Differences are often few and far between: halves that have none are done at once.
        if elements > BLOCK {
            let middle = elements / 2 * dtype.size();
            self.chunk(&expected[..middle], &actual[..middle]);
            self.chunk(&expected[middle..], &actual[middle..]);
            return;
        }
        for_each_element(dtype, expected, actual, |expected, actual| {
            let index = self.at;
            self.at += 1;
            self.comparison.elements += 1;
            let at = Element { index, expected: expected.0, actual: actual.0 };
            self.element(at, expected.1, actual.1);
        });
    }

    /// Adds what another lane has found.
    fn merge(&mut self, other: Self) {
        let (c, o) = (&mut self.comparison, other.comparison);
        c.elements += o.elements;
        c.unequal += o.unequal;
        c.failing += o.failing;
        c.nan += o.nan;
        c.first = [c.first, o.first].into_iter().flatten().min_by_key(|at| at.index);
        c.abs = greater(c.abs, o.abs);
        c.rel = greater(c.rel, o.rel);
        c.ulp = greater(c.ulp, o.ulp);
        add(&mut c.histogram, &o.histogram);
        add(&mut self.digits, &other.digits);
        self.sum += other.sum;
    }

    fn element(&mut self, at: Element, expected: f64, actual: f64) {
        let c = &mut self.comparison;
        let equal = at.expected == at.actual;
        c.unequal += usize::from(!equal);
        let excused = if expected.is_nan() || actual.is_nan() {
            c.nan += 1;
            self.equal_nan && expected.is_nan() && actual.is_nan()
        } else {
            let difference = difference(c.dtype, at, expected, actual);
            self.sum += difference;
            c.histogram[decade(difference)] += 1;
            self.digits[digit(difference, 3)] += 1;
            equal || {
                let ulp = c.dtype.is_float().then(|| ulp_distance(c.dtype, at));
                raise(&mut c.abs, at, difference);
                // A division is slow: only where it may come to more than before.
                let floor = c.rel.map_or(0.0, |rel| rel.value * 0.999_999);
                if difference >= floor * expected.abs() {
                    raise(&mut c.rel, at, relative(difference, expected.abs()));
                }
                if let Some(ulp) = ulp {
                    raise(&mut c.ulp, at, ulp);
                }
                self.tolerance.excuses(difference, expected, ulp)
            }
        };
        if !excused {
            c.failing += 1;
            c.first.get_or_insert(at);
        }
    }
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

/// Adds counts to counts.
pub(super) fn add(counts: &mut [u64], more: &[u64]) {
    counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
}

fn raise<T: PartialOrd>(greatest: &mut Option<Greatest<T>>, at: Element, value: T) {
    if greatest.as_ref().is_none_or(|greatest| value > greatest.value) {
        *greatest = Some(Greatest { at, value });
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

/// Calls `each` with bits and value of every element of both.
pub(super) fn for_each_element(
    dtype: Dtype,
    expected: &[u8],
    actual: &[u8],
    mut each: impl FnMut((u64, f64), (u64, f64)),
) {
    // The two usual types by themselves, so that no choice is made for each element.
    match dtype {
        Dtype::F32 => {
            let value = |&x: &[u8; 4]| {
                let value = f32::from_le_bytes(x);
                (u64::from(value.to_bits()), f64::from(value))
            };
            let pairs = expected.as_chunks().0.iter().zip(actual.as_chunks().0);
            pairs.for_each(|(e, a)| each(value(e), value(a)));
        }
        Dtype::F64 => {
            let value = |&x: &[u8; 8]| (u64::from_le_bytes(x), f64::from_le_bytes(x));
            let pairs = expected.as_chunks().0.iter().zip(actual.as_chunks().0);
            pairs.for_each(|(e, a)| each(value(e), value(a)));
        }
        _ => {
            let value = |x: &[u8]| (bits(x), number(dtype, bits(x)));
            let size = dtype.size();
            let pairs = expected.chunks_exact(size).zip(actual.chunks_exact(size));
            pairs.for_each(|(e, a)| each(value(e), value(a)));
        }
    }
}

/// |actual - expected|; 0 for equal bits, also those of an infinity.
pub(super) fn difference(dtype: Dtype, at: Element, expected: f64, actual: f64) -> f64 {
    let difference = (actual - expected).abs();
    if at.expected == at.actual {
        0.0
    } else if difference == 0.0 && !dtype.is_float() {
        // int64 beyond 2^53: apart, though not as float64.
        1.0
    } else {
        difference
    }
}

/// Place in the histogram: 0 for no difference, else 1 and on, a decade each.
fn decade(difference: f64) -> usize {
    // Lower ends of the decades but the first, which has none. Parsed, not computed: `powi` would
    // be off by some ULP.
    static POWERS: LazyLock<Vec<f64>> = LazyLock::new(|| {
        let powers = DECADES.skip(1).map(|decade| format!("1e{decade}").parse());
        powers.map(|power| power.unwrap_or(f64::NAN)).collect()
    });
    // The decade where the numbers of a highest digit begin. They span less than a factor of two,
    // so at most one power lies among them.
    static FIRST: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let begins = (0..DIGITS as u64).map(|digit| f64::from_bits(digit << 48));
        begins.map(|x| POWERS.partition_point(|&power| power <= x) as u8).collect()
    });
    if difference == 0.0 {
        return 0;
    }
    let first = usize::from(FIRST[digit(difference, 3)]);
    1 + first + usize::from(POWERS.get(first).is_some_and(|&power| power <= difference))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slices(Vec<u8>, Vec<u8>);

    impl Pair for Slices {
        type Error = io::Error;
        fn streams(&mut self) -> io::Result<(Box<dyn Read + '_>, Box<dyn Read + '_>)> {
            Ok((Box::new(&self.0[..]), Box::new(&self.1[..])))
        }
    }

    fn floats(expected: &[f32], actual: &[f32]) -> Slices {
        let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Slices(bytes(expected), bytes(actual))
    }

    fn bits_of(expected: &[f32], actual: &[f32]) -> Comparison {
        compare(&mut floats(expected, actual), Dtype::F32, &Tolerance::Bits, false).unwrap()
    }

    #[test]
    fn equal_bits_pass_and_one_ulp_does_not() {
        let next = f32::from_bits(1.5f32.to_bits() + 1);
        assert!(bits_of(&[1.0, 1.5], &[1.0, 1.5]).is_bit_equal());
        let c = bits_of(&[1.0, 1.5], &[1.0, next]);
        assert_eq!((c.unequal, c.failing, c.first.unwrap().index), (1, 1, 1));
        assert_eq!(c.ulp.unwrap().value, 1);
        assert_eq!(c.abs.unwrap().value, f64::from(next) - 1.5);
    }

    #[test]
    fn negative_zero_is_not_zero_bit_for_bit_but_is_within_any_tolerance() {
        let c = bits_of(&[0.0], &[-0.0]);
        assert_eq!((c.failing, c.ulp.unwrap().value), (1, 0));
        let within = Tolerance::Within { atol: 0.0, rtol: 0.0, ulp: 0 };
        assert!(
            compare(&mut floats(&[0.0], &[-0.0]), Dtype::F32, &within, false).unwrap().passes()
        );
    }

    #[test]
    fn nan_fails_on_one_side_always_and_on_both_unless_it_is_asked_for() {
        let nan = f32::NAN;
        let within = Tolerance::Within { atol: 1e9, rtol: 1e9, ulp: u64::MAX };
        for equal_nan in [false, true] {
            let mut one = floats(&[nan, 1.0], &[1.0, 1.0]);
            assert_eq!(compare(&mut one, Dtype::F32, &within, equal_nan).unwrap().failing, 1);
            let mut both = floats(&[nan, 1.0], &[nan, 1.0]);
            let c = compare(&mut both, Dtype::F32, &Tolerance::Bits, equal_nan).unwrap();
            assert_eq!((c.passes(), c.nan), (equal_nan, 1));
        }
    }

    #[test]
    fn the_median_is_that_of_the_sorted_differences() {
        let expected: Vec<f32> = (0..1001).map(|i| i as f32).collect();
        let actual: Vec<f32> = expected.iter().map(|&x| x + (x * 7.0 % 13.0) * 0.25).collect();
        let mut differences: Vec<f64> =
            expected.iter().zip(&actual).map(|(e, a)| f64::from(a - e)).collect();
        differences.sort_by(f64::total_cmp);
        let c = bits_of(&expected, &actual);
        assert_eq!(c.median, differences[500]);
        let mean = differences.iter().sum::<f64>() / 1001.0;
        assert!((c.mean - mean).abs() < 1e-12);
        assert_eq!(c.histogram.iter().sum::<u64>(), 1001);
        // Every rank, in memory and by counting digits alone.
        let mut pair = floats(&expected, &actual);
        let mut counts = vec![0; DIGITS];
        differences.iter().for_each(|&difference| counts[digit(difference, 3)] += 1);
        for rank in (0..1001).step_by(50) {
            for held in [0, 10, 10_000] {
                let found = rank::ranked(&mut pair, Dtype::F32, rank as u64, counts.clone(), held);
                assert_eq!(found.unwrap(), differences[rank], "rank {rank}, {held} held");
            }
        }
    }

    #[test]
    fn tensors_without_a_number_compare_without_a_median() {
        let nan = f32::NAN;
        for (expected, actual, equal_nan, passes) in [
            (vec![], vec![], false, true),
            (vec![nan], vec![nan], false, false),
            (vec![nan, nan], vec![nan, nan], true, true),
            (vec![nan], vec![1.0], true, false),
            (vec![1.0], vec![nan], true, false),
        ] {
            let mut pair = floats(&expected, &actual);
            let c = compare(&mut pair, Dtype::F32, &Tolerance::Bits, equal_nan).unwrap();
            assert_eq!(
                (c.passes(), c.median, c.mean),
                (passes, 0.0, 0.0),
                "{expected:?} {actual:?}"
            );
        }
    }

    #[test]
    fn the_relative_tolerance_that_is_named_does_pass() {
        for i in 1..2000u32 {
            let expected = f64::from((i as f32 * 0.37).sin());
            let difference = f64::from(i) * 1e-9;
            let within =
                Tolerance::Within { atol: 0.0, rtol: relative(difference, expected.abs()), ulp: 0 };
            assert!(within.excuses(difference, expected, None), "{difference:e} of {expected:e}");
        }
    }

    #[test]
    fn a_zero_of_another_sign_does_not_hide_a_greater_relative_difference() {
        let c = bits_of(&[0.0, 2.0], &[-0.0, 3.0]);
        assert_eq!(c.rel.unwrap().value, 0.5);
    }

    #[test]
    fn an_infinity_is_within_no_relative_tolerance_of_a_number() {
        let within = Tolerance::Within { atol: 1.0, rtol: 1.0, ulp: 0 };
        let mut pair = floats(&[f32::INFINITY], &[0.0]);
        assert_eq!(compare(&mut pair, Dtype::F32, &within, false).unwrap().failing, 1);
    }

    #[test]
    fn large_integers_that_differ_are_not_excused_by_float64() {
        let bytes = |x: i64| x.to_le_bytes().to_vec();
        let mut pair = Slices(bytes(i64::MAX), bytes(i64::MAX - 1));
        let within = Tolerance::Within { atol: 0.0, rtol: 0.0, ulp: 0 };
        assert_eq!(compare(&mut pair, Dtype::I64, &within, false).unwrap().failing, 1);
    }

    #[test]
    fn a_decade_begins_at_its_power_of_ten() {
        for (difference, decade) in [(1e-300, 1), (1e-20, 1), (9.99e-20, 1), (1e-3, 18), (1e9, 30)]
        {
            assert_eq!(super::decade(difference), decade, "{difference:e}");
        }
        assert_eq!(super::decade(0.0), 0);
        assert_eq!(super::decade(f64::from_bits(1e-3f64.to_bits() - 1)), 17);
    }

    #[test]
    fn streams_of_different_length_are_an_error() {
        let mut pair = Slices(vec![0; 8], vec![0; 4]);
        assert!(compare(&mut pair, Dtype::F32, &Tolerance::Bits, false).is_err());
    }
}
