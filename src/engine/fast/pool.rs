//! Batch normalization with given factors, ReLU and pooling over windows of 2x2 in one pass over the output of a
//! convolution, forward and backward.

use pulp::{Simd, WithSimd};

use super::network::Pool;
use super::shape::Planes;

/// The output of a convolution of one block, and what follows it.
#[derive(Debug, Clone, Copy)]
pub struct Pooling<'a> {
    pub pool: Pool,
    /// The output of the convolution, without a margin.
    pub conv: &'a [f32],
    pub conv_shape: Planes,
    pub pooled_shape: Planes,
    /// Per channel: batch normalization is `scale * x + shift`.
    pub scale: &'a [f32],
    pub shift: &'a [f32],
}

/// A row of windows: the two rows of the output of the convolution.
type Windows<'a, V> = std::iter::Zip<std::slice::Iter<'a, [V; 2]>, std::slice::Iter<'a, [V; 2]>>;

impl Pooling<'_> {
    /// Row `y` of windows of channel `c`.
    #[inline(always)]
    fn windows<S: Simd>(&self, c: usize, y: usize) -> Windows<'_, S::f32s> {
        let Planes { width, .. } = self.conv_shape;
        let start = c * self.conv_shape.plane() + 2 * y * width;
        let rows = &S::as_simd_f32s(self.conv).0[start..][..2 * width];
        let (upper, lower) = rows.split_at(width);
        upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0)
    }

    /// The range of row `y` of channel `c` of the pooled output, without its margin.
    #[inline(always)]
    fn pooled_row(&self, shape: Planes, c: usize, y: usize) -> std::ops::Range<usize> {
        let start = c * shape.plane() + y * shape.stride() + shape.margin;
        start..start + shape.width
    }
}

/// `scale * x + shift` of the four elements of a window, in row-major order.
#[inline(always)]
fn normalized<S: Simd>(
    simd: S,
    ([a, b], [c, d]): (&[S::f32s; 2], &[S::f32s; 2]),
    [scale, shift]: [S::f32s; 2],
) -> [S::f32s; 4] {
    let mut values = [*a, *b, *c, *d];
    for value in &mut values {
        *value = simd.mul_add_f32s(scale, *value, shift);
    }
    values
}

/// The maximum of four; of NaN and a number, the last.
#[inline(always)]
fn max<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> S::f32s {
    simd.max_f32s(simd.max_f32s(a, b), simd.max_f32s(c, d))
}

/// The forward pass: writes the pooled output within its margins.
#[derive(Debug)]
pub struct Forward<'a>(pub Pooling<'a>, pub &'a mut [f32]);

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(pooling, pooled) = self;
        let pooled = S::as_mut_simd_f32s(pooled).0;
        let shape = pooling.pooled_shape;
        let (zero, quarter) = (simd.splat_f32s(0.0), simd.splat_f32s(0.25));
        for (c, (&scale, &shift)) in pooling.scale.iter().zip(pooling.shift).enumerate() {
            let factors = [simd.splat_f32s(scale), simd.splat_f32s(shift)];
            for y in 0..shape.height {
                let row = &mut pooled[pooling.pooled_row(shape, c, y)];
                for (out, window) in row.iter_mut().zip(pooling.windows::<S>(c, y)) {
                    let mut values = normalized(simd, window, factors);
                    *out = match pooling.pool {
                        Pool::Max => simd.max_f32s(zero, max(simd, values)),
                        Pool::Average => {
                            for value in &mut values {
                                *value = simd.max_f32s(zero, *value);
                            }
                            let [a, b, c, d] = values;
                            let sum = simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d));
                            simd.mul_f32s(sum, quarter)
                        }
                    };
                }
            }
        }
    }
}

/// The gradient w.r.t. the four normalized elements of a window. That of a maximum goes to the first element that has
/// it.
#[inline(always)]
fn window_gradient<S: Simd>(
    simd: S,
    pool: Pool,
    values: [S::f32s; 4],
    grad: S::f32s,
) -> [S::f32s; 4] {
    let zero = simd.splat_f32s(0.0);
    let mut grads = [zero; 4];
    match pool {
        Pool::Max => {
            let max = max(simd, values);
            let mut rest = simd.select_f32s(simd.greater_than_f32s(max, zero), grad, zero);
            for (grad, value) in grads.iter_mut().zip(values) {
                let is_max = simd.equal_f32s(value, max);
                *grad = simd.select_f32s(is_max, rest, zero);
                rest = simd.select_f32s(is_max, zero, rest);
            }
        }
        Pool::Average => {
            let quarter = simd.mul_f32s(grad, simd.splat_f32s(0.25));
            for (grad, value) in grads.iter_mut().zip(values) {
                *grad = simd.select_f32s(simd.greater_than_f32s(value, zero), quarter, zero);
            }
        }
    }
    grads
}

/// Computes per channel the sums, over a block, that the backward pass of batch normalization needs: of the gradients
/// w.r.t. its output, and of their products with the deviations of its input from `mean`.
#[derive(Debug)]
pub struct GradientSums<'a> {
    pub pooling: Pooling<'a>,
    pub grad_pooled: &'a [f32],
    pub mean: &'a [f32],
    pub sums: &'a mut [[f64; 2]],
}

impl WithSimd for GradientSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pooling, grad_pooled, mean, sums } = self;
        let shape = pooling.pooled_shape.with_margin(0);
        let grad_pooled = S::as_simd_f32s(grad_pooled).0;
        for (c, (sums, &mean)) in sums.iter_mut().zip(mean).enumerate() {
            let factors = [simd.splat_f32s(pooling.scale[c]), simd.splat_f32s(pooling.shift[c])];
            let mean = simd.splat_f32s(mean);
            // Two independent sums of each kind.
            let mut lanes = [[simd.splat_f32s(0.0); 2]; 2];
            for y in 0..shape.height {
                let grads = &grad_pooled[pooling.pooled_row(shape, c, y)];
                for (&grad, window) in grads.iter().zip(pooling.windows::<S>(c, y)) {
                    let values = normalized(simd, window, factors);
                    let grads = window_gradient(simd, pooling.pool, values, grad);
                    let inputs = [window.0[0], window.0[1], window.1[0], window.1[1]];
                    for (i, (grad, input)) in grads.into_iter().zip(inputs).enumerate() {
                        let [sum, product] = &mut lanes[i % 2];
                        *sum = simd.add_f32s(*sum, grad);
                        *product = simd.mul_add_f32s(grad, simd.sub_f32s(input, mean), *product);
                    }
                }
            }
            let [first, second] = lanes;
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = simd.reduce_sum_f32s(simd.add_f32s(first[i], second[i])).into();
            }
        }
    }
}

/// The backward pass. With g the gradient w.r.t. the output of batch normalization and x its input, writes
/// `gradient[0] * g + gradient[1] * x + gradient[2]`, and 0 in lanes without an image.
#[derive(Debug)]
pub struct Backward<'a> {
    pub pooling: Pooling<'a>,
    pub grad_pooled: &'a [f32],
    /// Three factors per channel.
    pub gradient: &'a [[f32; 3]],
    /// 1 in lanes with an image, else 0.
    pub mask: &'a [f32],
    /// The gradient w.r.t. the output of the convolution; the margin is not written.
    pub grad_conv: &'a mut [f32],
    pub grad_conv_shape: Planes,
    /// The gradients w.r.t. the bias of the convolution are added to it, lane by lane.
    pub grad_bias: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pooling, grad_pooled, gradient, mask, grad_conv, grad_conv_shape, grad_bias } =
            self;
        let to = grad_conv_shape;
        let planes = S::as_mut_simd_f32s(grad_conv).0.chunks_exact_mut(to.plane());
        let mask = S::as_simd_f32s(mask).0[0];
        for ((c, plane), bias) in planes.enumerate().zip(S::as_mut_simd_f32s(grad_bias).0) {
            let [of_grad, of_input, constant] = gradient[c];
            let factors = [
                simd.splat_f32s(of_grad),
                simd.mul_f32s(simd.splat_f32s(of_input), mask),
                simd.mul_f32s(simd.splat_f32s(constant), mask),
            ];
            let rows = plane.chunks_exact_mut(2 * to.stride()).take(pooling.pooled_shape.height);
            let mut sums = [*bias, simd.splat_f32s(0.0)];
            for (y, rows) in rows.enumerate() {
                pooling.backward_row::<S>(simd, c, y, grad_pooled, factors, (rows, to), &mut sums);
            }
            for at in pooling.not_pooled() {
                let input = S::as_simd_f32s(pooling.conv).0
                    [c * pooling.conv_shape.plane() + at.0 * to.width + at.1];
                let grad = simd.mul_add_f32s(factors[1], input, factors[2]);
                plane[at.0 * to.stride() + to.margin + at.1] = grad;
                sums[0] = simd.add_f32s(sums[0], grad);
            }
            *bias = simd.add_f32s(sums[0], sums[1]);
        }
    }
}

impl Pooling<'_> {
    /// The rows and columns that belong to no window: the last ones of an odd number.
    #[inline(always)]
    fn not_pooled(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Planes { height, width, .. } = self.conv_shape;
        let (rows, columns) = (height / 2 * 2, width / 2 * 2);
        (0..height).flat_map(move |y| {
            let first = if y < rows { columns } else { 0 };
            (first..width).map(move |x| (y, x))
        })
    }

    /// Writes two rows of the gradient w.r.t. the output of the convolution, and adds it to `sums`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn backward_row<S: Simd>(
        &self,
        simd: S,
        c: usize,
        y: usize,
        grad_pooled: &[f32],
        [of_grad, of_input, constant]: [S::f32s; 3],
        (rows, to): (&mut [S::f32s], Planes),
        sums: &mut [S::f32s; 2],
    ) {
        let factors = [simd.splat_f32s(self.scale[c]), simd.splat_f32s(self.shift[c])];
        let shape = self.pooled_shape.with_margin(0);
        let grads = &S::as_simd_f32s(grad_pooled).0[self.pooled_row(shape, c, y)];
        let (upper, lower) = rows.split_at_mut(to.stride());
        let [upper, lower] =
            [upper, lower].map(|row| row[to.margin..][..to.width].as_chunks_mut::<2>().0);
        let outputs = upper.iter_mut().zip(lower);
        for ((&grad, window), outputs) in grads.iter().zip(self.windows::<S>(c, y)).zip(outputs) {
            let values = normalized(simd, window, factors);
            let grads = window_gradient(simd, self.pool, values, grad);
            let inputs = [window.0[0], window.0[1], window.1[0], window.1[1]];
            let outputs = outputs.0.iter_mut().chain(outputs.1);
            for (i, (output, (grad, input))) in
                outputs.zip(grads.into_iter().zip(inputs)).enumerate()
            {
                let rest = simd.mul_add_f32s(of_input, input, constant);
                *output = simd.mul_add_f32s(of_grad, grad, rest);
                sums[i % 2] = simd.add_f32s(sums[i % 2], *output);
            }
        }
    }
}
