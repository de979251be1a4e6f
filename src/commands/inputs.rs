//! The inputs that commands share: threads, device, data set, weights.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use serde_json::Value;
use stitch::dataset::classes::Classes;
use stitch::dataset::picture::Preprocessing;
use stitch::dataset::source::{self, FindError, Found, Identity, Origin};
use stitch::dataset::{Dataset, ImageShape};
use stitch::libtorch::{self, cuda, threads};
use stitch::models::{self, Classifier, Library, ModelEntry, ModelOptions, names_of, weights};
use stitch::nn::{ForwardError, Model, ScriptModule};
use stitch::report::figures;
use stitch::run::{self, MAX_NETWORK};
use stitch::run_folder::{self, CONFIG, Claim, MAX_FILE, RunConfig, WEIGHTS, read_regular};
use stitch::sha256;
use stitch::stitch_run::{ImageSize, Init, Normalize, json};
use stitch::tensor_files::{
    FileKind, Metadata, NamedTensor, ReadError, Renaming, Skipped, TensorFile, read_weights,
};
use stitch::train::Device;

use super::Console;
use crate::cli::{ComputeArgs, DataArgs, FigureArgs};
use crate::suggest::hinted;

/// Sets the number of threads, and returns the device to compute on.
pub fn compute(args: &ComputeArgs) -> Result<tch::Device> {
    set_threads(args.threads())?;
    let device = args.device.unwrap_or(Device::Cpu);
    cuda::check(device).context("--device")?;
    Ok(libtorch::device(device))
}

/// Sets the number of threads, and returns it; `None` is libtorch's own choice. OpenMP's limit must allow it.
pub fn set_threads(threads: Option<usize>) -> Result<usize> {
    threads::set(threads).context("--threads")
}

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

/// Reads a weights file into a model; prints a warning if weights are NaN or infinite. `key` selects the dict of
/// weights in a checkpoint. A forward pass in the file must be that of the model.
pub fn model(
    file: &Path,
    entry: Option<&'static ModelEntry>,
    key: Option<&str>,
    device: tch::Device,
    console: Console,
) -> Result<Classifier> {
    let (classifier, kind) = read(file, entry, key, device, console)?;
    if kind == FileKind::TorchScript {
        check_forward(file, &classifier)?;
    }
    Ok(classifier)
}

/// A model of the registry with its weights, or the network of a TorchScript file.
pub enum Network {
    Known(Classifier),
    /// Path and content of the file.
    File(String, Vec<u8>),
}

impl Network {
    /// The classifier for images of this size.
    pub fn for_images(self, shape: ImageShape, device: tch::Device) -> Result<Classifier> {
        let (path, bytes) = match self {
            Self::Known(classifier) => return Ok(classifier),
            Self::File(path, bytes) => (path, bytes),
        };
        let sizes = shape.sizes().map(|size| size as i64);
        let model = Model::of_torchscript(&bytes, &sizes, device).with_context(|| path.clone())?;
        let classes = classes_of(Path::new(&path), &model.state_dict())?;
        let (entry, options) = (models::script::entry(&path), ModelOptions::NONE);
        Ok(Classifier { entry, options, model, classes })
    }
}

/// As [`model`], but a TorchScript file that is not one of the registry's models is a network of its own, unless a model is
/// requested.
pub fn network(
    file: &Path,
    entry: Option<&'static ModelEntry>,
    key: Option<&str>,
    device: tch::Device,
    console: Console,
) -> Result<Network> {
    if entry.is_none() && is_own_network(file, key, console) {
        let bytes = read_limited(file, MAX_NETWORK)?;
        return Ok(Network::File(file.display().to_string(), bytes));
    }
    model(file, entry, key, device, console).map(Network::Known)
}

/// Whether a file is a TorchScript file whose weights or forward pass are not those of a model of the registry. Prints a note
/// if the weights could be those of one.
pub fn is_own_network(file: &Path, key: Option<&str>, console: Console) -> bool {
    let Ok(mut tensors) = weights_file(file, key) else { return false };
    if tensors.kind() != FileKind::TorchScript {
        return false;
    }
    let known = weights::identify(tensors.specs(), None).ok().and_then(|_| {
        let tensors = tensors.load_all().ok()?;
        weights::from_named(&tensors, None, tch::Device::Cpu).ok()
    });
    let Some(known) = known else { return true };
    let differs = match compare_forward(file, &known) {
        Ok(compared) => compared.err(),
        // The error of reading it is that of `model`.
        Err(_) => return false,
    };
    if let Some(error) = &differs {
        console.note(&format!(
            "note: {}: a network of its own: its forward pass is not that of {}: {error}",
            file.display(),
            known.entry
        ));
    }
    differs.is_some()
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

/// As [`model`], but ignores a forward pass in the file.
pub fn weights_of(
    file: &Path,
    entry: Option<&'static ModelEntry>,
    key: Option<&str>,
    device: tch::Device,
    console: Console,
) -> Result<Classifier> {
    read(file, entry, key, device, console).map(|(classifier, _)| classifier)
}

/// Reads a weights file into a model, and returns the file's kind too.
fn read(
    file: &Path,
    entry: Option<&'static ModelEntry>,
    key: Option<&str>,
    device: tch::Device,
    console: Console,
) -> Result<(Classifier, FileKind)> {
    let path = || file.display().to_string();
    if file.is_dir() {
        bail!("{} is a folder: give a weights file, such as the torchscript.pt in it", path());
    }
    let mut tensors = weights_file(file, key)?;
    check_named(file, &tensors)?;
    // Identified by names and shapes before the tensors are read into memory.
    let identified = weights::identify(tensors.specs(), entry).map_err(|error| {
        let network = network_beside(file).map_or(String::new(), |network| {
            format!(". The network of these weights is in {}: give that file", network.display())
        });
        anyhow!("{}: {error}{network}", path())
    })?;
    if let (Some(found), None) = (tensors.key(), key) {
        console.note(&format!(
            "note: {}: using the weights with the key {}",
            path(),
            found.escape_debug()
        ));
    }
    if !tensors.skipped().is_empty() {
        let skipped = Skipped::summary(tensors.skipped());
        console.note(&format!("note: {}: skipped {skipped}", path()));
    }
    if !identified.renaming.prefix().is_empty() {
        console.note(&format!("note: {}: {}", path(), identified.renaming));
    }
    let kind = tensors.kind();
    let tensors = tensors.load_all().with_context(path)?;
    let mut classifier = weights::from_named(&tensors, entry, device).with_context(path)?;
    classifier.classes = classes_of(file, &classifier.model.state_dict())?;
    if let Some(parameter) = classifier.model.first_not_finite() {
        console.note(&format!("warning: {}: {parameter} contains NaN or infinity", path()));
    }
    Ok((classifier, kind))
}

/// The SHA-256 of the file of a network.
///
/// # Errors
/// A file that cannot be read, with a similar path that exists.
pub fn network_sha256(model: &ModelEntry) -> Result<String> {
    run::network_sha256(model.name).map_err(|error| hinted(Path::new(model.name), error))
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
    let bytes = read_limited(file, MAX_FILE)?;
    let path = file.to_str().context("the path is not UTF-8; config.json could not hold it")?;
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

/// How images are preprocessed for the weights in a file: like Fashion-MNIST's for a model of the registry whose classes are
/// those of Fashion-MNIST or unknown, and for another network if its run trained on the official files; else as an import
/// does.
pub fn preprocessing(classifier: &Classifier, file: &Path, invert: bool) -> Preprocessing {
    let is_fashion_mnist = match classifier.entry.is_script() {
        true => {
            let is_gray = classifier.image_shape().channels == 1;
            is_gray && config_of(file).is_some_and(|config| config.data.official)
        }
        false => classifier.classes.as_ref().is_none_or(|it| *it == Classes::fashion_mnist()),
    };
    if is_fashion_mnist { Preprocessing::FashionMnist { invert } } else { Preprocessing::Scale }
}

/// The classifier of the weights in a file, for images with the normalization of its run or that of `--normalize`; prints a
/// note if it is unknown.
pub fn normalized(
    classifier: Classifier,
    file: &Path,
    given: Option<&Normalize>,
    console: Console,
) -> Result<Classifier> {
    let entry = classifier.entry;
    if entry.library == Library::ScikitLearn {
        let is_none = given.is_none_or(Normalize::is_none);
        ensure!(is_none, "--normalize: {entry} takes images that are not normalized");
        return Ok(classifier);
    }
    let known = match given {
        Some(normalize) => Some(normalize.clone()),
        None => known_normalize(file)?,
    };
    let channels = known.as_ref().map_or(0, |it| it.channels().len());
    let expected = classifier.image_shape().channels;
    ensure!(
        [0, expected].contains(&channels),
        "{channels} means to normalize with: the images have {expected} channels"
    );
    if known.is_none() {
        console.note(&format!(
            "note: {}: not in a run folder, so it is unknown whether it was trained on normalized images; these are not \
             normalized. If it was, give --normalize MEAN,STD",
            file.display()
        ));
    }
    let model = classifier.model.with_normalize(known.unwrap_or_default());
    Ok(Classifier { model, ..classifier })
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

/// Compares the forward pass of a TorchScript file with that of a model.
fn compare_forward(file: &Path, classifier: &Classifier) -> Result<Result<(), ForwardError>> {
    let module = ScriptModule::read(BufReader::new(open_regular(file)?));
    let module = module.with_context(|| file.display().to_string())?;
    let model = &classifier.model;
    Ok(module.has_forward().and_then(|has_forward| match has_forward {
        true => model.graph().compare_forward(&module, model.kind()),
        // tch's VarStore saves modules without a forward pass.
        false => Ok(()),
    }))
}

/// Refuses a TorchScript file whose forward pass is not the model's, or cannot be compared with it.
fn check_forward(file: &Path, classifier: &Classifier) -> Result<()> {
    let path = file.display();
    let entry = classifier.entry;
    let Err(error) = compare_forward(file, classifier)? else { return Ok(()) };
    let what = match error {
        ForwardError::NotFollowed(_) => format!("cannot be compared with that of {entry}"),
        _ => format!("is not that of {entry}"),
    };
    bail!(
        "{path}: the forward pass of this TorchScript file {what}: {error}. Omit --model to run the \
         forward pass of the file; or, to use its weights in {entry}, export them \
         without a forward pass: stitch export {path} --format state-dict --output FILE"
    )
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

/// The trained model built into the binary: `entry`, or the default.
pub fn built_in(entry: Option<&'static ModelEntry>, device: tch::Device) -> Result<Classifier> {
    let entry = entry.or_else(models::default_for_predict);
    let entry = entry.context("no built-in model: give a weights file as the first argument")?;
    let Some(bytes) = entry.shipped else {
        bail!(
            "--model {entry}: not built in (built-in models: {}). Give a weights file as the first argument",
            names_of(models::shipped())
        );
    };
    let tensors = read_weights(bytes).with_context(|| format!("the built-in {entry}"))?;
    let classifier = weights::from_named(&tensors, Some(entry), device)?;
    Ok(Classifier { classes: Some(Classes::fashion_mnist()), ..classifier })
}
