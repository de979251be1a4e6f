//! `stitch predict`: classifies the user's own images.

mod predictions;
mod saved;
mod sources;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use stitch::dataset::ImageShape;
use stitch::dataset::classes::Classes;
use stitch::dataset::picture::Preprocessing;
use stitch::evaluate::{self, BATCH};
use stitch::models::Classifier;
use stitch::nn::{Model, ScriptError, catch_forward};
use stitch::tensor_files::TensorFile;
use tch::Device;

use self::predictions::{Prediction, Predictions};
use self::saved::SavedInputs;
use self::sources::{Image, ImageSource, Name};
use super::progress::ImagesProgress;
use super::{Console, Outcome, inputs};
use crate::cli::PredictArgs;

pub fn run(args: &PredictArgs, console: Console) -> Result<Outcome> {
    let device = inputs::compute(&args.compute)?;
    let (classifier, paths, preprocessing) = model_and_images(args, device, console)?;
    let outputs = classifier.model.graph().output()[0] as usize;
    ensure!(
        usize::from(args.top_k) <= outputs,
        "--top-k is {}: it must be at most {outputs}, the number of classes",
        args.top_k
    );
    let classes = match &classifier.classes {
        Some(classes) => classes.clone().at_least(outputs),
        None => {
            console.note(
                "note: the weights do not name their classes: labels are shown instead. Write the names to a file \
                 classes.txt next to them, one per line",
            );
            Classes::numbered(outputs)
        }
    };
    let sources = sources::find(paths, &args.index)?;
    let shape = classifier.image_shape();
    ensure!(
        args.image_size.image_size.is_none_or(|size| size == shape),
        "--image-size: {} takes images of {shape}",
        classifier.entry
    );
    let saved = args.save_input.as_deref().map(|folder| SavedInputs::claim(folder, shape));
    let saved = saved.transpose()?;
    let total = sources.iter().map(ImageSource::len).sum();
    let mut session = Session {
        model: &classifier.model,
        batch: Vec::new(),
        saved,
        predictions: Predictions::new(args, classes, console.json),
        progress: ImagesProgress::new(console, total),
        total,
        counts: Counts::default(),
        shape,
        preprocessing,
    };
    let read = sources.into_iter().try_for_each(|source| {
        source.read((shape, preprocessing), &mut |name, image| session.add(name, image))
    });
    read.and_then(|()| session.finish()).or_else(|error| {
        let end = session.predictions.fail(&error)?;
        session.progress.print(&end)?;
        Err(error)
    })
}

/// The model of the weights file in the first argument, or the built-in one; the paths of the images, and how they are
/// preprocessed.
fn model_and_images(
    args: &PredictArgs,
    device: Device,
    console: Console,
) -> Result<(Classifier, &[PathBuf], Preprocessing)> {
    match &args.inputs[..] {
        [file, images @ ..] if is_weights(file) => {
            let network = inputs::network(file, args.model, args.key.get(), device, console)?;
            let given = args.image_size.image_size;
            let known = given.or_else(|| inputs::known_shape(file));
            let shape = known.or_else(|| sources::idx_shape(images));
            let model = network.for_images(shape.unwrap_or(ImageShape::FASHION_MNIST), device);
            let model = model.map_err(|error| match error.downcast_ref() {
                Some(ScriptError::Images { .. }) if given.is_none() => {
                    anyhow!("{error:#}. {}", inputs::GIVE_IMAGE_SIZE)
                }
                _ => error,
            })?;
            let model = inputs::normalized(model, file, args.input.normalize.as_ref(), console)?;
            let preprocessing = inputs::preprocessing(&model, file, !args.no_invert);
            let file = file.display();
            ensure!(!images.is_empty(), "{file} is a weights file: give an image after it");
            ensure!(
                !args.no_invert || preprocessing != Preprocessing::Scale,
                "--no-invert: images are only scaled for {file}, never inverted. Omit --no-invert"
            );
            Ok((model, images, preprocessing))
        }
        images => {
            let none = args.key.get().is_none();
            ensure!(none, "--key: requires a weights FILE before the images");
            let none = args.input.normalize.is_none();
            ensure!(none, "--normalize: requires a weights FILE before the images");
            let preprocessing = Preprocessing::FashionMnist { invert: !args.no_invert };
            Ok((inputs::built_in(args.model, device)?, images, preprocessing))
        }
    }
}

/// Whether `file` is a weights file by its content or extension. A missing or unreadable `.pt` file is an error: the
/// built-in model must not be used instead. Anything else is an image, readable or not.
fn is_weights(file: &Path) -> bool {
    // Including those of other programs' models.
    const EXTENSIONS: [&str; 10] =
        ["pt", "pth", "safetensors", "npz", "npy", "onnx", "ckpt", "pkl", "h5", "bin"];
    let has_extension = || {
        let extension = file.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| {
            EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
        })
    };
    if file.is_dir() {
        return false;
    }
    // A pipe can be read only once, and a device may have no end.
    let Some(opened) = file.is_file().then(|| File::open(file).ok()).flatten() else {
        return has_extension();
    };
    // An empty archive is not a weights file.
    TensorFile::open(BufReader::new(opened)).is_ok_and(|opened| !opened.specs().is_empty())
        || (has_extension() && !sources::starts_as_image(file))
}

/// Classifies images in batches.
struct Session<'a> {
    model: &'a Model,
    /// Images that were read and are not classified yet.
    batch: Vec<(Name, Image)>,
    saved: Option<SavedInputs<'a>>,
    predictions: Predictions,
    progress: ImagesProgress,
    /// Number of images.
    total: usize,
    counts: Counts,
    /// The size of the images that the model takes.
    shape: ImageShape,
    preprocessing: Preprocessing,
}

/// Numbers of images by outcome.
#[derive(Default)]
struct Counts {
    classified: usize,
    unreadable: usize,
    scaled: Vec<Name>,
    inverted: Vec<Name>,
}

impl Session<'_> {
    /// Adds an image, or the error of one that cannot be read.
    fn add(&mut self, name: Name, image: Result<Image>) -> Result<()> {
        self.progress.advance();
        match image {
            Ok(image) => self.batch.push((name, image)),
            // It is the only image: the command fails with this error.
            Err(error) if self.total == 1 => return Err(error.context(name.to_string())),
            Err(error) => {
                self.counts.unreadable += 1;
                self.progress.error(&error.context(name.to_string()));
            }
        }
        if self.batch.len() == BATCH { self.classify() } else { Ok(()) }
    }

    /// Classifies the batch.
    fn classify(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut pixels = Vec::new();
        self.batch.iter().for_each(|(_, image)| pixels.extend_from_slice(&image.pixels));
        let logits = catch_forward(|| evaluate::logits(self.model, &pixels))
            .context("the forward pass of the network raised")?;
        let probabilities = evaluate::probabilities(&logits);
        for ((name, image), probabilities) in self.batch.drain(..).zip(probabilities) {
            if probabilities.iter().any(|probability| !probability.is_finite()) {
                bail!(
                    "{name}: the predicted probabilities are NaN or infinite: the weights are damaged or diverged"
                );
            }
            if let Some(saved) = &mut self.saved {
                saved.save(&name, &image.pixels)?;
            }
            if image.scaled {
                self.counts.scaled.push(name.clone());
            }
            if image.inverted {
                self.counts.inverted.push(name.clone());
            }
            self.counts.classified += 1;
            self.predictions.add(&Prediction { name, inverted: image.inverted, probabilities })?;
        }
        self.progress.print(&self.predictions.take())
    }

    /// Classifies the last batch, and prints the end of the output and notes.
    fn finish(&mut self) -> Result<Outcome> {
        self.classify()?;
        let Counts { classified, unreadable, .. } = self.counts;
        ensure!(classified > 0 || unreadable == 0, "none of the {unreadable} images can be read");
        self.progress.print(&self.predictions.end())?;
        for note in self.counts.notes(self.preprocessing, self.shape) {
            self.progress.note(&note);
        }
        Ok(if unreadable == 0 { Outcome::Done } else { Outcome::CheckFailed })
    }
}

impl Counts {
    /// The notes about images that were changed.
    fn notes(&self, preprocessing: Preprocessing, shape: ImageShape) -> Vec<String> {
        let which = |names: &[Name]| match names {
            [] => None,
            [name] => Some((name.to_string(), "it")),
            names => Some((format!("{} of {} images", names.len(), self.classified), "them")),
        };
        let scaled = which(&self.scaled).map(|(which, _)| match preprocessing {
            Preprocessing::FashionMnist { .. } => {
                format!("note: preprocessed {which} like Fashion-MNIST (cropped, scaled, centered)")
            }
            Preprocessing::Scale => format!(
                "note: scaled {which} to {shape} as stitch data import does (not cropped, centered or inverted)"
            ),
        });
        let inverted = which(&self.inverted).map(|(which, them)| {
            format!(
                "note: inverted {which} (light background; the models expect light-on-dark). Use --no-invert to keep \
                 {them} as is"
            )
        });
        scaled.into_iter().chain(inverted).collect()
    }
}
