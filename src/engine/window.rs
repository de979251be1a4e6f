//! Consecutive elements of a slice as an array.

/// Returns `N` consecutive elements, starting at index `start`.
///
/// # Panics
/// If the slice is shorter.
#[inline(always)]
pub(super) fn window<V, const N: usize>(slice: &[V], start: usize) -> &[V; N] {
    slice[start..].first_chunk().expect("a window within the row")
}
