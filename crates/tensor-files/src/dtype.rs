//! Element types.

use std::fmt;

/// The element type of a tensor: PyTorch's types without the quantized and sub-byte ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types)]
pub enum Dtype {
    /// `torch.bool`: one byte, 0 or 1. In files of other programs any other byte is true, too; it is read as 1.
    Bool,
    /// `torch.uint8`.
    U8,
    /// `torch.int8`.
    I8,
    /// `torch.uint16`.
    U16,
    /// `torch.int16`.
    I16,
    /// `torch.uint32`.
    U32,
    /// `torch.int32`.
    I32,
    /// `torch.uint64`.
    U64,
    /// `torch.int64`.
    I64,
    /// `torch.float8_e4m3fn`.
    F8_E4M3FN,
    /// `torch.float8_e4m3fnuz`.
    F8_E4M3FNUZ,
    /// `torch.float8_e5m2`.
    F8_E5M2,
    /// `torch.float8_e5m2fnuz`.
    F8_E5M2FNUZ,
    /// `torch.float8_e8m0fnu`: a power of two.
    F8_E8M0FNU,
    /// `torch.float16`.
    F16,
    /// `torch.bfloat16`.
    BF16,
    /// `torch.float32`.
    F32,
    /// `torch.float64`.
    F64,
    /// `torch.complex32`: real and imaginary part, both float16.
    C32,
    /// `torch.complex64`: real and imaginary part, both float32.
    C64,
    /// `torch.complex128`: real and imaginary part, both float64.
    C128,
}

impl Dtype {
    /// All element types.
    pub const ALL: [Dtype; 21] = [
        Dtype::Bool,
        Dtype::U8,
        Dtype::I8,
        Dtype::U16,
        Dtype::I16,
        Dtype::U32,
        Dtype::I32,
        Dtype::U64,
        Dtype::I64,
        Dtype::F8_E4M3FN,
        Dtype::F8_E4M3FNUZ,
        Dtype::F8_E5M2,
        Dtype::F8_E5M2FNUZ,
        Dtype::F8_E8M0FNU,
        Dtype::F16,
        Dtype::BF16,
        Dtype::F32,
        Dtype::F64,
        Dtype::C32,
        Dtype::C64,
        Dtype::C128,
    ];

    /// Size of an element in bytes.
    pub fn size(self) -> usize {
        match self {
            Dtype::Bool | Dtype::U8 | Dtype::I8 => 1,
            Dtype::F8_E4M3FN | Dtype::F8_E4M3FNUZ => 1,
            Dtype::F8_E5M2 | Dtype::F8_E5M2FNUZ | Dtype::F8_E8M0FNU => 1,
            Dtype::U16 | Dtype::I16 | Dtype::F16 | Dtype::BF16 => 2,
            Dtype::U32 | Dtype::I32 | Dtype::F32 | Dtype::C32 => 4,
            Dtype::U64 | Dtype::I64 | Dtype::F64 | Dtype::C64 => 8,
            Dtype::C128 => 16,
        }
    }

    /// Whether elements are real floating-point numbers of 16 bits or more: the types that PyTorch computes with.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
    }

    /// Whether elements are real floating-point numbers: [`Dtype::is_float`], or one of the 8-bit types.
    pub fn is_floating_point(self) -> bool {
        !self.is_integer() && !self.is_complex()
    }

    /// Whether elements have a real and an imaginary part.
    pub fn is_complex(self) -> bool {
        self.part().is_some()
    }

    /// The type of the real and the imaginary part, which are stored one after the other; `None` if elements are real.
    pub fn part(self) -> Option<Self> {
        match self {
            Dtype::C32 => Some(Dtype::F16),
            Dtype::C64 => Some(Dtype::F32),
            Dtype::C128 => Some(Dtype::F64),
            _ => None,
        }
    }

    /// PyTorch's name of the type without `torch.`, such as `float32`.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Bool => "bool",
            Dtype::U8 => "uint8",
            Dtype::I8 => "int8",
            Dtype::U16 => "uint16",
            Dtype::I16 => "int16",
            Dtype::U32 => "uint32",
            Dtype::I32 => "int32",
            Dtype::U64 => "uint64",
            Dtype::I64 => "int64",
            Dtype::F8_E4M3FN => "float8_e4m3fn",
            Dtype::F8_E4M3FNUZ => "float8_e4m3fnuz",
            Dtype::F8_E5M2 => "float8_e5m2",
            Dtype::F8_E5M2FNUZ => "float8_e5m2fnuz",
            Dtype::F8_E8M0FNU => "float8_e8m0fnu",
            Dtype::F16 => "float16",
            Dtype::BF16 => "bfloat16",
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
            Dtype::C32 => "complex32",
            Dtype::C64 => "complex64",
            Dtype::C128 => "complex128",
        }
    }

    /// The type with this [`Dtype::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// The type with this [`Dtype::name`] or another name that PyTorch has for it, such as `half`, `double` or `long`; with
    /// or without `torch.`.
    ///
    /// ```
    /// use tensor_files::Dtype;
    ///
    /// assert_eq!(Dtype::from_alias("torch.half"), Some(Dtype::F16));
    /// assert_eq!(Dtype::from_alias("float64"), Some(Dtype::F64));
    /// assert_eq!(Dtype::from_alias("fp16"), None);
    /// ```
    pub fn from_alias(name: &str) -> Option<Self> {
        let name = name.strip_prefix("torch.").unwrap_or(name);
        let of_alias = || {
            Some(match name {
                "half" => Dtype::F16,
                "float" => Dtype::F32,
                "double" => Dtype::F64,
                "short" => Dtype::I16,
                "int" => Dtype::I32,
                "long" => Dtype::I64,
                "chalf" => Dtype::C32,
                "cfloat" => Dtype::C64,
                "cdouble" => Dtype::C128,
                _ => return None,
            })
        };
        Self::from_name(name).or_else(of_alias)
    }

    /// Whether elements are integers or bool, which are never NaN.
    pub fn is_integer(self) -> bool {
        matches!(self, Dtype::Bool | Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64)
            || matches!(self, Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64)
    }

    /// Counts the elements of little-endian `bytes` that are NaN. A complex element is NaN if one of its parts is.
    ///
    /// ```
    /// use tensor_files::Dtype;
    ///
    /// let bytes = [1.0, f32::NAN].map(f32::to_le_bytes).concat();
    /// assert_eq!(Dtype::F32.count_nan(&bytes), 1);
    /// assert_eq!(Dtype::C64.count_nan(&bytes), 1);
    /// assert_eq!(Dtype::I32.count_nan(&bytes), 0);
    /// ```
    pub fn count_nan(self, bytes: &[u8]) -> usize {
        // A NaN has a larger magnitude than infinity.
        let halves = |infinity: u16| {
            let halves = bytes.as_chunks().0.iter().map(|&x| u16::from_le_bytes(x));
            halves.filter(|bits| bits & 0x7fff > infinity).count()
        };
        let count = |is_nan: fn(u8) -> bool| bytes.iter().filter(|&&x| is_nan(x)).count();
        match self {
            Dtype::F16 => halves(0x7c00),
            Dtype::BF16 => halves(0x7f80),
            Dtype::F32 => {
                bytes.as_chunks().0.iter().filter(|&&x| f32::from_le_bytes(x).is_nan()).count()
            }
            Dtype::F64 => {
                bytes.as_chunks().0.iter().filter(|&&x| f64::from_le_bytes(x).is_nan()).count()
            }
            Dtype::F8_E4M3FN => count(|x| x & 0x7f == 0x7f),
            Dtype::F8_E5M2 => count(|x| x & 0x7f > 0x7c),
            // The bits of -0, which these types do not have, are NaN.
            Dtype::F8_E4M3FNUZ | Dtype::F8_E5M2FNUZ => count(|x| x == 0x80),
            Dtype::F8_E8M0FNU => count(|x| x == 0xff),
            Dtype::C32 | Dtype::C64 | Dtype::C128 => {
                let part = self.part().unwrap_or(self);
                bytes.chunks_exact(self.size()).filter(|x| part.count_nan(x) > 0).count()
            }
            Dtype::Bool | Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => 0,
            Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => 0,
        }
    }

    /// The value of an element, given its little-endian bits, zero-extended: exact but for integers of 64 bits beyond
    /// 2^53. Of a complex element, its real part.
    ///
    /// ```
    /// use tensor_files::Dtype;
    ///
    /// assert_eq!(Dtype::F32.number(1.5f32.to_bits().into()), 1.5);
    /// assert_eq!(Dtype::I8.number(0xff), -1.0);
    /// assert_eq!(Dtype::F8_E4M3FN.number(0x7e), 448.0);
    /// ```
    #[inline]
    pub fn number(self, bits: u64) -> f64 {
        match self {
            Dtype::I8 => f64::from(bits as u8 as i8),
            Dtype::I16 => f64::from(bits as u16 as i16),
            Dtype::I32 => f64::from(bits as u32 as i32),
            Dtype::I64 => bits as i64 as f64,
            // As in PyTorch and NumPy, any byte but 0 is true.
            Dtype::Bool => f64::from(u8::from(bits != 0)),
            Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => bits as f64,
            // bfloat16 is the upper half of a float32.
            Dtype::BF16 => f64::from(f32::from_bits((bits as u32) << 16)),
            Dtype::F32 => f64::from(f32::from_bits(bits as u32)),
            Dtype::F64 => f64::from_bits(bits),
            Dtype::F16 => small::<10, 15>(u32::from(bits as u16), 16, true),
            Dtype::F8_E5M2 => small::<2, 15>(u32::from(bits as u8), 8, true),
            Dtype::F8_E4M3FN if bits & 0x7f == 0x7f => f64::NAN,
            Dtype::F8_E4M3FN => small::<3, 7>(u32::from(bits as u8), 8, false),
            // The bits of -0 are NaN.
            Dtype::F8_E4M3FNUZ | Dtype::F8_E5M2FNUZ if bits as u8 == 0x80 => f64::NAN,
            Dtype::F8_E4M3FNUZ => small::<3, 8>(u32::from(bits as u8), 8, false),
            Dtype::F8_E5M2FNUZ => small::<2, 16>(u32::from(bits as u8), 8, false),
            Dtype::F8_E8M0FNU if bits as u8 == 0xff => f64::NAN,
            Dtype::F8_E8M0FNU => 2f64.powi(i32::from(bits as u8) - 127),
            Dtype::C32 => Dtype::F16.number(bits),
            Dtype::C64 => Dtype::F32.number(bits),
            Dtype::C128 => Dtype::F64.number(bits),
        }
    }
}

/// The value of a number of `width` bits: a sign, an exponent with this bias, and `FRACTION` bits of the fraction. With
/// `is_ieee`, the largest exponent is that of infinities and NaN, as in IEEE 754.
fn small<const FRACTION: u32, const BIAS: i32>(bits: u32, width: u32, is_ieee: bool) -> f64 {
    let sign = if bits >> (width - 1) == 0 { 1.0 } else { -1.0 };
    let fraction = f64::from(bits & ((1 << FRACTION) - 1));
    let exponents = width - 1 - FRACTION;
    let exponent = bits >> FRACTION & ((1 << exponents) - 1);
    let unit = |exponent: i32| 2f64.powi(exponent - BIAS - FRACTION as i32);
    let magnitude = match exponent {
        0 => fraction * unit(1),
        _ if is_ieee && exponent == (1 << exponents) - 1 => match fraction {
            0.0 => f64::INFINITY,
            _ => f64::NAN,
        },
        _ => (f64::from(1 << FRACTION) + fraction) * unit(exponent as i32),
    };
    sign * magnitude
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
