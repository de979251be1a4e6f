//! The vector instructions of the kernels.

use std::sync::OnceLock;

use pulp::{Arch, Simd, WithSimd};

/// Vector instructions of this CPU.
#[derive(Debug, Clone, Copy)]
pub struct Vectors(Arch);

impl Vectors {
    /// Those with the longest vectors: AVX-512, AVX2, or on other CPUs what pulp knows of them; not AVX-512 if libtorch does not use it
    /// ([`super::cpu_capability`]), so that `ATEN_CPU_CAPABILITY=avx2` and `default` exclude it.
    pub fn longest() -> Self {
        static LONGEST: OnceLock<Vectors> = OnceLock::new();
        *LONGEST.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            if super::cpu_capability().is_none_or(|it| it != "AVX512") {
                return Self(pulp::x86::V3::try_new().map_or(Arch::Scalar, Arch::V3));
            }
            Self(Arch::new())
        })
    }

    /// Those with vectors half as long: AVX2 instead of AVX-512; `None` for others.
    pub fn half(self) -> Option<Self> {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Arch::V4(_) => pulp::x86::V3::try_new().map(|it| Self(Arch::V3(it))),
            _ => None,
        }
    }

    /// Runs a kernel, compiled for these instructions.
    #[inline]
    pub fn dispatch<T: WithSimd>(self, kernel: T) -> T::Output {
        self.0.dispatch(kernel)
    }

    /// The number of float32 elements of a vector: 16 with AVX-512, 8 with AVX2, 1 without vectors.
    pub fn lanes(self) -> usize {
        struct Lanes;

        impl WithSimd for Lanes {
            type Output = usize;

            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> usize {
                S::F32_LANES
            }
        }

        self.dispatch(Lanes)
    }
}

/// [`Vectors::dispatch`] with the longest vectors.
#[inline]
pub fn dispatch<T: WithSimd>(kernel: T) -> T::Output {
    Vectors::longest().dispatch(kernel)
}

/// [`Vectors::lanes`] of the longest vectors.
pub fn lanes() -> usize {
    Vectors::longest().lanes()
}
