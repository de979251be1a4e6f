//! Counting NaN by bit patterns.

use tensor_files::Dtype;

/// Number of elements that are NaN; `None` for types other than the usual floating-point ones.
pub(crate) fn count(dtype: Dtype, bytes: &[u8]) -> Option<usize> {
    // A NaN has a larger magnitude than infinity.
    let halves = |infinity: u16| {
        let halves = bytes.as_chunks().0.iter().map(|&x| u16::from_le_bytes(x));
        halves.filter(|bits| bits & 0x7fff > infinity).count()
    };
    Some(match dtype {
        Dtype::F16 => halves(0x7c00),
        Dtype::BF16 => halves(0x7f80),
        Dtype::F32 => {
            bytes.as_chunks().0.iter().filter(|&&x| f32::from_le_bytes(x).is_nan()).count()
        }
        Dtype::F64 => {
            bytes.as_chunks().0.iter().filter(|&&x| f64::from_le_bytes(x).is_nan()).count()
        }
        _ => return None,
    })
}
