//! The inputs that commands share: data set, tensors, what is known about them; with libtorch, networks.

#[cfg(feature = "libtorch")]
mod networks;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use stitch::dataset::Dataset;
use stitch::dataset::classes::Classes;
use stitch::dataset::source::{self, FindError, Found, Identity, Origin};
use stitch::models::{ModelEntry, script};
use stitch::report::figures;
use stitch::run_folder::{self, Claim, MAX_FILE, RunConfig};
use stitch::sha256;
use stitch::stitch_run::{Init, json};
use stitch::tensor_files::NamedTensor;

#[cfg(feature = "libtorch")]
pub use networks::{
    built_in, compute, is_own_network, model, network, normalized, preprocessing, set_threads,
};

use super::Console;
pub use super::files::{known_shape, metadata, read_limited};
use crate::cli::{DataArgs, FigureArgs};
use crate::suggest::hinted;

impl FigureArgs {
    /// How the confusion matrix is normalized.
    pub fn normalize(&self) -> figures::Normalize {
        if self.normalize { figures::Normalize::Rows } else { figures::Normalize::Counts }
    }
}

/// How a run folder is claimed with these values of `--force` and `--resume`.
pub fn claim(force: bool, resume: bool) -> Claim {
    match (force, resume) {
        (_, true) => Claim::Resume,
        (true, false) => Claim::Replace,
        (false, false) => Claim::New,
    }
}

/// Finds the folder of the data set.
pub fn find(args: &DataArgs) -> Result<Found> {
    match args.data.as_deref() {
        Some(folder) => source::named(folder, "--data").map_err(|error| hinted(folder, error)),
        None => source::find(None).map_err(|error| match error {
            FindError::Nowhere(_) => {
                anyhow!(
                    "{error}. Download it with `stitch data fetch`, or give its folder with --data"
                )
            }
            error => error.into(),
        }),
    }
}

/// Finds and reads the data set.
pub fn dataset(args: &DataArgs, console: Console) -> Result<Dataset> {
    let dataset = source::load(find(args)?)?;
    warn_unofficial(&dataset.origin, &dataset.train.classes, console);
    Ok(dataset)
}

/// Prints a warning if the files are not the official ones.
pub fn warn_unofficial(origin: &Origin, classes: &Classes, console: Console) {
    let directory = origin.found.directory.display();
    match origin.identity() {
        Identity::Official => {}
        Identity::Another => {
            let named = *classes != Classes::numbered(classes.len());
            let names = match named {
                true => format!("the names in {}", source::CLASSES_FILE),
                false => format!("numbers (write their names to {})", source::CLASSES_FILE),
            };
            console.note(&format!(
                "note: {directory} is not Fashion-MNIST, but another data set; its {} classes have {names}",
                classes.len()
            ));
        }
        Identity::Mixed => {
            let others: Vec<String> = (origin.files.iter().filter(|file| !file.official))
                .map(|file| file.path.display().to_string())
                .collect();
            console.note(&format!(
                "warning: {} is not the official file, but other files of the data set are. It may be damaged: run \
                 `stitch data verify`",
                others.join(", ")
            ));
        }
    }
}

/// The SHA-256 of the file of a network.
///
/// # Errors
/// A file that cannot be read, with a similar path that exists.
pub fn network_sha256(model: &ModelEntry) -> Result<String> {
    let path = model.name;
    let sha256 = script::sha256_of(path).with_context(|| format!("{path} cannot be read"));
    sha256.map_err(|error| hinted(Path::new(path), error))
}

/// The TorchScript file with the same weights in the run folder of a weights file.
fn network_beside(file: &Path) -> Option<PathBuf> {
    let is_best = file.file_name()?.to_str()?.starts_with("best_");
    let network = if is_best { run_folder::BEST_TORCHSCRIPT } else { run_folder::TORCHSCRIPT };
    Some(file.with_file_name(network)).filter(|network| network != file && network.is_file())
}

/// The names of the classes of the weights in `file`: those of a `classes.txt` beside it, or in their metadata.
fn classes_of(file: &Path, tensors: &[NamedTensor]) -> Result<Option<Classes>> {
    /// Maximum size in bytes of a list of class names.
    const MAX_CLASSES: u64 = 1 << 20;
    let list = file.with_file_name(source::CLASSES_FILE);
    if list.exists() {
        let names = Classes::read(&read_limited(&list, MAX_CLASSES)?);
        return Ok(Some(names.with_context(|| list.display().to_string())?));
    }
    let names = metadata(file, tensors).map(|metadata| RunConfig::classes_of(&metadata));
    let names = names.transpose();
    Ok(names.with_context(|| format!("the metadata of {}", file.display()))?.flatten())
}

/// The setting `init` for a value of `--init`; null for `off`.
pub fn init(file: &Path) -> Result<Value> {
    if file == Path::new("off") {
        return Ok(Value::Null);
    }
    let bytes = read_limited(file, MAX_FILE)?;
    let path = file.to_str().context("the path is not UTF-8; config.json could not hold it")?;
    Ok(json::to_object(&Init { file: path.into(), sha256: sha256::of(bytes) }).into())
}

/// What to do if images of the assumed size do not suit a network.
pub const GIVE_IMAGE_SIZE: &str = "Give the size of its images with --image-size: HEIGHTxWIDTH for gray, HEIGHTxWIDTHx3 for color";
