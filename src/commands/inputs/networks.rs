//! The networks that commands compute with: threads and device, models of the registry with the weights of a file, networks
//! of TorchScript files.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use stitch::dataset::ImageShape;
use stitch::dataset::classes::Classes;
use stitch::dataset::picture::Preprocessing;
use stitch::libtorch::{self, cuda, threads};
use stitch::models::script::MAX_NETWORK;
use stitch::models::{self, Classifier, Library, ModelEntry, ModelOptions, names_of, weights};
use stitch::nn::{ForwardError, Model};
use stitch::stitch_run::Normalize;
use stitch::tensor_files::{FileKind, read_weights};
use stitch::train::Device;

use super::{classes_of, network_beside};
use crate::cli::ComputeArgs;
use crate::commands::Console;
use crate::commands::files::{
    self, check_named, config_of, known_normalize, note_contents, read_limited, weights_file,
};

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
        Classifier::from_named(&tensors, None, tch::Device::Cpu).ok()
    });
    let Some(known) = known else { return true };
    let differs = match compare_forward(file, &known) {
        Ok(compared) => compared.err(),
        // The error of reading it is that of `model`.
        Err(_) => return false,
    };
    if let Some(error) = &differs {
        console.note(&format!(
            "note: {}: a custom network: its forward pass is not that of {}: {error}",
            file.display(),
            known.entry
        ));
    }
    differs.is_some()
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
    note_contents(file, key, &tensors, console);
    if !identified.renaming.prefix().is_empty() {
        console.note(&format!("note: {}: {}", path(), identified.renaming));
    }
    let kind = tensors.kind();
    let tensors = tensors.load_all().with_context(path)?;
    let mut classifier = Classifier::from_named(&tensors, entry, device).with_context(path)?;
    classifier.classes = classes_of(file, &classifier.model.state_dict())?;
    if let Some(parameter) = classifier.model.first_not_finite() {
        console.note(&format!("warning: {}: {parameter} contains NaN or infinity", path()));
    }
    Ok((classifier, kind))
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

/// Compares the forward pass of a TorchScript file with that of a model.
fn compare_forward(file: &Path, classifier: &Classifier) -> Result<Result<(), ForwardError>> {
    files::compare_forward(file, classifier.model.graph(), classifier.entry.dtype)
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
    let classifier = Classifier::from_named(&tensors, Some(entry), device)?;
    Ok(Classifier { classes: Some(Classes::fashion_mnist()), ..classifier })
}
