//! The backward pass of batch norm, ReLU and pooling.

use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};
use tch::Tensor;

use super::Order;
use crate::engine::chain::Pool;
use crate::engine::exact::kernels::adam::Rounding;
use crate::engine::exact::kernels::relu_pool::{BatchShape, unpool};
use crate::libtorch::{dispatch, filled, in_parts, values};

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
/// (see [`crate::engine::exact::kernels::relu_pool`]), the input `xs`, `[mean, invstd]` of each channel and the weight.
pub fn backward(
    (grad_output, masks, pool): (&Tensor, &Tensor, Pool),
    xs: &Tensor,
    (moments, weight): (&[[f32; 2]], &[f32]),
    order: Order,
    needs_grad: bool,
) -> Gradients {
    let planes = BatchShape::of(xs);
    let mut of_planes = vec![[0f32; 2]; planes.images * planes.channels];
    let read =
        || [cast_slice(values::<f32>(grad_output)), values(masks), cast_slice(values::<f32>(xs))];
    in_parts((planes.images, 1), [&mut of_planes], read(), |[sums], [grad_output, masks, xs]| {
        let pooled = Pooled { grad_output: cast_slice(grad_output), masks, pool, planes };
        dispatch(SumsTask { pooled, xs: cast_slice(xs), moments, order, sums });
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
                    dispatch(InputTask { pooled, xs, factors, rounding, grad_input });
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
    planes: BatchShape,
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
