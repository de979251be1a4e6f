#![doc = include_str!("../README.md")]

mod archive;
mod location;
pub mod npz;
mod pickle;
pub mod safetensors;
pub mod state_dict;
mod tensor_file;
pub mod torchscript;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Cursor;

pub use location::FileKind;
pub use pickle::PickleError;
pub use tensor_file::TensorFile;

/// Element types that tensors come in. All files are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// `torch.bool`, a byte each.
    Bool,
    /// `torch.uint8`.
    U8,
    /// `torch.int8`.
    I8,
    /// `torch.int16`.
    I16,
    /// `torch.int32`.
    I32,
    /// `torch.int64`.
    I64,
    /// `torch.float16`.
    F16,
    /// `torch.bfloat16`.
    BF16,
    /// `torch.float32`.
    F32,
    /// `torch.float64`.
    F64,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Dtype; 10] = [
        Dtype::Bool,
        Dtype::U8,
        Dtype::I8,
        Dtype::I16,
        Dtype::I32,
        Dtype::I64,
        Dtype::F16,
        Dtype::BF16,
        Dtype::F32,
        Dtype::F64,
    ];

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Dtype::Bool | Dtype::U8 | Dtype::I8 => 1,
            Dtype::I16 | Dtype::F16 | Dtype::BF16 => 2,
            Dtype::I32 | Dtype::F32 => 4,
            Dtype::I64 | Dtype::F64 => 8,
        }
    }

    /// Whether elements are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
    }

    /// PyTorch's name, without `torch.`.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Bool => "bool",
            Dtype::U8 => "uint8",
            Dtype::I8 => "int8",
            Dtype::I16 => "int16",
            Dtype::I32 => "int32",
            Dtype::I64 => "int64",
            Dtype::F16 => "float16",
            Dtype::BF16 => "bfloat16",
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Name, type and shape of a tensor.
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
    /// Number of elements, if it is a number at all.
    pub fn checked_len(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n))
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
    /// Name, type and shape.
    pub fn spec(&self) -> TensorSpec {
        TensorSpec { name: self.name.clone(), dtype: self.dtype, shape: self.shape.clone() }
    }
}

/// What a file of tensors says of them besides: texts by name. Only safetensors can.
pub type Metadata = BTreeMap<String, String>;

/// A file of tensors that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Of no known format.
    #[error(
        "not a file of tensors that can be read here: a state_dict or TorchScript archive (.pt), \
         a .safetensors or a .npz file is wanted"
    )]
    Unknown,
    /// No bytes at all.
    #[error("it is empty: a file of tensors is wanted")]
    Empty,
    /// `torch.save` before 1.6, or with `_use_new_zipfile_serialization=False`.
    #[error(
        "a bare pickle, such as a .pt file of PyTorch before 1.6: save the state_dict again with a \
         newer torch.save (of a joblib or numpy pickle, save the arrays with numpy.savez)"
    )]
    LegacyPickle,
    /// The zip layer.
    #[error("a damaged archive: {0}")]
    Zip(String),
    /// The pickle in it.
    #[error(transparent)]
    Pickle(#[from] pickle::PickleError),
    /// A zip archive of something else.
    #[error("not a file of tensors: {0}")]
    NotTensors(String),
    /// The safetensors layer.
    #[error("a damaged .safetensors file: {0}")]
    Safetensors(String),
    /// An array of an .npz file.
    #[error("an .npz file that cannot be read: {0}")]
    Npz(String),
    /// Reading failed: a disk error, a file that ends early, a wrong checksum.
    #[error("it cannot be read")]
    Io(#[from] std::io::Error),
}

/// Most dimensions of a tensor that is read: more than any weight has.
const DIMENSIONS: usize = 16;

/// All tensors of a file that is in memory, in the file's order. The format is told by the
/// content, not by the name.
///
/// # Errors
/// See [`ReadError`].
pub fn read_weights(bytes: &[u8]) -> Result<Vec<NamedTensor>, ReadError> {
    TensorFile::open(Cursor::new(bytes))?.load_all()
}
