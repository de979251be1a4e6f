//! Counting NaN by bit patterns.

use super::Dtype;

impl Dtype {
    /// Whether elements are integers or bool, which are never NaN.
    pub fn is_integer(self) -> bool {
        matches!(self, Dtype::Bool | Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64)
            || matches!(self, Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64)
    }

    /// Number of elements of little-endian `bytes` that are NaN; a complex element is one if either of its
    /// parts is.
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
            // They have no -0, whose bits are NaN.
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
}
