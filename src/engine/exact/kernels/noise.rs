//! Input for the probes that compare kernels with libtorch, and the comparison.

use tch::Tensor;

#[cfg(test)]
use crate::libtorch::values;
use crate::libtorch::{bytes_of, filled};

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

/// Whether two tensors have the same shape, element type and bits.
pub(super) fn same_bits(expected: &Tensor, actual: &Tensor) -> bool {
    let types = [expected, actual].map(|it| (it.kind(), it.size()));
    types[0] == types[1] && bytes_of(expected) == bytes_of(actual)
}

/// A copy in which one of seven elements is special: signed zeros, NaN, infinities, subnormal and huge numbers.
#[cfg(test)]
pub(super) fn with_special_values(xs: &Tensor) -> Tensor {
    let special = [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-45, -1e-45, 3e38];
    filled(&xs.size(), |all: &mut [f32]| {
        for (i, (x, &random)) in all.iter_mut().zip(values::<f32>(xs)).enumerate() {
            *x = if i % 7 == 0 { special[i / 7 % special.len()] } else { random };
        }
    })
}

/// The bits of all elements. All NaNs count as equal.
#[cfg(test)]
pub(super) fn bits(tensor: &Tensor) -> Vec<u32> {
    let canonical = |x: &f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
    values::<f32>(tensor).iter().map(canonical).collect()
}
