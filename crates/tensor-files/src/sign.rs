//! Tensors whose elements are the negatives or the complex conjugates of those stored, as lazy views
//! such as `x.conj()` and `x.conj().imag` are saved.

use std::io::{self, Read};

use super::Dtype;

/// Which numbers of an element have the other sign. A complex element has two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flip {
    /// Bytes of a number.
    size: usize,
    /// Of the even numbers (all, of real elements) and the odd ones.
    signs: [bool; 2],
}

impl Flip {
    /// For elements that are the `negative` or the `conjugate` of those stored: `Some(None)` if none
    /// changes, `None` if the type has no such thing.
    pub fn of(dtype: Dtype, negative: bool, conjugate: bool) -> Option<Option<Self>> {
        let (number, signs) = match dtype.part() {
            Some(part) => (part, [negative, negative != conjugate]),
            None if conjugate => return None,
            None => (dtype, [negative; 2]),
        };
        if signs == [false; 2] {
            return Some(None);
        }
        number.is_float().then(|| Some(Self { size: number.size(), signs }))
    }
}

/// The elements of `bytes` with other signs.
pub(super) struct Flipped<R> {
    bytes: R,
    flip: Flip,
    /// Bytes passed on, of two numbers.
    at: usize,
}

impl<R: Read> Flipped<R> {
    /// Of whole little-endian elements.
    pub fn new(bytes: R, flip: Flip) -> Self {
        Self { bytes, flip, at: 0 }
    }
}

impl<R: Read> Read for Flipped<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(into)?;
        let Flip { size, signs } = self.flip;
        for byte in &mut into[..read] {
            let number = self.at / size;
            if signs[number] && self.at % size == size - 1 {
                *byte ^= 0x80;
            }
            self.at = (self.at + 1) % (2 * size);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flipped(bytes: &[u8], flip: Flip, length: usize) -> Vec<u8> {
        let (mut all, mut part) = (Vec::new(), vec![0; length]);
        let mut flipped = Flipped::new(bytes, flip);
        loop {
            let read = flipped.read(&mut part).unwrap();
            if read == 0 {
                return all;
            }
            all.extend(&part[..read]);
        }
    }

    #[test]
    fn signs_change_for_reads_of_any_length() {
        let bytes = |numbers: [f32; 4]| numbers.map(f32::to_le_bytes).concat();
        let stored = bytes([1.0, -2.0, 0.0, f32::INFINITY]);
        for (dtype, negative, conjugate, wanted) in [
            (Dtype::F32, true, false, [-1.0, 2.0, -0.0, f32::NEG_INFINITY]),
            (Dtype::C64, true, false, [-1.0, 2.0, -0.0, f32::NEG_INFINITY]),
            (Dtype::C64, false, true, [1.0, 2.0, 0.0, f32::NEG_INFINITY]),
            (Dtype::C64, true, true, [-1.0, -2.0, -0.0, f32::INFINITY]),
        ] {
            let flip = Flip::of(dtype, negative, conjugate).unwrap().unwrap();
            for length in 1..20 {
                assert_eq!(flipped(&stored, flip, length), bytes(wanted), "{dtype} {length}");
            }
        }
    }

    #[test]
    fn a_type_without_a_sign_bit_has_no_negative() {
        for dtype in [Dtype::Bool, Dtype::U8, Dtype::I64, Dtype::F8_E8M0FNU] {
            assert_eq!(Flip::of(dtype, true, false), None);
            assert_eq!(Flip::of(dtype, false, false), Some(None));
        }
        assert_eq!(Flip::of(Dtype::F32, false, true), None);
    }
}
