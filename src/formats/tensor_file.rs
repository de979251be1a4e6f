//! A file of tensors of any known format: what is in it, and the bytes of one tensor at a time.

use std::io::{self, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::{Metadata, NamedTensor, ReadError, TensorSpec, npz, safetensors, state_dict};

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `torch.save(model.state_dict())`.
    StateDict,
    /// `torch.jit.save`, or tch's `VarStore::save`.
    TorchScript,
    /// safetensors.
    Safetensors,
    /// `numpy.savez`.
    Npz,
}

/// Where the elements of a tensor lie in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// Row-major, as they are, behind `skip` bytes from `at` on.
    Plain {
        at: u64,
        skip: u64,
        /// CRC-32 of all of these bytes, where the file has one.
        crc: Option<u32>,
    },
    /// Row-major, deflated to `packed` bytes from `at` on, behind `skip` other bytes.
    Deflated { at: u64, packed: u64, skip: u64, crc: u32 },
    /// A part of the storage of this number, or all of it in another order.
    View { storage: usize, view: View },
}

/// Bytes of a file that tensors are views into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    /// First byte.
    pub at: u64,
    /// Bytes before the first element.
    pub skip: u64,
    /// Number of bytes, with those skipped.
    pub bytes: u64,
    /// CRC-32 of all of them.
    pub crc: u32,
    /// Whether they were found to have it.
    pub checked: bool,
}

/// A view into a storage, in elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub offset: usize,
    pub shape: Vec<usize>,
    pub stride: Vec<usize>,
}

/// What a format's reader finds.
#[derive(Debug)]
pub(super) struct Index {
    pub kind: FileKind,
    pub tensors: Vec<(TensorSpec, Location)>,
    pub storages: Vec<Storage>,
    pub metadata: Metadata,
}

/// What `torch.compile` and `DataParallel` put before every name, from the outside in.
const WRAPPERS: [&str; 2] = ["_orig_mod.", "module."];

/// An open file of tensors.
#[derive(Debug)]
pub struct TensorFile<R> {
    reader: R,
    kind: FileKind,
    specs: Vec<TensorSpec>,
    locations: Vec<Location>,
    storages: Vec<Storage>,
    metadata: Metadata,
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
        let Index { kind, tensors, storages, metadata } = match start[..] {
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
        let (mut specs, locations): (Vec<TensorSpec>, _) = tensors.into_iter().unzip();
        for wrapper in WRAPPERS {
            if !specs.is_empty() && specs.iter().all(|spec| spec.name.starts_with(wrapper)) {
                specs.iter_mut().for_each(|spec| drop(spec.name.drain(..wrapper.len())));
            }
        }
        Ok(Self { reader, kind, specs, locations, storages, metadata })
    }

    /// Which format it is.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// What it says of the tensors besides; empty but for safetensors.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
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
        let spec = &self.specs[i];
        // `open` has checked that it is a number and no more than the file holds.
        let length = spec.checked_len().unwrap_or(0) as u64 * spec.dtype.size() as u64;
        match &self.locations[i] {
            &Location::Plain { at, skip, crc } => {
                self.reader.seek(SeekFrom::Start(at))?;
                let bytes = (&mut self.reader).take(skip + length);
                Ok(Box::new(Exactly::new(bytes, skip, length, crc)?))
            }
            &Location::Deflated { at, packed, skip, crc } => {
                self.reader.seek(SeekFrom::Start(at))?;
                let bytes = DeflateDecoder::new((&mut self.reader).take(packed));
                // One byte more than there may be: a longer one is noticed by its checksum.
                let bytes = bytes.take(skip + length + 1);
                Ok(Box::new(Exactly::new(bytes, skip, length, Some(crc))?))
            }
            Location::View { storage, view } => {
                let storage = &mut self.storages[*storage];
                storage.check(&mut self.reader)?;
                let size = spec.dtype.size();
                let (from, to) = view.span();
                let at = storage.at + storage.skip + (from * size) as u64;
                self.reader.seek(SeekFrom::Start(at))?;
                let span = (&mut self.reader).take(((to - from) * size) as u64);
                if view.is_contiguous() {
                    return Ok(Box::new(Exactly::new(span, 0, length, None)?));
                }
                let mut bytes = Vec::new();
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
        let mut data = Vec::new();
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
        let mut new = Self { left: skip + length, crc: crc.map(|sum| (Crc::new(), sum)), bytes };
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

impl View {
    /// Elements to step over for each dimension of a row-major tensor.
    pub fn contiguous_stride(shape: &[usize]) -> Vec<usize> {
        let mut stride = vec![1usize; shape.len()];
        for i in (1..shape.len()).rev() {
            stride[i - 1] = stride[i].saturating_mul(shape[i].max(1));
        }
        stride
    }

    /// Whether the elements lie row-major without gaps. The stride of a dimension of size 1 is
    /// never stepped over, so any will do.
    pub fn is_contiguous(&self) -> bool {
        let wanted = Self::contiguous_stride(&self.shape);
        let dimensions = self.shape.iter().zip(self.stride.iter().zip(&wanted));
        dimensions.into_iter().all(|(&size, (stride, wanted))| size <= 1 || stride == wanted)
    }

    /// Number of elements, if all of them lie within a storage of `elements`.
    pub fn len_within(&self, elements: usize) -> Option<usize> {
        let count = self.shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n))?;
        if count == 0 {
            return Some(0);
        }
        let dimensions = self.shape.iter().zip(&self.stride);
        let reach = dimensions.into_iter().try_fold(self.offset, |reach, (&n, &stride)| {
            reach.checked_add((n - 1).checked_mul(stride)?)
        })?;
        // An expanded view (stride 0) may have more elements than its storage: that could make a
        // small file ask for any amount of memory, and no weights are stored so.
        (reach < elements && count <= elements).then_some(count)
    }

    /// The elements from the first to behind the last that it reaches. Only of a view that
    /// [`View::len_within`] has found to lie within its storage.
    fn span(&self) -> (usize, usize) {
        if self.shape.contains(&0) {
            return (0, 0);
        }
        let steps = self.shape.iter().zip(&self.stride).map(|(&n, &stride)| (n - 1) * stride);
        (self.offset, self.offset + steps.sum::<usize>() + 1)
    }
}

impl Storage {
    /// Reads all of it once and compares its checksum.
    fn check(&mut self, reader: &mut (impl Read + Seek)) -> Result<(), ReadError> {
        if !self.checked {
            reader.seek(SeekFrom::Start(self.at))?;
            let mut all = Exactly::new(reader.take(self.bytes), 0, self.bytes, Some(self.crc))?;
            io::copy(&mut all, &mut io::sink())?;
            self.checked = true;
        }
        Ok(())
    }
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
            view(0, &[1 << 40], &[0]),
            view(usize::MAX, &[2, 2], &[usize::MAX, 1]),
            view(0, &[usize::MAX, 2], &[1, 1]),
        ] {
            assert!(beyond.len_within(2).is_none(), "{beyond:?}");
        }
    }
}
