//! `.npz` of `numpy.savez` and `savez_compressed`: a zip archive of `.npy` arrays.

use std::io::{Cursor, Read, Seek, Write};

use npyz::{DType, NpyHeader, Order};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::archive::{self, damaged};
use super::location::{FileKind, Index, Location, Storage, View};
use super::{DIMENSIONS, Dtype, Metadata, NamedTensor, ReadError, TensorSpec};

/// The file for `tensors`: arrays in C order, stored not deflated, in the order given. The same
/// tensors give the same bytes.
///
/// # Errors
/// [`ReadError::NoType`] for bfloat16, complex32 and the 8-bit floats, which numpy does not have; [`ReadError::Zip`] when the archive
/// cannot be built.
pub fn write(tensors: &[NamedTensor]) -> Result<Vec<u8>, ReadError> {
    let bytes: usize = tensors.iter().map(|t| t.data.len() + 3 * t.name.len() + 512).sum();
    let mut zip = ZipWriter::new(Cursor::new(Vec::with_capacity(bytes + 1024)));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default());
    for tensor in tensors {
        zip.start_file(format!("{}.npy", tensor.name), options).map_err(damaged)?;
        let header = npy_header(tensor)?;
        zip.write_all(&header).and_then(|()| zip.write_all(&tensor.data))?;
    }
    Ok(zip.finish().map_err(damaged)?.into_inner())
}

/// The `.npy` header of version 1.0: a Python dict as text, padded to a multiple of 64 bytes.
fn npy_header(tensor: &NamedTensor) -> Result<Vec<u8>, ReadError> {
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
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
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

/// Whether an archive holds arrays: every file in it ends in `.npy`.
pub(super) fn is_npz(reader: &mut (impl Read + Seek)) -> Result<bool, ReadError> {
    let zip = archive::open(reader)?;
    Ok(!zip.is_empty()
        && zip.file_names().all(|name| name.is_ok_and(|name| name.ends_with(".npy"))))
}

/// The arrays of an archive.
pub(super) fn index(reader: &mut (impl Read + Seek)) -> Result<Index, ReadError> {
    let mut zip = archive::open(reader)?;
    let (mut tensors, mut storages) = (Vec::new(), Vec::new());
    for i in 0..zip.len() {
        let mut file = zip.by_index(i).map_err(damaged)?;
        let name = file.name().map_err(damaged)?;
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
        let (size, packed) = (file.size(), file.compressed_size());
        let (method, at) = (file.compression(), file.data_start());
        let crc = file.crc32();
        let (header, skip) =
            read_header(&mut file).map_err(|what| ReadError::Npz(format!("{name}: {what}")))?;
        let spec = spec(name, &header)?;
        let wanted = spec.checked_len().and_then(|n| n.checked_mul(spec.dtype.size()));
        if wanted.and_then(|n| (n as u64).checked_add(skip)) != Some(size) {
            let name = &spec.name;
            let error = format!("{name} has {size} bytes, which do not fit its shape and type");
            return Err(ReadError::Npz(error));
        }
        let at = at.ok_or_else(|| ReadError::Npz(format!("{} has no place", spec.name)))?;
        let location = match (method, header.order()) {
            (CompressionMethod::Stored, Order::C) => Location::Plain { at, skip, crc: Some(crc) },
            (CompressionMethod::Stored, Order::Fortran) => {
                storages.push(Storage { at, skip, bytes: size, crc, checked: false });
                Location::View { storage: storages.len() - 1, view: fortran_view(&spec.shape) }
            }
            (CompressionMethod::Deflated, Order::C) => Location::Deflated { at, packed, skip, crc },
            (method, order) => {
                let name = &spec.name;
                return Err(ReadError::Npz(format!("{name}: {method} in {order:?} order")));
            }
        };
        tensors.push((spec, location));
    }
    Ok(Index::plain(FileKind::Npz, tensors, storages, Metadata::new()))
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

fn spec(name: String, header: &NpyHeader) -> Result<TensorSpec, ReadError> {
    let dtype = match header.dtype() {
        DType::Plain(plain) => {
            let found = plain.to_string();
            Dtype::ALL.into_iter().find(|&dtype| descr(dtype) == Some(&found))
        }
        _ => None,
    };
    let Some(dtype) = dtype else {
        return Err(ReadError::Npz(format!(
            "{name} is of the type {}, which is not read",
            header.dtype().descr()
        )));
    };
    let shape = header.shape().iter().map(|&n| usize::try_from(n).ok()).collect::<Option<_>>();
    let shape: Vec<usize> = shape.ok_or_else(|| ReadError::Npz(format!("{name} is too large")))?;
    if shape.len() > DIMENSIONS {
        let error = format!("{name} has {} dimensions, where {DIMENSIONS} are read", shape.len());
        return Err(ReadError::Npz(error));
    }
    Ok(TensorSpec { name, dtype, shape })
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
