//! The file formats that weights are written in, each an entry of one table.

use std::fmt;

use stitch_run::closest::UnknownName;
use tensor_files::{Metadata, NamedTensor, ReadError, npz, safetensors, state_dict};

use crate::nn::TraceError;
#[cfg(feature = "libtorch")]
use crate::{formats::onnx, nn::Model};

/// A file format of weights. Passed around as `&'static Format`; two are equal when their names are.
pub struct Format {
    /// The name on the command line: `state-dict`.
    pub name: &'static str,
    /// What reads it, in one line for `--help`.
    pub description: &'static str,
    /// The extensions of its files, without the dot.
    pub extensions: &'static [&'static str],
    /// Writes tensors with their names; `None` for a format that has a forward pass besides them.
    tensors: Option<WriteTensors>,
    /// Writes a network.
    #[cfg(feature = "libtorch")]
    forward: Option<fn(&Model) -> Result<Vec<u8>, ExportError>>,
}

/// Writes tensors with their names.
type WriteTensors = fn(&[NamedTensor], &Metadata) -> Result<Vec<u8>, ReadError>;

/// A model that a format cannot represent.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A tensor that does not fit its shape.
    #[error(transparent)]
    Tensors(#[from] ReadError),
    /// An operation without an ONNX form.
    #[error(transparent)]
    Onnx(#[from] TraceError),
}

/// Every format, in the order of `--help`.
pub static FORMATS: [Format; 5] = [
    Format {
        name: "state-dict",
        description: "torch.load(path) in Python",
        extensions: &["pt", "pth"],
        tensors: Some(|tensors, _| state_dict::write(tensors)),
        #[cfg(feature = "libtorch")]
        forward: None,
    },
    Format {
        name: "torchscript",
        description: "torch.jit.load(path) in Python and torch::jit::load in C++: parameters and forward",
        extensions: &["pt", "pth"],
        tensors: None,
        #[cfg(feature = "libtorch")]
        forward: Some(|model| Ok(model.torchscript()?)),
    },
    Format {
        name: "safetensors",
        description: "safetensors.torch.load_file(path), and readers in most languages",
        extensions: &["safetensors"],
        tensors: Some(|tensors, metadata| safetensors::write(tensors, metadata)),
        #[cfg(feature = "libtorch")]
        forward: None,
    },
    Format {
        name: "npz",
        description: "numpy.load(path)",
        extensions: &["npz"],
        tensors: Some(|tensors, _| npz::write(tensors)),
        #[cfg(feature = "libtorch")]
        forward: None,
    },
    Format {
        name: "onnx",
        description: "onnxruntime.InferenceSession(path), and runtimes in most languages: parameters and forward",
        extensions: &["onnx"],
        tensors: None,
        #[cfg(feature = "libtorch")]
        forward: Some(|model| Ok(onnx::write(model.class(), &model.onnx()?, &model.state_dict()))),
    },
];

impl Format {
    /// The format of that name.
    ///
    /// # Errors
    /// [`UnknownName`], which lists the formats.
    pub fn named(name: &str) -> Result<&'static Self, UnknownName> {
        let found = FORMATS.iter().find(|format| format.name == name);
        let names = FORMATS.iter().map(|format| format.name);
        found.ok_or_else(|| UnknownName::new("format", name, names))
    }

    /// The formats whose files have that extension, in lower case.
    pub fn of_extension(extension: &str) -> Vec<&'static Self> {
        FORMATS.iter().filter(|format| format.extensions.contains(&extension)).collect()
    }

    /// Whether a file has a forward pass besides the weights.
    pub fn has_forward(&self) -> bool {
        self.tensors.is_none()
    }

    /// The bytes of a file with the weights of `model`; `metadata` is stored by formats that support it.
    ///
    /// # Errors
    /// [`ExportError`].
    #[cfg(feature = "libtorch")]
    pub fn write(&self, model: &Model, metadata: &Metadata) -> Result<Vec<u8>, ExportError> {
        match (self.tensors, self.forward) {
            (Some(write), _) => Ok(write(&model.state_dict(), metadata)?),
            (None, Some(write)) => write(model),
            (None, None) => unreachable!("a format writes tensors or a network"),
        }
    }

    /// The bytes of a file with these tensors; `None` if the format needs a forward pass.
    ///
    /// # Errors
    /// [`ReadError`] for a tensor that does not fit its shape or that the format cannot hold.
    pub fn write_tensors(
        &self,
        tensors: &[NamedTensor],
        metadata: &Metadata,
    ) -> Option<Result<Vec<u8>, ReadError>> {
        self.tensors.map(|write| write(tensors, metadata))
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Format({:?})", self.name)
    }
}
