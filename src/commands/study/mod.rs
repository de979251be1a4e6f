//! `stitch study`: many runs, from one plan.

mod collect;
mod plan;
mod report;
mod row;
mod run;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail};
use stitch::study::plan as plans;
use stitch::study::results::{self, Record};
use stitch::train::TrainConfig;

pub use collect::{is_no, merged};

use super::{Console, Outcome, inputs};
use crate::cli::{StudyAction, StudyCommand};

/// Bytes of the longest plan or table of results: a million rows have some 600 each.
const LONGEST_TABLE: u64 = 1 << 30;
/// Bytes of the longest result.
const LONGEST_RESULT: u64 = 64 << 10;

pub fn run(args: &StudyCommand, console: Console) -> Result<Outcome> {
    match &args.action {
        StudyAction::Plan(args) => plan::run(args, console),
        StudyAction::Run(args) => match args.row {
            Some(row) => row::run(args, row, console),
            None => run::run(args, console),
        },
        StudyAction::Collect(args) => collect::run(args, console),
        StudyAction::Report(args) => report::run(args, console),
    }
}

/// The plan of the study in a folder.
fn read_plan(study: &Path) -> Result<Vec<TrainConfig>> {
    let path = study.join(plans::FILE);
    if let Ok(false) = path.try_exists() {
        bail!("{} is missing; `stitch study plan` makes it", path.display());
    }
    let bytes = inputs::read_short(&path, LONGEST_TABLE)?;
    plans::read(&bytes).with_context(|| path.display().to_string())
}

/// Where the result of a run is.
fn result_path(study: &Path, id: &str) -> PathBuf {
    study.join(results::FOLDER).join(format!("{id}.json"))
}

/// What a run came to, if it has come to something.
fn read_result(study: &Path, id: &str) -> Result<Option<Record>> {
    let path = result_path(study, id);
    if let Ok(false) = path.try_exists() {
        return Ok(None);
    }
    read_record(&path).map(Some)
}

/// Reads a file of results.
fn read_record(path: &Path) -> Result<Record> {
    let bytes = inputs::read_short(path, LONGEST_RESULT)?;
    let of_file =
        |what: Error| anyhow!("{}: {what}. Remove it to have the row run again", path.display());
    let record = Record::read(&bytes).map_err(|error| of_file(error.into()))?;
    if path.file_stem() != Some(OsStr::new(&record.id)) {
        let id = &record.id;
        return Err(of_file(anyhow!(
            "it holds the result of {id}, not of the run that its name says"
        )));
    }
    Ok(record)
}

/// Writes what a run came to, whole or not at all.
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
