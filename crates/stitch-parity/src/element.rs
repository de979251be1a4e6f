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

/// Whether an element is NaN.
pub(super) fn has_nan(bytes: &[u8], dtype: Dtype) -> bool {
    match dtype {
        // The two usual types in a form that the compiler turns into vector instructions.
        Dtype::F32 => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .fold(false, |nan, &x| nan | (u32::from_le_bytes(x) & 0x7fff_ffff > 0x7f80_0000)),
        Dtype::F64 => bytes
            .as_chunks::<8>()
            .0
            .iter()
            .fold(false, |nan, &x| nan | (u64::from_le_bytes(x) << 1 > 0x7ff << 53)),
        _ => dtype.count_nan(bytes) > 0,
    }
}

/// The place of a value among all values of its type, in order, with -0 and +0 at one place.
fn place(dtype: Dtype, bits: u64) -> i64 {
    // All bits but the sign, so it fits.
    let magnitude = u64::MAX >> (65 - 8 * dtype.size());
    let steps = (bits & magnitude) as i64;
    if bits & !magnitude == 0 { steps } else { -steps }
}

/// Bits and values of an element of both tensors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values {
    dtype: Dtype,
    /// Bits of the expected and of the actual value.
    pub bits: (u64, u64),
    /// The expected and the actual value; the magnitudes of complex ones. NaN if a part of a complex one is.
    pub values: (f64, f64),
    /// |actual - expected|; 0 for equal infinities; NaN when one of them is NaN.
    pub difference: f64,
}

impl Values {
    /// Of the bytes of both.
    #[inline(always)]
    pub fn new<const SIZE: usize>(dtype: Dtype, expected: [u8; SIZE], actual: [u8; SIZE]) -> Self {
        // Of 16 bytes, the half that differs, or else either.
        let half = if SIZE > 8 && expected[..8] == actual[..8] { 8 } else { 0 };
        let bits = (bits(&expected[half..]), bits(&actual[half..]));
        if let Some(part) = dtype.part() {
            return Self::complex(dtype, bits, parts(part, &expected), parts(part, &actual));
        }
        let values = (number(dtype, bits.0), number(dtype, bits.1));
        // Beyond 2^53 the values are not exact as float64, their difference may be.
        let difference = match dtype {
            Dtype::I64 => (bits.0 as i64).abs_diff(bits.1 as i64) as f64,
            Dtype::U64 => bits.0.abs_diff(bits.1) as f64,
            _ => distance(values),
        };
        Self { dtype, bits, values, difference }
    }

    /// Of the real and imaginary parts of both.
    fn complex(dtype: Dtype, bits: (u64, u64), expected: [f64; 2], actual: [f64; 2]) -> Self {
        let magnitude = |[re, im]: [f64; 2]| match re.is_nan() || im.is_nan() {
            true => f64::NAN,
            false => re.hypot(im),
        };
        let values = (magnitude(expected), magnitude(actual));
        let apart = [0, 1].map(|i| distance((expected[i], actual[i])));
        let difference = match magnitude(apart) {
            // What differs beside an infinity is not small, as `torch.isclose` sees it.
            some if some > 0.0 && (values.0.is_infinite() || values.1.is_infinite()) => {
                f64::INFINITY
            }
            some => some,
        };
        Self { dtype, bits, values, difference }
    }

    /// The element, which has this position.
    #[inline(always)]
    pub fn at(&self, index: usize) -> Element {
        Element { index, expected: self.bits.0, actual: self.bits.1 }
    }

    /// Number of representable values between the two; 0 for types other than floats of 16 bits or more.
    #[inline(always)]
    pub fn ulps(&self) -> u64 {
        if !self.dtype.is_float() {
            return 0;
        }
        place(self.dtype, self.bits.0).abs_diff(place(self.dtype, self.bits.1))
    }
}

/// [`Dtype::number`], of the two usual types without a choice for each element.
#[inline(always)]
fn number(dtype: Dtype, bits: u64) -> f64 {
    match dtype {
        Dtype::F32 => f32::from_bits(bits as u32).into(),
        Dtype::F64 => f64::from_bits(bits),
        _ => dtype.number(bits),
    }
}

/// The distance of two numbers; 0 for equal infinities.
#[inline(always)]
fn distance((expected, actual): (f64, f64)) -> f64 {
    let difference = (actual - expected).abs();
    if difference.is_nan() && expected == actual { 0.0 } else { difference }
}

/// The real and the imaginary part of an element, which have the type `part`.
pub(super) fn parts(part: Dtype, element: &[u8]) -> [f64; 2] {
    let (re, im) = element.split_at(part.size());
    [re, im].map(|bytes| part.number(bits(bytes)))
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
