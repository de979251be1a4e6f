//! A file of tensors of any known format: what is in it, and the bytes of one tensor at a time.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::location::{FileKind, Index, Location, Storage, View};
use super::sign::{Flip, Flipped};
use super::{
    Metadata, NamedTensor, ReadError, Skipped, TensorSpec, npz, safetensors, skipped, state_dict,
};

/// What `torch.compile` and `DataParallel` put before every name.
const WRAPPERS: [&str; 2] = ["_orig_mod.", "module."];

/// That of these which all names begin with.
fn wrapper_of(specs: &[TensorSpec]) -> Option<&'static str> {
    let all = |wrapper: &&str| specs.iter().all(|spec| spec.name.starts_with(wrapper));
    WRAPPERS.into_iter().find(all).filter(|_| !specs.is_empty())
}

/// Tensors may share their bytes, as tied weights do; not so that a small file takes for ever.
const SHARED: u64 = 16;

/// Refuses a file whose tensors have far more bytes together than it.
fn within_reason(tensors: &[(TensorSpec, Location)], length: u64) -> Result<(), ReadError> {
    let (mut plain, mut packed) = (0u64, 0u64);
    for (spec, location) in tensors {
        match location {
            // Each takes what is packed of it once.
            Location::Deflated { packed: bytes, .. } => packed = packed.saturating_add(*bytes),
            _ => plain = plain.saturating_add(bytes_of(spec)),
        }
    }
    if plain > length.saturating_mul(SHARED) || packed > length {
        return Err(ReadError::NotTensors(format!(
            "its tensors have {plain} bytes, the file {length}: no more than {SHARED} times as many are read"
        )));
    }
    Ok(())
}

/// Of the elements; `open` has checked that it is a number.
fn bytes_of(spec: &TensorSpec) -> u64 {
    (spec.checked_len().unwrap_or(usize::MAX) as u64).saturating_mul(spec.dtype.size() as u64)
}

/// An open file of tensors.
#[derive(Debug)]
pub struct TensorFile<R> {
    reader: R,
    /// Of the file, in bytes.
    length: u64,
    kind: FileKind,
    specs: Vec<TensorSpec>,
    locations: Vec<Location>,
    storages: Vec<Storage>,
    metadata: Metadata,
    flips: HashMap<usize, Flip>,
    skipped: skipped::List,
}

impl<R: Read + Seek> TensorFile<R> {
    /// Reads what the file says is in it, and checks every size against the file's.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn open(mut reader: R) -> Result<Self, ReadError> {
        let length = reader.seek(SeekFrom::End(0))?;
        reader.rewind()?;
        let mut start = Vec::new();
        (&mut reader).take(9).read_to_end(&mut start)?;
        reader.rewind()?;
        if length == 0 {
            return Err(ReadError::Empty);
        }
        let Index { kind, tensors, storages, metadata, flips, skipped } = match start[..] {
            [b'P', b'K', 3, 4, ..] if npz::is_npz(&mut reader)? => npz::index(&mut reader)?,
            [b'P', b'K', 3, 4, ..] => state_dict::index(&mut reader, length)?,
            // A legacy pickle may look like this too, but not with a length below the file's.
            [a, b, c, d, e, f, g, h, b'{']
                if u64::from_le_bytes([a, b, c, d, e, f, g, h]) <= length - 8 =>
            {
                safetensors::index(&mut reader, length)?
            }
            // Protocol 2 and up; torch.save always wrote 2.
            [0x80, 2..=5, ..] => return Err(ReadError::LegacyPickle),
            [_, _, _, _, _, _, _, _, b'{'] => {
                let error = "its header is longer than the file";
                return Err(ReadError::Safetensors(error.into()));
            }
            _ => return Err(ReadError::Unknown),
        };
        within_reason(&tensors, length)?;
        let (mut specs, locations): (Vec<TensorSpec>, _) = tensors.into_iter().unzip();
        // They may stand in any order, and repeat.
        while let Some(wrapper) = wrapper_of(&specs) {
            specs.iter_mut().for_each(|spec| drop(spec.name.drain(..wrapper.len())));
        }
        Ok(Self { length, reader, kind, specs, locations, storages, metadata, flips, skipped })
    }

    /// Which format it is.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// What it says of the tensors besides; empty but for safetensors.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What it holds besides tensors, and was not read: the first hundred such things.
    pub fn skipped(&self) -> &[Skipped] {
        self.skipped.all()
    }

    /// The tensors in it, in its order.
    pub fn specs(&self) -> &[TensorSpec] {
        &self.specs
    }

    /// The elements of tensor `i`, row-major, as a stream.
    ///
    /// # Errors
    /// [`ReadError::Io`]; a wrong checksum is an error at the end of the stream.
    pub fn stream(&mut self, i: usize) -> Result<Box<dyn Read + '_>, ReadError> {
        let flip = self.flips.get(&i).copied();
        let stored = self.stored(i)?;
        Ok(match flip {
            Some(flip) => Box::new(Flipped::new(stored, flip)),
            None => stored,
        })
    }

    /// The elements as they are in the file.
    fn stored(&mut self, i: usize) -> Result<Box<dyn Read + '_>, ReadError> {
        let spec = &self.specs[i];
        let length = bytes_of(spec);
        match &self.locations[i] {
            &Location::Plain { at, skip, crc } => {
                self.reader.seek(SeekFrom::Start(at))?;
                let bytes = (&mut self.reader).take(skip.saturating_add(length));
                Ok(Box::new(Exactly::new(bytes, skip, length, crc)?))
            }
            &Location::Deflated { at, packed, skip, crc } => {
                self.reader.seek(SeekFrom::Start(at))?;
                let bytes = DeflateDecoder::new((&mut self.reader).take(packed));
                // One byte more than there may be: a longer one is noticed by its checksum.
                let bytes = bytes.take(skip.saturating_add(length).saturating_add(1));
                Ok(Box::new(Exactly::new(bytes, skip, length, Some(crc))?))
            }
            Location::View { storage, view } => {
                let storage = &mut self.storages[*storage];
                check(storage, &mut self.reader)?;
                let size = spec.dtype.size();
                let (from, to) = view.span();
                let at = storage.at + storage.skip + (from * size) as u64;
                self.reader.seek(SeekFrom::Start(at))?;
                let span = (&mut self.reader).take(((to - from) * size) as u64);
                if view.is_contiguous() {
                    return Ok(Box::new(Exactly::new(span, 0, length, None)?));
                }
                // The storage has been read to its end: the file has as many.
                let mut bytes = Vec::with_capacity((to - from) * size);
                Exactly::new(span, 0, ((to - from) * size) as u64, None)?
                    .read_to_end(&mut bytes)?;
                Ok(Box::new(Gather::new(bytes, View { offset: 0, ..view.clone() }, size)))
            }
        }
    }

    /// Tensor `i` with its elements.
    ///
    /// # Errors
    /// As [`TensorFile::stream`].
    pub fn load(&mut self, i: usize) -> Result<NamedTensor, ReadError> {
        // No more than the file has, whatever it says.
        let capacity = bytes_of(&self.specs[i]).min(self.length) as usize;
        let mut data = Vec::with_capacity(capacity);
        self.stream(i)?.read_to_end(&mut data)?;
        let TensorSpec { name, dtype, shape } = self.specs[i].clone();
        Ok(NamedTensor { name, dtype, shape, data })
    }

    /// All tensors.
    ///
    /// # Errors
    /// As [`TensorFile::stream`].
    pub fn load_all(&mut self) -> Result<Vec<NamedTensor>, ReadError> {
        (0..self.specs.len()).map(|i| self.load(i)).collect()
    }
}

/// Passes on exactly `left` bytes: fewer, or another checksum, are an error.
struct Exactly<R> {
    left: u64,
    crc: Option<(Crc, u32)>,
    bytes: R,
}

impl<R: Read> Exactly<R> {
    /// `length` bytes behind `skip` others, which have the checksum `crc` together.
    fn new(bytes: R, skip: u64, length: u64, crc: Option<u32>) -> io::Result<Self> {
        let mut new = Self {
            left: skip.saturating_add(length),
            crc: crc.map(|sum| (Crc::new(), sum)),
            bytes,
        };
        io::copy(&mut (&mut new).take(skip), &mut io::sink())?;
        Ok(new)
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

/// Reads all of a storage, once, and compares its checksum.
fn check(storage: &mut Storage, reader: &mut (impl Read + Seek)) -> Result<(), ReadError> {
    if !storage.checked {
        reader.seek(SeekFrom::Start(storage.at))?;
        let all = reader.take(storage.bytes);
        let mut all = Exactly::new(all, 0, storage.bytes, Some(storage.crc))?;
        io::copy(&mut all, &mut io::sink())?;
        storage.checked = true;
    }
    Ok(())
}

/// The elements of a strided view, row-major.
struct Gather {
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
    fn new(storage: Vec<u8>, view: View, size: usize) -> Self {
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

    #[test]
    fn a_safetensors_file_of_any_header_length_is_one() {
        // Header lengths such as 640 (0x0280) begin like a pickle of protocol 2.
        let mut lengths = std::collections::HashSet::new();
        for name in (1..700).map(|n| "w".repeat(n)) {
            let tensor =
                NamedTensor { name, dtype: super::super::Dtype::U8, shape: vec![1], data: vec![7] };
            let file = safetensors::write(std::slice::from_ref(&tensor), &Metadata::new()).unwrap();
            lengths.insert(u16::from_le_bytes([file[0], file[1]]));
            assert_eq!(super::super::read_weights(&file).unwrap(), [tensor]);
        }
        assert!(lengths.contains(&640), "{lengths:?}");
    }

    #[test]
    fn elements_are_gathered_for_reads_of_any_length() {
        let storage: Vec<u8> = (0..48).collect();
        let whole = [0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27];
        for length in 1..20 {
            let mut gather = Gather::new(storage.clone(), view(0, &[2, 2], &[2, 4]), 4);
            let mut gathered = Vec::<u8>::new();
            let mut part = vec![0; length];
            loop {
                let read = gather.read(&mut part).unwrap();
                if read == 0 {
                    break;
                }
                gathered.extend(&part[..read]);
            }
            assert_eq!(gathered, whole, "read {length} bytes at a time");
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
