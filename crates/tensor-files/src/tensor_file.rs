//! Opens a file of any known format, lists its tensors, and reads them one at a time.

use std::io::{Read, Seek, SeekFrom};

use super::location::{Index, Location, Storage, View};
use super::stream::{Exactly, Gather, Reading, content};
use super::{Metadata, NamedTensor, ReadError, Skipped, TensorSpec, skipped};
use super::{legacy, npy, npz, safetensors, state_dict};

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `torch.save(model.state_dict())`, as a zip archive or in the format before PyTorch 1.6.
    StateDict,
    /// `torch.jit.save`, or tch's `VarStore::save`.
    TorchScript,
    /// safetensors.
    Safetensors,
    /// `numpy.savez`.
    Npz,
    /// `numpy.save`.
    Npy,
}

/// Most bytes of all tensors, as a multiple of the size of the file. Tensors may share their bytes, as tied weights do,
/// but a small file must not take forever.
const SHARED: u64 = 16;
/// Bytes that the tensors of any file may have, such as expanded ones (stride 0), however small it is.
const EXPANDED: u64 = 64 << 20;
/// Most bytes of a deflated storage that are kept in memory for a view; the size of the file, if that is more.
const UNPACKED: u64 = 32 << 20;

/// Refuses a file whose tensors together have far more bytes than the file, or would take too long to decompress.
fn within_reason(index: &Index, length: u64) -> Result<(), ReadError> {
    let (mut plain, mut deflated, mut packed) = (0u64, 0u64, 0u64);
    for (spec, location) in &index.tensors {
        let bytes = bytes_of(spec);
        match location {
            Location::Whole(Storage { packed: Some(part), bytes, .. }) => {
                packed = packed.saturating_add(*part);
                deflated = deflated.saturating_add(*bytes);
            }
            Location::View { storage, view, .. } => {
                plain = plain.saturating_add(bytes);
                let storage = &index.storages[*storage];
                if storage.packed.is_some() {
                    // Each view decompresses all of the storage.
                    plain = plain.saturating_add(storage.bytes);
                    let (from, to) = view.span();
                    check_unpacked(spec, ((to - from) * spec.dtype.size()) as u64, length)?;
                }
            }
            Location::Whole(_) => plain = plain.saturating_add(bytes),
        }
    }
    let most = length.saturating_mul(SHARED).max(EXPANDED);
    // Decompressing each part of the file once takes limited time.
    let unpacks = if packed > length { deflated } else { 0 };
    let bytes = plain.saturating_add(unpacks);
    if bytes > most {
        return Err(ReadError::Unsupported(format!(
            "its tensors have {bytes} bytes, the file {length}: no more than {SHARED} times as many are \
             read (or {EXPANDED}, if that is more)"
        )));
    }
    Ok(())
}

/// Refuses a view that keeps too many `bytes` of a deflated storage in memory.
fn check_unpacked(spec: &TensorSpec, bytes: u64, length: u64) -> Result<(), ReadError> {
    let most = UNPACKED.max(length);
    if bytes <= most {
        return Ok(());
    }
    Err(ReadError::Unsupported(format!(
        "{} is compressed and not row-major, and of {bytes} bytes, where {most} are read: save it \
         row-major (numpy.ascontiguousarray, Tensor.contiguous) or uncompressed",
        spec.name.escape_debug()
    )))
}

/// Number of bytes of the elements, which fits after the checks of `open`.
fn bytes_of(spec: &TensorSpec) -> u64 {
    (spec.checked_len().unwrap_or(usize::MAX) as u64).saturating_mul(spec.dtype.size() as u64)
}

/// An open file of tensors. It is not read into memory: each call of [`TensorFile::stream`] or [`TensorFile::load`] reads
/// one tensor.
#[derive(Debug)]
pub struct TensorFile<R> {
    reader: R,
    /// Length of the file in bytes.
    length: u64,
    kind: FileKind,
    specs: Vec<TensorSpec>,
    locations: Vec<Location>,
    storages: Vec<Storage>,
    metadata: Metadata,
    key: Option<String>,
    skipped: skipped::List,
}

impl<R: Read + Seek> TensorFile<R> {
    /// Opens a file of any known format: lists its tensors and checks their sizes against the file's. In a checkpoint that
    /// holds more than tensors, the only dict of tensors is used, whatever its key.
    ///
    /// # Errors
    /// See [`ReadError`]; [`ReadError::Ambiguous`] when there are several.
    pub fn open(reader: R) -> Result<Self, ReadError> {
        Self::open_key(reader, None)
    }

    /// Like [`TensorFile::open`], with the dict of tensors under `key`: `"ema"`, or `"generator.ema"` for a dict in a dict.
    ///
    /// # Errors
    /// See [`ReadError`]; [`ReadError::NoSuchKey`] when there is no such dict.
    pub fn open_key(mut reader: R, key: Option<&str>) -> Result<Self, ReadError> {
        let length = reader.seek(SeekFrom::End(0))?;
        reader.rewind()?;
        let index = index(&mut reader, length, key)?;
        if let (Some(key), None) = (key, &index.key) {
            return Err(ReadError::NoSuchKey { key: key.into(), keys: Vec::new(), more: 0 });
        }
        within_reason(&index, length)?;
        let Index { kind, tensors, storages, metadata, key, skipped } = index;
        let (specs, locations) = tensors.into_iter().unzip();
        Ok(Self { length, reader, kind, specs, locations, storages, metadata, key, skipped })
    }

    /// The key of the dict of tensors in a checkpoint; `None` if the tensors are at the top.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The skipped values in and beside the dict of tensors; at most the first hundred.
    pub fn skipped(&self) -> &[Skipped] {
        self.skipped.all()
    }

    /// The format of the file.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// Metadata of a safetensors file; empty for other formats.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Names, element types and shapes of the tensors, in the file's order.
    pub fn specs(&self) -> &[TensorSpec] {
        &self.specs
    }

    /// Opens a stream of the elements of tensor `i`: row-major, little-endian, whatever their order in the file.
    ///
    /// # Errors
    /// [`ReadError::Io`]. A wrong checksum is an error at the end of the stream.
    ///
    /// # Panics
    /// When there is no tensor `i`.
    pub fn stream(&mut self, i: usize) -> Result<Box<dyn Read + '_>, ReadError> {
        let dtype = self.specs[i].dtype;
        match &self.locations[i] {
            Location::Whole(storage) => {
                let reading = Reading { big_endian: storage.big_endian, ..Reading::default() };
                let bytes = content(storage, &mut self.reader)?.skip(storage.skip)?;
                Ok(reading.of(bytes, dtype))
            }
            Location::View { storage, view, negative, conjugate } => {
                let storage = &mut self.storages[*storage];
                let (negative, conjugate) = (*negative, *conjugate);
                let reading = Reading { big_endian: storage.big_endian, negative, conjugate };
                let bytes = part(storage, view, dtype.size(), &mut self.reader, self.length)?;
                Ok(reading.of(bytes, dtype))
            }
        }
    }

    /// Reads tensor `i` with its elements.
    ///
    /// # Errors
    /// As [`TensorFile::stream`].
    ///
    /// # Panics
    /// When there is no tensor `i`.
    pub fn load(&mut self, i: usize) -> Result<NamedTensor, ReadError> {
        // At most the size of the file, whatever shape it claims.
        let capacity = bytes_of(&self.specs[i]).min(self.length) as usize;
        let mut data = Vec::with_capacity(capacity);
        self.stream(i)?.read_to_end(&mut data)?;
        let TensorSpec { name, dtype, shape } = self.specs[i].clone();
        Ok(NamedTensor { name, dtype, shape, data })
    }

    /// Reads all tensors with their elements.
    ///
    /// # Errors
    /// As [`TensorFile::stream`].
    pub fn load_all(&mut self) -> Result<Vec<NamedTensor>, ReadError> {
        (0..self.specs.len()).map(|i| self.load(i)).collect()
    }
}

/// Recognizes the format of a file and lists its contents.
fn index(
    reader: &mut (impl Read + Seek),
    length: u64,
    key: Option<&str>,
) -> Result<Index, ReadError> {
    let mut start = Vec::new();
    reader.take(TAR_AT + TAR.len() as u64).read_to_end(&mut start)?;
    reader.rewind()?;
    match start[..] {
        [] => Err(ReadError::Empty),
        // An empty archive.
        [b'P', b'K', 5, 6, ..] => npz::index(reader),
        [b'P', b'K', 3, 4, ..] if npz::is_npz(reader)? => npz::index(reader),
        [b'P', b'K', 3, 4, ..] => state_dict::index(reader, length, key),
        _ if start.starts_with(npy::MAGIC) => npy::index(reader, length),
        _ if legacy::is_legacy(&start) => legacy::index(reader, length, key),
        // A pickle may start like this, too, but not with a length below the file's.
        [a, b, c, d, e, f, g, h, b'{', ..]
            if u64::from_le_bytes([a, b, c, d, e, f, g, h]) <= length - 8 =>
        {
            safetensors::index(reader, length)
        }
        _ if start[..].get(TAR_AT as usize..) == Some(TAR) => Err(ReadError::Tar),
        // Protocol 2 and up.
        [0x80, 2..=5, ..] => Err(ReadError::BarePickle),
        [_, _, _, _, _, _, _, _, b'{', ..] => {
            Err(ReadError::Safetensors("its header is longer than the file".into()))
        }
        _ => Err(ReadError::Unknown),
    }
}

/// The magic number of a tar archive, at [`TAR_AT`].
const TAR: &[u8] = b"ustar";
/// Offset of [`TAR`]: after name, mode, owner, length and time of the first file.
const TAR_AT: u64 = 257;

/// The elements of a view, of `size` bytes each.
fn part<'a>(
    storage: &mut Storage,
    view: &View,
    size: usize,
    reader: &'a mut (impl Read + Seek),
    length: u64,
) -> Result<Box<dyn Read + 'a>, ReadError> {
    let (from, to) = view.span();
    let (at, count) = (storage.skip + (from * size) as u64, ((to - from) * size) as u64);
    let mut bytes;
    if storage.packed.is_some() {
        let mut all = content(storage, reader)?.skip(at)?;
        bytes = Vec::with_capacity(count as usize);
        (&mut all).take(count).read_to_end(&mut bytes)?;
        all.finish()?;
    } else {
        check(storage, reader, length)?;
        reader.seek(SeekFrom::Start(storage.at + at))?;
        let mut span = Exactly::new(reader.take(count), count, None);
        if view.is_contiguous() {
            return Ok(Box::new(span));
        }
        // The file has that many bytes.
        bytes = Vec::with_capacity(count as usize);
        span.read_to_end(&mut bytes)?;
    }
    Ok(Box::new(Gather::new(bytes, View { offset: 0, ..view.clone() }, size)))
}

/// Checks once that a storage is complete and has its checksum.
fn check(
    storage: &mut Storage,
    reader: &mut (impl Read + Seek),
    length: u64,
) -> Result<(), ReadError> {
    if storage.checked {
        return Ok(());
    }
    if storage.crc.is_some() {
        content(storage, reader)?.finish()?;
    } else if storage.at.checked_add(storage.bytes).is_none_or(|end| end > length) {
        let error = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        return Err(ReadError::Io(error));
    }
    storage.checked = true;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;

    #[test]
    fn a_safetensors_file_of_any_header_length_is_recognized() {
        // Header lengths such as 640 (0x0280) begin like a pickle of protocol 2.
        let mut lengths = std::collections::HashSet::new();
        for name in (1..700).map(|n| "w".repeat(n)) {
            let tensor = NamedTensor { name, dtype: Dtype::U8, shape: vec![1], data: vec![7] };
            let file = safetensors::write(std::slice::from_ref(&tensor), &Metadata::new()).unwrap();
            lengths.insert(u16::from_le_bytes([file[0], file[1]]));
            assert_eq!(super::super::read_weights(&file).unwrap(), [tensor]);
        }
        assert!(lengths.contains(&640), "{lengths:?}");
    }
}
