//! Compares two tensors of one dtype and shape element by element, as streams.
//!
//! Memory does not grow with the tensors: the median, too, is exact without a list of all differences.

use super::comparison::Comparison;
use super::rank;
use super::stream::{LANES, Pair, for_each_chunk, in_lanes};
use super::tally::Tally;
use super::tolerance::Tolerance;
use tensor_files::Dtype;

/// Compares the elements of two tensors; without `quantiles`, median and quantiles are NaN.
///
/// # Errors
/// When a stream cannot be read or ends early.
pub(crate) fn compare<P: Pair>(
    pair: &mut P,
    dtype: Dtype,
    tolerance: &Tolerance,
    equal_nan: bool,
    quantiles: bool,
) -> Result<Comparison, P::Error> {
    let mut lanes = [(); LANES].map(|()| Tally::new(dtype, tolerance, equal_nan));
    let mut start = 0;
    for_each_chunk(pair, |expected, actual| {
        in_lanes(&mut lanes, dtype, expected, actual, |tally, offset, expected, actual| {
            tally.chunk(start + offset, expected, actual);
        });
        start += expected.len() / dtype.size();
    })?;
    let (mut comparison, spread) = Tally::finish(lanes);
    if !quantiles {
        [comparison.median, comparison.p90, comparison.p99] = [f64::NAN; 3];
    } else if let Some(last) = (comparison.elements - comparison.nan).checked_sub(1) {
        let ranks = [50, 90, 99].map(|percent| (last as u128 * percent / 100) as u64);
        // The smallest differences are those of 0, and those of the usual tensor.
        if ranks[2] >= comparison.histogram[0] {
            [comparison.median, comparison.p90, comparison.p99] =
                rank::ranked(pair, dtype, ranks, &spread)?;
        }
    }
    Ok(comparison)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use proptest::prelude::*;

    use super::*;
    use crate::spread::Spread;

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
        compare(&mut floats(expected, actual), Dtype::F32, &Tolerance::Bits, false, true).unwrap()
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
            compare(&mut floats(&[0.0], &[-0.0]), Dtype::F32, &within, false, true)
                .unwrap()
                .passes()
        );
    }

    #[test]
    fn nan_fails_on_one_side_always_and_on_both_unless_equal_nan_is_set() {
        let nan = f32::NAN;
        let within = Tolerance::Within { atol: 1e9, rtol: 1e9, ulp: u64::MAX };
        for equal_nan in [false, true] {
            let mut one = floats(&[nan, 1.0], &[1.0, 1.0]);
            assert_eq!(compare(&mut one, Dtype::F32, &within, equal_nan, true).unwrap().failing, 1);
            let mut both = floats(&[nan, 1.0], &[nan, 1.0]);
            let c = compare(&mut both, Dtype::F32, &Tolerance::Bits, equal_nan, true).unwrap();
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
        let mut spread = Spread::default();
        spread.add(&differences);
        for rank in (0..1001).step_by(50) {
            for held in [0, 10, 10_000] {
                let ranks = [rank, rank / 2];
                let found = rank::ranked_with(
                    &mut pair,
                    Dtype::F32,
                    ranks.map(|rank| rank as u64),
                    &spread,
                    held,
                );
                assert_eq!(
                    found.unwrap(),
                    ranks.map(|rank| differences[rank]),
                    "{ranks:?}, {held} held"
                );
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
            let c = compare(&mut pair, Dtype::F32, &Tolerance::Bits, equal_nan, true).unwrap();
            assert_eq!(
                (c.passes(), c.median, c.mean),
                (passes, 0.0, 0.0),
                "{expected:?} {actual:?}"
            );
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
        assert_eq!(compare(&mut pair, Dtype::F32, &within, false, true).unwrap().failing, 1);
    }

    #[test]
    fn large_integers_that_differ_beyond_float64_are_not_equal() {
        let bytes = |x: i64| x.to_le_bytes().to_vec();
        let mut pair = Slices(bytes(i64::MAX), bytes(i64::MAX - 1));
        let within = Tolerance::Within { atol: 0.0, rtol: 0.0, ulp: 0 };
        for dtype in [Dtype::I64, Dtype::U64] {
            assert_eq!(
                compare(&mut pair, dtype, &within, false, true).unwrap().failing,
                1,
                "{dtype}"
            );
        }
    }

    #[test]
    fn complex_numbers_are_compared_by_their_distance_and_8_bit_floats_by_value() {
        let complex = |re: f32, im: f32| [re.to_le_bytes(), im.to_le_bytes()].concat();
        let mut pair = Slices(complex(3.0, 4.0), complex(6.0, 8.0));
        let c = compare(&mut pair, Dtype::C64, &Tolerance::Bits, false, true).unwrap();
        assert_eq!((c.abs.unwrap().value, c.rel.unwrap().value, c.mean_rel), (5.0, 1.0, 1.0));
        assert!(c.ulp.is_none() && (c.cosine - 1.0).abs() < 1e-15 && c.snr == 0.0, "{c:?}");
        // 1.0 and 1.125, then two NaN.
        let mut pair = Slices(vec![0x38, 0x7f], vec![0x39, 0xff]);
        let c = compare(&mut pair, Dtype::F8_E4M3FN, &Tolerance::Bits, true, true).unwrap();
        assert_eq!((c.abs.unwrap().value, c.failing, c.nan), (0.125, 1, 1));
    }

    #[test]
    fn equal_infinities_hide_no_difference_and_scales_do_not_change_the_cosine() {
        let c = bits_of(&[f32::INFINITY, 3.0, 4.0], &[f32::INFINITY, 3.0, 5.0]);
        assert!((c.error() - 0.2).abs() < 1e-12 && c.cosine > 0.99, "{c:?}");
        for scale in [1e-8f32, 1e8] {
            let c = bits_of(&[1.0, 2.0, 2.0], &[2.0 * scale, -scale, 2.0 * scale]);
            assert!((c.cosine - 4.0 / 9.0).abs() < 1e-7, "{c:?}");
        }
    }

    #[test]
    fn what_differs_beside_an_infinite_part_is_within_no_tolerance() {
        let complex = |re: f64, im: f64| [re.to_le_bytes(), im.to_le_bytes()].concat();
        let within = Tolerance::Within { atol: 1e3, rtol: 1.0, ulp: 0 };
        for (one, other) in
            [((f64::INFINITY, 1.0), (f64::INFINITY, 2.0)), ((1.7e308, 1.7e308), (1.6e308, 1.7e308))]
        {
            let mut pair = Slices(complex(one.0, one.1), complex(other.0, other.1));
            let c = compare(&mut pair, Dtype::C128, &within, false, true).unwrap();
            assert!(c.failing == 1 && c.sufficient().is_empty(), "{c:?}");
            let mut same = Slices(complex(one.0, one.1), complex(one.0, one.1));
            assert!(compare(&mut same, Dtype::C128, &within, false, true).unwrap().passes());
        }
        let c = bits_of(&[f32::INFINITY, 1.0], &[1.0, 100.0]);
        assert_eq!(c.mean_rel, f64::INFINITY);
    }

    #[test]
    fn places_are_counted_over_chunks_and_lanes() {
        let expected = vec![1.0f32; 700_000];
        for at in [0, 131_071, 131_072, 262_143, 262_144, 524_288, 699_999] {
            let mut actual = expected.clone();
            actual[at] = 3.0;
            let c = bits_of(&expected, &actual);
            assert_eq!((c.elements, c.unequal), (700_000, 1));
            let places = [c.first, c.abs.map(|g| g.at), c.rel.map(|g| g.at), c.ulp.map(|g| g.at)];
            assert_eq!(places.map(|at| at.unwrap().index), [at; 4]);
        }
    }

    #[test]
    fn streams_of_different_length_are_an_error() {
        let mut pair = Slices(vec![0; 8], vec![0; 4]);
        assert!(compare(&mut pair, Dtype::F32, &Tolerance::Bits, false, true).is_err());
    }

    /// Numbers of all kinds, often equal on both sides.
    fn pairs() -> impl Strategy<Value = Vec<(f32, f32)>> {
        let number = prop_oneof![
            8 => any::<f32>(),
            8 => -2.0f32..2.0,
            1 => prop::sample::select(vec![0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN]),
        ];
        let pair =
            (number, prop_oneof![4 => Just(None), 1 => any::<f32>().prop_map(Some)], -3..4i32);
        let pair = pair.prop_map(|(x, other, ulps)| {
            (x, other.unwrap_or(f32::from_bits(x.to_bits().wrapping_add_signed(ulps))))
        });
        prop::collection::vec(pair, 0..2000)
    }

    proptest! {
        #[test]
        fn blocks_and_lanes_count_what_a_plain_loop_counts(pairs in pairs(), equal_nan: bool) {
            let (expected, actual): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
            let within = Tolerance::Within { atol: 1e-3, rtol: 1e-7, ulp: 1 };
            for tolerance in [Tolerance::Bits, within] {
                let mut pair = floats(&expected, &actual);
                let c = compare(&mut pair, Dtype::F32, &tolerance, equal_nan, true).unwrap();
                let (mut nan, mut failing, mut abs, mut all) = (0, vec![], 0.0, vec![]);
                for (i, &(e, a)) in pairs.iter().enumerate() {
                    let equal = e.to_bits() == a.to_bits();
                    let fails = if e.is_nan() || a.is_nan() {
                        nan += 1;
                        !(equal_nan && e.is_nan() && a.is_nan())
                    } else {
                        let difference = if e == a { 0.0 } else { (f64::from(a) - f64::from(e)).abs() };
                        all.push(difference);
                        abs = f64::max(abs, difference);
                        let place = |x: f32| if x < 0.0 { -i64::from((-x).to_bits()) } else { i64::from(x.abs().to_bits()) };
                        let ulp = place(e).abs_diff(place(a));
                        !equal && !tolerance.allows(difference, e.into(), Some(ulp))
                    };
                    failing.extend(fails.then_some(i));
                }
                all.sort_by(f64::total_cmp);
                prop_assert_eq!((c.elements, c.nan, c.failing), (pairs.len(), nan, failing.len()));
                prop_assert_eq!(c.first.map(|at| at.index), failing.first().copied());
                prop_assert_eq!(c.abs.map_or(0.0, |greatest| greatest.value), abs);
                prop_assert_eq!(c.median, all.get(all.len().saturating_sub(1) / 2).copied().unwrap_or(0.0));
                prop_assert_eq!(c.histogram.iter().sum::<u64>(), all.len() as u64);
                prop_assert_eq!(c.histogram[0], all.iter().filter(|&&x| x == 0.0).count() as u64);
            }
        }
    }
}
