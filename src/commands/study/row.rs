//! `stitch study run --row`: one row, in this process.

use std::fs;
use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use stitch::run::{Options, Trained, weights_sha256};
use stitch::run_folder::{self, FolderError, RunConfig, RunFolder};
use stitch::study::plan as plans;
use stitch::study::results::{Outcome as RunOutcome, Record};
use stitch::train::{TrainConfig, TrainError};

use super::{read_plan, read_result, write_result};
use crate::cli::StudyRunArgs;
use crate::commands::signals::{self, Interrupted};
use crate::commands::{Console, Outcome, inputs, training};

/// Folder of the run folders in the folder of a study.
const RUNS: &str = "runs";
/// Between two looks at a row that another process runs.
const WAIT: Duration = Duration::from_millis(200);

pub fn run(args: &StudyRunArgs, row: usize, console: Console) -> Result<Outcome> {
    let plan = read_plan(&args.study)?;
    let Some(settings) = plan.get(row) else {
        bail!("--row {row}: the plan has the rows 0 to {}", plan.len() - 1);
    };
    let id = plans::id(settings);
    signals::listen()?;
    if args.worker {
        end_with_stdin()?;
    }
    let record = match claim(args, &id, console)? {
        Claimed::Done(record) => {
            let what = if record.is_done() { "done" } else { "failed" };
            console.note(&format!("row {row}, {id}: {what} already"));
            console.document(|| Ok(&record))?;
            return Ok(outcome(&record));
        }
        Claimed::Folder(folder) => {
            let record = train(args, settings, &folder, console)?;
            write_result(&args.study, &record)?;
            if !args.keep_runs {
                let path = folder.path();
                let gone = fs::remove_dir_all(path);
                gone.with_context(|| format!("{} cannot be removed", path.display()))?;
            }
            record
        }
    };
    let result = match (record.outcome.test_accuracy, &record.outcome.error) {
        (Some(accuracy), _) => format!("test accuracy {accuracy:.4}"),
        (None, error) => error.clone().unwrap_or_default(),
    };
    console.show(&format!("row {row}, {id}: {result}"))?;
    console.document(|| Ok(&record))?;
    Ok(outcome(&record))
}

/// What a process that is to run a row finds.
enum Claimed {
    /// Its result.
    Done(Box<Record>),
    /// Its folder, which no other process has.
    Folder(RunFolder),
}

/// The result of the row, or the sole right to make it. While another process has that, this one
/// waits: a scheduler that believes a worker lost may start a row a second time.
fn claim(args: &StudyRunArgs, id: &str, console: Console) -> Result<Claimed> {
    let path = args.study.join(RUNS).join(id);
    let mut said = false;
    loop {
        let there = read_result(&args.study, id)?;
        if let Some(record) = there.filter(|record| record.is_done() || !args.retry_failed) {
            return Ok(Claimed::Done(Box::new(record)));
        }
        match RunFolder::claim(&path, inputs::claim(false, true)) {
            Ok(folder) => {
                // Between the two questions another process may have ended its row.
                return match read_result(&args.study, id)? {
                    Some(record) if record.is_done() => {
                        // It was made by asking for it.
                        let _ = fs::remove_dir(&path);
                        Ok(Claimed::Done(Box::new(record)))
                    }
                    _ => Ok(Claimed::Folder(folder)),
                };
            }
            Err(FolderError::Locked { .. }) if signals::received().is_none() => {
                if !said {
                    console.note(&format!("{id}: another process runs it; waiting for that"));
                    said = true;
                }
                thread::sleep(WAIT);
            }
            Err(FolderError::Locked { .. }) => {
                return Err(Interrupted::new(format!("{id}: stopped")).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn outcome(record: &Record) -> Outcome {
    if record.is_done() { Outcome::Done } else { Outcome::No }
}

/// A run with these settings; resumes what there is of it.
fn train(
    args: &StudyRunArgs,
    settings: &TrainConfig,
    folder: &RunFolder,
    console: Console,
) -> Result<Record> {
    inputs::check_device(settings.device)?;
    let dataset = match &args.shared_data {
        #[cfg(target_os = "linux")]
        Some(path) => stitch::dataset::shared::open(path)
            .with_context(|| format!("--shared-data {}", path.display()))?,
        _ => inputs::dataset(&args.data, console)?,
    };
    // For a new row the note that there is nothing to resume is left out.
    let is_started = folder.path().join(run_folder::CHECKPOINTS).exists();
    let resume = is_started || folder.existing_file().is_some();
    let options = Options { resume, ..Options::default() };
    let trained = training::run(folder, settings, &options, &dataset, console);
    let record = Record::new(settings);
    match trained {
        Ok(trained) => done(record, folder, &trained),
        // It would end so every time.
        Err(error) if error.is::<TrainError>() && !error.is::<Interrupted>() => {
            let outcome = RunOutcome { error: Some(format!("{error:#}")), ..record.outcome };
            Ok(Record { outcome, ..record })
        }
        Err(error) if error.is::<Interrupted>() => {
            let id = &record.id;
            let sentence = format!("{id}: stopped; the same command goes on with it");
            Err(Interrupted::new(sentence).into())
        }
        Err(error) => Err(error),
    }
}

fn done(record: Record, folder: &RunFolder, trained: &Trained) -> Result<Record> {
    let config: RunConfig = folder.read_config()?.context("the run has left no config.json")?;
    let record = record.of_run(&config);
    let outcome = RunOutcome {
        test_accuracy: Some(trained.evaluation.report.accuracy),
        train_loss: Some(trained.metrics.train_loss),
        epochs_run: Some(trained.metrics.epochs_run),
        train_seconds: Some(trained.metrics.train_seconds),
        weights_sha256: Some(weights_sha256(folder.path())?),
        ..record.outcome
    };
    Ok(Record { outcome, ..record })
}

/// Ends the training, as SIGTERM would, when who started this process ends: then stdin does.
fn end_with_stdin() -> Result<()> {
    let wait = || {
        let _ = io::stdin().read(&mut [0]);
        signals::terminate();
    };
    thread::Builder::new().name("parent".into()).spawn(wait).context("a thread cannot be had")?;
    Ok(())
}
