//! `.npy` of `numpy.save`: one array, behind a header that is a Python dict as text. The arrays of an
//! `.npz` file are such files.

use std::io::Read;

use npyz::{DType, Endianness, NpyHeader, Order};

use super::location::{FileKind, Index, Location, Storage, View};
use super::{DIMENSIONS, Dtype, NamedTensor, ReadError, SINGLE, TensorSpec};

/// What a file begins with.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// The array of a file of `length` bytes.
pub(super) fn index(reader: &mut impl Read, length: u64) -> Result<Index, ReadError> {
    let array = Array::read(reader).map_err(ReadError::Npy)?;
    let wrong = |what: String| Err(ReadError::Npy(what));
    let Some(bytes) = array.bytes() else {
        return wrong("its shape is larger than any file".into());
    };
    if bytes > length {
        return wrong(format!("it ends {} bytes before the end of its array", bytes - length));
    }
    if bytes < length {
        let more = length - bytes;
        return wrong(format!("{more} bytes follow its array, where one array is wanted"));
    }
    let mut index = Index::new(FileKind::Npy, Vec::new());
    array.add(SINGLE.into(), Storage::plain(0, bytes), &mut index);
    Ok(index)
}

/// What the header of an array says.
pub(super) struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    fortran: bool,
    big_endian: bool,
    /// Bytes of the header.
    skip: u64,
}

impl Array {
    /// Reads the header.
    pub fn read(from: &mut impl Read) -> Result<Self, String> {
        let (header, skip) = read_header(from)?;
        let (dtype, big_endian) = element_type(&header.dtype())
            .ok_or_else(|| format!("of the type {}, which is not read", header.dtype().descr()))?;
        let shape = header.shape().iter().map(|&n| usize::try_from(n).ok()).collect::<Option<_>>();
        let shape: Vec<usize> = shape.ok_or("it is too large")?;
        if shape.len() > DIMENSIONS {
            return Err(format!("{} dimensions, where {DIMENSIONS} are read", shape.len()));
        }
        Ok(Self { dtype, shape, fortran: header.order() == Order::Fortran, big_endian, skip })
    }

    /// Bytes of header and elements, if that is a number.
    pub fn bytes(&self) -> Option<u64> {
        let count = self.shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n))?;
        (count.checked_mul(self.dtype.size())? as u64).checked_add(self.skip)
    }

    /// Adds the array, header and elements of which are the bytes of `storage`.
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
fn element_type(found: &DType) -> Option<(Dtype, bool)> {
    let DType::Plain(plain) = found else { return None };
    let text = plain.to_string();
    // Behind the character of the byte order.
    let known = |&dtype: &Dtype| descr(dtype).is_some_and(|known| known[1..] == text[1..]);
    let dtype = Dtype::ALL.into_iter().find(known)?;
    Some((dtype, plain.endianness() == Endianness::Big && dtype.size() > 1))
}

/// The `.npy` header of version 1.0: a Python dict as text, padded to a multiple of 64 bytes.
pub(super) fn header(tensor: &NamedTensor) -> Result<Vec<u8>, ReadError> {
    let Some(descr) = descr(tensor.dtype) else {
        let (name, dtype) = (tensor.name.clone(), tensor.dtype);
        return Err(ReadError::NoType { name, dtype, format: "numpy" });
    };
    // A tuple of one has a comma behind it.
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
/// Brackets in brackets in a header that are followed: a dict with a tuple needs two.
const DEPTH: usize = 8;

/// The header of a `.npy` file and its length in bytes.
fn read_header(from: &mut impl Read) -> Result<(NpyHeader, u64), String> {
    let mut bytes = Vec::new();
    let mut extend = |count: usize, bytes: &mut Vec<u8>| {
        let read = from.take(count as u64).read_to_end(bytes);
        match read {
            Ok(read) if read == count => Ok(()),
            Ok(_) => Err("it ends in its header".to_string()),
            Err(error) => Err(error.to_string()),
        }
    };
    // Magic, version, and a length of two bytes in version 1, of four since.
    extend(10, &mut bytes)?;
    if bytes[6] > 1 {
        extend(2, &mut bytes)?;
    }
    let length = bytes[8..].iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
    if length > LONGEST_HEADER {
        return Err(format!("a header of {length} bytes, where {LONGEST_HEADER} are read"));
    }
    extend(length, &mut bytes)?;
    // The parser calls itself for each bracket.
    let mut depth = 0usize;
    for byte in &bytes[8..] {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            return Err("its header nests too deeply".into());
        }
    }
    // The parser's message shows the place over several lines.
    let header = NpyHeader::from_reader(&bytes[..]).map_err(|error| {
        format!("its header: {}", error.to_string().lines().next().unwrap_or_default())
    })?;
    Ok((header, bytes.len() as u64))
}

/// Column-major elements as a strided view.
fn fortran_view(shape: &[usize]) -> View {
    let mut stride = vec![1usize; shape.len()];
    for i in 1..shape.len() {
        // With a size of 0 there is no element, and the others may be any number.
        stride[i] = stride[i - 1].saturating_mul(shape[i - 1]);
    }
    View { offset: 0, shape: shape.to_vec(), stride }
}
