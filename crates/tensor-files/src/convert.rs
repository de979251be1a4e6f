//! Conversion of elements to another type, as PyTorch's `Tensor.to(dtype)` computes it.

use super::{Dtype, NamedTensor};

/// What becomes of a finite number whose magnitude is above the largest one of the floating-point type that it is
/// converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// It becomes infinite, as in PyTorch.
    Infinity,
    /// It is an error.
    Refuse,
}

/// Elements that cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// There is no conversion between the two types.
    #[error(
        "{from} cannot be converted to {to}; supported are real numbers to integers, bool and floating-point types of 16 \
         bits or more, and complex numbers to complex types"
    )]
    Types {
        /// The type of the elements.
        from: Dtype,
        /// The requested type.
        to: Dtype,
    },
    /// A value is outside the range of the type.
    #[error("element {index} is {value}, which does not fit {to}")]
    Value {
        /// Row-major position of the element.
        index: usize,
        /// Its value in decimal.
        value: String,
        /// The requested type.
        to: Dtype,
    },
}

/// Whether elements of `from` can be converted to `to`: real numbers to integers, bool and floating-point types of 16 bits
/// or more, complex numbers to complex types.
pub fn converts(from: Dtype, to: Dtype) -> bool {
    from == to
        || from.is_complex() && to.is_complex()
        || !from.is_complex() && (to.is_integer() || to.is_float())
}

/// Converts elements, little-endian, to another type. Floating-point results are rounded to nearest, ties to even (those
/// of 16 bits from float32, as in PyTorch); floating-point numbers are truncated to integers. Only 0 and 1 fit bool. A NaN
/// keeps its sign and as much of its payload as fits, but that of bfloat16 is always `0x7fc0`.
///
/// ```
/// use tensor_files::{Dtype, Overflow, convert};
///
/// let bytes = [1.5f64, 65504.0].map(f64::to_le_bytes).concat();
/// let half = convert(&bytes, Dtype::F64, Dtype::F16, Overflow::Refuse).unwrap();
/// assert_eq!(half, [0x3e00u16, 0x7bff].map(u16::to_le_bytes).concat());
/// let error = convert(&65520f64.to_le_bytes(), Dtype::F64, Dtype::F16, Overflow::Refuse).unwrap_err();
/// assert_eq!(error.to_string(), "element 0 is 65520.0, which does not fit float16");
/// ```
///
/// # Errors
/// [`ConvertError::Types`]; [`ConvertError::Value`] for the first number that does not fit an integer type or bool, and with
/// [`Overflow::Refuse`] for the first finite number that would become infinite.
pub fn convert(
    bytes: &[u8],
    from: Dtype,
    to: Dtype,
    overflow: Overflow,
) -> Result<Vec<u8>, ConvertError> {
    match (from.part(), to.part()) {
        // A byte of bool may have any value.
        _ if from == to && to != Dtype::Bool => Ok(bytes.to_vec()),
        _ if !converts(from, to) => Err(ConvertError::Types { from, to }),
        // Real and imaginary parts one after the other.
        (Some(from), Some(part)) => match real(bytes, from, part, overflow) {
            Err(ConvertError::Value { index, value, .. }) => {
                Err(ConvertError::Value { index: index / 2, value, to })
            }
            converted => converted,
        },
        _ => real(bytes, from, to, overflow),
    }
}

fn real(bytes: &[u8], from: Dtype, to: Dtype, overflow: Overflow) -> Result<Vec<u8>, ConvertError> {
    let mut out = Vec::with_capacity(bytes.len() / from.size() * to.size());
    for (index, element) in bytes.chunks_exact(from.size()).enumerate() {
        let mut all = [0; 8];
        all[..element.len()].copy_from_slice(element);
        let bits = u64::from_le_bytes(all);
        let converted = match to.is_integer() {
            true => integer(from, bits, to),
            false => Some(float(from, bits, to)).filter(|&converted| {
                overflow == Overflow::Infinity
                    || !to.number(converted).is_infinite()
                    || from.number(bits).is_infinite()
            }),
        };
        let Some(converted) = converted else {
            let value = match from.is_integer() {
                true => integer_value(from, bits).to_string(),
                false => format!("{:?}", from.number(bits)),
            };
            return Err(ConvertError::Value { index, value, to });
        };
        out.extend_from_slice(&converted.to_le_bytes()[..to.size()]);
    }
    Ok(out)
}

/// The value of an element of an integer type.
fn integer_value(dtype: Dtype, bits: u64) -> i128 {
    match dtype {
        Dtype::U64 => bits.into(),
        Dtype::I64 => (bits as i64).into(),
        // Exact: at most 32 bits.
        _ => dtype.number(bits) as i128,
    }
}

/// The bits of a value in an integer type; `None` if it does not fit.
fn integer(from: Dtype, bits: u64, to: Dtype) -> Option<u64> {
    let value = match from.is_integer() {
        true => integer_value(from, bits),
        false => {
            let value = from.number(bits);
            let fits = value.is_finite() && (to != Dtype::Bool || value.fract() == 0.0);
            // Saturates beyond 128 bits, which fits no type either.
            fits.then_some(value.trunc() as i128)?
        }
    };
    let bits = 8 * to.size() as u32;
    let (least, greatest) = match to {
        Dtype::Bool => (0, 1),
        Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => {
            (-(1i128 << (bits - 1)), (1 << (bits - 1)) - 1)
        }
        _ => (0, (1i128 << bits) - 1),
    };
    (least..=greatest).contains(&value).then_some(value as u64)
}

/// The bits of a value in a floating-point type, rounded to nearest, ties to even. 16-bit types are rounded from
/// float32, as PyTorch does.
fn float(from: Dtype, bits: u64, to: Dtype) -> u64 {
    if from.number(bits).is_nan() {
        return nan(from, bits, to);
    }
    let single = match from {
        Dtype::I64 => bits as i64 as f32,
        Dtype::U64 => bits as f32,
        _ => from.number(bits) as f32,
    };
    match to {
        Dtype::F64 => from.number(bits).to_bits(),
        Dtype::F32 => single.to_bits().into(),
        Dtype::BF16 => bfloat16(single).into(),
        _ => float16(single).into(),
    }
}

/// The bits of a NaN in a floating-point type, as PyTorch's vectorized code computes them on x86: sign and the upper bits of
/// the payload are kept, and the NaN becomes quiet. Rust leaves the bits of a NaN open, so that `as` is not used.
fn nan(from: Dtype, bits: u64, to: Dtype) -> u64 {
    // The fraction of float32 has 23 bits, of which the upper one is that of a quiet NaN.
    const QUIET: u64 = 1 << 22;
    let wide = |width: u32, fraction: u32| {
        let (sign, fraction) = (bits >> (width - 1) & 1, bits << (23 - fraction) & 0x7f_ffff);
        sign << 31 | 0x7f80_0000 | fraction
    };
    let single = match from {
        Dtype::F64 => bits >> 63 << 31 | 0x7f80_0000 | QUIET | bits >> 29 & 0x7f_ffff,
        Dtype::F32 => bits,
        // The upper half of a float32, signaling or not.
        Dtype::BF16 => bits << 16,
        Dtype::F16 => wide(16, 10) | QUIET,
        Dtype::F8_E5M2 => wide(8, 2) | QUIET,
        Dtype::F8_E4M3FN => wide(8, 3) | QUIET,
        // PyTorch's constant.
        _ => 0x7f80_0001,
    };
    match to {
        Dtype::F64 => single >> 31 << 63 | 0x7ff8 << 48 | (single & 0x7f_ffff) << 29,
        Dtype::F32 => single,
        // What vectorized code of PyTorch writes here depends on the CPU.
        Dtype::BF16 => 0x7fc0,
        _ => single >> 16 & 0x8000 | 0x7e00 | single >> 13 & 0x3ff,
    }
}

fn bfloat16(value: f32) -> u16 {
    let bits = value.to_bits();
    // The upper half, rounded by the lower: a carry into the exponent is right, up to infinity.
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

fn float16(value: f32) -> u16 {
    let sign = ((value.to_bits() >> 16) & 0x8000) as u16;
    let magnitude = f64::from(value.abs());
    // 65520 lies halfway between the largest number, 65504, and the next power of two.
    if magnitude >= 65520.0 {
        return sign | 0x7c00;
    }
    // The distance of two neighbors; below 2^-14 it does not shrink any more.
    let exponent = (((magnitude.to_bits() >> 52) as i32) - 1023).max(-14);
    let steps = (magnitude * 2f64.powi(10 - exponent)).round_ties_even() as u16;
    // A normal number has 1024 to 2047 steps; 1024 of them are its exponent's implicit bit.
    sign | ((((exponent + 14) as u16) << 10) + steps)
}

impl NamedTensor {
    /// The tensor with elements of another type, as [`convert()`] computes them.
    ///
    /// # Errors
    /// Those of [`convert()`].
    pub fn converted(&self, to: Dtype, overflow: Overflow) -> Result<Self, ConvertError> {
        let data = convert(&self.data, self.dtype, to, overflow)?;
        Ok(Self { name: self.name.clone(), dtype: to, shape: self.shape.clone(), data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8], from: Dtype, to: Dtype) -> String {
        convert(bytes, from, to, Overflow::Refuse).unwrap_err().to_string()
    }

    #[test]
    fn every_16_bit_float_is_converted_to_itself_and_ties_go_to_even() {
        for bits in 0..=u16::MAX {
            for dtype in [Dtype::F16, Dtype::BF16] {
                let value = dtype.number(bits.into());
                if !value.is_nan() {
                    assert_eq!(
                        float(Dtype::F64, value.to_bits(), dtype),
                        u64::from(bits),
                        "{bits:#x}"
                    );
                }
            }
        }
        for (value, half) in [
            (2049.0, 0x6800),
            (2051.0, 0x6802),
            (65519.0, 0x7bff),
            (65520.0, 0x7c00),
            (2f32.powi(-25), 0x0000),
            (1.5 * 2f32.powi(-24), 0x0002),
            (-2f32.powi(-14) + 2f32.powi(-26), 0x8400),
        ] {
            assert_eq!(float16(value), half, "{value}");
        }
        assert_eq!(bfloat16(1.0 + 2f32.powi(-8)), 0x3f80);
        assert_eq!(bfloat16(1.0 + 3.0 * 2f32.powi(-8)), 0x3f82);
        assert_eq!(bfloat16(f32::MAX), 0x7f80);
    }

    /// The bits are those of PyTorch 2.13 on x86, of tensors of 384 elements.
    #[test]
    fn a_nan_keeps_its_sign_and_its_payload() {
        for (from, bits, expected) in [
            (Dtype::F16, 0x7e31, [0x7e31, 0x7fc0, 0x7fc6_2000, 0x7ff8_c400_0000_0000]),
            (Dtype::F16, 0xfc01, [0xfc01, 0x7fc0, 0xffc0_2000, 0xfff8_0400_0000_0000]),
            (Dtype::BF16, 0xff81, [0xfe08, 0xff81, 0xff81_0000, 0xfff8_2000_0000_0000]),
            (Dtype::F32, 0xffc1_2345, [0xfe09, 0x7fc0, 0xffc1_2345, 0xfff8_2468_a000_0000]),
            (Dtype::F32, 0x7f80_0001, [0x7e00, 0x7fc0, 0x7f80_0001, 0x7ff8_0000_2000_0000]),
            (
                Dtype::F64,
                0x7ff8_c400_0000_0000,
                [0x7e31, 0x7fc0, 0x7fc6_2000, 0x7ff8_c400_0000_0000],
            ),
            (
                Dtype::F64,
                0xfff4_0000_0000_0000,
                [0xff00, 0x7fc0, 0xffe0_0000, 0xfff4_0000_0000_0000],
            ),
            (Dtype::F8_E4M3FN, 0xff, [0xff80, 0x7fc0, 0xfff0_0000, 0xfffe_0000_0000_0000]),
            (Dtype::F8_E5M2, 0x7d, [0x7f00, 0x7fc0, 0x7fe0_0000, 0x7ffc_0000_0000_0000]),
            (Dtype::F8_E8M0FNU, 0xff, [0x7e00, 0x7fc0, 0x7f80_0001, 0x7ff8_0000_2000_0000]),
        ] {
            for (to, expected) in
                [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64].into_iter().zip(expected)
            {
                let element: u64 = bits;
                let bytes = &element.to_le_bytes()[..from.size()];
                let found = convert(bytes, from, to, Overflow::Refuse).unwrap();
                let expected: u64 = expected;
                assert_eq!(found, expected.to_le_bytes()[..to.size()], "{from} {bits:#x} to {to}");
            }
        }
    }

    #[test]
    fn every_byte_of_bool_but_0_is_true() {
        let to = |to| convert(&[0, 1, 2, 255], Dtype::Bool, to, Overflow::Refuse).unwrap();
        assert_eq!([to(Dtype::Bool), to(Dtype::U8)], [[0, 1, 1, 1], [0, 1, 1, 1]]);
        assert_eq!(to(Dtype::F32), [0f32, 1.0, 1.0, 1.0].map(f32::to_le_bytes).concat());
    }

    #[test]
    fn integers_are_converted_if_they_fit() {
        let bytes = (-1i64).to_le_bytes();
        let to = |to| convert(&bytes, Dtype::I64, to, Overflow::Refuse).unwrap();
        assert_eq!(to(Dtype::I8), [255]);
        assert_eq!(to(Dtype::F32), (-1f32).to_le_bytes());
        assert_eq!(
            refused(&bytes, Dtype::I64, Dtype::U8),
            "element 0 is -1, which does not fit uint8"
        );
        assert_eq!(
            refused(&[0, 2], Dtype::U8, Dtype::Bool),
            "element 1 is 2, which does not fit bool"
        );
        let largest = u64::MAX.to_le_bytes();
        let error = "element 0 is 18446744073709551615, which does not fit int64";
        assert_eq!(refused(&largest, Dtype::U64, Dtype::I64), error);
    }

    #[test]
    fn floating_point_numbers_are_truncated_to_integers_if_they_fit() {
        let bytes = [-128.9f64, 127.9, -0.5].map(f64::to_le_bytes).concat();
        let converted = convert(&bytes, Dtype::F64, Dtype::I8, Overflow::Refuse).unwrap();
        assert_eq!(converted, [128, 127, 0]);
        for (value, shown) in [
            (128.0, "128.0"),
            (-129.0, "-129.0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
            (1e300, "1e300"),
        ] {
            let error = refused(&value.to_le_bytes(), Dtype::F64, Dtype::I8);
            assert_eq!(error, format!("element 0 is {value:?}, which does not fit int8"));
            assert!(error.contains(shown), "{error}");
        }
        let half = refused(&0.5f32.to_le_bytes(), Dtype::F32, Dtype::Bool);
        assert_eq!(half, "element 0 is 0.5, which does not fit bool");
        let below = 2f64.powi(63).to_le_bytes();
        assert!(convert(&below, Dtype::F64, Dtype::U64, Overflow::Refuse).is_ok());
        assert!(convert(&below, Dtype::F64, Dtype::I64, Overflow::Refuse).is_err());
    }

    #[test]
    fn a_finite_number_becomes_infinite_only_if_that_is_allowed() {
        let bytes = [1e39f64, f64::INFINITY].map(f64::to_le_bytes).concat();
        let infinite = [f32::INFINITY; 2].map(f32::to_le_bytes).concat();
        let of = |bytes: &[u8], overflow| convert(bytes, Dtype::F64, Dtype::F32, overflow);
        assert_eq!(of(&bytes, Overflow::Infinity).unwrap(), infinite);
        let error = of(&bytes, Overflow::Refuse).unwrap_err().to_string();
        assert_eq!(error, "element 0 is 1e39, which does not fit float32");
        assert_eq!(of(&bytes[8..], Overflow::Refuse).unwrap(), infinite[4..]);
        let error = refused(&f32::MAX.to_le_bytes(), Dtype::F32, Dtype::BF16);
        assert_eq!(error, "element 0 is 3.4028234663852886e38, which does not fit bfloat16");
        assert!(refused(&70000i32.to_le_bytes(), Dtype::I32, Dtype::F16).contains("is 70000,"));
    }

    #[test]
    fn both_parts_of_complex_numbers_are_converted() {
        let bytes = [1.5f32, -2.0, 0.0, 1e10].map(f32::to_le_bytes).concat();
        let wide = convert(&bytes, Dtype::C64, Dtype::C128, Overflow::Refuse).unwrap();
        assert_eq!(wide, [1.5f64, -2.0, 0.0, 1e10].map(f64::to_le_bytes).concat());
        assert_eq!(
            refused(&bytes, Dtype::C64, Dtype::C32),
            "element 1 is 10000000000.0, which does not fit complex32"
        );
        assert!(
            refused(&bytes, Dtype::C64, Dtype::F32).starts_with("complex64 cannot be converted")
        );
        assert!(!converts(Dtype::F32, Dtype::C64) && !converts(Dtype::F32, Dtype::F8_E5M2));
    }

    #[test]
    fn every_8_bit_float_is_converted_exactly() {
        for dtype in Dtype::ALL.into_iter().filter(|dtype| dtype.name().starts_with("float8")) {
            let bytes: Vec<u8> = (0..=255).collect();
            let converted = convert(&bytes, dtype, Dtype::F32, Overflow::Refuse).unwrap();
            for (bits, &element) in converted.as_chunks().0.iter().enumerate() {
                let (found, expected) =
                    (f64::from(f32::from_le_bytes(element)), dtype.number(bits as u64));
                let same = found == expected || found.is_nan() && expected.is_nan();
                assert!(same, "{dtype} {bits:#x}: {found}, where {expected} is expected");
            }
        }
    }
}
