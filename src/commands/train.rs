//! `stitch train`: one training run.

use std::path::PathBuf;

use anyhow::Result;
use stitch::run_folder::RunFolder;

use super::documents::Training;
use super::settings::Settings;
use super::terminal::heat;
use super::training::{Job, train_into};
use super::{Console, Outcome, dry_run, inputs, tables, validation};
use crate::cli::{CheckpointEvery, TrainArgs};

pub fn run(args: &TrainArgs, console: Console) -> Result<Outcome> {
    let settings = Settings::of(args, console)?;
    let Settings { model, config, .. } = settings;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(model.name));
    if args.dry_run {
        return dry_run::run(args, &settings, &out, console);
    }
    let folder = RunFolder::claim(&out, inputs::claim(args.force, args.checkpoints.resume))?;
    let dataset = settings.dataset(&args.data, console)?;
    let every = match args.trace {
        false => args.checkpoints.checkpoint_every,
        true => {
            console.note("note: a traced run writes no checkpoints, and cannot be resumed");
            CheckpointEvery::Never
        }
    };
    let (resume, trace, tensorboard) = (args.checkpoints.resume, args.trace, args.tensorboard);
    let figures = Some(args.figures.normalize());
    let job = Job { model, config, every, resume, trace, tensorboard, figures };
    let trained = train_into(&folder, &job, &dataset, console)?;
    console.document(|| Training::read(&folder, &trained.evaluation))?;
    console.show(&tables::scores(console.screen, &trained.evaluation.report))?;
    let matrix = heat(console.screen, model.name, &trained.evaluation.matrix);
    console.show(&format!("{matrix}\n"))?;
    if let Some(metrics) = &trained.metrics.validation {
        console.show(&console.screen.paragraph(&validation::sentence(metrics)))?;
    }
    console.show(&console.screen.paragraph(&format!(
        "test accuracy {:.4}, trained in {:.1} s, written to {}",
        trained.evaluation.report.accuracy,
        trained.metrics.train_seconds,
        folder.path().display()
    )))?;
    Ok(Outcome::Done)
}
