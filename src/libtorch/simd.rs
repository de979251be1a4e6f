//! The vector instructions of the kernels.

use std::sync::OnceLock;

use pulp::{Arch, Simd, WithSimd};

use super::cpu_capability;

/// The vector instructions of this CPU, without AVX-512 if libtorch does not use it ([`cpu_capability`]).
fn arch() -> Arch {
    static ARCH: OnceLock<Arch> = OnceLock::new();
    *ARCH.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        if cpu_capability().is_none_or(|it| it != "AVX512") {
            return pulp::x86::V3::try_new().map_or(Arch::Scalar, Arch::V3);
        }
        Arch::new()
    })
}

/// Runs a kernel, compiled for the vector instructions of this CPU: AVX-512, AVX2 or none. `ATEN_CPU_CAPABILITY=avx2`
/// excludes AVX-512, as it does for libtorch.
#[inline]
pub fn dispatch<T: WithSimd>(kernel: T) -> T::Output {
    arch().dispatch(kernel)
}

/// The number of float32 elements in the vectors of [`dispatch`]: 16 with AVX-512, 8 with AVX2.
pub fn lanes() -> usize {
    struct Lanes;

    impl WithSimd for Lanes {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }

    dispatch(Lanes)
}
