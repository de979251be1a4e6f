//! The elements of a tensor as a stream: bytes that are counted and checked, gathered from a view,
//! put into little-endian order.

use std::io::{self, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::location::{Storage, View};

/// The bytes of a storage, unpacked, with those before the first element; more, fewer or others than
/// its checksum wants are an error at the end.
pub(super) fn content<'a>(
    storage: &Storage,
    reader: &'a mut (impl Read + Seek),
) -> io::Result<Exactly<Box<dyn Read + 'a>>> {
    reader.seek(SeekFrom::Start(storage.at))?;
    let bytes: Box<dyn Read + 'a> = match storage.packed {
        None => Box::new(reader.take(storage.bytes)),
        // One byte more than there may be, so that a longer one is noticed.
        Some(packed) => Box::new(
            DeflateDecoder::new(reader.take(packed)).take(storage.bytes.saturating_add(1)),
        ),
    };
    Ok(Exactly::new(bytes, storage.bytes, storage.crc))
}

/// Passes on exactly `left` bytes: fewer, or another checksum, are an error.
pub(super) struct Exactly<R> {
    left: u64,
    crc: Option<(Crc, u32)>,
    bytes: R,
}

impl<R: Read> Exactly<R> {
    /// `length` bytes, which have the checksum `crc` together.
    pub fn new(bytes: R, length: u64, crc: Option<u32>) -> Self {
        Self { left: length, crc: crc.map(|sum| (Crc::new(), sum)), bytes }
    }

    /// The same without the first `count` bytes.
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
            let error = "it goes on beyond the end of a tensor";
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        };
        self.left = left;
        if let Some((crc, _)) = &mut self.crc {
            crc.update(&into[..read]);
        }
        if read == 0 && !into.is_empty() {
            if self.left > 0 {
                let error = format!("it ends {} bytes before the end of a tensor", self.left);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
            }
            if self.crc.as_ref().is_some_and(|(crc, sum)| crc.sum() != *sum) {
                let error = "the checksum of a tensor is wrong: the file is damaged";
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
    /// Bytes of an element.
    size: usize,
    /// The next element, an index a dimension; `None` behind the last.
    next: Option<Vec<usize>>,
    /// Bytes of elements that were begun and did not fit.
    begun: Vec<u8>,
}

impl Gather {
    /// Of elements of `size` bytes in `storage`.
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

/// Numbers of `size` bytes, each from its last byte to its first.
pub(super) struct Swapped<R> {
    bytes: R,
    size: usize,
    /// Bytes that are swapped and not yet passed on, from `at` on.
    ready: Vec<u8>,
    at: usize,
}

impl<R: Read> Swapped<R> {
    /// Numbers that are read at once.
    const NUMBERS: usize = 1 << 12;

    /// Of big-endian numbers.
    pub fn new(bytes: R, size: usize) -> Self {
        Self { bytes, size, ready: Vec::new(), at: 0 }
    }
}

impl<R: Read> Read for Swapped<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.ready.len() {
            self.ready.clear();
            self.at = 0;
            let most = (Self::NUMBERS * self.size) as u64;
            (&mut self.bytes).take(most).read_to_end(&mut self.ready)?;
            self.ready.chunks_mut(self.size).for_each(<[u8]>::reverse);
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
        for length in [1, 3, 4, 1000, 100_000] {
            assert!(in_parts(Swapped::new(&big[..], 4), length) == little, "{length}");
        }
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
