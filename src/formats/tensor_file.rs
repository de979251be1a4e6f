//! A file of tensors of any known format: what is in it, and the bytes of one tensor at a time.

use std::io::{self, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::{NamedTensor, ReadError, TensorSpec, npz, safetensors, state_dict};

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
    /// Row-major, as they are.
    Plain {
        /// First byte.
        at: u64,
        /// CRC-32 of them, where the archive has one for just these bytes.
        crc: Option<u32>,
    },
    /// A strided view into `storage` bytes from `at` on.
    Strided { at: u64, storage: u64, view: View },
    /// Row-major, deflated to `packed` bytes from `at` on, behind `skip` other bytes.
    Deflated { at: u64, packed: u64, skip: u64 },
}

/// A view into a storage, in elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub offset: usize,
    pub shape: Vec<usize>,
    pub stride: Vec<usize>,
}

/// What a format's reader finds.
pub(super) type Index = (FileKind, Vec<(TensorSpec, Location)>);

/// An open file of tensors.
#[derive(Debug)]
pub struct TensorFile<R> {
    reader: R,
    kind: FileKind,
    specs: Vec<TensorSpec>,
    locations: Vec<Location>,
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
        let (kind, index) = match start[..] {
            [b'P', b'K', 3, 4, ..] if npz::is_npz(&mut reader)? => npz::index(&mut reader)?,
            [b'P', b'K', 3, 4, ..] => state_dict::index(&mut reader)?,
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
        let (specs, locations) = index.into_iter().unzip();
        Ok(Self { reader, kind, specs, locations })
    }

    /// Which format it is.
    pub fn kind(&self) -> FileKind {
        self.kind
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
            &Location::Plain { at, crc } => {
                self.reader.seek(SeekFrom::Start(at))?;
                let bytes = (&mut self.reader).take(length);
                Ok(Box::new(Exactly { left: length, crc: crc.map(|sum| (Crc::new(), sum)), bytes }))
            }
            &Location::Deflated { at, packed, skip } => {
                self.reader.seek(SeekFrom::Start(at))?;
                let mut bytes = DeflateDecoder::new((&mut self.reader).take(packed));
                io::copy(&mut (&mut bytes).take(skip), &mut io::sink())?;
                Ok(Box::new(Exactly { left: length, crc: None, bytes: bytes.take(length) }))
            }
            Location::Strided { at, storage, view } => {
                self.reader.seek(SeekFrom::Start(*at))?;
                let mut bytes = Vec::new();
                (&mut self.reader).take(*storage).read_to_end(&mut bytes)?;
                let data = view.gather(&bytes, spec.dtype.size()).ok_or_else(|| {
                    ReadError::NotTensors(format!("{} reaches beyond its storage", spec.name))
                })?;
                Ok(Box::new(io::Cursor::new(data)))
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

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(into)?;
        self.left -= read as u64;
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

    /// The elements of `size` bytes each, row-major; `None` when one lies outside of `storage`.
    fn gather(&self, storage: &[u8], size: usize) -> Option<Vec<u8>> {
        let count = self.len_within(storage.len() / size)?;
        let mut out = Vec::with_capacity(count * size);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let steps = index.iter().zip(&self.stride).map(|(&i, &stride): (&usize, _)| i * stride);
            let at = self.offset + steps.sum::<usize>();
            out.extend_from_slice(&storage[at * size..(at + 1) * size]);
            for (i, &n) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < n {
                    break;
                }
                *i = 0;
            }
        }
        Some(out)
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
        assert_eq!(transposed.gather(&storage, 1).unwrap(), [0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn a_safetensors_file_of_any_header_length_is_one() {
        // Header lengths such as 640 (0x0280) begin like a pickle of protocol 2.
        let mut lengths = std::collections::HashSet::new();
        for name in (1..700).map(|n| "w".repeat(n)) {
            let tensor =
                NamedTensor { name, dtype: super::super::Dtype::U8, shape: vec![1], data: vec![7] };
            let file = safetensors::write(std::slice::from_ref(&tensor)).unwrap();
            lengths.insert(u16::from_le_bytes([file[0], file[1]]));
            assert_eq!(super::super::read_weights(&file).unwrap(), [tensor]);
        }
        assert!(lengths.contains(&640), "{lengths:?}");
    }

    #[test]
    fn a_view_beyond_its_storage_is_refused() {
        for beyond in [
            view(1, &[2], &[1]),
            view(0, &[1 << 40], &[0]),
            view(usize::MAX, &[2, 2], &[usize::MAX, 1]),
            view(0, &[usize::MAX, 2], &[1, 1]),
        ] {
            assert!(beyond.gather(&[0; 8], 4).is_none(), "{beyond:?}");
        }
    }
}
