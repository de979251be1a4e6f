//! Batch normalization in training, on contiguous (N, C, H, W), fused with ReLU and pooling.
//!
//! Same bits as `aten/src/ATen/native/Normalization.cpp` and `native/cpu/batch_norm_kernel.cpp` of PyTorch 2.13: per
//! channel, float32 values are added in float64, image by image. The backward pass adds each plane in float32, in the
//! lanes of a vector; their number and the rounding depend on libtorch's instruction set. [`probe`] finds them by
//! comparison with libtorch.

mod probe;

use pulp::bytemuck::cast_slice;
use pulp::{Arch, Simd, WithSimd};
use tch::Tensor;

pub use probe::order;

use super::adam::Rounding;
use super::relu_pool::{Affine, Planes, Pool, unpool};
use crate::libtorch::{filled, in_parts, values};

/// How libtorch computes batch norm, by the instruction set for which it chooses its kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// AVX2, also on CPUs with AVX-512: fused multiply-adds, though in the sum of products only for elements beyond the
    /// last whole vector; the lanes of a sum are added as a tree.
    Vectors,
    /// No vectors: no fused multiply-adds; the lanes of a sum are added from the first to the last.
    Scalars,
}

impl Order {
    /// The rounding of `a * b + c`, except in sums.
    pub fn rounding(self) -> Rounding {
        match self {
            Self::Vectors => Rounding::Fused,
            Self::Scalars => Rounding::Separate,
        }
    }
}

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
    let (planes, xs) = (Planes::of(xs), values(xs));
    let mut all = vec![Statistics::default(); planes.channels];
    let channels: Vec<usize> = (0..planes.channels).collect();
    in_parts((planes.channels, 1), [&mut all], [&channels], |[all], [channels]| {
        let first = channels[0];
        Arch::new().dispatch(StatisticsTask { xs, planes, first, all });
    });
    all
}

/// One thread's part of [`statistics`]: the channels from `first` on.
struct StatisticsTask<'a> {
    xs: &'a [f32],
    planes: Planes,
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
fn of_channels<const G: usize>(xs: &[f32], planes: Planes, first: usize) -> [Statistics; G] {
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
    planes: Planes,
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

/// The factors with which the output is `x * alpha + beta`, given mean and `1 / sqrt(variance + eps)` of each channel.
pub fn affine(
    moments: impl Iterator<Item = [f32; 2]>,
    [weight, bias]: [&[f32]; 2],
    rounding: Rounding,
) -> Affine {
    let parameters = weight.iter().zip(bias);
    let factor = |([mean, invstd], (&weight, &bias)): ([f32; 2], (&f32, &f32))| {
        let alpha = invstd * weight;
        let beta = match rounding {
            Rounding::Fused => (-mean).mul_add(alpha, bias),
            Rounding::Separate => bias - mean * alpha,
        };
        [alpha, beta]
    };
    Affine { factors: moments.zip(parameters).map(factor).collect(), rounding }
}

/// `[mean, 1 / sqrt(variance + eps)]` of each channel in evaluation mode.
pub fn running_moments<'a>(
    [mean, variance]: [&'a [f32]; 2],
    eps: f64,
) -> impl Iterator<Item = [f32; 2]> + 'a {
    mean.iter().zip(variance).map(move |(&mean, &var)| [mean, 1.0 / (var + eps as f32).sqrt()])
}

/// The gradients that [`backward`] returns.
#[derive(Debug)]
pub struct Gradients {
    /// (N, C, H, W), if it was needed.
    pub input: Option<Tensor>,
    /// Gradient w.r.t. the weight of each channel.
    pub weight: Vec<f32>,
    /// Gradient w.r.t. the bias of each channel.
    pub bias: Vec<f32>,
}

/// The backward pass of batch norm, ReLU and pooling, given the gradient w.r.t. the pooled values, the windows' masks
/// (see [`super::relu_pool`]), the input `xs`, `[mean, invstd]` of each channel and the weight.
pub fn backward(
    (grad_output, masks, pool): (&Tensor, &Tensor, Pool),
    xs: &Tensor,
    (moments, weight): (&[[f32; 2]], &[f32]),
    order: Order,
    needs_grad: bool,
) -> Gradients {
    let planes = Planes::of(xs);
    let mut of_planes = vec![[0f32; 2]; planes.images * planes.channels];
    let read =
        || [cast_slice(values::<f32>(grad_output)), values(masks), cast_slice(values::<f32>(xs))];
    in_parts((planes.images, 1), [&mut of_planes], read(), |[sums], [grad_output, masks, xs]| {
        let pooled = Pooled { grad_output: cast_slice(grad_output), masks, pool, planes };
        Arch::new().dispatch(SumsTask { pooled, xs: cast_slice(xs), moments, order, sums });
    });
    let count = planes.images * planes.area();
    let (mut weight_gradients, mut bias_gradients, mut factors) = (vec![], vec![], vec![]);
    for (c, (&[mean, invstd], &weight)) in moments.iter().zip(weight).enumerate() {
        let [mut sum, mut product] = [0f64; 2];
        for &[plane_sum, plane_product] in of_planes.iter().skip(c).step_by(planes.channels) {
            sum += f64::from(plane_sum);
            product += f64::from(plane_product);
        }
        let k = product as f32 * invstd * invstd / count as f32;
        factors.push([mean, k, (sum / count as f64) as f32, invstd, weight]);
        weight_gradients.push((product * f64::from(invstd)) as f32);
        bias_gradients.push(sum as f32);
    }
    let input = needs_grad.then(|| {
        filled(&xs.size(), |grad_input: &mut [f32]| {
            in_parts(
                (planes.images, 1),
                [grad_input],
                read(),
                |[grad_input], [grad_output, masks, xs]| {
                    let pooled =
                        Pooled { grad_output: cast_slice(grad_output), masks, pool, planes };
                    let (factors, rounding, xs) = (&factors[..], order.rounding(), cast_slice(xs));
                    Arch::new().dispatch(InputTask { pooled, xs, factors, rounding, grad_input });
                },
            );
        })
    });
    Gradients { input, weight: weight_gradients, bias: bias_gradients }
}

/// What determines the gradient w.r.t. the output of batch norm.
#[derive(Clone, Copy)]
struct Pooled<'a> {
    grad_output: &'a [f32],
    masks: &'a [u8],
    pool: Pool,
    planes: Planes,
}

impl Pooled<'_> {
    /// Writes the gradient w.r.t. plane `i` of batch norm's output.
    #[inline(always)]
    fn unpool(&self, i: usize, grad: &mut [f32]) {
        let windows = self.planes.windows();
        let [start, end] = [i * windows, (i + 1) * windows];
        let read = (&self.grad_output[start..end], &self.masks[start..end]);
        unpool(grad, read, self.planes.width, self.pool);
    }
}

/// One thread's part of [`backward`]: per plane, the sum of the gradient and of its product with `x - mean`.
struct SumsTask<'a> {
    pooled: Pooled<'a>,
    xs: &'a [f32],
    moments: &'a [[f32; 2]],
    order: Order,
    sums: &'a mut [[f32; 2]],
}

impl WithSimd for SumsTask<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { pooled, xs, moments, order, sums } = self;
        let area = pooled.planes.area();
        let mut grad = vec![0.0; area];
        for (i, (sums, xs)) in sums.iter_mut().zip(xs.chunks_exact(area)).enumerate() {
            pooled.unpool(i, &mut grad);
            let [mean, _] = moments[i % moments.len()];
            *sums = match order {
                Order::Vectors => plane_sums::<true>(&grad, xs, mean),
                Order::Scalars => plane_sums::<false>(&grad, xs, mean),
            };
        }
    }
}

/// The lanes of a vector of libtorch.
const LANES: usize = 8;

/// `[sum(grad), sum((x - mean) * grad)]` over a plane, in the lanes of vectors, in [`Order::Vectors`] or
/// [`Order::Scalars`].
#[inline(always)]
fn plane_sums<const VECTORS: bool>(grad: &[f32], xs: &[f32], mean: f32) -> [f32; 2] {
    let ((grads, grad_rest), (vectors, rest)) =
        (grad.as_chunks::<LANES>(), xs.as_chunks::<LANES>());
    let (mut sums, mut products) = ([0f32; LANES], [0f32; LANES]);
    let Some((first, first_xs)) = grads.first().zip(vectors.first()) else {
        for (l, (&grad, &x)) in grad_rest.iter().zip(rest).enumerate() {
            (sums[l], products[l]) = (grad, (x - mean) * grad);
        }
        return [&sums, &products].map(|lanes| in_order(&lanes[..rest.len()]));
    };
    for l in 0..LANES {
        (sums[l], products[l]) = (first[l], (first_xs[l] - mean) * first[l]);
    }
    for (grads, xs) in grads[1..].iter().zip(&vectors[1..]) {
        for l in 0..LANES {
            sums[l] += grads[l];
            products[l] += (xs[l] - mean) * grads[l];
        }
    }
    for (l, (&grad, &x)) in grad_rest.iter().zip(rest).enumerate() {
        sums[l] += grad;
        products[l] = match VECTORS {
            true => (x - mean).mul_add(grad, products[l]),
            false => products[l] + (x - mean) * grad,
        };
    }
    [sums, products].map(|lanes| if VECTORS { as_tree(lanes) } else { in_order(&lanes) })
}

/// The sum from the first to the last.
#[inline(always)]
fn in_order(lanes: &[f32]) -> f32 {
    lanes[1..].iter().fold(lanes[0], |sum, x| sum + x)
}

/// The sum of the halves, lane by lane, until one lane is left.
#[inline(always)]
fn as_tree([a, b, c, d, e, f, g, h]: [f32; LANES]) -> f32 {
    let [a, b, c, d] = [a + e, b + f, c + g, d + h];
    (a + c) + (b + d)
}

/// One thread's part of [`backward`]: the gradient w.r.t. the input. The factors of each channel are mean, k, the mean
/// of the gradient, invstd and weight, in the names of libtorch's source.
struct InputTask<'a> {
    pooled: Pooled<'a>,
    xs: &'a [f32],
    factors: &'a [[f32; 5]],
    rounding: Rounding,
    grad_input: &'a mut [f32],
}

impl WithSimd for InputTask<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { pooled, xs, factors, rounding, grad_input } = self;
        let area = pooled.planes.area();
        let all = grad_input.chunks_exact_mut(area).zip(xs.chunks_exact(area));
        for (i, (grads, xs)) in all.enumerate() {
            pooled.unpool(i, grads);
            let [mean, k, grad_mean, invstd, weight] = factors[i % factors.len()];
            match rounding {
                Rounding::Fused => {
                    for (grad, &x) in grads.iter_mut().zip(xs) {
                        let centered = (mean - x).mul_add(k, *grad - grad_mean);
                        *grad = centered * invstd * weight;
                    }
                }
                Rounding::Separate => {
                    for (grad, &x) in grads.iter_mut().zip(xs) {
                        *grad = (*grad - grad_mean - (x - mean) * k) * invstd * weight;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::engine::exact::kernels::noise::{bits, with_special_values};
    use crate::engine::exact::kernels::relu_pool;

    #[test]
    fn forward_and_backward_have_libtorchs_bits() {
        let order = order().expect("libtorch's order is known");
        for threads in [1, 2, 3] {
            tch::set_num_threads(threads);
            for n in [1, 3, 37, 64, 100] {
                for shape in [[16, 28, 28], [32, 14, 14], [5, 2, 6], [8, 3, 2], [64, 7, 7]] {
                    for (pool, special) in
                        [(Pool::Max, false), (Pool::Average, false), (Pool::Max, true)]
                    {
                        compare(n, shape, pool, special, order);
                    }
                }
            }
        }
    }

    /// Compares with `batch_norm`, `relu`, and `max_pool2d` or `avg_pool2d` under autograd.
    fn compare(n: i64, [c, h, w]: [i64; 3], pool: Pool, special: bool, order: Order) {
        let case = format!("{n}x{c}x{h}x{w}, {pool:?}, special values: {special}");
        let random = |shape: &[i64]| {
            let values = Tensor::randn(shape, (Kind::Float, tch::Device::Cpu));
            if special { with_special_values(&values) } else { values }
        };
        let finite = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, tch::Device::Cpu));
        let xs = random(&[n, c, h, w]).set_requires_grad(true);
        let [weight, bias] = [finite(&[c]), finite(&[c])].map(|it| it.set_requires_grad(true));
        let ys = xs
            .batch_norm::<&Tensor>(Some(&weight), Some(&bias), None, None, true, 0.1, 1e-5, true)
            .relu();
        let pooled = match pool {
            Pool::Max => ys.max_pool2d(2, 2, 0, 1, false),
            Pool::Average => ys.avg_pool2d(2, 2, 0, false, true, None::<i64>),
        };
        let grad_output = random(&pooled.size());
        let loss = (&pooled * &grad_output).sum(Kind::Float);
        let expected = Tensor::run_backward(&[loss], &[&xs, &weight, &bias], false, false);
        let (xs, weight, bias) = (xs.detach(), weight.detach(), bias.detach());
        let moments: Vec<_> = statistics(&xs)
            .iter()
            .map(|it| [it.mean, it.invstd((n * h * w) as usize, 1e-5)])
            .collect();
        let affine =
            affine(moments.iter().copied(), [values(&weight), values(&bias)], order.rounding());
        let (actual, masks) = relu_pool::forward(&xs, Some(&affine), pool);
        assert!(bits(&pooled.detach()) == bits(&actual), "output of {case}");
        let gradient = (&grad_output, &masks, pool);
        let actual = backward(gradient, &xs, (&moments, values(&weight)), order, true);
        assert!(bits(&expected[0]) == bits(&actual.input.unwrap()), "grad_input of {case}");
        let gradients = [actual.weight, actual.bias].map(|it| Tensor::from_slice(&it));
        for (expected, actual) in expected[1..].iter().zip(&gradients) {
            assert!(bits(expected) == bits(actual), "gradients of parameters of {case}");
        }
    }
}
