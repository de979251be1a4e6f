//! `.npz` of `numpy.savez` and `numpy.savez_compressed`: a zip archive of `.npy` files.

use std::io::{Cursor, Read, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::archive::{self, damaged};
use super::location::{Index, Storage};
use super::npy::{self, Array, NpyError};
use super::tensor_file::FileKind;
use super::{NamedTensor, ReadError};

/// Returns the bytes of an `.npz` file with `tensors`: one array in C order per tensor, stored without compression,
/// in the order given. The same tensors give the same bytes.
///
/// # Errors
/// [`ReadError::Length`]; [`ReadError::NoType`] for bfloat16, complex32 and the 8-bit floats, which NumPy does not have; [`ReadError::Zip`]
/// when the archive cannot be built.
pub fn write(tensors: &[NamedTensor]) -> Result<Vec<u8>, ReadError> {
    tensors.iter().try_for_each(NamedTensor::check_length)?;
    let bytes: usize = tensors.iter().map(|t| t.data.len() + 3 * t.name.len() + 512).sum();
    let mut zip = ZipWriter::new(Cursor::new(Vec::with_capacity(bytes + 1024)));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default());
    for tensor in tensors {
        zip.start_file(format!("{}.npy", tensor.name), options).map_err(damaged)?;
        let header = npy::header(tensor)?;
        zip.write_all(&header).and_then(|()| zip.write_all(&tensor.data))?;
    }
    Ok(zip.finish().map_err(damaged)?.into_inner())
}

/// Whether an archive is an `.npz` file: it has entries, and the names of all end in `.npy`.
pub(super) fn is_npz(reader: &mut (impl Read + Seek)) -> Result<bool, ReadError> {
    let zip = archive::open(reader)?;
    Ok(!zip.is_empty()
        && zip.file_names().all(|name| name.is_ok_and(|name| name.ends_with(".npy"))))
}

/// Lists the arrays of an archive.
pub(super) fn index(reader: &mut (impl Read + Seek)) -> Result<Index, ReadError> {
    let mut zip = archive::open(reader)?;
    let mut index = Index::new(FileKind::Npz, Vec::new());
    for i in 0..zip.len() {
        let mut file = zip.by_index(i).map_err(damaged)?;
        let name = file.name().map_err(damaged)?;
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
        let wrong = |error| ReadError::Npz { name: name.clone(), error };
        let (bytes, packed, crc) = (file.size(), file.compressed_size(), file.crc32());
        let at = file.data_start().ok_or_else(|| damaged(format!("{name} has no data")))?;
        let packed = match file.compression() {
            CompressionMethod::Stored => None,
            CompressionMethod::Deflated => Some(packed),
            other => return Err(wrong(NpyError::Compression(other.to_string()))),
        };
        let array = Array::read(&mut file).map_err(wrong)?;
        if array.bytes() != Some(bytes) {
            return Err(wrong(NpyError::Length(bytes)));
        }
        let storage = Storage { packed, crc: Some(crc), ..Storage::plain(at, bytes) };
        array.add(name, storage, &mut index);
    }
    Ok(index)
}
