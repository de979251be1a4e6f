//! One element of two tensors: bits, values, and the difference of the values.

use serde::Serialize;

use tensor_files::Dtype;

/// One element of both tensors, as bits: little-endian, zero-extended. Of a 16-byte element these are the first 8
/// bytes, or the last 8 if only those differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Element {
    /// Row-major position in the tensor, from 0.
    pub index: usize,
    /// Bits of the expected value.
    pub expected: u64,
    /// Bits of the actual value.
    pub actual: u64,
}

/// The first 8 bytes of an element.
#[inline(always)]
pub(super) fn bits(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    let length = bytes.len().min(8);
    all[..length].copy_from_slice(&bytes[..length]);
    u64::from_le_bytes(all)
}

/// Whether elements are compared as numbers. 8-bit floats and complex numbers are compared as bits.
pub(super) fn is_number(dtype: Dtype) -> bool {
    dtype.is_float() || dtype.is_integer()
}

/// The value of an element as float64: exact but for integers of 64 bits beyond 2^53. Of a type that is not
/// compared as numbers, its bits as an integer.
#[inline]
pub(super) fn number(dtype: Dtype, bits: u64) -> f64 {
    match dtype {
        Dtype::I8 => f64::from(bits as u8 as i8),
        Dtype::I16 => f64::from(bits as u16 as i16),
        Dtype::I32 => f64::from(bits as u32 as i32),
        Dtype::I64 => bits as i64 as f64,
        Dtype::F16 => half(bits as u16),
        // bfloat16 is the upper half of a float32.
        Dtype::BF16 => f64::from(f32::from_bits((bits as u32) << 16)),
        Dtype::F32 => f64::from(f32::from_bits(bits as u32)),
        Dtype::F64 => f64::from_bits(bits),
        _ => bits as f64,
    }
}

/// IEEE 754 half precision: 1 sign, 5 exponent, 10 fraction bits.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match bits >> 10 & 0x1f {
        0 => fraction * 2f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        exponent => (1024.0 + fraction) * 2f64.powi(i32::from(exponent) - 25),
    };
    sign * magnitude
}

/// Bits of the exponent field, all set in a NaN or an infinity; and the bits below the sign.
fn float_masks(dtype: Dtype) -> (u64, u64) {
    match dtype {
        Dtype::F16 => (0x7c00, 0x7fff),
        Dtype::BF16 => (0x7f80, 0x7fff),
        Dtype::F32 => (0x7f80_0000, 0x7fff_ffff),
        _ => (0x7ff0_0000_0000_0000, 0x7fff_ffff_ffff_ffff),
    }
}

pub(super) fn has_nan(bytes: &[u8], dtype: Dtype) -> bool {
    let (infinity, magnitude) = float_masks(dtype);
    match dtype {
        // The two usual types in a form that the compiler turns into vector instructions.
        Dtype::F32 => bytes.as_chunks::<4>().0.iter().fold(false, |nan, &x| {
            nan | (u32::from_le_bytes(x) & magnitude as u32 > infinity as u32)
        }),
        Dtype::F64 => bytes
            .as_chunks::<8>()
            .0
            .iter()
            .fold(false, |nan, &x| nan | (u64::from_le_bytes(x) & magnitude > infinity)),
        _ => bytes.chunks_exact(dtype.size()).any(|x| bits(x) & magnitude > infinity),
    }
}

/// The place of a value among all values of its type, in order, with -0 and +0 at one place.
fn place(dtype: Dtype, bits: u64) -> i64 {
    let (_, magnitude) = float_masks(dtype);
    // The magnitude leaves out the highest bit, so it fits.
    let steps = (bits & magnitude) as i64;
    if bits & !magnitude == 0 { steps } else { -steps }
}

/// Bits and values of an element of both tensors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values {
    dtype: Dtype,
    /// Bits of the expected and of the actual value.
    pub bits: (u64, u64),
    /// The expected and the actual value.
    pub values: (f64, f64),
}

impl Values {
    /// Of the bytes of both.
    #[inline(always)]
    pub fn new<const SIZE: usize>(dtype: Dtype, expected: [u8; SIZE], actual: [u8; SIZE]) -> Self {
        // Of 16 bytes, the half that differs, or else either.
        let half = if SIZE > 8 && expected[..8] == actual[..8] { 8 } else { 0 };
        let bits = (bits(&expected[half..]), bits(&actual[half..]));
        Self { dtype, bits, values: (number(dtype, bits.0), number(dtype, bits.1)) }
    }

    /// The element, which has this position.
    #[inline(always)]
    pub fn at(&self, index: usize) -> Element {
        Element { index, expected: self.bits.0, actual: self.bits.1 }
    }

    /// |actual - expected|; 0 for equal infinities; NaN when one of them is NaN.
    #[inline(always)]
    pub fn difference(&self) -> f64 {
        let (expected, actual) = self.values;
        let difference = (actual - expected).abs();
        if difference.is_nan() && expected == actual {
            0.0
        } else if self.dtype == Dtype::I64 {
            // Beyond 2^53 the values are not exact as float64, their difference may be.
            let (expected, actual) = (self.bits.0 as i64, self.bits.1 as i64);
            expected.abs_diff(actual) as f64
        } else if self.dtype == Dtype::U64 {
            self.bits.0.abs_diff(self.bits.1) as f64
        } else {
            difference
        }
    }

    /// Number of representable values between the two; 0 for integers.
    #[inline(always)]
    pub fn ulps(&self) -> u64 {
        if !self.dtype.is_float() {
            return 0;
        }
        place(self.dtype, self.bits.0).abs_diff(place(self.dtype, self.bits.1))
    }
}

/// Calls `each` with every element of both, which have the same length.
#[inline(always)]
pub(super) fn for_each_element(
    dtype: Dtype,
    expected: &[u8],
    actual: &[u8],
    each: impl FnMut(Values),
) {
    #[inline(always)]
    fn typed<const SIZE: usize>(
        dtype: Dtype,
        (expected, actual): (&[u8], &[u8]),
        mut each: impl FnMut(Values),
    ) {
        let pairs = expected.as_chunks::<SIZE>().0.iter().zip(actual.as_chunks::<SIZE>().0);
        pairs.for_each(|(&expected, &actual)| each(Values::new(dtype, expected, actual)));
    }
    let both = (expected, actual);
    // The two usual types by themselves, so that no choice is made for each element.
    match dtype {
        Dtype::F32 => typed::<4>(Dtype::F32, both, each),
        Dtype::F64 => typed::<8>(Dtype::F64, both, each),
        _ => match dtype.size() {
            1 => typed::<1>(dtype, both, each),
            2 => typed::<2>(dtype, both, each),
            4 => typed::<4>(dtype, both, each),
            8 => typed::<8>(dtype, both, each),
            _ => typed::<16>(dtype, both, each),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_have_their_values() {
        for (bits, value) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x0001, 2f64.powi(-24)), (0x7bff, 65504.0)]
        {
            assert_eq!(number(Dtype::F16, bits), value);
        }
        assert!(number(Dtype::F16, 0x7e00).is_nan());
        assert_eq!(number(Dtype::F16, 0x7c00), f64::INFINITY);
        assert_eq!(number(Dtype::BF16, 0x3fc0), 1.5);
    }
}
