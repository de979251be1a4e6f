//! `stitch train --dry-run`: runs one step and shows what the run would do. Writes nothing.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;
use stitch::dataset::Dataset;
use stitch::run::{FirstStep, Prepared};
use stitch::run_folder::{self, RunFolder};

use super::settings::{Setting, SettingOrigin, Settings};
use super::terminal::{Screen, table};
use super::{Console, Outcome, inputs};
use crate::cli::TrainArgs;

/// The document of a dry run.
#[derive(Debug, Serialize)]
pub struct DryRun {
    pub settings: Vec<Setting>,
    pub data: Data,
    pub out: Folder,
    pub steps_per_epoch: usize,
    pub steps: usize,
    pub step: Step,
    /// Seconds of all steps at the speed of the first one, which is slower than the others.
    pub estimated_seconds: f64,
}

#[derive(Debug, Serialize)]
pub struct Data {
    pub directory: String,
    pub found_by: &'static str,
    pub files: Vec<File>,
    pub train_images: usize,
    pub validation_images: usize,
    pub test_images: usize,
}

/// A file of the data set.
#[derive(Debug, Serialize)]
pub struct File {
    /// Name without `.gz`.
    pub name: &'static str,
    /// SHA-256 of the unpacked content, in hex.
    pub sha256: String,
    pub official: bool,
}

#[derive(Debug, Serialize)]
pub struct Folder {
    pub path: String,
    /// Whether it contains a run, which `--force` would replace.
    pub replaces_a_run: bool,
    /// The names of its files.
    pub files: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub struct Step {
    pub images: usize,
    /// Mean loss of the batch before the update.
    pub loss: f64,
    pub seconds: f64,
}

/// Makes the checks of a run in the same order, and runs the first step.
pub fn run(args: &TrainArgs, settings: &Settings, out: &Path, console: Console) -> Result<Outcome> {
    RunFolder::check_claim(out, inputs::claim(args.force, false))?;
    let dataset = settings.dataset(&args.data, console)?;
    let prepared = Prepared::new(&settings.config, &dataset);
    let prepared = prepared.map_err(|error| settings.explained(error.into()))?;
    let data = data(&prepared.dataset);
    let FirstStep { images, loss, seconds, steps_per_epoch } = prepared.first_step()?;
    let steps = steps_per_epoch.saturating_mul(settings.config.epochs);
    let dry_run = DryRun {
        settings: settings.sources.clone(),
        data,
        out: Folder {
            path: out.display().to_string(),
            replaces_a_run: RunFolder::check_claim(out, inputs::claim(false, false)).is_err(),
            files: run_folder::files(settings.config.val.is_some(), args.trace, args.tensorboard),
        },
        steps_per_epoch,
        steps,
        step: Step { images, loss, seconds },
        estimated_seconds: steps as f64 * seconds,
    };
    console.show(&text(&dry_run, console.screen))?;
    console.document(|| Ok(dry_run))?;
    Ok(Outcome::Done)
}

fn data(dataset: &Dataset) -> Data {
    let origin = &dataset.origin;
    let files = origin.files.iter();
    let file = |file: &stitch::dataset::source::FileOrigin| File {
        name: file.name,
        sha256: file.sha256.clone(),
        official: file.official,
    };
    Data {
        directory: origin.found.directory.display().to_string(),
        found_by: origin.found.rule,
        files: files.map(file).collect(),
        train_images: dataset.train.len(),
        validation_images: dataset.validation.as_ref().map_or(0, |split| split.len()),
        test_images: dataset.test.len(),
    }
}

/// The dry run as text.
fn text(dry_run: &DryRun, screen: Screen) -> String {
    let DryRun { settings, data, out, steps_per_epoch, steps, step, estimated_seconds } = dry_run;
    let row = |setting: &Setting| {
        let value = match &setting.value {
            Value::Null => "off".into(),
            Value::Bool(true) => "on".into(),
            Value::String(text) => text.clone(),
            // The file of initial values.
            Value::Object(object) => object["file"].as_str().unwrap_or_default().into(),
            value => value.to_string(),
        };
        let source = match setting.source {
            SettingOrigin::Flag => "command line",
            SettingOrigin::Config => "--config",
            SettingOrigin::Default => "default",
        };
        vec![setting.name.clone(), value, source.into()]
    };
    let settings = table(screen, &["setting", "value", "from"], settings.iter().map(row));
    let files = data.files.iter().map(|file| {
        let official = if file.official { "official" } else { "not the official file" };
        format!("  {}: {official}, SHA-256 {}", file.name, file.sha256)
    });
    let files = files.collect::<Vec<_>>().join("\n");
    let held_out = match data.validation_images {
        0 => String::new(),
        n => format!("{n} held out, "),
    };
    let folder = match out.replaces_a_run {
        true => "contains a run, which would be replaced",
        false => "contains no run",
    };
    format!(
        "{settings}\n\
         data in {} ({})\n{files}\n  {} training images, {held_out}{} test images\n\
          {steps_per_epoch} steps per epoch, {steps} in total\n\
          {} {folder}; files to write:\n  {}\n\
          first step, {} images: loss {:.6}, {:.3} s; all steps at this speed: {estimated_seconds:.1} s (the first step \
          is the slowest)\n\
          nothing was written",
        data.directory,
        data.found_by,
        data.train_images,
        data.test_images,
        out.path,
        out.files.join("\n  "),
        step.images,
        step.loss,
        step.seconds,
    )
}
