//! The error of readers and writers.

use super::{Dtype, NpyError, PickleError};

/// A file of tensors that cannot be read or written. The caller adds the path.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The format is not known.
    #[error(
        "not a file of tensors that can be read: a state_dict or TorchScript archive (.pt), a .safetensors, \
         .npz or .npy file is expected"
    )]
    Unknown,
    /// The file has no bytes.
    #[error("it is empty: a file of tensors is expected")]
    Empty,
    /// The file is a pickle that `torch.save` did not write.
    #[error(
        "a bare pickle, which torch.save did not write: load it in Python and save its tensors with \
         torch.save, its arrays with numpy.savez"
    )]
    BarePickle,
    /// The file is a tar archive, the format of `torch.save` before PyTorch 0.1.10.
    #[error(
        "a tar archive, such as torch.save wrote before PyTorch 0.1.10: load it with \
         torch.load(…, weights_only=False) and save it again with torch.save"
    )]
    Tar,
    /// A `.pt` file of the format before PyTorch 1.6 is damaged: how.
    #[error("a damaged .pt file of the format before PyTorch 1.6: {0}")]
    Legacy(String),
    /// The zip archive is damaged, ambiguous or cannot be built: how.
    #[error("a damaged archive: {0}")]
    Zip(String),
    /// The pickle of a `.pt` file is damaged or refused.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// The file is of a known format, but holds no tensors: what it holds.
    #[error("not a file of tensors: {0}")]
    NotTensors(String),
    /// The file or a tensor in it has a property that is not supported.
    #[error("{0}")]
    Unsupported(String),
    /// A safetensors file is damaged or cannot be built: how.
    #[error("a damaged .safetensors file: {0}")]
    Safetensors(String),
    /// When writing: the format has no such element type.
    #[error("{} is of the type {dtype}, which {format} does not have", .name.escape_debug())]
    NoType {
        /// Name of the tensor.
        name: String,
        /// Element type of the tensor.
        dtype: Dtype,
        /// Name of the format.
        format: &'static str,
    },
    /// When writing: a tensor whose name the readers of the format cannot find, or take for another one.
    #[error("{} cannot be the name of a tensor in {format}: {why}", shortened(.name))]
    Name {
        /// Name of the tensor.
        name: String,
        /// Name of the format.
        format: &'static str,
        /// Why.
        why: String,
    },
    /// When writing: the number of bytes of a tensor is not that of its shape and type.
    #[error(
        "{} has {found} bytes of data, where its shape and type need {expected}",
        .name.escape_debug()
    )]
    Length {
        /// Name of the tensor.
        name: String,
        /// Number of bytes of its data.
        found: usize,
        /// Number of bytes of its shape and type; `usize::MAX` if that is larger.
        expected: usize,
    },
    /// A checkpoint holds several dicts of tensors: [`TensorFile::open_key`](crate::TensorFile::open_key) chooses one.
    #[error("it holds several dicts of tensors, and one must be chosen by its key: {}", shown(.keys, *.more))]
    Ambiguous {
        /// Keys of the first 1,000 dicts.
        keys: Vec<String>,
        /// How many more there are.
        more: usize,
    },
    /// A checkpoint holds no dict of tensors under the requested key.
    #[error("it holds no dict of tensors under the key {}{}", .key.escape_debug(), those(.keys, *.more))]
    NoSuchKey {
        /// The key that the caller asked for: `model` or `generator.ema`.
        key: String,
        /// Keys of the first 1,000 dicts of tensors.
        keys: Vec<String>,
        /// How many more there are.
        more: usize,
    },
    /// Several dicts of tensors have the requested key: a key with a dot, and a key in a dict, look alike.
    #[error(
        "{count} dicts of tensors have the key {}, since a key with a dot looks like a key in a dict: give one of them \
         another key in Python, and save the file again with torch.save",
        .key.escape_debug()
    )]
    SameKey {
        /// The key that the caller asked for.
        key: String,
        /// How many dicts there are.
        count: usize,
    },
    /// An array of an `.npz` file cannot be read.
    #[error("an .npz file that cannot be read: {}: {error}", .name.escape_debug())]
    Npz {
        /// Name of the array.
        name: String,
        /// Why it cannot be read.
        error: NpyError,
    },
    /// The array of an `.npy` file cannot be read.
    #[error("an .npy file that cannot be read: {0}")]
    Npy(NpyError),
    /// Reading failed: an I/O error, a file that ends too early, a wrong checksum.
    #[error("it cannot be read")]
    Io(#[from] std::io::Error),
}

// Not `#[from]`, which makes it the source, too, whose message would follow a second time.
impl From<NpyError> for ReadError {
    fn from(error: NpyError) -> Self {
        Self::Npy(error)
    }
}

/// A name for a message, cut if it is long.
fn shortened(name: &str) -> String {
    const SHOWN: usize = 100;
    let shown: String = name.chars().take(SHOWN).collect();
    let more = if shown.len() < name.len() { "…" } else { "" };
    format!("{}{more}", shown.escape_debug())
}

/// The keys that there are instead of a missing one, for a message.
fn those(keys: &[String], more: usize) -> String {
    match keys {
        [] => "; its tensors are under no key".into(),
        keys => format!("; there are some under {}", shown(keys, more)),
    }
}

/// The first keys for a message; they are from the file and may hold any characters.
fn shown(keys: &[String], more: usize) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> =
        keys.iter().take(SHOWN).map(|key| key.escape_debug().to_string()).collect();
    let more = keys.len() - shown.len() + more;
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
