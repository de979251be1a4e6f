//! Mean and variance of each channel of a batch, and the update of the running statistics.

use pulp::{Simd, WithSimd};
use tch::Tensor;

use crate::engine::exact::kernels::relu_pool::BatchShape;
use crate::libtorch::{dispatch, in_parts, values};

/// Mean and sum of squared deviations of a channel, as libtorch rounds them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Statistics {
    /// Mean.
    pub mean: f32,
    /// Sum of squared deviations from the mean.
    pub squares: f32,
}

impl Statistics {
    /// `1 / sqrt(variance + eps)` over `count` values.
    pub fn invstd(self, count: usize, eps: f64) -> f32 {
        let variance = f64::from(self.squares / count as f32);
        if variance == 0.0 && eps == 0.0 {
            return 0.0;
        }
        (1.0 / (variance + eps).sqrt()) as f32
    }

    /// Updates the running statistics of a channel.
    pub fn update(self, count: usize, momentum: f64, mean: &mut f32, variance: &mut f32) {
        // libtorch computes the mean in float32, the variance partly in float64.
        let (momentum, rest) = (momentum as f32, 1.0 - momentum as f32);
        *mean = momentum * self.mean + rest * *mean;
        let unbiased = f64::from(self.squares / (count - 1) as f32);
        *variance = (f64::from(momentum) * unbiased + f64::from(rest * *variance)) as f32;
    }
}

/// Channels that a thread adds at the same time; each is a chain of dependent sums.
const GROUP: usize = 8;

/// The statistics of each channel of `xs` (N, C, H, W).
pub fn statistics(xs: &Tensor) -> Vec<Statistics> {
    let (planes, xs) = (BatchShape::of(xs), values(xs));
    let mut all = vec![Statistics::default(); planes.channels];
    let channels: Vec<usize> = (0..planes.channels).collect();
    in_parts((planes.channels, 1), [&mut all], [&channels], |[all], [channels]| {
        let first = channels[0];
        dispatch(StatisticsTask { xs, planes, first, all });
    });
    all
}

/// One thread's part of [`statistics`]: the channels from `first` on.
struct StatisticsTask<'a> {
    xs: &'a [f32],
    planes: BatchShape,
    first: usize,
    all: &'a mut [Statistics],
}

impl WithSimd for StatisticsTask<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { xs, planes, mut first, all } = self;
        let (groups, rest) = all.as_chunks_mut::<GROUP>();
        for group in groups {
            *group = of_channels(xs, planes, first);
            first += GROUP;
        }
        for (i, channel) in rest.iter_mut().enumerate() {
            [*channel] = of_channels(xs, planes, first + i);
        }
    }
}

/// The statistics of `G` channels from `first` on.
#[inline(always)]
fn of_channels<const G: usize>(xs: &[f32], planes: BatchShape, first: usize) -> [Statistics; G] {
    let count = (planes.images * planes.area()) as f64;
    let sums = sum_of::<G, false>(xs, planes, first, [0.0; G]);
    let mut all = [Statistics::default(); G];
    let mut means = [0.0; G];
    for (mean, sum) in means.iter_mut().zip(sums) {
        *mean = (sum / count) as f32;
    }
    let squares = sum_of::<G, true>(xs, planes, first, means);
    for (it, (mean, squares)) in all.iter_mut().zip(means.into_iter().zip(squares)) {
        *it = Statistics { mean, squares: squares as f32 };
    }
    all
}

/// The sums over `G` channels of `x`, or of the square of `x - mean`, in float64, image by image.
#[inline(always)]
fn sum_of<const G: usize, const SQUARES: bool>(
    xs: &[f32],
    planes: BatchShape,
    first: usize,
    means: [f32; G],
) -> [f64; G] {
    let area = planes.area();
    let mut sums = [0.0; G];
    for image in xs.chunks_exact(planes.channels * area) {
        let planes = &image[first * area..][..G * area];
        let mut i = 0;
        while i + 4 <= area {
            add_columns::<G, 4, SQUARES>(&mut sums, &planes[i..], area, &means);
            i += 4;
        }
        for i in i..area {
            add_columns::<G, 1, SQUARES>(&mut sums, &planes[i..], area, &means);
        }
    }
    sums
}

/// Adds `W` consecutive elements of each of `G` planes of `area` elements.
#[inline(always)]
fn add_columns<const G: usize, const W: usize, const SQUARES: bool>(
    sums: &mut [f64; G],
    planes: &[f32],
    area: usize,
    means: &[f32; G],
) {
    let mut columns = [[0.0; G]; W];
    for g in 0..G {
        let row: &[f32; W] = planes[g * area..].first_chunk().expect("the rest of a plane");
        for (column, &x) in columns.iter_mut().zip(row) {
            column[g] = if SQUARES { (x - means[g]) * (x - means[g]) } else { x };
        }
    }
    for column in columns {
        for (sum, x) in sums.iter_mut().zip(column) {
            *sum += f64::from(x);
        }
    }
}
