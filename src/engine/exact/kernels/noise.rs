//! Numbers to ask libtorch with how it computes.

use tch::Tensor;

use crate::libtorch::filled;

/// Numbers from -1 to 1 without a pattern, other ones for other sizes, and without a draw from
/// anyone's generator.
pub(super) fn noise(shape: &[i64]) -> Tensor {
    filled(shape, |values: &mut [f32]| {
        let mut state = values.len() as u32;
        for value in values {
            // xorshift32 of George Marsaglia; its state is never 0.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            *value = state as f32 / (1u32 << 31) as f32 - 1.0;
        }
    })
}
