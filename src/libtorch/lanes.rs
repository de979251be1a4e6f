//! The vector length of this CPU.

use pulp::{Arch, Simd, WithSimd};

/// The number of float32 elements in the vectors that [`Arch::dispatch`] uses: 16 with AVX-512, 8 with AVX2.
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
