//! Batch normalization: statistics of a batch, running statistics, and the factors per channel of the forward and the
//! backward pass.

use pulp::{Simd, WithSimd};
use tch::Tensor;

use super::shape::Planes;
use crate::engine::chain::BatchNorm;
use crate::libtorch::values_mut;

/// Factors per channel for the pass over the output of a convolution (`pool.rs`). Without batch normalization they are
/// those of the identity.
#[derive(Debug)]
pub struct Factors {
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
    pub mean: Vec<f32>,
    /// The factors of the gradient w.r.t. the output, of the input, and a constant: their sum is the gradient w.r.t.
    /// the input.
    pub gradient: Vec<[f32; 3]>,
    /// `1 / sqrt(variance + eps)`.
    inverse: Vec<f64>,
}

/// Number of values per channel of a part of a batch, and two sums per channel.
pub type Sums<'a> = (usize, &'a [[f64; 2]]);

impl Factors {
    /// The identity.
    pub fn new(channels: usize) -> Self {
        Self {
            scale: vec![1.0; channels],
            shift: vec![0.0; channels],
            mean: vec![0.0; channels],
            gradient: vec![[1.0, 0.0, 0.0]; channels],
            inverse: vec![1.0; channels],
        }
    }

    /// Sets the factors of the forward pass from the [`Statistics`] of the parts of a batch, and updates the running
    /// statistics.
    pub fn set_forward(
        &mut self,
        layer: &BatchNorm,
        [weight, bias]: [&[f32]; 2],
        parts: &[Sums],
        buffers: &[Tensor],
    ) {
        let [mut mean, mut variance, mut batches] =
            layer.buffers.map(|i| buffers[i].shallow_clone());
        let running = values_mut::<f32>(&mut mean).iter_mut().zip(values_mut::<f32>(&mut variance));
        let momentum = layer.config.momentum.expect("a supported layer has a momentum");
        for (c, (running_mean, running_var)) in running.enumerate() {
            let (count, mean, squares) = merge(parts, c);
            let inverse = 1.0 / (squares / count + layer.config.eps).sqrt();
            let scale = inverse * f64::from(weight[c]);
            (self.mean[c], self.inverse[c]) = (mean as f32, inverse);
            self.scale[c] = scale as f32;
            self.shift[c] = (f64::from(bias[c]) - mean * scale) as f32;
            let update = |running: &mut f32, value: f64| {
                let kept = (1.0 - momentum) * f64::from(*running);
                *running = (kept + momentum * value) as f32;
            };
            update(running_mean, mean);
            update(running_var, squares / (count - 1.0));
        }
        values_mut::<i64>(&mut batches)[0] += 1;
    }

    /// Sets the factors of the backward pass from the [`super::pool::GradientSums`] of the parts of a batch; returns the
    /// gradients w.r.t. weight and bias.
    pub fn set_backward(&mut self, weight: &[f32], parts: &[Sums]) -> [Vec<f32>; 2] {
        let mut gradients = [vec![0.0; weight.len()], vec![0.0; weight.len()]];
        let count: usize = parts.iter().map(|(count, _)| count).sum();
        for (c, &weight) in weight.iter().enumerate() {
            let sum = |i: usize| parts.iter().map(|(_, sums)| sums[c][i]).sum::<f64>();
            let (inverse, scale) = (self.inverse[c], self.inverse[c] * f64::from(weight));
            let (sum, product) = (sum(0), sum(1) * inverse);
            gradients[0][c] = product as f32;
            gradients[1][c] = sum as f32;
            let of_input = -scale * inverse * product / count as f64;
            let constant = -scale * sum / count as f64 - of_input * f64::from(self.mean[c]);
            self.gradient[c] = [scale as f32, of_input as f32, constant as f32];
        }
        gradients
    }
}

/// Number, mean and sum of the squares of the deviations of channel `c` over all parts, merged in order.
fn merge(parts: &[Sums], c: usize) -> (f64, f64, f64) {
    let mut total = (0.0, 0.0, 0.0);
    for &(count, sums) in parts {
        let (count, [mean, squares]) = (count as f64, sums[c]);
        let all = total.0 + count;
        let delta = mean - total.1;
        let between = delta * delta * total.0 * count / all;
        total = (all, total.1 + delta * count / all, total.2 + squares + between);
    }
    total
}

/// Computes the statistics of each channel over the images of a block: the mean, and the sum of the squares of the
/// deviations from it.
#[derive(Debug)]
pub struct Statistics<'a> {
    pub input: &'a [f32],
    /// Without a margin.
    pub shape: Planes,
    /// 1 in lanes with an image, else 0.
    pub mask: &'a [f32],
    pub statistics: &'a mut [[f64; 2]],
}

impl WithSimd for Statistics<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mask = S::as_simd_f32s(self.mask).0[0];
        let images = f64::from(simd.reduce_sum_f32s(mask));
        let planes = S::as_simd_f32s(self.input).0.chunks_exact(self.shape.plane());
        for (plane, statistics) in planes.zip(self.statistics) {
            let count = images * plane.len() as f64;
            // The mean of a row is near enough to that of the plane for the variance to lose no digits.
            let row = &plane[plane.len() / 2..][..self.shape.width];
            let [sum, _] = moments(simd, row, simd.splat_f32s(0.0));
            let values_of_row = images as f32 * row.len() as f32;
            let near = simd.reduce_sum_f32s(simd.mul_f32s(sum, mask)) / values_of_row;
            let mut sums = [0.0; 2];
            for (total, sum) in sums.iter_mut().zip(moments(simd, plane, simd.splat_f32s(near))) {
                *total = f64::from(simd.reduce_sum_f32s(simd.mul_f32s(sum, mask)));
            }
            let [sum, squares] = sums;
            let squares = squares - sum * sum / count;
            // It can be negative if all values are equal and the square of a deviation rounds to 0 in float32.
            // NaN stays NaN, unlike with `f64::max`.
            let squares = if squares < 0.0 { 0.0 } else { squares };
            *statistics = [f64::from(near) + sum / count, squares];
        }
    }
}

/// The sums of the deviations from `center` and of their squares, lane by lane.
#[inline(always)]
fn moments<S: Simd>(simd: S, plane: &[S::f32s], center: S::f32s) -> [S::f32s; 2] {
    /// Number of independent sums: an addition takes several cycles.
    const SUMS: usize = 4;
    let mut sums = [[simd.splat_f32s(0.0); 2]; SUMS];
    for chunk in plane.chunks(SUMS) {
        for ([sum, squares], &value) in sums.iter_mut().zip(chunk) {
            let deviation = simd.sub_f32s(value, center);
            *sum = simd.add_f32s(*sum, deviation);
            *squares = simd.mul_add_f32s(deviation, deviation, *squares);
        }
    }
    let [first, rest @ ..] = sums;
    let mut total = first;
    for sums in rest {
        total = [simd.add_f32s(total[0], sums[0]), simd.add_f32s(total[1], sums[1])];
    }
    total
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::libtorch::{dispatch, lanes};

    /// The statistics of a channel whose values are all equal, as those after a filter of zeros.
    fn of_constant(value: f32) -> [f64; 2] {
        let shape = Planes { channels: 1, height: 13, width: 13, margin: 0 };
        let (input, mask) = (vec![value; shape.len() * lanes()], vec![1.0; lanes()]);
        let mut statistics = [[f64::NAN; 2]];
        let (input, mask) = (&input[..], &mask[..]);
        dispatch(Statistics { input, shape, mask, statistics: &mut statistics });
        statistics[0]
    }

    #[test]
    fn the_variance_of_a_constant_channel_is_not_negative() {
        let values = (1..1000).flat_map(|i| [1e-3, 1e-19].map(|scale| i as f32 * scale));
        for value in values {
            let [mean, squares] = of_constant(value);
            assert!((mean - f64::from(value)).abs() < 1e-6, "mean of {value}: {mean}");
            assert!((0.0..1e-9).contains(&squares), "squares of {value}: {squares:e}");
        }
    }

    #[test]
    fn statistics_of_nan_are_nan() {
        assert!(of_constant(f32::NAN).iter().all(|value| value.is_nan()));
    }
}
