//! `.npy` of `numpy.save`: one array after a header, a Python dict as text. An `.npz` file is an archive of such
//! files.

use std::cmp::Ordering;
use std::io::{self, Read};

use super::location::{Index, Location, Storage, View};
use super::npy_header::{Descr, Header};
use super::tensor_file::FileKind;
use super::{DIMENSIONS, Dtype, NamedTensor, ReadError, SINGLE, TensorSpec};

/// The magic number that a file starts with.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// An array of NumPy that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file ends inside its header.
    #[error("it ends in its header")]
    HeaderTruncated,
    /// A version of the format that is not known: its two numbers.
    #[error("version {0}.{1} of the format, where 1.0, 2.0 and 3.0 are read")]
    Version(u8, u8),
    /// The header is longer than any that `numpy.save` writes.
    #[error("a header of {0} bytes, where at most {LONGEST_HEADER} are read")]
    HeaderTooLong(usize),
    /// The header is not the dict that it should be: the parser's message.
    #[error("its header: {0}")]
    Header(String),
    /// An element type without a [`Dtype`], such as text, objects or a struct: NumPy's `descr`.
    #[error("of the type {0}, which is not read")]
    Dtype(String),
    /// A shape whose number of bytes does not fit into 64 bits.
    #[error("its shape is larger than any file")]
    TooLarge,
    /// More dimensions than are read.
    #[error("{0} dimensions, where at most {DIMENSIONS} are read")]
    Dimensions(usize),
    /// The file ends so many bytes before the end of its array.
    #[error("it ends {0} bytes before the end of its array")]
    Truncated(u64),
    /// So many bytes follow the array.
    #[error("{0} bytes follow its array, where the end is expected")]
    Trailing(u64),
    /// A record of an archive whose length is not that of its array: its bytes.
    #[error("{0} bytes, which do not fit its shape and type")]
    Length(u64),
    /// A record of an archive that is compressed by another method than Deflate.
    #[error("compressed by {0}, which is not read")]
    Compression(String),
}

/// Returns the bytes of an `.npy` file with a tensor, in C order. The file does not hold its name. The same tensor gives
/// the same bytes.
///
/// # Errors
/// [`ReadError::Length`]; [`ReadError::NoType`] for bfloat16, complex32 and the 8-bit floats, which NumPy does not have.
pub fn write(tensor: &NamedTensor) -> Result<Vec<u8>, ReadError> {
    tensor.check_length()?;
    let mut file = header(tensor)?;
    file.reserve_exact(tensor.data.len());
    file.extend_from_slice(&tensor.data);
    Ok(file)
}

/// The array of a file of `length` bytes.
pub(super) fn index(reader: &mut impl Read, length: u64) -> Result<Index, ReadError> {
    let array = Array::read(reader)?;
    let bytes = array.bytes().ok_or(NpyError::TooLarge)?;
    match bytes.cmp(&length) {
        Ordering::Greater => return Err(NpyError::Truncated(bytes - length).into()),
        Ordering::Less => return Err(NpyError::Trailing(length - bytes).into()),
        Ordering::Equal => {}
    }
    let mut index = Index::new(FileKind::Npy, Vec::new());
    array.add(SINGLE.into(), Storage::plain(0, bytes), &mut index);
    Ok(index)
}

/// The header of an array.
pub(super) struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    fortran: bool,
    big_endian: bool,
    /// Length of the header in bytes.
    skip: u64,
}

impl Array {
    /// Reads the header.
    pub fn read(from: &mut impl Read) -> Result<Self, NpyError> {
        let (header, skip) = read_header(from)?;
        let (dtype, big_endian) = element_type(&header.descr)?;
        let shape = header.shape.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<_>>();
        let shape: Vec<usize> = shape.ok_or(NpyError::TooLarge)?;
        if shape.len() > DIMENSIONS {
            return Err(NpyError::Dimensions(shape.len()));
        }
        Ok(Self { dtype, shape, fortran: header.fortran_order, big_endian, skip })
    }

    /// Bytes of header and elements; `None` if they do not fit into 64 bits.
    pub fn bytes(&self) -> Option<u64> {
        let count = self.shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n))?;
        (count.checked_mul(self.dtype.size())? as u64).checked_add(self.skip)
    }

    /// Adds the array to `index`; header and elements are the bytes of `storage`.
    pub fn add(self, name: String, storage: Storage, index: &mut Index) {
        let Self { dtype, shape, fortran, big_endian, skip } = self;
        let storage = Storage { skip, big_endian, ..storage };
        let view = fortran_view(&shape);
        let location = if fortran && !view.is_contiguous() {
            index.storages.push(storage);
            let storage = index.storages.len() - 1;
            Location::View { storage, view, negative: false, conjugate: false }
        } else {
            Location::Whole(storage)
        };
        index.tensors.push((TensorSpec { name, dtype, shape }, location));
    }
}

/// The element type, and whether it is big-endian.
fn element_type(found: &Descr) -> Result<(Dtype, bool), NpyError> {
    let text = match found {
        Descr::Plain(text) => text,
        Descr::Other(text) => return Err(NpyError::Dtype(text.clone())),
    };
    // The character of the byte order: `=` is that of the machine that reads, `|` none.
    let order = text.chars().next().filter(|order| matches!(order, '<' | '>' | '=' | '|'));
    let known = |&dtype: &Dtype| descr(dtype).is_some_and(|known| known[1..] == text[1..]);
    let dtype = order.and_then(|order| Some((order, Dtype::ALL.into_iter().find(known)?)));
    let (order, dtype) = dtype.ok_or_else(|| NpyError::Dtype(format!("'{text}'")))?;
    let big_endian = order == '>' || order == '=' && cfg!(target_endian = "big");
    // Only a single byte has no order.
    match order == '|' && dtype.size() > 1 {
        true => Err(NpyError::Dtype(format!("'{text}'"))),
        false => Ok((dtype, big_endian && dtype.size() > 1)),
    }
}

/// The `.npy` header of version 1.0: a Python dict as text, padded to a multiple of 64 bytes.
pub(super) fn header(tensor: &NamedTensor) -> Result<Vec<u8>, ReadError> {
    let Some(descr) = descr(tensor.dtype) else {
        let (name, dtype) = (tensor.name.clone(), tensor.dtype);
        return Err(ReadError::NoType { name, dtype, format: "numpy" });
    };
    // A tuple of one has a comma after its item.
    let shape: String = tensor.shape.iter().map(|n| format!("{n}, ")).collect();
    let shape =
        if tensor.shape.len() == 1 { shape.trim_end() } else { shape.trim_end_matches(", ") };
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // Magic and version are 8 bytes, the length 2, the line end 1.
    let padding = (64 - (11 + dict.len()) % 64) % 64;
    let text = format!("{dict}{}\n", " ".repeat(padding));
    let mut header = [MAGIC, &[1, 0]].concat();
    header.extend((text.len() as u16).to_le_bytes());
    header.extend(text.bytes());
    Ok(header)
}

/// numpy's name of an element type, little-endian.
fn descr(dtype: Dtype) -> Option<&'static str> {
    Some(match dtype {
        Dtype::Bool => "|b1",
        Dtype::U8 => "|u1",
        Dtype::I8 => "|i1",
        Dtype::I16 => "<i2",
        Dtype::I32 => "<i4",
        Dtype::I64 => "<i8",
        Dtype::F16 => "<f2",
        Dtype::F32 => "<f4",
        Dtype::F64 => "<f8",
        Dtype::U16 => "<u2",
        Dtype::U32 => "<u4",
        Dtype::U64 => "<u8",
        Dtype::C64 => "<c8",
        Dtype::C128 => "<c16",
        Dtype::BF16 | Dtype::C32 | Dtype::F8_E4M3FN | Dtype::F8_E4M3FNUZ => return None,
        Dtype::F8_E5M2 | Dtype::F8_E5M2FNUZ | Dtype::F8_E8M0FNU => return None,
    })
}

/// Longest `.npy` header that is read; numpy's are of 128 bytes.
const LONGEST_HEADER: usize = 1 << 10;

/// The header of a `.npy` file and its length in bytes.
fn read_header(from: &mut impl Read) -> Result<(Header, u64), NpyError> {
    let mut bytes = Vec::new();
    let mut extend =
        |count: usize, bytes: &mut Vec<u8>| match from.take(count as u64).read_to_end(bytes)?
            == count
        {
            true => Ok(()),
            false => Err(NpyError::HeaderTruncated),
        };
    // Magic number, version, and a length of two bytes in version 1, of four since.
    extend(10, &mut bytes)?;
    let (major, minor) = (bytes[6], bytes[7]);
    if !((1..=3).contains(&major) && minor == 0) {
        return Err(NpyError::Version(major, minor));
    }
    if major > 1 {
        extend(2, &mut bytes)?;
    }
    let length = bytes[8..].iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
    if length > LONGEST_HEADER {
        return Err(NpyError::HeaderTooLong(length));
    }
    let start = bytes.len();
    extend(length, &mut bytes)?;
    let text = std::str::from_utf8(&bytes[start..]);
    let text = text.map_err(|error| NpyError::Header(error.to_string()))?;
    let header = Header::parse(text).map_err(NpyError::Header)?;
    Ok((header, bytes.len() as u64))
}

/// Column-major elements as a strided view.
fn fortran_view(shape: &[usize]) -> View {
    let mut stride = vec![1usize; shape.len()];
    for i in 1..shape.len() {
        // Saturates only if a size is 0, when there are no elements.
        stride[i] = stride[i - 1].saturating_mul(shape[i - 1]);
    }
    View { offset: 0, shape: shape.to_vec(), stride }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_weights;

    #[test]
    fn the_native_byte_order_is_that_of_this_machine() {
        let tensor = NamedTensor {
            name: SINGLE.into(),
            dtype: Dtype::F32,
            shape: vec![2],
            data: [1f32, -2.0].map(f32::to_le_bytes).concat(),
        };
        let mut file = write(&tensor).unwrap();
        assert_eq!(read_weights(&file).unwrap(), std::slice::from_ref(&tensor));
        let at = file.windows(4).position(|text| text == b"'<f4").unwrap();
        file[at + 1] = b'=';
        let native = [1f32, -2.0].map(f32::to_ne_bytes).concat();
        let start = file.len() - native.len();
        file[start..].copy_from_slice(&native);
        assert_eq!(read_weights(&file).unwrap(), [tensor]);
    }
}
