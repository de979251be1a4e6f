//! Convolutions with stride 1, forward and backward, of one block of images, one image per lane.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::shape::Planes;
use crate::dataset::SIDE;
use crate::engine::window::window;

/// The number of filters per tile of [`Correlate`], which divides `filters` (a multiple of 3 or 4), and the largest number of columns.
fn tile(filters: usize, lanes: usize) -> (usize, usize) {
    // The sums of a tile, a column of inputs and a weight, or the weights and an input, fit the vector registers: 32 with AVX-512,
    // else 16. Of the tiles that fit 16, these were the fastest.
    match (filters, lanes) {
        (n, 16..) if n.is_multiple_of(4) => (4, 6),
        (_, 16..) => (3, 6),
        (n, _) if n.is_multiple_of(6) => (6, 2),
        (n, _) if n.is_multiple_of(2) => (2, 5),
        _ => (3, 3),
    }
}

/// The number of filters per tile of [`Correlate`].
pub fn group(filters: usize, lanes: usize) -> usize {
    tile(filters, lanes).0
}

/// The number of filters per tile of the backward pass, whose gradients stay in the cache; it divides `filters`. With AVX2, the sums
/// of three filters of 5x5 do not fit the vector registers.
pub fn backward_group(filters: usize, lanes: usize) -> usize {
    match (filters, lanes) {
        (n, ..16) if n.is_multiple_of(6) => 6,
        (n, _) if n.is_multiple_of(4) => 4,
        _ => 3,
    }
}

/// Copies a weight (O, C, K, K) to the layout (O / G, C, K, K, G) that [`Correlate`] reads, where G is
/// [`group`] of O.
pub fn pack(weight: &[f32], filters: usize, lanes: usize, packed: &mut [f32]) {
    let group = group(filters, lanes);
    let size = weight.len() / filters;
    for (rows, tile) in weight.chunks_exact(group * size).zip(packed.chunks_exact_mut(group * size))
    {
        for (o, row) in rows.chunks_exact(size).enumerate() {
            tile[o..].iter_mut().step_by(group).zip(row).for_each(|(to, &from)| *to = from);
        }
    }
}

/// Copies a weight (O, C, K, K) in the layout of [`pack`] with channels and filters exchanged, and rows and columns
/// reversed: with it, [`Correlate`] computes the gradient w.r.t. the input from the one w.r.t. the output.
pub fn pack_transposed(
    weight: &[f32],
    filters: usize,
    channels: usize,
    lanes: usize,
    packed: &mut [f32],
) {
    let group = group(channels, lanes);
    let taps = weight.len() / filters / channels;
    for (o, filter) in weight.chunks_exact(channels * taps).enumerate() {
        for (c, plane) in filter.chunks_exact(taps).enumerate() {
            let start = (c / group * filters + o) * taps * group + c % group;
            let to = packed[start..].iter_mut().step_by(group);
            to.zip(plane.iter().rev()).for_each(|(to, &from)| *to = from);
        }
    }
}

/// Computes `conv2d(input, weight, bias)`, with as much padding as the input has margin.
#[derive(Debug)]
pub struct Correlate<'a> {
    pub input: &'a [f32],
    pub input_shape: Planes,
    pub kernel_size: usize,
    /// In the layout of [`pack`].
    pub weight: &'a [f32],
    /// One per filter.
    pub bias: &'a [f32],
    /// The output, without a margin.
    pub output: &'a mut [f32],
    pub width: usize,
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (filters, columns) = tile(self.bias.len(), S::F32_LANES);
        match filters {
            6 => self.groups::<S, 6>(simd, columns),
            4 => self.groups::<S, 4>(simd, columns),
            3 => self.groups::<S, 3>(simd, columns),
            _ => self.groups::<S, 2>(simd, columns),
        }
    }
}

impl Correlate<'_> {
    /// A tile is `G` filters and at most `most` columns.
    #[inline(always)]
    fn groups<S: Simd, const G: usize>(self, simd: S, most: usize) {
        let width = self.width;
        let size = self.weight.len() / self.bias.len();
        let plane = S::as_mut_simd_f32s(self.output).0.len() / self.bias.len();
        let weights = self.weight.as_chunks::<G>().0.chunks_exact(size);
        let outputs = S::as_mut_simd_f32s(self.output).0.chunks_exact_mut(G * plane);
        let tiles = width.div_ceil(most);
        let convolution = Tile {
            input: S::as_simd_f32s(self.input).0,
            shape: self.input_shape,
            kernel_size: self.kernel_size,
        };
        for ((output, weight), bias) in outputs.zip(weights).zip(self.bias.as_chunks::<G>().0) {
            for y in 0..plane / width {
                for tile in 0..tiles {
                    let (start, end) = (tile * width / tiles, (tile + 1) * width / tiles);
                    let output = &mut output[y * width + start..];
                    let at = (y, start);
                    match end - start {
                        1 => convolution.store::<S, G, 1>(simd, weight, bias, at, output, plane),
                        2 => convolution.store::<S, G, 2>(simd, weight, bias, at, output, plane),
                        3 => convolution.store::<S, G, 3>(simd, weight, bias, at, output, plane),
                        4 => convolution.store::<S, G, 4>(simd, weight, bias, at, output, plane),
                        5 => convolution.store::<S, G, 5>(simd, weight, bias, at, output, plane),
                        _ => convolution.store::<S, G, 6>(simd, weight, bias, at, output, plane),
                    }
                }
            }
        }
    }
}

/// Computes tiles of `G` filters and `T` columns of a row.
struct Tile<'a, V> {
    input: &'a [V],
    shape: Planes,
    kernel_size: usize,
}

impl<V: Copy> Tile<'_, V> {
    /// Writes the tile to the start of `output`, whose channels have `plane` vectors.
    #[inline(always)]
    fn store<S: Simd<f32s = V>, const G: usize, const T: usize>(
        &self,
        simd: S,
        weight: &[[f32; G]],
        bias: &[f32; G],
        at: (usize, usize),
        output: &mut [V],
        plane: usize,
    ) {
        let sums = self.sums::<S, G, T>(simd, weight, bias, at);
        for (output, sums) in output.chunks_mut(plane).zip(&sums) {
            output[..T].copy_from_slice(sums);
        }
    }

    /// Rows and columns of the filters that overlap the input, for the outputs from (y, x) to (y, x + t - 1).
    #[inline(always)]
    fn overlap(&self, (y, x): (usize, usize), t: usize) -> [Range<usize>; 2] {
        let Planes { height, width, margin, .. } = self.shape;
        let kys = margin.saturating_sub(y)..(height + margin - y).min(self.kernel_size);
        let kxs = margin.saturating_sub(x + t - 1)..(width + margin - x).min(self.kernel_size);
        [kys, kxs]
    }

    #[inline(always)]
    fn sums<S: Simd<f32s = V>, const G: usize, const T: usize>(
        &self,
        simd: S,
        weight: &[[f32; G]],
        bias: &[f32; G],
        (y, x): (usize, usize),
    ) -> [[V; T]; G] {
        let (shape, k) = (self.shape, self.kernel_size);
        let [kys, kxs] = self.overlap((y, x), T);
        // Loops, because a closure that is not inlined is compiled without the CPU's vector instructions.
        let mut sums = [[simd.splat_f32s(0.0); T]; G];
        for (sums, &bias) in sums.iter_mut().zip(bias) {
            *sums = [simd.splat_f32s(bias); T];
        }
        let planes = self.input.chunks_exact(shape.plane());
        for (plane, filter) in planes.zip(weight.chunks_exact(k * k)) {
            for ky in kys.clone() {
                let row = &plane[(y + ky - shape.margin) * shape.stride() + x..][..T + k - 1];
                let weights = &filter[ky * k..][..k];
                for kx in kxs.clone() {
                    let inputs: &[V; T] = window(row, kx);
                    let mut weights_of_tap = [simd.splat_f32s(0.0); G];
                    for (to, &weight) in weights_of_tap.iter_mut().zip(&weights[kx]) {
                        *to = simd.splat_f32s(weight);
                    }
                    // The fewer of weights and inputs stay in registers.
                    if G < T {
                        for (t, &input) in inputs.iter().enumerate() {
                            for (sums, &weight) in sums.iter_mut().zip(&weights_of_tap) {
                                sums[t] = simd.mul_add_f32s(weight, input, sums[t]);
                            }
                        }
                    } else {
                        for (sums, &weight) in sums.iter_mut().zip(&weights_of_tap) {
                            for (sum, &input) in sums.iter_mut().zip(inputs) {
                                *sum = simd.mul_add_f32s(weight, input, *sum);
                            }
                        }
                    }
                }
            }
        }
        sums
    }
}

/// Adds the gradient of a block to `grad_weight` (O, C, K, K), lane by lane.
#[derive(Debug)]
pub struct GradWeight<'a> {
    pub input: &'a [f32],
    /// The margin is the padding.
    pub input_shape: Planes,
    pub grad_output: &'a [f32],
    pub grad_output_shape: Planes,
    pub kernel_size: usize,
    pub grad_weight: &'a mut [f32],
}

impl WithSimd for GradWeight<'_> {
    type Output = ();

    /// A tile is `G` filters and `R` of their `K` rows, so that the sums fit the vector registers and the gradients of
    /// `G` filters the cache.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let filters = self.grad_output_shape.channels;
        match (self.kernel_size, S::F32_LANES >= 16) {
            (3, true) if filters.is_multiple_of(2) => self.groups::<S, 3, 3, 2>(simd),
            (3, true) => self.groups::<S, 3, 3, 1>(simd),
            (3, false) if filters.is_multiple_of(4) => self.groups::<S, 3, 1, 4>(simd),
            (3, false) => self.groups::<S, 3, 1, 3>(simd),
            _ if filters.is_multiple_of(2) => self.groups::<S, 5, 1, 2>(simd),
            _ => self.groups::<S, 5, 1, 3>(simd),
        }
    }
}

/// The length of a row of zeros, the padding above and below an input. No row is longer.
const WIDEST: usize = SIDE + 2 * 4;

impl GradWeight<'_> {
    #[inline(always)]
    fn groups<S: Simd, const K: usize, const R: usize, const G: usize>(self, simd: S) {
        const { assert!(K.is_multiple_of(R)) };
        let (from, to) = (self.input_shape, self.grad_output_shape);
        let zeros = &[simd.splat_f32s(0.0); WIDEST][..to.width + K - 1];
        let rows = S::as_mut_simd_f32s(self.grad_weight).0.as_chunks_mut::<K>().0;
        let tiles = rows.as_chunks_mut::<R>().0;
        let size = from.channels * K / R;
        let grads = S::as_simd_f32s(self.grad_output).0.chunks_exact(G * to.plane());
        for (filters, grads) in tiles.chunks_exact_mut(G * size).zip(grads) {
            for at in 0..size {
                let (c, ky) = (at / (K / R), at % (K / R) * R);
                let input = &S::as_simd_f32s(self.input).0[c * from.plane()..][..from.plane()];
                // Loops, see `Tile::sums`.
                let mut sums = [[[simd.splat_f32s(0.0); K]; R]; G];
                for (sums, filter) in sums.iter_mut().zip(filters.chunks_exact(size)) {
                    *sums = filter[at];
                }
                for y in 0..to.height {
                    let mut inputs = [zeros; R];
                    for (r, row) in inputs.iter_mut().enumerate() {
                        let y = (y + ky + r).checked_sub(from.margin);
                        if let Some(y) = y.filter(|&y| y < from.height) {
                            *row = &input[y * from.stride()..][..to.width + K - 1];
                        }
                    }
                    let start = y * to.stride() + to.margin;
                    let mut columns = [&grads[..to.width]; G];
                    for (column, plane) in columns.iter_mut().zip(grads.chunks_exact(to.plane())) {
                        *column = &plane[start..][..to.width];
                    }
                    sums = add_row::<S, K, R, G>(simd, inputs, columns, sums);
                }
                for (sums, filter) in sums.into_iter().zip(filters.chunks_exact_mut(size)) {
                    filter[at] = sums;
                }
            }
        }
    }
}

/// Adds the gradients of `R` rows of `G` filters at one row of the output to `sums`.
#[inline(always)]
fn add_row<S: Simd, const K: usize, const R: usize, const G: usize>(
    simd: S,
    inputs: [&[S::f32s]; R],
    grads: [&[S::f32s]; G],
    mut sums: [[[S::f32s; K]; R]; G],
) -> [[[S::f32s; K]; R]; G] {
    for x in 0..grads[0].len() {
        for (r, row) in inputs.iter().enumerate() {
            let inputs: &[S::f32s; K] = window(row, x);
            for (sums, grads) in sums.iter_mut().zip(grads) {
                for (sum, &input) in sums[r].iter_mut().zip(inputs) {
                    *sum = simd.mul_add_f32s(grads[x], input, *sum);
                }
            }
        }
    }
    sums
}
