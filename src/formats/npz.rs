//! `.npz` of `numpy.savez` and `savez_compressed`: a zip archive of `.npy` arrays.

use std::io::{Read, Seek};

use npyz::{DType, NpyHeader, Order};
use zip::{CompressionMethod, ZipArchive};

use super::tensor_file::{FileKind, Index, Location, View};
use super::{Dtype, ReadError, TensorSpec};

/// Whether an archive holds arrays: every file in it ends in `.npy`.
pub(super) fn is_npz(reader: &mut (impl Read + Seek)) -> Result<bool, ReadError> {
    let zip = ZipArchive::new(reader).map_err(damaged)?;
    Ok(!zip.is_empty()
        && zip.file_names().all(|name| name.is_ok_and(|name| name.ends_with(".npy"))))
}

/// The arrays of an archive.
pub(super) fn index(reader: &mut (impl Read + Seek)) -> Result<Index, ReadError> {
    let mut zip = ZipArchive::new(reader).map_err(damaged)?;
    let mut index = Vec::new();
    for i in 0..zip.len() {
        let mut file = zip.by_index(i).map_err(damaged)?;
        let name = file.name().map_err(damaged)?.trim_end_matches(".npy").to_owned();
        let (size, packed) = (file.size(), file.compressed_size());
        let (method, at) = (file.compression(), file.data_start());
        let mut counted = Counted { count: 0, from: &mut file };
        let header = NpyHeader::from_reader(&mut counted)
            .map_err(|error| ReadError::Npz(format!("{name}: {error}")))?;
        let skip = counted.count;
        let spec = spec(name, &header)?;
        let wanted = spec.checked_len().and_then(|n| n.checked_mul(spec.dtype.size()));
        if wanted.map(|n| n as u64 + skip) != Some(size) {
            let name = &spec.name;
            let error = format!("{name} has {size} bytes, which do not fit its shape and type");
            return Err(ReadError::Npz(error));
        }
        let at = at.ok_or_else(|| ReadError::Npz(format!("{} has no place", spec.name)))?;
        let location = match (method, header.order()) {
            (CompressionMethod::Stored, Order::C) => Location::Plain { at: at + skip, crc: None },
            (CompressionMethod::Stored, Order::Fortran) => {
                let view = fortran_view(&spec.shape);
                Location::Strided { at: at + skip, storage: size - skip, view }
            }
            (CompressionMethod::Deflated, Order::C) => Location::Deflated { at, packed, skip },
            (method, order) => {
                let name = &spec.name;
                return Err(ReadError::Npz(format!("{name}: {method} in {order:?} order")));
            }
        };
        index.push((spec, location));
    }
    Ok((FileKind::Npz, index))
}

fn damaged(error: zip::result::ZipError) -> ReadError {
    ReadError::Zip(error.to_string())
}

fn spec(name: String, header: &NpyHeader) -> Result<TensorSpec, ReadError> {
    let dtype = match header.dtype() {
        DType::Plain(plain) => match plain.to_string().trim_start_matches(['<', '|', '=']) {
            "b1" => Some(Dtype::Bool),
            "u1" => Some(Dtype::U8),
            "i1" => Some(Dtype::I8),
            "i2" => Some(Dtype::I16),
            "i4" => Some(Dtype::I32),
            "i8" => Some(Dtype::I64),
            "f2" => Some(Dtype::F16),
            "f4" => Some(Dtype::F32),
            "f8" => Some(Dtype::F64),
            _ => None,
        },
        _ => None,
    };
    let Some(dtype) = dtype else {
        return Err(ReadError::Npz(format!("{name} is of the type {:?}", header.dtype().descr())));
    };
    let shape = header.shape().iter().map(|&n| usize::try_from(n).ok()).collect::<Option<_>>();
    let shape = shape.ok_or_else(|| ReadError::Npz(format!("{name} is too large")))?;
    Ok(TensorSpec { name, dtype, shape })
}

/// Column-major elements as a strided view.
fn fortran_view(shape: &[usize]) -> View {
    let mut stride = vec![1; shape.len()];
    for i in 1..shape.len() {
        stride[i] = stride[i - 1] * shape[i - 1];
    }
    View { offset: 0, shape: shape.to_vec(), stride }
}

/// Counts the bytes that pass.
struct Counted<R> {
    count: u64,
    from: R,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.from.read(into)?;
        self.count += read as u64;
        Ok(read)
    }
}
