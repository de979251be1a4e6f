//! Networks of TorchScript files as models: `stitch train model.pt`.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tch::Device;
use tensor_files::Dtype;

use super::{Defaults, Library, ModelEntry, ModelOptions};
use crate::dataset::ImageShape;
use crate::nn::{Model, ScriptError};
use crate::run_folder::read_regular;
use crate::sha256;

/// Size of the largest file that is read, in bytes.
pub const MAX_NETWORK: u64 = 8 << 30;

/// Settings of a run that are not given. They are this port's choice.
const DEFAULTS: Defaults =
    Defaults { epochs: 5, batch_size: 64, lr: 1e-3, options: ModelOptions::NONE };

/// A TorchScript file whose network cannot be used; the first field is its path.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{0} cannot be read: {1}")]
    Read(String, std::io::Error),
    /// It is not the file of the run: its SHA-256, and that of the run's file.
    #[error("{0} has the SHA-256 {1}, but that of the run is {2}: the file has changed")]
    Changed(String, String, String),
    /// Its network cannot be used.
    #[error("{0}: {1}")]
    Network(String, ScriptError),
}

/// Whether a model's name is the path of a TorchScript file: it has a folder or the extension `pt` or `pth`.
pub fn is_path(name: &str) -> bool {
    let path = Path::new(name);
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.components().count() > 1 || extension.is_some_and(|it| ["pt", "pth"].contains(&it))
}

/// The entry of the TorchScript file at this path. The file is not read.
pub fn entry(path: &str) -> &'static ModelEntry {
    /// Entries that were asked for. Each lives as long as the process, like those of the registry.
    static ENTRIES: Mutex<Vec<&'static ModelEntry>> = Mutex::new(Vec::new());
    let mut entries = ENTRIES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(entry) = entries.iter().find(|entry| entry.name == path) {
        return entry;
    }
    let leaked = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let stem = Path::new(path).file_stem().unwrap_or_default().to_string_lossy();
    let entry = ModelEntry {
        name: leaked(path),
        class: "Module",
        title: leaked(&stem),
        article: "",
        description: "the network of a TorchScript file",
        structure: "A network of a TorchScript file",
        build: None,
        input: &[],
        dtype: Dtype::F32,
        library: Library::PyTorch,
        defaults: DEFAULTS,
        paper: None,
        is_future_work: false,
        shipped: None,
    };
    let entry: &'static ModelEntry = Box::leak(Box::new(entry));
    entries.push(entry);
    entry
}

/// Loads the network of a file for images of this size. With `expected`, the file must have that SHA-256.
///
/// # Errors
/// [`FileError`].
pub fn load(
    path: &str,
    expected: Option<&str>,
    shape: ImageShape,
    device: Device,
) -> Result<Model, FileError> {
    let bytes = read(path)?;
    if let Some(expected) = expected {
        let found = sha256::of(&bytes);
        if found != expected {
            return Err(FileError::Changed(path.into(), found, expected.into()));
        }
    }
    from_bytes(path, &bytes, shape, device)
}

/// The SHA-256 of a file, in hex.
///
/// # Errors
/// [`FileError::Read`].
pub fn sha256_of(path: &str) -> Result<String, FileError> {
    Ok(sha256::of(read(path)?))
}

/// The network of a file with these bytes.
///
/// # Errors
/// [`FileError::Network`].
pub fn from_bytes(
    path: &str,
    bytes: &[u8],
    shape: ImageShape,
    device: Device,
) -> Result<Model, FileError> {
    let sizes = shape.sizes().map(|size| size as i64);
    let model = Model::of_torchscript(bytes, &sizes, device);
    model.map_err(|error| FileError::Network(path.into(), error))
}

fn read(path: &str) -> Result<Vec<u8>, FileError> {
    read_regular(Path::new(path), MAX_NETWORK).map_err(|error| FileError::Read(path.into(), error))
}
