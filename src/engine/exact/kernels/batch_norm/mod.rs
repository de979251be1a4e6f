//! Batch normalization in training, on contiguous (N, C, H, W), fused with ReLU and pooling.
//!
//! Same bits as `aten/src/ATen/native/Normalization.cpp` and `native/cpu/batch_norm_kernel.cpp` of PyTorch 2.13: per
//! channel, float32 values are added in float64, image by image. The backward pass adds each plane in float32, in the
//! lanes of a vector; their number and the rounding depend on libtorch's instruction set. [`probe`] finds them by
//! comparison with libtorch.

mod backward;
mod probe;
mod statistics;

pub use backward::backward;
pub use probe::order;
pub use statistics::statistics;

use super::adam::Rounding;
use super::relu_pool::Affine;

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

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use crate::engine::chain::Pool;
    use crate::engine::exact::kernels::noise::{bits, with_special_values};
    use crate::engine::exact::kernels::relu_pool;
    use crate::libtorch::{threads, values};

    /// Channels, height and width.
    const SHAPES: [[i64; 3]; 7] =
        [[16, 28, 28], [32, 14, 14], [5, 2, 6], [8, 3, 2], [64, 7, 7], [1, 6, 6], [3, 7, 5]];

    #[test]
    fn forward_and_backward_have_libtorchs_bits() {
        let order = order().expect("libtorch's order is known");
        for threads in [1, 2, 3] {
            let _threads = threads::of_test(threads);
            for n in [1, 3, 37, 64, 100] {
                for shape in SHAPES {
                    for pool in [Pool::Max, Pool::Average] {
                        compare(n, shape, pool, false, order);
                        compare(n, shape, pool, true, order);
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
