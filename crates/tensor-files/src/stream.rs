//! Streams of the elements of a tensor: bytes are counted and checked, gathered from a view, and converted to
//! little-endian order.

use std::io::{self, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::Dtype;
use super::location::{Storage, View};

/// The decompressed bytes of a storage, including those before the first element. A wrong length or checksum is an error
/// at the end.
pub(super) fn content<'a>(
    storage: &Storage,
    reader: &'a mut (impl Read + Seek),
) -> io::Result<Exactly<Box<dyn Read + 'a>>> {
    reader.seek(SeekFrom::Start(storage.at))?;
    Ok(unpacked(storage, reader))
}

/// Like [`content`], for a reader that is at the first byte.
pub(super) fn unpacked<'a>(storage: &Storage, raw: impl Read + 'a) -> Exactly<Box<dyn Read + 'a>> {
    let bytes: Box<dyn Read + 'a> = match storage.packed {
        None => Box::new(raw.take(storage.bytes)),
        // One byte more than expected, so that a longer stream is noticed.
        Some(packed) => {
            let more = storage.bytes.saturating_add(1);
            Box::new(DeflateDecoder::new(raw.take(packed)).take(more))
        }
    };
    Exactly::new(bytes, storage.bytes, storage.crc)
}

/// A reader of exactly `left` bytes: another number, or a wrong checksum, is an error.
pub(super) struct Exactly<R> {
    left: u64,
    crc: Option<(Crc, u32)>,
    bytes: R,
}

impl<R: Read> Exactly<R> {
    /// Expects `length` bytes with the CRC-32 `crc`.
    pub fn new(bytes: R, length: u64, crc: Option<u32>) -> Self {
        Self { left: length, crc: crc.map(|sum| (Crc::new(), sum)), bytes }
    }

    /// Reads and drops the first `count` bytes.
    pub fn skip(mut self, count: u64) -> io::Result<Self> {
        io::copy(&mut (&mut self).take(count), &mut io::sink())?;
        Ok(self)
    }

    /// Reads the rest, to compare the checksum.
    pub fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink()).map(drop)
    }
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(into)?;
        let Some(left) = self.left.checked_sub(read as u64) else {
            let error = "it goes on beyond the end of a record";
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        };
        self.left = left;
        if let Some((crc, _)) = &mut self.crc {
            crc.update(&into[..read]);
        }
        if read == 0 && !into.is_empty() {
            if self.left > 0 {
                let error = format!("it ends {} bytes before the end of a record", self.left);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
            }
            if self.crc.as_ref().is_some_and(|(crc, sum)| crc.sum() != *sum) {
                let error = "a checksum is wrong: the file is damaged";
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        Ok(read)
    }
}

/// The elements of a strided view, row-major.
pub(super) struct Gather {
    storage: Vec<u8>,
    view: View,
    /// Size of an element in bytes.
    size: usize,
    /// Index of the next element, one number per dimension; `None` after the last.
    next: Option<Vec<usize>>,
    /// The rest of an element that did not fit into the last read.
    begun: Vec<u8>,
}

impl Gather {
    /// Gathers elements of `size` bytes from `storage`.
    pub fn new(storage: Vec<u8>, view: View, size: usize) -> Self {
        let next = (!view.shape.contains(&0)).then(|| vec![0; view.shape.len()]);
        Self { storage, view, size, next, begun: Vec::new() }
    }

    /// The bytes of the next element.
    fn element(&mut self) -> Option<&[u8]> {
        let index = self.next.as_mut()?;
        let steps =
            index.iter().zip(&self.view.stride).map(|(&i, &stride): (&usize, _)| i * stride);
        let at = (self.view.offset + steps.sum::<usize>()) * self.size;
        let mut dimension = index.len();
        loop {
            let Some(before) = dimension.checked_sub(1) else {
                self.next = None;
                break;
            };
            dimension = before;
            index[dimension] += 1;
            if index[dimension] < self.view.shape[dimension] {
                break;
            }
            index[dimension] = 0;
        }
        self.storage.get(at..at + self.size)
    }
}

impl Read for Gather {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < into.len() {
            if self.begun.is_empty() {
                let Some(element) = self.element() else { break };
                if element.len() <= into.len() - written {
                    into[written..written + element.len()].copy_from_slice(element);
                    written += element.len();
                    continue;
                }
                self.begun = element.to_vec();
            }
            let part = self.begun.len().min(into.len() - written);
            into[written..written + part].copy_from_slice(&self.begun[..part]);
            self.begun.drain(..part);
            written += part;
        }
        Ok(written)
    }
}

/// Conversion of stored numbers to elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reading {
    /// Stored numbers are big-endian.
    pub big_endian: bool,
    /// Elements are the negatives of the stored numbers.
    pub negative: bool,
    /// Elements are the complex conjugates of the stored numbers.
    pub conjugate: bool,
}

impl Reading {
    /// Converts the bytes of an element.
    fn apply(self, dtype: Dtype, element: &mut [u8]) {
        let part = dtype.part().unwrap_or(dtype);
        for (i, number) in element.chunks_exact_mut(part.size()).enumerate() {
            if self.big_endian {
                number.reverse();
            }
            if dtype == Dtype::Bool {
                number[0] = u8::from(number[0] != 0);
            }
            // The conjugate negates the imaginary part only.
            if self.negative != (self.conjugate && i == 1) {
                negate(part, number);
            }
        }
    }

    /// The elements of `bytes`, converted.
    pub fn of<'a>(self, bytes: impl Read + 'a, dtype: Dtype) -> Box<dyn Read + 'a> {
        // A byte of bool may have any value.
        match self == Self::default() && dtype != Dtype::Bool {
            true => Box::new(bytes),
            false => Box::new(Elements { bytes, dtype, reading: self, ready: Vec::new(), at: 0 }),
        }
    }
}

/// Whether numbers of this type can be negated.
pub(super) fn has_sign(dtype: Dtype) -> bool {
    !matches!(dtype, Dtype::Bool | Dtype::F8_E8M0FNU)
}

/// `-x` of little-endian bytes, as PyTorch computes it: a float's sign bit is flipped, an integer
/// wraps around.
fn negate(dtype: Dtype, number: &mut [u8]) {
    if dtype.is_integer() {
        let mut carry = true;
        for byte in number {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    } else if let Some(last) = number.last_mut() {
        // The bits of -0, which these types do not have, are NaN.
        let unsigned_zero = matches!(dtype, Dtype::F8_E4M3FNUZ | Dtype::F8_E5M2FNUZ);
        if !(unsigned_zero && *last & 0x7f == 0) {
            *last ^= 0x80;
        }
    }
}

/// A reader that converts stored elements.
struct Elements<R> {
    bytes: R,
    dtype: Dtype,
    reading: Reading,
    /// Converted bytes, of which those from `at` on have not been read.
    ready: Vec<u8>,
    at: usize,
}

/// Elements that are converted at once.
const AT_ONCE: usize = 1 << 12;

impl<R: Read> Read for Elements<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.ready.len() {
            self.ready.clear();
            self.at = 0;
            let size = self.dtype.size();
            (&mut self.bytes).take((AT_ONCE * size) as u64).read_to_end(&mut self.ready)?;
            let elements = self.ready.chunks_exact_mut(size);
            elements.for_each(|element| self.reading.apply(self.dtype, element));
        }
        let ready = &self.ready[self.at..];
        let count = ready.len().min(into.len());
        into[..count].copy_from_slice(&ready[..count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(offset: usize, shape: &[usize], stride: &[usize]) -> View {
        View { offset, shape: shape.to_vec(), stride: stride.to_vec() }
    }

    #[test]
    fn a_transposed_view_is_read_row_major() {
        let storage: Vec<u8> = (0..6).collect();
        let transposed = view(0, &[3, 2], &[1, 3]);
        assert!(!transposed.is_contiguous());
        assert_eq!(transposed.span(), (0, 6));
        let mut gathered = Vec::new();
        Gather::new(storage, transposed, 1).read_to_end(&mut gathered).unwrap();
        assert_eq!(gathered, [0, 3, 1, 4, 2, 5]);
    }

    /// All that `reader` gives when it is asked for `length` bytes at a time.
    fn in_parts(mut reader: impl Read, length: usize) -> Vec<u8> {
        let (mut all, mut part) = (Vec::new(), vec![0; length]);
        loop {
            let read = reader.read(&mut part).unwrap();
            if read == 0 {
                return all;
            }
            all.extend(&part[..read]);
        }
    }

    #[test]
    fn elements_are_gathered_for_reads_of_any_length() {
        let storage: Vec<u8> = (0..48).collect();
        let whole = [0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27];
        for length in 1..20 {
            let gather = Gather::new(storage.clone(), view(0, &[2, 2], &[2, 4]), 4);
            assert_eq!(in_parts(gather, length), whole, "read {length} bytes at a time");
        }
    }

    #[test]
    fn big_endian_numbers_are_swapped_for_reads_of_any_length() {
        let numbers = || (0..10_000u32).map(|n| n.wrapping_mul(0x9e37_79b9));
        let big: Vec<u8> = numbers().flat_map(u32::to_be_bytes).collect();
        let little: Vec<u8> = numbers().flat_map(u32::to_le_bytes).collect();
        let reading = Reading { big_endian: true, ..Reading::default() };
        for length in [1, 3, 4, 1000, 100_000] {
            assert!(in_parts(reading.of(&big[..], Dtype::F32), length) == little, "{length}");
        }
    }

    #[test]
    fn the_negative_and_the_conjugate_bit_change_signs() {
        let read = |dtype: Dtype, negative, conjugate, bytes: &[u8]| {
            in_parts(Reading { big_endian: false, negative, conjugate }.of(bytes, dtype), 64)
        };
        let complex = |re: f32, im: f32| [re.to_le_bytes(), im.to_le_bytes()].concat();
        let (negative, conjugate) = (true, true);
        assert_eq!(read(Dtype::C64, negative, false, &complex(1.0, 2.0)), complex(-1.0, -2.0));
        assert_eq!(read(Dtype::C64, false, conjugate, &complex(1.0, 2.0)), complex(1.0, -2.0));
        assert_eq!(read(Dtype::C64, negative, conjugate, &complex(1.0, 2.0)), complex(-1.0, 2.0));
        assert_eq!(
            read(Dtype::I16, negative, false, &256i16.to_le_bytes()),
            (-256i16).to_le_bytes()
        );
        assert_eq!(read(Dtype::F8_E4M3FN, negative, false, &[0, 0x38]), [0x80, 0xb8]);
        assert_eq!(read(Dtype::F8_E4M3FNUZ, negative, false, &[0, 0x80, 0x38]), [0, 0x80, 0xb8]);
    }

    #[test]
    fn a_view_beyond_its_storage_is_refused() {
        for beyond in [
            view(1, &[2], &[1]),
            view(usize::MAX, &[2, 2], &[usize::MAX, 1]),
            view(0, &[usize::MAX, 2], &[1, 1]),
        ] {
            assert!(beyond.len_within(2).is_none(), "{beyond:?}");
        }
    }
}
