//! `stitch evaluate`: evaluates a weights file on the test images.

use std::time::Instant;

use anyhow::{Context, Result};
use stitch::dataset::classes::Classes;
use stitch::dataset::source;
use stitch::evaluate::evaluate;
use stitch::models::Classifier;
use stitch::nn::catch_forward;
use stitch::run::write_evaluation;
use stitch::run_folder::{Metrics, RunFolder};

use super::documents::Evaluated;
use super::terminal::heat;
use super::{Console, Outcome, documents, inputs, tables};
use crate::cli::EvaluateArgs;

pub fn run(args: &EvaluateArgs, console: Console) -> Result<Outcome> {
    let device = inputs::compute(&args.compute)?;
    let network = inputs::network(&args.file, args.model, args.key.get(), device, console)?;
    let folder = match &args.out {
        Some(out) => Some(RunFolder::claim_for_evaluation(out, inputs::claim(args.force, false))?),
        None => None,
    };
    let (test, origin) = source::load_test(inputs::find(&args.data)?)?;
    inputs::warn_unofficial(&origin, &test.classes, console);
    let classifier = network.for_images(test.shape, device)?;
    let normalize = args.input.normalize.as_ref();
    let classifier = inputs::normalized(classifier, &args.file, normalize, console)?;
    classifier.check_data(&test)?;
    if let Some(note) = classifier.classes.as_ref().and_then(|it| other_names(it, &test.classes)) {
        console.note(&note);
    }
    let Classifier { entry, model, .. } = classifier;
    let start = Instant::now();
    let evaluation = catch_forward(|| evaluate(&model, &test))
        .with_context(|| format!("{}: its forward pass raised", args.file.display()))?;
    let seconds = start.elapsed().as_secs_f64();
    console.note(&format!("{} images in {seconds:.3} s", test.labels.len()));
    let metrics = match &folder {
        Some(folder) => write_evaluation(folder, &test.labels, &evaluation, None)?,
        None => Metrics::new(&evaluation.report, None),
    };
    let (model, matrix) = (entry.name, &evaluation.matrix);
    console.document(|| {
        let files = folder.as_ref().map(|folder| documents::files_of(folder.path()));
        Ok(Evaluated {
            file: args.file.display().to_string(),
            model,
            correct: matrix.correct(),
            total: matrix.total(),
            metrics,
            classes: (&evaluation).into(),
            files: files.unwrap_or_default(),
        })
    })?;
    console.show(&tables::scores(console.screen, &evaluation))?;
    console.show(&format!(
        "most confused:\n{}\n",
        tables::most_confused(console.screen, &evaluation)
    ))?;
    console.show(&format!("{}\n", heat(console.screen, model, &evaluation)))?;
    console.show(&console.screen.paragraph(&format!(
        "{model}: test accuracy {:.4} ({} of {})",
        evaluation.report.accuracy,
        matrix.correct(),
        matrix.total()
    )))?;
    Ok(Outcome::Done)
}

/// The note about the first class that has another name in the weights than in the data set.
fn other_names(weights: &Classes, data: &Classes) -> Option<String> {
    let label = (0..data.len()).find(|&label| weights.name(label) != data.name(label))?;
    Some(format!(
        "note: class {label} is {:?} in the weights and {:?} in the data set: the accuracy compares labels, not names",
        weights.name(label),
        data.name(label)
    ))
}
