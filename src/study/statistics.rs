//! Statistics of test accuracies, with confidence intervals.
//!
//! Intervals are 95 % bootstrap percentile intervals. Resampling has a fixed seed, so results are reproducible.

use rand_mt::Mt;
use statrs::distribution::{Beta, ContinuousCDF};
use statrs::statistics::{Data, Distribution, Max, Min, OrderStatistics};

/// Number of bootstrap resamples.
const RESAMPLINGS: usize = 10_000;
/// Probability outside of an interval, on each side.
const TAIL: f64 = 0.025;

/// A 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// Summary statistics of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Sample size.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// Standard deviation (divided by n - 1); `None` for one value.
    pub sd: Option<f64>,
    /// Median.
    pub median: f64,
    /// Minimum.
    pub min: f64,
    /// Maximum.
    pub max: f64,
    /// Confidence interval of the mean; `None` for one value.
    pub mean_interval: Option<Interval>,
}

/// A proportion of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proportion {
    /// Number of values that are counted.
    pub count: usize,
    /// Sample size.
    pub n: usize,
    /// The exact (Clopper-Pearson) confidence interval.
    pub interval: Interval,
}

/// Summary statistics of a sample; `None` if it is empty.
pub fn summary(values: &[f64]) -> Option<Summary> {
    if values.is_empty() {
        return None;
    }
    let mut data = Data::new(values.to_vec());
    let several = values.len() > 1;
    Some(Summary {
        n: values.len(),
        mean: mean(values),
        sd: data.std_dev().filter(|_| several),
        median: data.median(),
        min: data.min(),
        max: data.max(),
        mean_interval: several.then(|| bootstrap(|random| mean(&resampled(values, random)))),
    })
}

/// Mean of `a` minus mean of `b`, with its confidence interval; `None` unless both have several values.
pub fn difference(a: &[f64], b: &[f64]) -> Option<(f64, Interval)> {
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    let interval = bootstrap(|random| mean(&resampled(a, random)) - mean(&resampled(b, random)));
    Some((mean(a) - mean(b), interval))
}

/// The proportion of a sample that is at least `value`; `None` if the sample is empty.
pub fn at_least(values: &[f64], value: f64) -> Option<Proportion> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let count = values.iter().filter(|&&it| it >= value).count();
    let quantile = |a: usize, b: usize, at: f64| {
        Beta::new(a as f64, b as f64).map_or(f64::NAN, |beta| beta.inverse_cdf(at))
    };
    let low = if count == 0 { 0.0 } else { quantile(count, n - count + 1, TAIL) };
    let high = if count == n { 1.0 } else { quantile(count + 1, n - count, 1.0 - TAIL) };
    Some(Proportion { count, n, interval: Interval { low, high } })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// A bootstrap resample of `values`.
fn resampled(values: &[f64], random: &mut Mt) -> Vec<f64> {
    // A number below the length: the upper half of a 32x32-bit product. The bias is negligible.
    let any =
        |random: &mut Mt| ((u64::from(random.next_u32()) * values.len() as u64) >> 32) as usize;
    values.iter().map(|_| values[any(random)]).collect()
}

/// The percentile interval of a statistic of resamples.
fn bootstrap(mut statistic: impl FnMut(&mut Mt) -> f64) -> Interval {
    let mut random = Mt::new(0);
    let mut data = Data::new((0..RESAMPLINGS).map(|_| statistic(&mut random)).collect::<Vec<_>>());
    Interval { low: data.quantile(TAIL), high: data.quantile(1.0 - TAIL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_summarized() {
        let summary = summary(&[0.875, 0.890625, 0.8828125, 0.8984375]).unwrap();
        assert_eq!((summary.n, summary.mean), (4, 0.88671875));
        assert_eq!((summary.min, summary.median, summary.max), (0.875, 0.88671875, 0.8984375));
        // numpy.std(values, ddof=1)
        assert!((summary.sd.unwrap() - 0.010085894130748481_f64).abs() < 1e-15, "{summary:?}");
        let Interval { low, high } = summary.mean_interval.unwrap();
        assert!(summary.min <= low && low < summary.mean && summary.mean < high, "{summary:?}");
        assert!(high <= summary.max, "{summary:?}");
    }

    #[test]
    fn one_value_has_no_deviation_and_an_empty_sample_has_no_summary() {
        let one = summary(&[0.5]).unwrap();
        assert_eq!((one.sd, one.mean_interval, one.median), (None, None, 0.5));
        assert_eq!((summary(&[]), at_least(&[], 0.5), difference(&[], &[0.5])), (None, None, None));
    }

    #[test]
    fn the_interval_covers_the_mean_about_95_times_in_100() {
        // Sums of twelve uniform numbers are nearly normal, with mean 6.
        let mut random = Mt::new(1);
        let mut normal = || (0..12).map(|_| f64::from(random.next_u32()) / 4294967296.0).sum();
        let covered = (0..200).filter(|_| {
            let values: Vec<f64> = (0..30).map(|_| normal()).collect();
            let Interval { low, high } = summary(&values).unwrap().mean_interval.unwrap();
            (low..=high).contains(&6.0)
        });
        let covered = covered.count();
        assert!((180..=198).contains(&covered), "{covered}");
    }

    #[test]
    fn the_interval_of_a_proportion_is_clopper_and_pearsons() {
        // scipy.stats.binomtest(k, n).proportion_ci(method="exact")
        for (count, n, low, high) in [
            (0, 10, 0.0, 0.3084971078187608),
            (3, 20, 0.03207093717712, 0.37892682654562),
            (20, 20, 0.8315665263128, 1.0),
        ] {
            let values: Vec<f64> = (0..n).map(|i| if i < count { 1.0 } else { 0.0 }).collect();
            let found = at_least(&values, 0.5).unwrap();
            assert_eq!((found.count, found.n), (count, n));
            assert!((found.interval.low - low).abs() < 1e-6, "{found:?}");
            assert!((found.interval.high - high).abs() < 1e-6, "{found:?}");
        }
    }

    #[test]
    fn a_difference_has_the_sign_of_its_means() {
        let (by, Interval { low, high }) = difference(&[0.9, 0.91, 0.92], &[0.8, 0.81]).unwrap();
        assert!((by - 0.105).abs() < 1e-12 && 0.08 < low && low < by && by < high && high < 0.12);
    }
}
