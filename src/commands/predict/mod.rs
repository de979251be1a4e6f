//! `stitch predict`: the most probable classes of the user's own pictures.

mod answers;
mod saved;
mod sources;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use stitch::dataset::PIXELS;
use stitch::evaluate::{self, BATCH};
use stitch::models::Classifier;
use stitch::nn::Model;
use stitch::tensor_files::TensorFile;
use tch::Device;

use self::answers::{Answer, Answers};
use self::saved::SavedInputs;
use self::sources::{ImageSource, Name, Picture};
use super::progress::PicturesProgress;
use super::{Console, Outcome, inputs};
use crate::cli::PredictArgs;

pub fn run(args: &PredictArgs, console: Console) -> Result<Outcome> {
    let device = inputs::compute(&args.compute)?;
    let (classifier, paths) = model_and_pictures(args, device, console)?;
    let sources = sources::find(paths, &args.index)?;
    let saved = args.save_input.as_deref().map(SavedInputs::claim).transpose()?;
    let total = sources.iter().map(ImageSource::len).sum();
    let mut session = Session {
        model: &classifier.model,
        batch: Vec::new(),
        saved,
        answers: Answers::new(args, console.json),
        progress: PicturesProgress::new(console, total),
        total,
        tally: Tally::default(),
    };
    let read = sources.into_iter().try_for_each(|source| {
        source.read(!args.no_invert, &mut |name, picture| session.take(name, picture))
    });
    read.and_then(|()| session.finish()).or_else(|error| {
        let end = session.answers.break_off(&error)?;
        session.progress.print(&end)?;
        Err(error)
    })
}

/// The model of the weights file that comes first, or the shipped one; and the pictures.
fn model_and_pictures(
    args: &PredictArgs,
    device: Device,
    console: Console,
) -> Result<(Classifier, &[PathBuf])> {
    match &args.inputs[..] {
        [file, pictures @ ..] if is_weights(file) => {
            let model = inputs::model(file, args.model, args.key.of(), device, console)?;
            let file = file.display();
            ensure!(!pictures.is_empty(), "{file} holds weights: name a picture behind it");
            Ok((model, pictures))
        }
        pictures => {
            let none = args.key.of().is_none();
            ensure!(none, "--key: it is for a weights FILE before the pictures, and there is none");
            Ok((inputs::shipped(args.model, device)?, pictures))
        }
    }
}

/// Whether `file` holds weights, or claims to by its name: a mistyped or foreign `.pt` must not let the shipped
/// model answer in its place. Anything else is a picture, wherever it stands among the arguments, readable
/// or not.
fn is_weights(file: &Path) -> bool {
    // Those of other programs' models too.
    const EXTENSIONS: [&str; 10] =
        ["pt", "pth", "safetensors", "npz", "npy", "onnx", "ckpt", "pkl", "h5", "bin"];
    let claims = || {
        let extension = file.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| {
            EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
        })
    };
    if file.is_dir() {
        return false;
    }
    // Anything else than a plain file, such as a pipe, might be read only once, or never end.
    let Some(opened) = file.is_file().then(|| File::open(file).ok()).flatten() else {
        return claims();
    };
    // An archive of nothing is no more weights than pictures.
    TensorFile::open(BufReader::new(opened)).is_ok_and(|opened| !opened.specs().is_empty())
        || (claims() && !sources::starts_as_picture(file))
}

/// One run over all pictures.
struct Session<'a> {
    model: &'a Model,
    /// Read, and not yet answered.
    batch: Vec<(Name, Picture)>,
    saved: Option<SavedInputs<'a>>,
    answers: Answers,
    progress: PicturesProgress,
    /// Pictures that there are.
    total: usize,
    tally: Tally,
}

/// What became of the pictures.
#[derive(Default)]
struct Tally {
    answered: usize,
    unreadable: usize,
    inverted: Vec<Name>,
}

impl Session<'_> {
    /// A picture, or why it cannot be read.
    fn take(&mut self, name: Name, picture: Result<Picture>) -> Result<()> {
        self.progress.advance();
        match picture {
            Ok(picture) => self.batch.push((name, picture)),
            // There is nothing to answer: the command fails with this error.
            Err(error) if self.total == 1 => return Err(error.context(name.to_string())),
            Err(error) => {
                self.tally.unreadable += 1;
                self.progress.error(&error.context(name.to_string()));
            }
        }
        if self.batch.len() == BATCH { self.answer() } else { Ok(()) }
    }

    /// Answers the batch.
    fn answer(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut pixels = Vec::with_capacity(self.batch.len() * PIXELS);
        self.batch.iter().for_each(|(_, picture)| pixels.extend_from_slice(&picture.pixels));
        let logits = evaluate::logits(self.model, &pixels);
        let probabilities = evaluate::probabilities(&logits);
        for ((name, picture), probabilities) in self.batch.drain(..).zip(probabilities) {
            if probabilities.iter().any(|probability| !probability.is_finite()) {
                bail!(
                    "{name}: the model's answer is no number; its weights are damaged or diverged"
                );
            }
            if let Some(saved) = &mut self.saved {
                saved.save(&name, &picture.pixels)?;
            }
            if picture.inverted {
                self.tally.inverted.push(name.clone());
            }
            self.tally.answered += 1;
            self.answers.add(&Answer { name, inverted: picture.inverted, probabilities })?;
        }
        self.progress.print(&self.answers.take())
    }

    /// Answers what is left, and says what was done.
    fn finish(&mut self) -> Result<Outcome> {
        self.answer()?;
        let Tally { answered, unreadable, .. } = self.tally;
        ensure!(answered > 0 || unreadable == 0, "no picture can be read, of {unreadable} named");
        self.progress.print(&self.answers.end())?;
        if let Some(note) = self.tally.note() {
            self.progress.note(&note);
        }
        Ok(if unreadable == 0 { Outcome::Done } else { Outcome::No })
    }
}

impl Tally {
    /// What the user should know of inverted pictures.
    fn note(&self) -> Option<String> {
        let what = match &self.inverted[..] {
            [] => return None,
            [name] => format!("{name} has a ground lighter than the thing on it"),
            names => format!(
                "{} of {} pictures have a ground lighter than the thing on it",
                names.len(),
                self.answered
            ),
        };
        Some(format!("note: {what}: inverted, as the models know light on dark (--no-invert)"))
    }
}
