//! `stitch train`: one training run.

use std::path::PathBuf;

use anyhow::Result;
use stitch::dataset::Dataset;
use stitch::models::ModelEntry;
use stitch::run::Options;
use stitch::run_folder::{BEST_SAFETENSORS, RunFolder, ValidationMetrics};

use super::documents::Training;
use super::settings::Settings;
use super::terminal::heat;
use super::{Console, Outcome, dry_run, inputs, tables, training};
use crate::cli::TrainArgs;

/// The name of a model's run folder: of a TorchScript file, its name without folder and extension.
fn default_folder(model: &ModelEntry) -> &str {
    if model.is_script() { model.title } else { model.name }
}

pub fn run(args: &TrainArgs, console: Console) -> Result<Outcome> {
    let settings = Settings::of(args, console)?;
    let (model, config) = (settings.model, &settings.config);
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(default_folder(model)));
    if args.dry_run {
        return dry_run::run(args, &settings, &out, console);
    }
    let folder = RunFolder::claim(&out, inputs::claim(args.force, args.checkpoints.resume))?;
    let dataset = settings.dataset(&args.data, console)?;
    if args.settings.figures().normalize {
        console.note(
            "note: --normalize without MEAN,STD shows confusion matrices in percent; the images are not normalized",
        );
    }
    if let Some(n) = config.val {
        warn_of_missing_classes(&dataset, n, console);
    }
    let options = Options {
        checkpoint_every: args.checkpoints.checkpoint_every,
        resume: args.checkpoints.resume,
        trace: args.trace.then(|| args.trace_steps.clone().unwrap_or_default()),
        tensorboard: args.tensorboard,
        figures: Some(args.settings.figures().normalize()),
    };
    let trained = training::run(&folder, config, &options, &dataset, console);
    let trained = trained.map_err(|error| settings.explained(error))?;
    console.document(|| Training::read(&folder, &trained.evaluation))?;
    console.show(&tables::scores(console.screen, &trained.evaluation))?;
    let matrix = heat(console.screen, model.name, &trained.evaluation);
    console.show(&format!("{matrix}\n"))?;
    if let Some(metrics) = &trained.metrics.validation {
        console.show(&console.screen.paragraph(&validation(metrics)))?;
    }
    console.show(&console.screen.paragraph(&format!(
        "test accuracy {:.4}, trained in {:.1} s, written to {}",
        trained.evaluation.report.accuracy,
        trained.metrics.train_seconds,
        folder.path().display()
    )))?;
    Ok(Outcome::Done)
}

/// Prints a warning if the last `n` training images lack classes that the others have, as in data that is sorted by class.
fn warn_of_missing_classes(dataset: &Dataset, n: usize, console: Console) {
    let labels = &dataset.train.labels;
    let held_out = &labels[labels.len().saturating_sub(n)..];
    let lacks = |label: &u8| labels.contains(label) && !held_out.contains(label);
    let name = |label: u8| dataset.train.classes.name(label.into());
    let missing: Vec<String> = (0..=u8::MAX).filter(lacks).map(name).collect();
    if !missing.is_empty() {
        console.note(&format!(
            "warning: --val {n}: the last {n} training images have none of {}: shuffle the data first",
            missing.join(", ")
        ));
    }
}

/// A line about the best epoch.
fn validation(metrics: &ValidationMetrics) -> String {
    format!(
        "best epoch {} by validation loss: loss {:.4}, accuracy {:.4} on {} images; its weights (test accuracy {:.4}) \
         are in {BEST_SAFETENSORS}",
        metrics.best_epoch,
        metrics.best_loss,
        metrics.best_accuracy,
        metrics.images,
        metrics.best_test_accuracy,
    )
}
