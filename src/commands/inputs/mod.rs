//! The inputs that commands share: data set, tensors, what is known about them; with libtorch, networks.

#[cfg(feature = "libtorch")]
mod networks;

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, ensure};
use serde_json::Value;
use stitch::dataset::classes::Classes;
use stitch::dataset::source::{self, FindError, Found, Identity, Origin};
use stitch::dataset::{Dataset, ImageShape};
use stitch::models::{ModelEntry, script};
use stitch::report::figures;
use stitch::run_folder::{self, CONFIG, Claim, MAX_FILE, RunConfig, WEIGHTS, read_regular};
use stitch::sha256;
use stitch::stitch_run::{ImageSize, Init, Normalize, json};
use stitch::tensor_files::{
    FileKind, Metadata, NamedTensor, ReadError, Renaming, Skipped, TensorFile,
};

#[cfg(feature = "libtorch")]
pub use networks::{
    built_in, compute, is_own_network, model, network, normalized, preprocessing, set_threads,
    weights_of,
};

use super::Console;
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

/// The tensors of a weights file; prints a note about what is skipped.
pub fn tensors(file: &Path, key: Option<&str>, console: Console) -> Result<Vec<NamedTensor>> {
    let path = || file.display().to_string();
    let mut opened = weights_file(file, key)?;
    check_named(file, &opened)?;
    if !opened.skipped().is_empty() {
        let skipped = Skipped::summary(opened.skipped());
        console.note(&format!("note: {}: skipped {skipped}", path()));
    }
    opened.load_all().with_context(path)
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

/// Refuses a TorchScript file whose weights are constants.
fn check_named(file: &Path, tensors: &TensorFile<BufReader<File>>) -> Result<()> {
    ensure!(
        tensors.kind() != FileKind::TorchScript || !tensors.specs().is_empty(),
        "{} is a TorchScript file without named weights: torch.jit.freeze and optimize_for_inference turn them into \
         constants. Save the module before these calls",
        file.display()
    );
    Ok(())
}

/// The metadata of the weights in `file`: its own, or that of the `weights.safetensors` beside it if it has the same bits.
pub fn metadata(file: &Path, tensors: &[NamedTensor]) -> Option<Metadata> {
    let beside = file.with_file_name(run_folder::SAFETENSORS);
    [file, &beside].into_iter().find_map(|path| metadata_of(path, tensors))
}

/// The metadata of a file, if it has metadata and exactly these tensors.
fn metadata_of(path: &Path, tensors: &[NamedTensor]) -> Option<Metadata> {
    let mut file = TensorFile::open(BufReader::new(File::open(path).ok()?)).ok()?;
    let metadata = file.metadata().clone();
    let found: Vec<&str> = file.specs().iter().map(|spec| &spec.name[..]).collect();
    let expected: Vec<&str> = tensors.iter().map(|tensor| &tensor.name[..]).collect();
    let renaming = Renaming::between(&found, &expected).filter(|_| !metadata.is_empty())?;
    let same = file.load_all().ok()?.into_iter().all(|tensor| match renaming.of(&tensor.name) {
        Some(name) => tensors.contains(&NamedTensor { name: name.into(), ..tensor.clone() }),
        None => true,
    });
    same.then_some(metadata)
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
    let bytes = read_limited(file, MAX_FILE).context("--init")?;
    let path =
        file.to_str().context("--init: the path is not UTF-8; config.json could not hold it")?;
    Ok(json::to_object(&Init { file: path.into(), sha256: sha256::of(bytes) }).into())
}

/// The normalization of the images for the weights in a file, from its metadata or the `config.json` of its run folder;
/// `None` if neither tells it.
pub fn known_normalize(file: &Path) -> Result<Option<Normalize>> {
    let opened = File::open(file).ok().and_then(|it| TensorFile::open(BufReader::new(it)).ok());
    let metadata = opened.map(|file| file.metadata().clone()).unwrap_or_default();
    let of_metadata = RunConfig::normalize_of(&metadata);
    let of_metadata = of_metadata.with_context(|| format!("the metadata of {}", file.display()))?;
    Ok(of_metadata.or_else(|| Some(config_of(file)?.settings.normalize)))
}

/// The `config.json` of the run folder that a file of weights is in; `None` if it is in none.
fn config_of(file: &Path) -> Option<RunConfig> {
    let is_of_run = file.file_name().is_some_and(|name| WEIGHTS.iter().any(|it| name == *it));
    let bytes = is_of_run.then(|| read_regular(&file.with_file_name(CONFIG), MAX_FILE).ok());
    RunConfig::read(&bytes.flatten()?).ok()
}

/// What to do if images of the assumed size do not suit a network.
pub const GIVE_IMAGE_SIZE: &str = "Give the size of its images with --image-size: HEIGHTxWIDTH for gray, HEIGHTxWIDTHx3 for color";

/// The size of the images that the run of a file of weights trained on, unless it is 28x28 in gray or unknown.
pub fn known_shape(file: &Path) -> Option<ImageShape> {
    config_of(file)?.data.shape.map(|ImageSize(shape)| shape)
}

/// Opens a file of tensors; `key` is the value of `--key`.
fn weights_file(file: &Path, key: Option<&str>) -> Result<TensorFile<BufReader<File>>> {
    let path = || file.display().to_string();
    TensorFile::open_key(BufReader::new(open_regular(file)?), key).map_err(|error| match &error {
        ReadError::Ambiguous { keys } => {
            let first = keys.first().map_or("", |key| key).escape_debug();
            anyhow!("{}: {error}. Choose with --key, such as --key {first}", path())
        }
        ReadError::NoSuchKey { .. } => anyhow!("--key: {}: {error}", path()),
        _ => Error::from(error).context(path()),
    })
}

/// Opens a regular file: a pipe cannot be read twice, and a device may have no end.
fn open_regular(file: &Path) -> Result<File> {
    let path = || format!("{} cannot be read", file.display());
    let metadata = fs::metadata(file).with_context(path);
    let is_regular = metadata.map_err(|error| hinted(file, error))?.is_file();
    ensure!(is_regular, "{} is not a regular file: save it as one first", file.display());
    File::open(file).with_context(path)
}

/// Reads a regular file of at most `limit` bytes.
pub fn read_limited(file: &Path, limit: u64) -> Result<Vec<u8>> {
    let path = || format!("{} cannot be read", file.display());
    let mut bytes = Vec::new();
    // One byte more than the limit shows that the file is too long; its metadata may be wrong.
    open_regular(file)?.take(limit + 1).read_to_end(&mut bytes).with_context(path)?;
    let fits = bytes.len() as u64 <= limit;
    ensure!(fits, "{} is larger than {limit} bytes, the most that is read", file.display());
    Ok(bytes)
}
