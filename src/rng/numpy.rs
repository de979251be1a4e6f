//! `numpy.random.RandomState` (NumPy 2.4): seeding, `uniform`, and `shuffle` as `sklearn.utils.shuffle` calls it.

use rand_mt::Mt;

/// `numpy.random.RandomState`: MT19937 with NumPy's legacy distributions.
#[derive(Debug, Clone)]
pub struct RandomState(Mt);

impl RandomState {
    /// `RandomState(seed)`; NumPy accepts the same range, 0 to 2³²-1.
    pub fn new(seed: u32) -> Self {
        Self(Mt::new(seed))
    }

    /// `random_standard_uniform` of NumPy's `legacy-distributions`: a float64 in [0, 1) with 53 bits, the upper 27 bits
    /// of one draw and the upper 26 bits of the next.
    fn standard_uniform(&mut self) -> f64 {
        let high = f64::from(self.0.next_u32() >> 5);
        let low = f64::from(self.0.next_u32() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// `uniform(low, high, n)`: `n` float64 values in [low, high), in draw order.
    pub fn uniform(&mut self, low: f64, high: f64, n: usize) -> Vec<f64> {
        let range = high - low;
        (0..n).map(|_| low + range * self.standard_uniform()).collect()
    }

    /// `shuffle` of a one-dimensional array: Fisher-Yates from the last index down; `i` is swapped with an index
    /// uniform in `0..=i`.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            let j = self.interval(i as u32) as usize;
            values.swap(i, j);
        }
    }

    /// `random_interval(max)`: an integer in `0..=max` by masked rejection on 32-bit draws. Draws nothing if `max` is
    /// 0.
    pub fn interval(&mut self, max: u32) -> u32 {
        if max == 0 {
            return 0;
        }
        let mask = u32::MAX >> max.leading_zeros();
        loop {
            let value = self.0.next_u32() & mask;
            if value <= max {
                return value;
            }
        }
    }
}
