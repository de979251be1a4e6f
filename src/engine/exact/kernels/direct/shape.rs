//! LeNet-5's shapes, and views of slices as arrays of these shapes.

use pulp::Simd;

use crate::engine::window::window;

/// Height and width of every filter.
pub const K: usize = 5;
/// Zero padding on each side of an image.
pub const PADDING: usize = 2;
/// Height and width of a padded image.
pub const PADDED: usize = H1 + 2 * PADDING;
/// Height and width of an image and of the output of the first convolution.
pub const H1: usize = 28;
/// Number of channels after the first convolution.
pub const C1: usize = 6;
/// Height and width after the first pooling.
pub const P1: usize = H1 / 2;
/// Height and width after the second convolution.
pub const H2: usize = P1 + 1 - K;
/// Number of channels after the second convolution.
pub const C2: usize = 16;
/// Height and width after the second pooling.
pub const P2: usize = H2 / 2;

/// A value aligned to a cache line: a vector that crosses a cache line loads at half the speed.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub struct Aligned<T>(pub T);

/// The weight of a convolution (O, C, 5, 5).
pub type Filters<T, const O: usize, const C: usize> = [[[[T; K]; K]; C]; O];

/// Views a slice as a weight (O, C, 5, 5).
///
/// # Panics
/// If the slice is shorter.
#[inline(always)]
pub fn filters<T, const O: usize, const C: usize>(weight: &[T]) -> &Filters<T, O, C> {
    let planes = weight.as_chunks::<K>().0.as_chunks::<K>().0.as_chunks::<C>().0;
    planes.first_chunk().expect("a weight of this shape")
}

/// Returns `N` consecutive vectors, starting at element `start`.
#[inline(always)]
pub fn vectors<S: Simd, const N: usize>(slice: &[f32], start: usize) -> &[S::f32s; N] {
    window(S::as_simd_f32s(&slice[start..start + N * S::F32_LANES]).0, 0)
}

/// Same as [`vectors`], mutable.
#[inline(always)]
pub fn vectors_mut<S: Simd, const N: usize>(slice: &mut [f32], start: usize) -> &mut [S::f32s; N] {
    let vectors = S::as_mut_simd_f32s(&mut slice[start..start + N * S::F32_LANES]).0;
    vectors.first_chunk_mut().expect("N vectors in the slice")
}
