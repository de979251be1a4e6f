//! Where the tensors of a file lie in it: what a format's reader finds.

use super::{Metadata, TensorSpec, skipped};

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

/// Where the elements of a tensor lie in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// Row-major, all of a storage.
    Whole(Storage),
    /// A part of the storage of this number, or all of it in another order.
    View { storage: usize, view: View, negative: bool, conjugate: bool },
}

/// Bytes of a file that are elements of tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    /// First byte.
    pub at: u64,
    /// Number of bytes, unpacked, with those skipped.
    pub bytes: u64,
    /// Bytes before the first element.
    pub skip: u64,
    /// Number of bytes in the file, where they are deflated.
    pub packed: Option<u64>,
    /// CRC-32 of all of them, where the file has one.
    pub crc: Option<u32>,
    /// Whether they were found to have it.
    pub checked: bool,
    /// Whether numbers begin with their highest byte.
    pub big_endian: bool,
}

impl Storage {
    /// Bytes as they are, without a checksum, little-endian.
    pub fn plain(at: u64, bytes: u64) -> Self {
        Self { at, bytes, skip: 0, packed: None, crc: None, checked: false, big_endian: false }
    }
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
    /// The key of a checkpoint that the tensors stand under.
    pub key: Option<String>,
    /// What stands among and beside the tensors, and is not read.
    pub skipped: skipped::List,
}

impl Index {
    /// Of a file that holds tensors and nothing else.
    pub fn new(kind: FileKind, tensors: Vec<(TensorSpec, Location)>) -> Self {
        Self {
            kind,
            tensors,
            storages: Vec::new(),
            metadata: Metadata::new(),
            key: None,
            skipped: skipped::List::default(),
        }
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

    /// Number of elements, if all of them lie within a storage of `elements`. An expanded view
    /// (stride 0) may have more elements than its storage.
    pub fn len_within(&self, elements: usize) -> Option<usize> {
        let count = self.shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n))?;
        if count == 0 {
            return Some(0);
        }
        let dimensions = self.shape.iter().zip(&self.stride);
        let reach = dimensions.into_iter().try_fold(self.offset, |reach, (&n, &stride)| {
            reach.checked_add((n - 1).checked_mul(stride)?)
        })?;
        (reach < elements).then_some(count)
    }

    /// The elements from the first to behind the last that it reaches. Only of a view that
    /// [`View::len_within`] has found to lie within its storage.
    pub fn span(&self) -> (usize, usize) {
        if self.shape.contains(&0) {
            return (0, 0);
        }
        let steps = self.shape.iter().zip(&self.stride).map(|(&n, &stride)| (n - 1) * stride);
        (self.offset, self.offset + steps.sum::<usize>() + 1)
    }
}
