//! File formats: bytes in, bytes out. Nothing here opens a file, knows tch, or prints.

pub mod csv;
mod pickle;
pub mod safetensors;
pub mod state_dict;

use std::fmt;

/// Element types that weights come in. All files are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// `torch.float16`.
    F16,
    /// `torch.bfloat16`.
    BF16,
    /// `torch.float32`.
    F32,
    /// `torch.float64`.
    F64,
    /// `torch.int64`.
    I64,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Dtype; 5] = [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64, Dtype::I64];

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Dtype::F16 | Dtype::BF16 => 2,
            Dtype::F32 => 4,
            Dtype::F64 | Dtype::I64 => 8,
        }
    }

    /// PyTorch's name, without `torch.`.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F16 => "float16",
            Dtype::BF16 => "bfloat16",
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
            Dtype::I64 => "int64",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A tensor as a file holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTensor {
    /// Key in the state_dict.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Sizes of the dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// Elements, row-major, little-endian.
    pub data: Vec<u8>,
}

impl NamedTensor {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A weights file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Neither a zip archive nor a safetensors file.
    #[error(
        "not a weights file that can be read here: a state_dict in zip format (.pt) or a .safetensors file is wanted"
    )]
    Unknown,
    /// `torch.save` before 1.6, or with `_use_new_zipfile_serialization=False`.
    #[error(
        "a .pt file in the format of PyTorch before 1.6 (a bare pickle): save it again with a newer torch.save"
    )]
    LegacyPickle,
    /// The zip layer.
    #[error("a damaged .pt file: {0}")]
    Zip(String),
    /// The pickle in it.
    #[error("{0}")]
    Pickle(#[from] pickle::PickleError),
    /// A zip archive of something else.
    #[error("not a state_dict: {0}")]
    NotAStateDict(String),
    /// The safetensors layer.
    #[error("a damaged .safetensors file: {0}")]
    Safetensors(String),
}

/// Reads any weights file that is supported, told apart by its content, not by its name. Tensors
/// come in the file's order.
///
/// # Errors
/// See [`ReadError`].
pub fn read_weights(bytes: &[u8]) -> Result<Vec<NamedTensor>, ReadError> {
    match bytes {
        [b'P', b'K', 3, 4, ..] => state_dict::read(bytes),
        // Protocol 2 and up; torch.save always wrote 2.
        [0x80, 2..=5, ..] => Err(ReadError::LegacyPickle),
        [_, _, _, _, _, _, _, _, b'{', ..] => safetensors::read(bytes),
        _ => Err(ReadError::Unknown),
    }
}
