//! Views of slices of vectors as arrays of LeNet-5's shapes.

/// An activation (C, H, W) of one block of images.
pub type Planes<V, const C: usize, const H: usize, const W: usize> = [[[V; W]; H]; C];

/// Views the first `C * H * W` elements as (C, H, W).
///
/// # Panics
/// If the slice is shorter.
#[inline(always)]
pub fn planes<V, const C: usize, const H: usize, const W: usize>(
    slice: &[V],
) -> &Planes<V, C, H, W> {
    let rows = slice.as_chunks::<W>().0;
    rows.as_chunks::<H>().0.first_chunk().expect("a buffer of this shape")
}

/// Same as [`planes`], mutable.
///
/// # Panics
/// If the slice is shorter.
#[inline(always)]
pub fn planes_mut<V, const C: usize, const H: usize, const W: usize>(
    slice: &mut [V],
) -> &mut Planes<V, C, H, W> {
    let rows = slice.as_chunks_mut::<W>().0;
    rows.as_chunks_mut::<H>().0.first_chunk_mut().expect("a buffer of this shape")
}
