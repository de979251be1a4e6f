//! The length of this CPU's vectors.

use pulp::{Arch, Simd, WithSimd};

/// Elements of type float32 in the vectors that [`Arch::dispatch`] computes with: 16 with AVX-512, 8
/// with AVX2.
pub fn lanes() -> usize {
    struct Lanes;

    impl WithSimd for Lanes {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }

    Arch::new().dispatch(Lanes)
}
