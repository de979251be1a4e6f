//! `stitch study`: plans, runs and evaluates many runs.

#[cfg(not(feature = "libtorch"))]
mod collect;
mod merged;
#[cfg(not(feature = "libtorch"))]
mod plan;
#[cfg(not(feature = "libtorch"))]
mod report;
#[cfg(feature = "libtorch")]
mod row;
#[cfg(feature = "libtorch")]
mod run;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use stitch::study::plan as plans;
use stitch::study::results::{self, Record};
use stitch::train::TrainConfig;

pub use merged::{is_contradiction, merged};

use super::{Console, Outcome, inputs};
use crate::cli::{StudyAction, StudyCommand};

/// Maximum size in bytes of a plan or table: a million rows of about 600 bytes.
const MAX_TABLE: u64 = 1 << 30;
/// Maximum size in bytes of a result.
const MAX_RESULT: u64 = 64 << 10;
/// The advice about a file that has the name of a row's result and is not its result.
const RERUN: &str = "Remove it to run the row again";

pub fn run(args: &StudyCommand, console: Console) -> Result<Outcome> {
    match &args.action {
        #[cfg(feature = "libtorch")]
        StudyAction::Run(args) => match args.row {
            Some(row) => row::run(args, row, console),
            None => run::run(args, console),
        },
        #[cfg(feature = "libtorch")]
        _ => bail!(super::NOT_OF_THE_ENGINE),
        #[cfg(not(feature = "libtorch"))]
        StudyAction::Run(_) => super::engine::start(),
        #[cfg(not(feature = "libtorch"))]
        StudyAction::Plan(args) => plan::run(args, console),
        #[cfg(not(feature = "libtorch"))]
        StudyAction::Collect(args) => collect::run(args, console),
        #[cfg(not(feature = "libtorch"))]
        StudyAction::Report(args) => report::run(args, console),
    }
}

/// Reads the plan in a study folder.
fn read_plan(study: &Path) -> Result<Vec<TrainConfig>> {
    let path = study.join(plans::FILE);
    if let Ok(false) = path.try_exists() {
        bail!("{} is missing: write it with `stitch study plan`", path.display());
    }
    let bytes = inputs::read_limited(&path, MAX_TABLE)?;
    plans::read(&bytes).with_context(|| path.display().to_string())
}

/// The path of a run's result.
fn result_path(study: &Path, id: &str) -> PathBuf {
    study.join(results::FOLDER).join(format!("{id}.json"))
}

/// Reads the result of a run, if it has one.
fn read_result(study: &Path, id: &str) -> Result<Option<Record>> {
    let path = result_path(study, id);
    if let Ok(false) = path.try_exists() {
        return Ok(None);
    }
    read_record(&path, RERUN).map(Some)
}

/// Reads a result; its file must have the name of its run. `advice` says what to do if it is not a result.
fn read_record(path: &Path, advice: &str) -> Result<Record> {
    let bytes = inputs::read_limited(path, MAX_RESULT)?;
    let shown = path.display();
    let record = Record::read(&bytes).map_err(|error| anyhow!("{shown}: {error}. {advice}"))?;
    let has_name = path.file_stem().is_some_and(|stem| *stem == *record.id);
    ensure!(has_name, "{shown}: it contains the result of {}. {advice}", record.id);
    Ok(record)
}

/// Writes a result atomically.
fn write_result(study: &Path, record: &Record) -> Result<()> {
    let path = result_path(study, &record.id);
    let write = || -> Result<()> {
        fs::create_dir_all(study.join(results::FOLDER))?;
        let json = serde_json::to_string_pretty(record)?;
        Ok(stitch::run_folder::write_whole(&path, format!("{json}\n").as_bytes())?)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

/// `1 run`, `2 runs`.
fn counted(runs: usize) -> String {
    format!("{runs} run{}", if runs == 1 { "" } else { "s" })
}
