#![doc = include_str!("../README.md")]

mod archive;
mod candidates;
mod convert;
mod directory;
mod dtype;
mod error;
mod glob;
mod layout;
mod legacy;
mod locate;
mod location;
mod names;
pub mod npy;
mod npy_header;
pub mod npz;
mod pickle;
pub mod safetensors;
mod skipped;
pub mod state_dict;
mod stream;
#[cfg(feature = "tch")]
mod tensor;
mod tensor_file;
pub mod torchscript;

use std::collections::BTreeMap;
use std::io::Cursor;

pub use convert::{ConvertError, Overflow, convert, converts};
pub use dtype::Dtype;
pub use error::ReadError;
pub use glob::Glob;
pub use layout::permute;
pub use names::{Renaming, shared_prefixes};
pub use npy::NpyError;
pub use pickle::PickleError;
pub use skipped::Skipped;
#[cfg(feature = "tch")]
pub use tensor::{bytes_of, copy_bytes, dtype_of};
pub use tensor_file::{FileKind, TensorFile};

/// The name, element type and shape of a tensor in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Key in the state_dict.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Sizes of the dimensions; empty for a scalar.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// Number of elements; `None` if it does not fit into a `usize`. It fits for every tensor of an open [`TensorFile`].
    pub fn checked_len(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n))
    }
}

/// A tensor of a file with its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTensor {
    /// Key in the state_dict.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Sizes of the dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements, row-major, each little-endian, without gaps.
    pub data: Vec<u8>,
}

impl NamedTensor {
    /// The tensor without its elements.
    pub fn spec(&self) -> TensorSpec {
        TensorSpec { name: self.name.clone(), dtype: self.dtype, shape: self.shape.clone() }
    }

    /// Refuses to write a tensor whose data do not have the length of its shape and type.
    pub(crate) fn check_length(&self) -> Result<(), ReadError> {
        let expected = self.spec().checked_len().and_then(|n| n.checked_mul(self.dtype.size()));
        match expected == Some(self.data.len()) {
            true => Ok(()),
            false => Err(ReadError::Length {
                name: self.name.clone(),
                found: self.data.len(),
                expected: expected.unwrap_or(usize::MAX),
            }),
        }
    }
}

/// Metadata of a file, texts by their names. Only safetensors files have them.
pub type Metadata = BTreeMap<String, String>;

/// The name that a tensor without a name gets: that of an `.npy` file, or of `torch.save(tensor)`.
const SINGLE: &str = "tensor";
/// Most dimensions of a tensor: more than any weight has.
const DIMENSIONS: usize = 16;
/// Longest name of a tensor that is read from a `.pt` file, and written to one, in bytes.
pub const LONGEST_NAME: usize = 1024;

/// Reads all tensors of a file in memory, in the file's order. The format is recognized by the content.
///
/// # Errors
/// See [`ReadError`].
pub fn read_weights(bytes: &[u8]) -> Result<Vec<NamedTensor>, ReadError> {
    TensorFile::open(Cursor::new(bytes))?.load_all()
}
