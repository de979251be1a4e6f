#![doc = include_str!("../README.md")]

mod archive;
mod candidates;
mod directory;
mod legacy;
mod locate;
mod location;
mod names;
mod nan;
mod npy;
pub mod npz;
mod pickle;
pub mod safetensors;
mod skipped;
pub mod state_dict;
mod stream;
mod tensor_file;
pub mod torchscript;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Cursor;

pub use location::FileKind;
pub use names::{Renaming, shared_prefixes};
pub use npy::NpyError;
pub use pickle::PickleError;
pub use skipped::Skipped;
pub use tensor_file::TensorFile;

/// Element types that tensors come in. All files are little-endian, or are read as if they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types)]
pub enum Dtype {
    /// `torch.bool`, a byte each.
    Bool,
    /// `torch.uint8`.
    U8,
    /// `torch.int8`.
    I8,
    /// `torch.uint16`.
    U16,
    /// `torch.int16`.
    I16,
    /// `torch.uint32`.
    U32,
    /// `torch.int32`.
    I32,
    /// `torch.uint64`.
    U64,
    /// `torch.int64`.
    I64,
    /// `torch.float8_e4m3fn`.
    F8_E4M3FN,
    /// `torch.float8_e4m3fnuz`.
    F8_E4M3FNUZ,
    /// `torch.float8_e5m2`.
    F8_E5M2,
    /// `torch.float8_e5m2fnuz`.
    F8_E5M2FNUZ,
    /// `torch.float8_e8m0fnu`: a power of two.
    F8_E8M0FNU,
    /// `torch.float16`.
    F16,
    /// `torch.bfloat16`.
    BF16,
    /// `torch.float32`.
    F32,
    /// `torch.float64`.
    F64,
    /// `torch.complex32`: two float16.
    C32,
    /// `torch.complex64`: two float32.
    C64,
    /// `torch.complex128`: two float64.
    C128,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Dtype; 21] = [
        Dtype::Bool,
        Dtype::U8,
        Dtype::I8,
        Dtype::U16,
        Dtype::I16,
        Dtype::U32,
        Dtype::I32,
        Dtype::U64,
        Dtype::I64,
        Dtype::F8_E4M3FN,
        Dtype::F8_E4M3FNUZ,
        Dtype::F8_E5M2,
        Dtype::F8_E5M2FNUZ,
        Dtype::F8_E8M0FNU,
        Dtype::F16,
        Dtype::BF16,
        Dtype::F32,
        Dtype::F64,
        Dtype::C32,
        Dtype::C64,
        Dtype::C128,
    ];

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Dtype::Bool | Dtype::U8 | Dtype::I8 => 1,
            Dtype::F8_E4M3FN | Dtype::F8_E4M3FNUZ => 1,
            Dtype::F8_E5M2 | Dtype::F8_E5M2FNUZ | Dtype::F8_E8M0FNU => 1,
            Dtype::U16 | Dtype::I16 | Dtype::F16 | Dtype::BF16 => 2,
            Dtype::U32 | Dtype::I32 | Dtype::F32 | Dtype::C32 => 4,
            Dtype::U64 | Dtype::I64 | Dtype::F64 | Dtype::C64 => 8,
            Dtype::C128 => 16,
        }
    }

    /// Whether elements are floating-point numbers of 16 bits or more: those that weights are computed
    /// with.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
    }

    /// The type of the real and of the imaginary part, which lie one behind the other; `None` where
    /// elements are real.
    pub fn part(self) -> Option<Self> {
        match self {
            Dtype::C32 => Some(Dtype::F16),
            Dtype::C64 => Some(Dtype::F32),
            Dtype::C128 => Some(Dtype::F64),
            _ => None,
        }
    }

    /// PyTorch's name, without `torch.`.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Bool => "bool",
            Dtype::U8 => "uint8",
            Dtype::I8 => "int8",
            Dtype::U16 => "uint16",
            Dtype::I16 => "int16",
            Dtype::U32 => "uint32",
            Dtype::I32 => "int32",
            Dtype::U64 => "uint64",
            Dtype::I64 => "int64",
            Dtype::F8_E4M3FN => "float8_e4m3fn",
            Dtype::F8_E4M3FNUZ => "float8_e4m3fnuz",
            Dtype::F8_E5M2 => "float8_e5m2",
            Dtype::F8_E5M2FNUZ => "float8_e5m2fnuz",
            Dtype::F8_E8M0FNU => "float8_e8m0fnu",
            Dtype::F16 => "float16",
            Dtype::BF16 => "bfloat16",
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
            Dtype::C32 => "complex32",
            Dtype::C64 => "complex64",
            Dtype::C128 => "complex128",
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
         a .safetensors, .npz or .npy file is wanted"
    )]
    Unknown,
    /// No bytes at all.
    #[error("it is empty: a file of tensors is wanted")]
    Empty,
    /// A pickle by itself, not by `torch.save`.
    #[error(
        "a bare pickle, which torch.save did not write: load it in Python and save its tensors with \
         torch.save, its arrays with numpy.savez"
    )]
    BarePickle,
    /// `torch.save` before PyTorch 0.1.10.
    #[error(
        "a tar archive, such as torch.save wrote before PyTorch 0.1.10: load it with \
         torch.load(…, weights_only=False) and save it again with torch.save"
    )]
    Tar,
    /// `torch.save` before PyTorch 1.6.
    #[error("a damaged .pt file of the format before PyTorch 1.6: {0}")]
    Legacy(String),
    /// The zip layer.
    #[error("a damaged archive: {0}")]
    Zip(String),
    /// The pickle in it.
    #[error(transparent)]
    Pickle(#[from] pickle::PickleError),
    /// A zip archive of something else.
    #[error("not a file of tensors: {0}")]
    NotTensors(String),
    /// A file of tensors, but of a kind that is not read.
    #[error("{0}")]
    Unsupported(String),
    /// The safetensors layer.
    #[error("a damaged .safetensors file: {0}")]
    Safetensors(String),
    /// A tensor of a type that a format does not have; when one is written.
    #[error("{name} is of the type {dtype}, which {format} does not have")]
    NoType {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: Dtype,
        /// The format.
        format: &'static str,
    },
    /// A checkpoint of several dicts of tensors, of which none is the obvious one.
    #[error("it holds several dicts of tensors, and one must be chosen by its key: {}", shown(.keys))]
    Ambiguous {
        /// Their keys; the last may be an ellipsis.
        keys: Vec<String>,
    },
    /// There is no dict of tensors under a key.
    #[error("it holds no dict of tensors under the key {}{}", .key.escape_debug(), those(.keys))]
    NoSuchKey {
        /// The key.
        key: String,
        /// The keys that there are; the last may be an ellipsis.
        keys: Vec<String>,
    },
    /// An array of an `.npz` file cannot be read.
    #[error("an .npz file that cannot be read: {name}: {error}")]
    Npz {
        /// Name of the array.
        name: String,
        /// Why it cannot be read.
        error: NpyError,
    },
    /// The array of an `.npy` file cannot be read.
    #[error("an .npy file that cannot be read: {0}")]
    Npy(#[from] NpyError),
    /// Reading failed: a disk error, a file that ends early, a wrong checksum.
    #[error("it cannot be read")]
    Io(#[from] std::io::Error),
}

/// What there is instead of a key that is missing.
fn those(keys: &[String]) -> String {
    match keys {
        [] => "; its tensors stand under no key".into(),
        keys => format!("; there are some under {}", shown(keys)),
    }
}

/// Keys of a file, which may have any letters.
fn shown(keys: &[String]) -> String {
    keys.iter().map(|key| key.escape_debug().to_string()).collect::<Vec<_>>().join(", ")
}

/// The name of the tensor of a file that holds one without a name.
const SINGLE: &str = "tensor";
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
