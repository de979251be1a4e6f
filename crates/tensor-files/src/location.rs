//! Locations of tensors in a file, which the readers of the formats return.

use super::tensor_file::FileKind;
use super::{Metadata, TensorSpec, skipped};

/// Where the elements of a tensor lie in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// Row-major, all of a storage.
    Whole(Storage),
    /// A part of the storage with this index, or all of it in another order.
    View { storage: usize, view: View, negative: bool, conjugate: bool },
}

/// A range of bytes of a file that holds elements of tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    /// Offset of the first byte in the file.
    pub at: u64,
    /// Number of bytes, decompressed, including those to skip.
    pub bytes: u64,
    /// Bytes before the first element.
    pub skip: u64,
    /// Number of bytes in the file, if they are deflated.
    pub packed: Option<u64>,
    /// CRC-32 of the decompressed bytes, if the file has one.
    pub crc: Option<u32>,
    /// Whether length and checksum have been checked.
    pub checked: bool,
    /// Whether numbers are big-endian.
    pub big_endian: bool,
}

impl Storage {
    /// Bytes without compression and checksum, little-endian.
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

/// The contents of a file.
#[derive(Debug)]
pub(super) struct Index {
    pub kind: FileKind,
    pub tensors: Vec<(TensorSpec, Location)>,
    pub storages: Vec<Storage>,
    pub metadata: Metadata,
    /// The key of the tensors in a checkpoint.
    pub key: Option<String>,
    /// Values in and beside the dict of tensors that are not read.
    pub skipped: skipped::List,
}

impl Index {
    /// The contents of a file that holds nothing but tensors.
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
    /// The strides of a row-major tensor in elements.
    pub fn contiguous_stride(shape: &[usize]) -> Vec<usize> {
        let mut stride = vec![1usize; shape.len()];
        for i in (1..shape.len()).rev() {
            stride[i - 1] = stride[i].saturating_mul(shape[i].max(1));
        }
        stride
    }

    /// Whether the elements are row-major without gaps. The stride of a dimension of size 1 has no effect.
    pub fn is_contiguous(&self) -> bool {
        let contiguous = Self::contiguous_stride(&self.shape);
        let dimensions = self.shape.iter().zip(self.stride.iter().zip(&contiguous));
        dimensions.into_iter().all(|(&size, (stride, expected))| size <= 1 || stride == expected)
    }

    /// Number of elements; `None` if one lies beyond a storage of `elements` elements. An expanded view (stride 0) may
    /// have more elements than its storage.
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

    /// The range of elements that the view uses: the first, and one after the last. Only for views that
    /// [`View::len_within`] has accepted.
    pub fn span(&self) -> (usize, usize) {
        if self.shape.contains(&0) {
            return (0, 0);
        }
        let steps = self.shape.iter().zip(&self.stride).map(|(&n, &stride)| (n - 1) * stride);
        (self.offset, self.offset + steps.sum::<usize>() + 1)
    }
}
