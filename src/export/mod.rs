//! The file formats that weights are written in, each an entry of one table, and the changes of tensors on the way.

#[cfg(feature = "libtorch")]
mod forward;
mod rule_error;
mod rules;

use std::fmt;

#[cfg(feature = "libtorch")]
pub use forward::ExportError;
pub use rule_error::RuleError;
pub use rules::{DtypeRule, Rename, Rules, Transpose};
use stitch_run::closest::UnknownName;
use tensor_files::{Metadata, NamedTensor, ReadError, npy, npz, safetensors, state_dict};

/// A file format of weights. Passed around as `&'static Format`; two are equal when their names are.
pub struct Format {
    /// The name on the command line: `state-dict`.
    pub name: &'static str,
    /// What reads it, in one line for `--help`.
    pub description: &'static str,
    /// The extensions of its files, without the dot.
    pub extensions: &'static [&'static str],
    write: Write,
}

/// What a format writes.
enum Write {
    /// Tensors with their names.
    Tensors(fn(&[NamedTensor], &Metadata) -> Result<Vec<u8>, ReadError>),
    /// A forward pass besides the tensors.
    Forward(Forward),
}

/// A format with a forward pass.
#[derive(Debug, Clone, Copy)]
enum Forward {
    TorchScript,
    Onnx,
}

/// Every format, in the order of `--help`.
pub static FORMATS: [Format; 6] = [
    Format {
        name: "state-dict",
        description: "torch.load(path) in Python",
        extensions: &["pt", "pth"],
        write: Write::Tensors(|tensors, _| state_dict::write(tensors)),
    },
    Format {
        name: "torchscript",
        description: "torch.jit.load(path) in Python and torch::jit::load in C++: parameters and forward",
        extensions: &["pt", "pth"],
        write: Write::Forward(Forward::TorchScript),
    },
    Format {
        name: "safetensors",
        description: "safetensors.torch.load_file(path), and readers in most languages",
        extensions: &["safetensors"],
        write: Write::Tensors(|tensors, metadata| safetensors::write(tensors, metadata)),
    },
    Format {
        name: "npz",
        description: "numpy.load(path)",
        extensions: &["npz"],
        write: Write::Tensors(|tensors, _| npz::write(tensors)),
    },
    Format {
        name: "npy",
        description: "numpy.load(path): one array, without a name",
        extensions: &["npy"],
        write: Write::Tensors(|tensors, _| match tensors {
            [one] => npy::write(one),
            _ => Err(ReadError::Unsupported(format!(
                "an .npy file holds exactly one tensor, and these are {}: write an .npz file",
                tensors.len()
            ))),
        }),
    },
    Format {
        name: "onnx",
        description: "onnxruntime.InferenceSession(path), and runtimes in most languages: parameters and forward",
        extensions: &["onnx"],
        write: Write::Forward(Forward::Onnx),
    },
];

impl Format {
    /// The names of the formats that hold tensors of any names: all without a forward pass.
    pub fn of_tensors() -> impl Iterator<Item = &'static str> {
        FORMATS.iter().filter(|format| !format.has_forward()).map(|format| format.name)
    }

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
        matches!(self.write, Write::Forward(_))
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
        match self.write {
            Write::Tensors(write) => Some(write(tensors, metadata)),
            Write::Forward(_) => None,
        }
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
