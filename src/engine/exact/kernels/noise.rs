//! Input for the probes that compare kernels with libtorch.

use tch::Tensor;

use crate::libtorch::filled;

/// Pseudo-random float32 values in [-1, 1) that depend only on the number of elements. No generator of PyTorch or NumPy
/// is advanced.
pub(super) fn noise(shape: &[i64]) -> Tensor {
    filled(shape, |values: &mut [f32]| {
        let mut state = values.len() as u32;
        for value in values {
            // xorshift32 (George Marsaglia). Its state is never 0.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            *value = state as f32 / (1u32 << 31) as f32 - 1.0;
        }
    })
}
