//! Networks of TorchScript files as models: `stitch train model.pt`.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tensor_files::Dtype;

use crate::run_folder::read_regular;
use crate::sha256;

use super::{Defaults, Library, ModelEntry, ModelOptions};

/// Settings of a run that are not given. They are this port's choice.
const DEFAULTS: Defaults =
    Defaults { epochs: 5, batch_size: 64, lr: 1e-3, options: ModelOptions::NONE };

/// Whether a model's name is the path of a TorchScript file: it has a folder or an extension.
pub fn is_path(name: &str) -> bool {
    let path = Path::new(name);
    path.components().count() > 1 || path.extension().is_some()
}

/// Size of the largest TorchScript file of a network that is read, in bytes.
pub const MAX_NETWORK: u64 = 8 << 30;

/// The content of the TorchScript file at this path.
///
/// # Errors
/// A file that cannot be read or is larger than [`MAX_NETWORK`].
pub fn read(path: &str) -> io::Result<Vec<u8>> {
    read_regular(Path::new(path), MAX_NETWORK)
}

/// The SHA-256 of the TorchScript file at this path, in hex: the setting `model_sha256`.
///
/// # Errors
/// See [`read`].
pub fn sha256_of(path: &str) -> io::Result<String> {
    read(path).map(sha256::of)
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
