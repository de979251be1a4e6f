//! `F.avg_pool2d(F.relu(xs), 2)` and its backward pass, each in one pass over memory. The backward pass recomputes
//! ReLU from its input: [`super::direct`] saves the outputs of the convolutions and needs no masks.
//! [`super::relu_pool`] saves a mask per window instead of its input.
//!
//! Same bits as `aten/src/ATen/native/cpu/AvgPoolKernel.cpp` of PyTorch 2.13: the four elements of a
//! window are added row by row, starting from 0, and the sum is divided by 4.

use tch::Tensor;

use crate::libtorch::{filled, in_parts, values};

/// Minimum number of planes (images x channels) per thread.
const GRAIN: usize = 64;

/// `F.avg_pool2d(F.relu(xs), 2)` of `xs` (N, C, H, W), float32, H and W even: (N, C, H/2, W/2).
pub fn relu_avg_pool2d(xs: &Tensor) -> Tensor {
    let (n, c, h, w) = sizes(xs);
    filled(&[n, c, h / 2, w / 2], |pooled: &mut [f32]| {
        let planes = ((n * c) as usize, GRAIN);
        in_parts(planes, [pooled], [values(xs)], |[pooled], [xs]| {
            pool_rows(pooled, xs, w as usize)
        });
    })
}

/// Pools planes whose rows have `width` elements.
#[inline(always)]
fn pool_rows(pooled: &mut [f32], xs: &[f32], width: usize) {
    for (out, rows) in pooled.chunks_exact_mut(width / 2).zip(xs.chunks_exact(2 * width)) {
        let (upper, lower) = rows.split_at(width);
        let (upper, lower) = (upper.as_chunks::<2>().0, lower.as_chunks::<2>().0);
        // The last group ends at the end of the row, so windows that two groups cover are computed twice: a shorter group would not
        // be vectorized.
        let group = out.len().min(GROUP);
        for start in (0..out.len()).step_by(GROUP) {
            let range = start.min(out.len() - group)..(start + group).min(out.len());
            let windows = upper[range.clone()].iter().zip(&lower[range.clone()]);
            for (out, (&[a, b], &[c, d])) in out[range].iter_mut().zip(windows) {
                *out = pool_window([a, b, c, d]);
            }
        }
    }
}

/// Number of windows that are computed together: the lanes of AVX2.
const GROUP: usize = 8;

/// ReLU and mean of a window, whose elements are in row-major order.
#[inline(always)]
pub(super) fn pool_window(window: [f32; 4]) -> f32 {
    let [a, b, c, d] = window.map(relu);
    (0.0 + a + b + c + d) / 4.0
}

/// Pools planes whose rows have `W` elements.
#[inline(always)]
pub(super) fn pool_planes<const W: usize>(pooled: &mut [f32], xs: &[f32]) {
    pool_rows(pooled, xs, W);
}

/// The backward pass of [`relu_avg_pool2d`]: `grad_input` (N, C, H, W), given `grad_output`
/// (N, C, H/2, W/2) and the input `xs` (N, C, H, W).
pub fn relu_avg_pool2d_backward(grad_output: &Tensor, xs: &Tensor) -> Tensor {
    let (n, c, h, w) = sizes(xs);
    filled(&[n, c, h, w], |grad_input: &mut [f32]| {
        let planes = ((n * c) as usize, GRAIN);
        let read = [values(xs), values(grad_output)];
        in_parts(planes, [grad_input], read, |[grad_input], [xs, grad_output]| {
            pool_rows_backward(grad_input, xs, grad_output, w as usize);
        });
    })
}

/// The backward pass of [`pool_rows`].
#[inline(always)]
fn pool_rows_backward(grad_input: &mut [f32], xs: &[f32], grad_output: &[f32], width: usize) {
    let rows = xs.chunks_exact(2 * width).zip(grad_output.chunks_exact(width / 2));
    for (grad_input, (xs, grad_output)) in grad_input.chunks_exact_mut(2 * width).zip(rows) {
        let (upper, lower) = grad_input.split_at_mut(width);
        let (upper_xs, lower_xs) = xs.split_at(width);
        row_backward(upper, upper_xs, grad_output);
        row_backward(lower, lower_xs, grad_output);
    }
}

/// `grad_input` of one row of the input, given `grad_output` of the row of windows that covers it.
#[inline(always)]
pub(super) fn row_backward(grad_input: &mut [f32], xs: &[f32], grad_output: &[f32]) {
    let pairs = grad_input.as_chunks_mut::<2>().0.iter_mut().zip(xs.as_chunks::<2>().0);
    for ((grad_input, &[x, y]), &grad_output) in pairs.zip(grad_output) {
        let grad = avg_pool2d_backward(grad_output);
        *grad_input = [relu_backward(x, grad), relu_backward(y, grad)];
    }
}

fn sizes(xs: &Tensor) -> (i64, i64, i64, i64) {
    let (n, c, h, w) = xs.size4().expect("a batch of images has four dimensions");
    assert!(h % 2 == 0 && w % 2 == 0, "height and width must be even, found {h}x{w}");
    (n, c, h, w)
}

/// `F.relu`: NaN stays NaN.
#[inline(always)]
pub(super) fn relu(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}

/// The gradient w.r.t. each element of a window, given the gradient w.r.t. its mean.
#[inline(always)]
pub(super) fn avg_pool2d_backward(grad_output: f32) -> f32 {
    0.0 + grad_output / 4.0
}

/// `threshold_backward(grad_output, x, 0)`: 0 where `x <= 0`.
#[inline(always)]
fn relu_backward(x: f32, grad_output: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { grad_output }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::engine::exact::kernels::noise::{bits, with_special_values};

    fn images(shape: &[i64]) -> Tensor {
        with_special_values(&Tensor::randn(shape, (Kind::Float, Device::Cpu)))
    }

    #[test]
    fn forward_and_backward_have_libtorchs_bits() {
        for shape in [[1, 1, 2, 2], [2, 3, 4, 6], [5, 6, 28, 28], [3, 16, 10, 10]] {
            let xs = images(&shape).set_requires_grad(true);
            let pooled = xs.relu().avg_pool2d(2, 2, 0, false, true, None::<i64>);
            assert_eq!(bits(&relu_avg_pool2d(&xs)), bits(&pooled.detach()), "{shape:?}");
            let grad_output = images(&pooled.size());
            // The gradient of sum(pooled * grad_output) w.r.t. pooled is `grad_output`.
            let expected = Tensor::run_backward(
                &[(&pooled * &grad_output).sum(Kind::Float)],
                &[&xs],
                false,
                false,
            );
            let actual = relu_avg_pool2d_backward(&grad_output, &xs);
            assert_eq!(bits(&actual), bits(&expected[0]), "{shape:?}");
        }
    }
}
