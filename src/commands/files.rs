//! Files of weights as they are, without a network: opened, listed, read, with what is known about them.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Error, Result, anyhow, ensure};
use stitch::dataset::ImageShape;
use stitch::nn::Graph;
use stitch::run_folder::{self, CONFIG, MAX_FILE, RunConfig, WEIGHTS, read_regular};
use stitch::stitch_run::{ImageSize, Normalize};
use stitch::tensor_files::{
    Dtype, FileKind, Metadata, NamedTensor, ReadError, Renaming, Skipped, TensorFile,
};
use stitch::torchscript_forward::{ForwardError, ScriptModule};

use super::Console;
use super::shell::quoted;
use crate::suggest::hinted;

/// An open file of tensors.
pub type Opened = TensorFile<BufReader<File>>;

/// Opens a file of tensors; `key` is the value of `--key`.
pub fn weights_file(file: &Path, key: Option<&str>) -> Result<Opened> {
    let opened = TensorFile::open_key(BufReader::new(open_regular(file)?), key);
    opened.map_err(|error| tensors_error(file, error))
}

/// The error about a file of tensors that cannot be opened.
pub fn tensors_error(file: &Path, error: ReadError) -> Error {
    let path = file.display();
    match &error {
        ReadError::Ambiguous { keys, .. } => {
            let first = quoted(keys.first().map_or("", |key| key).as_ref());
            anyhow!("{path}: {error}. Choose with --key, such as --key {first}")
        }
        ReadError::NoSuchKey { .. } => {
            anyhow!("--key: {path}: {error}")
        }
        _ => Error::from(error).context(path.to_string()),
    }
}

/// Opens a regular file: a pipe cannot be read twice, and a device may have no end.
pub fn open_regular(file: &Path) -> Result<File> {
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

/// Refuses a TorchScript file whose weights are constants.
pub fn check_named(file: &Path, tensors: &Opened) -> Result<()> {
    ensure!(
        tensors.kind() != FileKind::TorchScript || !tensors.specs().is_empty(),
        "{} is a TorchScript file without named weights: torch.jit.freeze and optimize_for_inference turn them into \
         constants. Save the module before these calls",
        file.display()
    );
    Ok(())
}

/// The tensors of a weights file; prints a note about what is skipped.
pub fn tensors(file: &Path, key: Option<&str>, console: Console) -> Result<Vec<NamedTensor>> {
    let mut opened = weights_file(file, key)?;
    check_named(file, &opened)?;
    note_contents(file, key, &opened, console);
    opened.load_all().with_context(|| file.display().to_string())
}

/// Prints which dict of a checkpoint is used, unless it is that of `key`, and what is skipped. Skipped tensors beside the
/// dict may be weights.
pub fn note_contents(file: &Path, key: Option<&str>, opened: &Opened, console: Console) {
    let file = file.display();
    if let Some(found) = opened.key().filter(|found| key != Some(found)) {
        let found = found.escape_debug();
        console.note(&format!("note: {file}: using the weights with the key {found}"));
    }
    let (tensors, others): (Vec<Skipped>, Vec<Skipped>) =
        opened.skipped().iter().cloned().partition(Skipped::is_tensor);
    if !tensors.is_empty() {
        let skipped = Skipped::summary(&tensors);
        console
            .note(&format!("warning: {file}: skipped tensors that are not in the dict: {skipped}"));
    }
    if !others.is_empty() {
        let skipped = Skipped::summary(&others);
        console.note(&format!("note: {file}: skipped {skipped}"));
    }
}

/// Compares the forward pass of a TorchScript file with that of a known network, whose parameters have the type `dtype`.
pub fn compare_forward(
    file: &Path,
    graph: &Graph,
    dtype: Dtype,
) -> Result<Result<(), ForwardError>> {
    let module = ScriptModule::read(BufReader::new(open_regular(file)?));
    let module = module.with_context(|| file.display().to_string())?;
    Ok(module.has_forward().and_then(|has_forward| match has_forward {
        true => graph.compare_forward(&module, dtype),
        // tch's VarStore saves modules without a forward pass.
        false => Ok(()),
    }))
}

/// The metadata of the weights in `file`: its own, or that of the `weights.safetensors` beside it if it has the same bits.
pub fn metadata(file: &Path, tensors: &[NamedTensor]) -> Option<Metadata> {
    let beside = file.with_file_name(run_folder::SAFETENSORS);
    [file, &beside].into_iter().find_map(|path| metadata_of(path, tensors))
}

/// The metadata of a file, if it has metadata and exactly these tensors.
fn metadata_of(path: &Path, tensors: &[NamedTensor]) -> Option<Metadata> {
    let mut file = TensorFile::open(BufReader::new(open_regular(path).ok()?)).ok()?;
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

/// The normalization of the images for the weights in a file, from its metadata or the `config.json` of its run folder;
/// `None` if neither tells it.
pub fn known_normalize(file: &Path) -> Result<Option<Normalize>> {
    let opened = open_regular(file).ok().and_then(|it| TensorFile::open(BufReader::new(it)).ok());
    let metadata = opened.map(|file| file.metadata().clone()).unwrap_or_default();
    let of_metadata = RunConfig::normalize_of(&metadata);
    let of_metadata = of_metadata.with_context(|| format!("the metadata of {}", file.display()))?;
    Ok(of_metadata.or_else(|| Some(config_of(file)?.settings.normalize)))
}

/// The `config.json` of the run folder that a file of weights is in; `None` if it is in none.
pub fn config_of(file: &Path) -> Option<RunConfig> {
    let is_of_run = file.file_name().is_some_and(|name| WEIGHTS.iter().any(|it| name == *it));
    let bytes = is_of_run.then(|| read_regular(&file.with_file_name(CONFIG), MAX_FILE).ok());
    RunConfig::read(&bytes.flatten()?).ok()
}

/// The size of the images that the run of a file of weights trained on, unless it is 28x28 in gray or unknown.
pub fn known_shape(file: &Path) -> Option<ImageShape> {
    config_of(file)?.data.shape.map(|ImageSize(shape)| shape)
}
