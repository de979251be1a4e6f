//! Fully connected layers, forward and backward. Activations (N,) belong to one block of images, one image per lane;
//! weights are in PyTorch's layout (out, in).

use std::array;

use pulp::{Simd, WithSimd};

use crate::engine::window::window;

/// Number of outputs, or inputs, per tile.
const TILE: usize = 8;

/// Computes `weight @ input + bias`.
#[derive(Debug)]
pub struct Forward<'a> {
    pub input: &'a [f32],
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub output: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { input, weight, bias, output } = self;
        let (input, output) = (S::as_simd_f32s(input).0, S::as_mut_simd_f32s(output).0);
        forward(simd, input, weight, bias, output);
    }
}

#[inline(always)]
fn forward<S: Simd>(
    simd: S,
    input: &[S::f32s],
    weight: &[f32],
    bias: &[f32],
    output: &mut [S::f32s],
) {
    let rows = weight.chunks_exact(input.len() * TILE);
    let rest = rows.remainder().chunks_exact(input.len());
    let (tiles, last) = output.as_chunks_mut::<TILE>();
    let (biases, last_bias) = bias.as_chunks::<TILE>();
    for ((out, rows), bias) in tiles.iter_mut().zip(rows).zip(biases) {
        *out = dots(simd, input, rows, bias);
    }
    for ((out, row), bias) in last.iter_mut().zip(rest).zip(last_bias) {
        [*out] = dots(simd, input, row, &[*bias]);
    }
}

/// Computes `N` rows of the weight times the input; each sum starts from its bias.
#[inline(always)]
fn dots<S: Simd, const N: usize>(
    simd: S,
    input: &[S::f32s],
    rows: &[f32],
    bias: &[f32; N],
) -> [S::f32s; N] {
    let rows: [&[f32]; N] = array::from_fn(|o| &rows[o * input.len()..][..input.len()]);
    // Loops, because a closure that is not inlined is compiled without the CPU's vector instructions.
    let mut sums = [simd.splat_f32s(0.0); N];
    for (sum, &bias) in sums.iter_mut().zip(bias) {
        *sum = simd.splat_f32s(bias);
    }
    for (i, &x) in input.iter().enumerate() {
        for (sum, row) in sums.iter_mut().zip(rows) {
            *sum = simd.mul_add_f32s(simd.splat_f32s(row[i]), x, *sum);
        }
    }
    sums
}

/// Computes `grad_input = weightᵀ @ grad_output` and the gradients w.r.t. `weight` (out, in) and `bias` (out): the first block
/// overwrites `grad_weight` and `grad_bias`, the others add to them.
#[derive(Debug)]
pub struct Backward<'a> {
    pub input: &'a [f32],
    pub weight: &'a [f32],
    pub grad_output: &'a [f32],
    /// A buffer of [`stride`] elements per lane, whose contents do not matter.
    pub transposed: &'a mut [f32],
    pub is_first: bool,
    pub grad_weight: &'a mut [f32],
    pub grad_bias: &'a mut [f32],
    pub grad_input: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { input, weight, transposed, is_first, grad_weight, grad_bias, .. } = self;
        transpose(input, S::F32_LANES, transposed);
        let grad_output = S::as_simd_f32s(self.grad_output).0;
        if is_first {
            grad_bias.fill(0.0);
        }
        for (&grad, sum) in grad_output.iter().zip(grad_bias) {
            *sum += simd.reduce_sum_f32s(grad);
        }
        // The sums of a tile, a gradient and an input fit into the vector registers.
        match grad_output.len() {
            n if n.is_multiple_of(4) && S::F32_LANES >= 16 => {
                add_grad_weight::<S, 4>(simd, grad_output, transposed, is_first, grad_weight);
            }
            n if n.is_multiple_of(2) => {
                add_grad_weight::<S, 2>(simd, grad_output, transposed, is_first, grad_weight);
            }
            _ => add_grad_weight::<S, 1>(simd, grad_output, transposed, is_first, grad_weight),
        }
        grad_input(simd, grad_output, weight, S::as_mut_simd_f32s(self.grad_input).0);
    }
}

#[inline(always)]
fn grad_input<S: Simd>(
    simd: S,
    grad_output: &[S::f32s],
    weight: &[f32],
    grad_input: &mut [S::f32s],
) {
    let inputs = grad_input.len();
    let (tiles, last) = grad_input.as_chunks_mut::<TILE>();
    let rest = tiles.len() * TILE;
    for (tile, out) in tiles.iter_mut().enumerate() {
        *out = columns(simd, grad_output, weight, inputs, tile * TILE);
    }
    for (i, out) in last.iter_mut().enumerate() {
        [*out] = columns(simd, grad_output, weight, inputs, rest + i);
    }
}

/// Computes columns `first..first + N` of the weight times `grad_output`.
#[inline(always)]
fn columns<S: Simd, const N: usize>(
    simd: S,
    grad_output: &[S::f32s],
    weight: &[f32],
    inputs: usize,
    first: usize,
) -> [S::f32s; N] {
    let mut sums = [simd.splat_f32s(0.0); N];
    for (&grad, row) in grad_output.iter().zip(weight.chunks_exact(inputs)) {
        let row: &[f32; N] = window(row, first);
        for (sum, &weight) in sums.iter_mut().zip(row) {
            *sum = simd.mul_add_f32s(simd.splat_f32s(weight), grad, *sum);
        }
    }
    sums
}

/// Number of vectors of a row of `grad_weight` per tile.
const VECTORS: usize = 5;

/// The number of elements per row of activations after [`transpose`].
pub fn stride(inputs: usize, lanes: usize) -> usize {
    inputs.next_multiple_of(VECTORS * lanes)
}

/// Copies the activations of a block to one row of [`stride`] elements per image.
fn transpose(input: &[f32], lanes: usize, transposed: &mut [f32]) {
    let stride = stride(input.len() / lanes, lanes);
    for (i, values) in input.chunks_exact(lanes).enumerate() {
        values.iter().zip(transposed.chunks_exact_mut(stride)).for_each(|(&x, row)| row[i] = x);
    }
}

/// Adds the gradient of a block to `grad_weight`, or to 0 for the first block. `transposed` is the input after [`transpose`]. A
/// tile is `R` rows; `R` divides the number of outputs.
#[inline(always)]
fn add_grad_weight<S: Simd, const R: usize>(
    simd: S,
    grad_output: &[S::f32s],
    transposed: &[f32],
    is_first: bool,
    grad_weight: &mut [f32],
) {
    let inputs = grad_weight.len() / grad_output.len();
    let stride = stride(inputs, S::F32_LANES);
    let grad_output: &[f32] = pulp::bytemuck::cast_slice(grad_output);
    let groups = grad_output.chunks_exact(R * S::F32_LANES);
    for (rows, grads) in grad_weight.chunks_exact_mut(R * inputs).zip(groups) {
        for first in (0..inputs).step_by(VECTORS * S::F32_LANES) {
            let rows = (&mut *rows, inputs);
            tile::<S, R>(simd, grads, (transposed, stride), is_first, rows, first);
        }
    }
}

/// Adds the gradient of a block to a tile of `grad_weight`: `R` rows, [`VECTORS`] vectors per row from column `first`
/// on.
#[inline(always)]
fn tile<S: Simd, const R: usize>(
    simd: S,
    grad_output: &[f32],
    (transposed, stride): (&[f32], usize),
    is_first: bool,
    (rows, inputs): (&mut [f32], usize),
    first: usize,
) {
    // The last tile may extend past the end of the rows.
    let part = |r: usize, v: usize| {
        let start = (first + v * S::F32_LANES).min(inputs);
        let end = (start + S::F32_LANES).min(inputs);
        r * inputs + start..r * inputs + end
    };
    let is_whole = first + VECTORS * S::F32_LANES <= inputs;
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; R];
    if !is_first {
        for (r, sums) in sums.iter_mut().enumerate() {
            if is_whole {
                *sums = *window(S::as_simd_f32s(&rows[r * inputs + first..]).0, 0);
                continue;
            }
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = simd.partial_load_f32s(&rows[part(r, v)]);
            }
        }
    }
    let grads: [&[f32]; R] = array::from_fn(|r| &grad_output[r * S::F32_LANES..][..S::F32_LANES]);
    for (image, row) in transposed.chunks_exact(stride).enumerate().take(S::F32_LANES) {
        let inputs: &[S::f32s; VECTORS] = window(S::as_simd_f32s(&row[first..]).0, 0);
        for (sums, grads) in sums.iter_mut().zip(grads) {
            let grad = simd.splat_f32s(grads[image]);
            for (sum, &input) in sums.iter_mut().zip(inputs) {
                *sum = simd.mul_add_f32s(grad, input, *sum);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        if is_whole {
            let row = S::as_mut_simd_f32s(&mut rows[r * inputs + first..]).0;
            row[..VECTORS].copy_from_slice(&sums);
            continue;
        }
        for (v, sum) in sums.into_iter().enumerate() {
            simd.partial_store_f32s(&mut rows[part(r, v)], sum);
        }
    }
}
