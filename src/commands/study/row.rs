//! `stitch study run --row`: runs one row in this process.

use std::fs;
use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use stitch::libtorch::cuda;
use stitch::report::folder::weights_sha256;
use stitch::run::{Options, RunError, Trained};
use stitch::run_folder::{self, FolderError, RunConfig, RunFolder};
use stitch::study::plan as plans;
use stitch::study::results::{Outcome as RunOutcome, Record};
use stitch::train::{TrainConfig, TrainError};

use super::{read_plan, read_result, write_result};
use crate::cli::StudyRunArgs;
use crate::commands::signals::{self, Interrupted};
use crate::commands::{Console, Outcome, flags, inputs, training};

/// Folder of the run folders in a study folder.
const RUNS: &str = "runs";
/// Interval of checks whether another process has finished the row.
const POLL: Duration = Duration::from_millis(200);

pub fn run(args: &StudyRunArgs, row: usize, console: Console) -> Result<Outcome> {
    let plan = read_plan(&args.study)?;
    let Some(settings) = plan.get(row) else {
        bail!("--row {row}: the plan has rows 0 to {}", plan.len() - 1);
    };
    let id = plans::id(settings);
    signals::stop_training();
    if args.worker {
        end_with_stdin()?;
    }
    let record = match claim(args, &id, console)? {
        Claimed::Done(record) => {
            let what = if record.is_done() { "done" } else { "failed" };
            console.note(&format!("row {row}, {id}: already {what}"));
            console.document(|| Ok(&record))?;
            return Ok(outcome(&record));
        }
        Claimed::Folder(folder) => {
            let record = train(args, settings, &folder, console)?;
            write_result(&args.study, &record)?;
            if !args.keep_runs {
                let path = folder.path();
                let removed = fs::remove_dir_all(path);
                removed.with_context(|| format!("{} cannot be removed", path.display()))?;
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

/// The outcome of claiming a row.
enum Claimed {
    /// The row has a result.
    Done(Box<Record>),
    /// The row's folder, locked by this process.
    Folder(RunFolder),
}

/// Claims a row: returns its result, or its locked folder. Waits while another process has the lock, since a scheduler
/// may start a row twice if it believes a worker lost.
fn claim(args: &StudyRunArgs, id: &str, console: Console) -> Result<Claimed> {
    let path = args.study.join(RUNS).join(id);
    let mut noted = false;
    loop {
        let result = read_result(&args.study, id)?;
        if let Some(record) = result.filter(|record| record.is_done() || !args.retry_failed) {
            return Ok(Claimed::Done(Box::new(record)));
        }
        match RunFolder::claim(&path, inputs::claim(false, true)) {
            Ok(folder) => {
                // Another process may have finished the row since the first check.
                return match read_result(&args.study, id)? {
                    Some(record) if record.is_done() => {
                        // The claim created the folder.
                        let _ = fs::remove_dir(&path);
                        Ok(Claimed::Done(Box::new(record)))
                    }
                    _ => Ok(Claimed::Folder(folder)),
                };
            }
            Err(FolderError::Locked { .. }) if signals::received().is_none() => {
                if !noted {
                    console.note(&format!("{id}: another process runs this row; waiting for it"));
                    noted = true;
                }
                thread::sleep(POLL);
            }
            Err(FolderError::Locked { .. }) => {
                return Err(Interrupted::new(format!("{id}: stopped")).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn outcome(record: &Record) -> Outcome {
    if record.is_done() { Outcome::Done } else { Outcome::CheckFailed }
}

/// Trains the row, resuming an interrupted run.
fn train(
    args: &StudyRunArgs,
    settings: &TrainConfig,
    folder: &RunFolder,
    console: Console,
) -> Result<Record> {
    cuda::check(settings.device).context("device")?;
    let dataset = match &args.shared_data {
        #[cfg(target_os = "linux")]
        Some(path) => stitch::dataset::shared::open(path)
            .with_context(|| format!("--shared-data {}", path.display()))?,
        _ => inputs::dataset(&args.data, console)?,
    };
    // Resume only a started row, to avoid the note that there is nothing to resume.
    let is_started = folder.path().join(run_folder::CHECKPOINTS).exists();
    let resume = is_started || folder.existing_file().is_some();
    let options = Options { resume, ..Options::default() };
    let trained = training::run(folder, settings, &options, &dataset, console);
    let record = Record::new(settings);
    match trained {
        Ok(trained) => done(record, folder, &trained),
        // The error would be the same each time, so it is the row's result.
        Err(error) if fails_each_time(&error) => {
            let outcome = RunOutcome { error: Some(format!("{error:#}")), ..record.outcome };
            Ok(Record { outcome, ..record })
        }
        Err(error) if error.is::<Interrupted>() => {
            let id = &record.id;
            Err(Interrupted::new(format!("{id}: stopped; repeat the command to resume it")).into())
        }
        // As text: the advice for `stitch train` names flags that this command does not have.
        Err(error) => match error.downcast_ref() {
            Some(RunError::Resume(reason)) => bail!(
                "{}: {reason}. Remove {} to run the row from the beginning",
                record.id,
                folder.path().display()
            ),
            _ => bail!("{}: {error:#}", record.id),
        },
    }
}

/// Whether a run fails with this error each time. What libtorch reports may depend on the state of a GPU.
fn fails_each_time(error: &Error) -> bool {
    let of_data = matches!(error.downcast_ref(), Some(RunError::HoldOut(_)));
    let of_training = flags::train_error(error);
    of_data || of_training.is_some_and(|error| !matches!(error, TrainError::Libtorch(_)))
}

fn done(record: Record, folder: &RunFolder, trained: &Trained) -> Result<Record> {
    let config: RunConfig = folder.read_config()?.context("the run has no config.json")?;
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

/// Stops training as SIGTERM does when stdin is closed, as it is when the parent process ends.
fn end_with_stdin() -> Result<()> {
    let wait = || {
        let _ = io::stdin().read(&mut [0]);
        signals::terminate();
    };
    thread::Builder::new()
        .name("parent".into())
        .spawn(wait)
        .context("a thread cannot be started")?;
    Ok(())
}
