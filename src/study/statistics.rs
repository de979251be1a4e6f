//! Statistics of test accuracies, with confidence intervals.
//!
//! The intervals of means are Student's 95 % t intervals, exact for normal samples of any size; those of differences are
//! Welch's, a close approximation. With 5 values, a bootstrap percentile interval would contain the mean in only 85 % of samples.

use statrs::distribution::{Beta, ContinuousCDF, StudentsT};
use statrs::statistics::{Data, Distribution, Max, Min, OrderStatistics};

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
    /// Confidence interval of the mean, within 0 to 1 like the values; `None` for one value.
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

/// Summary statistics of a sample of accuracies; `None` if it is empty.
pub fn summary(values: &[f64]) -> Option<Summary> {
    if values.is_empty() {
        return None;
    }
    let mut data = Data::new(values.to_vec());
    let limited = |it: Interval| Interval { low: it.low.max(0.0), high: it.high.min(1.0) };
    Some(Summary {
        n: values.len(),
        mean: mean(values),
        sd: data.std_dev().filter(|_| values.len() > 1),
        median: data.median(),
        min: data.min(),
        max: data.max(),
        mean_interval: mean_interval(values).map(limited),
    })
}

/// Student's interval of the mean; `None` unless there are several values.
fn mean_interval(values: &[f64]) -> Option<Interval> {
    let variance = variance_of_mean(values)?;
    Some(interval(mean(values), variance, values.len() as f64 - 1.0))
}

/// Mean of `a` minus mean of `b`, with Welch's interval; `None` unless both have several values.
///
/// The samples are treated as independent. Runs with equal seeds start from equal weights, and where this matters to the
/// accuracy, the difference varies less than that of independent runs, so the true interval is narrower.
pub fn difference(a: &[f64], b: &[f64]) -> Option<(f64, Interval)> {
    let (of_a, of_b) = (variance_of_mean(a)?, variance_of_mean(b)?);
    let part = |variance: f64, n: usize| variance * variance / (n as f64 - 1.0);
    // Welch and Satterthwaite's degrees of freedom.
    let degrees = (of_a + of_b).powi(2) / (part(of_a, a.len()) + part(of_b, b.len()));
    let difference = mean(a) - mean(b);
    Some((difference, interval(difference, of_a + of_b, degrees)))
}

/// The t interval around an estimate with this variance; of no width if the variance is 0.
fn interval(estimate: f64, variance: f64, degrees: f64) -> Interval {
    let t = StudentsT::new(0.0, 1.0, degrees).map_or(0.0, |it| it.inverse_cdf(1.0 - TAIL));
    let margin = t * variance.sqrt();
    Interval { low: estimate - margin, high: estimate + margin }
}

/// The estimated variance of the mean of a sample; `None` unless it has several values.
fn variance_of_mean(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean(values)).powi(2)).sum();
    (values.len() > 1).then(|| squares / (n - 1.0) / n)
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

#[cfg(test)]
mod tests {
    use rand_mt::Mt;

    use super::*;

    #[test]
    fn a_sample_is_summarized() {
        let summary = summary(&[0.875, 0.890625, 0.8828125, 0.8984375]).unwrap();
        assert_eq!((summary.n, summary.mean), (4, 0.88671875));
        assert_eq!((summary.min, summary.median, summary.max), (0.875, 0.88671875, 0.8984375));
        // numpy.std(values, ddof=1)
        assert!((summary.sd.unwrap() - 0.010085894130748481_f64).abs() < 1e-15, "{summary:?}");
        // scipy.stats.t.interval(0.95, 3, mean, sem)
        let Interval { low, high } = summary.mean_interval.unwrap();
        assert!(
            (low - 0.8706698417440585).abs() < 1e-9 && (high - 0.9027676582559415).abs() < 1e-9,
            "{summary:?}"
        );
        assert_eq!(super::summary(&[0.0, 1.0]).unwrap().mean_interval.unwrap().low, 0.0);
    }

    #[test]
    fn one_value_has_no_deviation_and_an_empty_sample_has_no_summary() {
        let one = summary(&[0.5]).unwrap();
        assert_eq!((one.sd, one.mean_interval, one.median), (None, None, 0.5));
        assert_eq!((summary(&[]), at_least(&[], 0.5), difference(&[], &[0.5])), (None, None, None));
    }

    #[test]
    fn intervals_of_five_runs_cover_the_truth_about_95_times_in_100() {
        // Sums of twelve uniform numbers are nearly normal, with mean 6.
        let mut random = Mt::new(1);
        let mut normal = || (0..12).map(|_| f64::from(random.next_u32()) / 4294967296.0).sum();
        let mut sample = |n: usize| (0..n).map(|_| normal()).collect::<Vec<f64>>();
        let (mut of_means, mut of_differences) = (0, 0);
        for _ in 0..2000 {
            let (a, b) = (sample(5), sample(5));
            let contains = |it: Interval, value| u32::from((it.low..=it.high).contains(&value));
            of_means += contains(mean_interval(&a).unwrap(), 6.0);
            of_differences += contains(difference(&a, &b).unwrap().1, 0.0);
        }
        // 1900 with a standard deviation of 10.
        assert!((1865..=1935).contains(&of_means), "{of_means}");
        assert!((1865..=1940).contains(&of_differences), "{of_differences}");
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
    fn a_difference_has_welchs_interval() {
        // scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval()
        let (by, Interval { low, high }) = difference(&[0.9, 0.91, 0.93], &[0.8, 0.81]).unwrap();
        assert!((by - 0.10833333333333339).abs() < 1e-12, "{by}");
        assert!(
            (low - 0.07539291617046817).abs() < 1e-9 && (high - 0.1412737504961986).abs() < 1e-9,
            "{low} {high}"
        );
        let equal = difference(&[0.5, 0.5], &[0.25, 0.25]);
        assert_eq!(equal, Some((0.25, Interval { low: 0.25, high: 0.25 })));
        assert_eq!(difference(&[0.5], &[0.25, 0.5]), None);
    }
}
