//! What several commands take: threads, device, data set, weights.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use stitch::dataset::Dataset;
use stitch::dataset::source::{self, Found, Identity, Origin};
use stitch::libtorch::{self, cuda, threads};
use stitch::models::{self, Classifier, ModelEntry, names_of, weights};
use stitch::nn::{ForwardError, ScriptModule};
use stitch::report::figures::Normalize;
use stitch::run_folder::Claim;
use stitch::tensor_files::{FileKind, ReadError, Skipped, TensorFile, read_weights};
use stitch::train::Device;
use tch::Cuda;

use super::Console;
use crate::cli::{ComputeArgs, DataArgs, FigureArgs};
use crate::suggest::hinted;

/// Sets the threads and finds the device.
pub fn compute(args: &ComputeArgs) -> Result<tch::Device> {
    set_threads(args.threads())?;
    let device = args.device.unwrap_or(Device::Cpu);
    check_device(device)?;
    Ok(libtorch::device(device))
}

/// Sets the number of threads within what OpenMP allows, and returns it; `None` is libtorch's own choice.
pub fn set_threads(asked: Option<usize>) -> Result<usize> {
    threads::set(asked).context("--threads")
}

/// Refuses a GPU that is not there.
pub fn check_device(device: Device) -> Result<()> {
    let Device::Cuda(number) = device else { return Ok(()) };
    if let Err(error) = cuda::load() {
        bail!("--device cuda: this libtorch cannot compute on a GPU ({error}); use --device cpu");
    }
    let there = if Cuda::is_available() { Cuda::device_count() } else { 0 };
    if there <= number as i64 {
        let found = match there {
            0 => "libtorch finds no GPU here".into(),
            1 => "there is one GPU, cuda:0".into(),
            n => format!("there are {n} GPUs, cuda:0 to cuda:{}", n - 1),
        };
        bail!("--device cuda:{number}: {found}; use --device cpu or a GPU that is there");
    }
    Ok(())
}

impl FigureArgs {
    /// What the cells of confusion matrices say.
    pub fn normalize(&self) -> Normalize {
        if self.normalize { Normalize::Rows } else { Normalize::Counts }
    }
}

/// What `--force` and `--resume` make of a run that a folder holds.
pub fn claim(force: bool, resume: bool) -> Claim {
    match (force, resume) {
        (_, true) => Claim::Resume,
        (true, false) => Claim::Replace,
        (false, false) => Claim::New,
    }
}

/// Finds the data set's folder.
pub fn find(args: &DataArgs) -> Result<Found> {
    let data = args.data.as_deref();
    source::find(data).map_err(|error| match data {
        Some(folder) => hinted(folder, error),
        None => error.into(),
    })
}

/// Finds and reads all four files.
pub fn dataset(args: &DataArgs, console: Console) -> Result<Dataset> {
    let dataset = source::load(find(args)?)?;
    warn_of(&dataset.origin, console);
    Ok(dataset)
}

/// Says so when the files that were read are not the official ones.
pub fn warn_of(origin: &Origin, console: Console) {
    let directory = origin.found.directory.display();
    match origin.identity() {
        Identity::Official => {}
        Identity::Another => console.note(&format!(
            "note: {directory} is another data set in the format of Fashion-MNIST; \
             its classes are shown under Fashion-MNIST's names"
        )),
        Identity::Mixed => {
            let others: Vec<String> = (origin.files.iter().filter(|file| !file.official))
                .map(|file| file.path.display().to_string())
                .collect();
            console.note(&format!(
                "warning: {} is not the official file although others beside it are: \
                 damaged? `stitch data verify` tells more",
                others.join(", ")
            ));
        }
    }
}

/// Reads a weights file into the model that computes with them; warns of weights that are no numbers. Of a
/// checkpoint, `key` chooses which of its dicts holds them. A forward pass that the file has must be the
/// model's.
pub fn model(
    file: &Path,
    asked: Option<&'static ModelEntry>,
    key: Option<&str>,
    device: tch::Device,
    console: Console,
) -> Result<Classifier> {
    let (classifier, kind) = read(file, asked, key, device, console)?;
    if kind == FileKind::TorchScript {
        check_forward(file, &classifier)?;
    }
    Ok(classifier)
}

/// As [`model`], for its weights alone: a forward pass that the file has does not matter.
pub fn weights_of(
    file: &Path,
    asked: Option<&'static ModelEntry>,
    key: Option<&str>,
    device: tch::Device,
    console: Console,
) -> Result<Classifier> {
    read(file, asked, key, device, console).map(|(classifier, _)| classifier)
}

/// The model with the weights of a file, and the file's kind.
fn read(
    file: &Path,
    asked: Option<&'static ModelEntry>,
    key: Option<&str>,
    device: tch::Device,
    console: Console,
) -> Result<(Classifier, FileKind)> {
    let path = || file.display().to_string();
    if file.is_dir() {
        bail!("{} is a folder: a weights file is wanted, such as the state_dict.pt in it", path());
    }
    let mut tensors = weights_file(file, key)?;
    if tensors.kind() == FileKind::TorchScript && tensors.specs().is_empty() {
        bail!(
            "{} is a TorchScript file without named weights: torch.jit.freeze and optimize_for_inference \
             make them constants of its code. Save the module as it was before",
            path()
        );
    }
    // By names and shapes, before anything is read into memory.
    let recognised = weights::identify(tensors.specs(), asked).with_context(path)?;
    if let (Some(found), None) = (tensors.key(), key) {
        console.note(&format!(
            "note: {}: the weights are those under {}",
            path(),
            found.escape_debug()
        ));
    }
    if !tensors.skipped().is_empty() {
        let skipped = Skipped::summary(tensors.skipped());
        console.note(&format!("note: {}: skipped {skipped}", path()));
    }
    if !recognised.renaming.prefix().is_empty() {
        console.note(&format!("note: {}: {}", path(), recognised.renaming));
    }
    let kind = tensors.kind();
    let tensors = tensors.load_all().with_context(path)?;
    let classifier = weights::from_named(&tensors, asked, device).with_context(path)?;
    if let Some(parameter) = classifier.model.first_not_finite() {
        console.note(&format!("warning: {}: {parameter} holds NaN or infinity", path()));
    }
    Ok((classifier, kind))
}

/// Opens a file of tensors; `key` is what `--key` says.
fn weights_file(file: &Path, key: Option<&str>) -> Result<TensorFile<BufReader<File>>> {
    let path = || file.display().to_string();
    TensorFile::open_key(BufReader::new(open_plain(file)?), key).map_err(|error| match &error {
        ReadError::Ambiguous { keys } => {
            let first = keys.first().map_or("", |key| key).escape_debug();
            anyhow!("{}: {error}. Choose with --key, such as --key {first}", path())
        }
        ReadError::NoSuchKey { .. } => anyhow!("--key: {}: {error}", path()),
        _ => Error::from(error).context(path()),
    })
}

/// Refuses a TorchScript file whose forward pass is not the model's, or cannot be compared with it.
fn check_forward(file: &Path, classifier: &Classifier) -> Result<()> {
    let path = file.display();
    let Classifier { entry, model } = classifier;
    let module = ScriptModule::read(BufReader::new(open_plain(file)?));
    let module = module.with_context(|| path.to_string())?;
    let compared = module.has_forward().and_then(|has_forward| match has_forward {
        true => model.graph().compare_forward(&module, model.kind()),
        // What tch's VarStore saves has none.
        false => Ok(()),
    });
    let Err(error) = compared else { return Ok(()) };
    let what = match error {
        ForwardError::NotFollowed(_) => format!("cannot be compared with that of {entry}"),
        _ => format!("is not that of {entry}"),
    };
    bail!(
        "{path}: the forward pass of this TorchScript file {what}: {error}. stitch computes forward passes \
         of its own models only. Run the file in PyTorch; or, to compute {entry} with its weights, write \
         them to a file without a forward pass: stitch export {path} --format state-dict --output FILE"
    )
}

/// Opens a file that can be read more than once, and has an end.
fn open_plain(file: &Path) -> Result<File> {
    let path = || format!("{} cannot be read", file.display());
    let metadata = fs::metadata(file).with_context(path);
    let is_plain = metadata.map_err(|error| hinted(file, error))?.is_file();
    ensure!(is_plain, "{} is not a plain file: save it as one first", file.display());
    File::open(file).with_context(path)
}

/// The content of a plain file of at most `longest` bytes.
pub fn read_short(file: &Path, longest: u64) -> Result<Vec<u8>> {
    let path = || format!("{} cannot be read", file.display());
    let mut bytes = Vec::new();
    // A byte more shows that it is too long, whatever the system says of its length.
    open_plain(file)?.take(longest + 1).read_to_end(&mut bytes).with_context(path)?;
    let fits = bytes.len() as u64 <= longest;
    ensure!(fits, "{} is larger than {longest} bytes: it is no file of a run", file.display());
    Ok(bytes)
}

/// The trained model that is built into the binary: the one asked for, or the default.
pub fn shipped(asked: Option<&'static ModelEntry>, device: tch::Device) -> Result<Classifier> {
    let entry = asked.or_else(models::default_for_predict);
    let entry = entry.context("no trained weights are built in: give a weights file first")?;
    let Some(bytes) = entry.shipped else {
        bail!(
            "--model {entry}: no trained weights of it are built in (there are those of: {}). Give a \
             weights file first",
            names_of(models::shipped())
        );
    };
    let tensors = read_weights(bytes).with_context(|| format!("the built-in {entry}"))?;
    Ok(weights::from_named(&tensors, Some(entry), device)?)
}
