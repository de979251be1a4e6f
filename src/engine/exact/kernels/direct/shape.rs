//! LeNet-5's shapes, and slices as arrays of them.

use pulp::Simd;

/// Height and width of every filter.
pub const K: usize = 5;
/// Zeros on all sides of an image.
pub const PADDING: usize = 2;
/// Width and height of an image with them.
pub const PADDED: usize = H1 + 2 * PADDING;
/// Height and width of an image; with [`C1`] channels after the first convolution.
pub const H1: usize = 28;
/// Channels after the first convolution.
pub const C1: usize = 6;
/// Height and width after the first pooling.
pub const P1: usize = H1 / 2;
/// Height, width and channels after the second convolution.
pub const H2: usize = P1 + 1 - K;
/// See [`H2`].
pub const C2: usize = 16;
/// Height and width after the second pooling.
pub const P2: usize = H2 / 2;

/// What begins where a vector of any length does: a vector that lies across two lines of the cache is read
/// at half the speed.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub struct Aligned<T>(pub T);

/// The filters of a convolution, (O, C, 5, 5).
pub type Filters<T, const O: usize, const C: usize> = [[[[T; K]; K]; C]; O];

/// A weight (O, C, 5, 5).
///
/// # Panics
/// When there are fewer elements.
#[inline(always)]
pub fn filters<T, const O: usize, const C: usize>(weight: &[T]) -> &Filters<T, O, C> {
    let planes = weight.as_chunks::<K>().0.as_chunks::<K>().0.as_chunks::<C>().0;
    planes.first_chunk().expect("a weight of this shape")
}

/// `N` neighbours from `at` on.
///
/// # Panics
/// When the slice ends before.
#[inline(always)]
pub fn window<V, const N: usize>(slice: &[V], at: usize) -> &[V; N] {
    slice[at..].first_chunk().expect("a window within the row")
}

/// `N` vectors of neighbours from `at` on.
#[inline(always)]
pub fn vectors<S: Simd, const N: usize>(slice: &[f32], at: usize) -> &[S::f32s; N] {
    window(S::as_simd_f32s(&slice[at..at + N * S::F32_LANES]).0, 0)
}

/// As [`vectors`], to be written.
#[inline(always)]
pub fn vectors_mut<S: Simd, const N: usize>(slice: &mut [f32], at: usize) -> &mut [S::f32s; N] {
    let vectors = S::as_mut_simd_f32s(&mut slice[at..at + N * S::F32_LANES]).0;
    vectors.first_chunk_mut().expect("as many as were asked for")
}
