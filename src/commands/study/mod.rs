//! `stitch study`: many runs, from one plan.

mod collect;
mod plan;
mod report;
mod row;
mod run;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use stitch::study::plan::{self as plans, Settings};
use stitch::study::results::{self, Record};

pub use collect::is_no;

use super::{Console, Outcome};
use crate::cli::{StudyAction, StudyCommand};

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
fn read_plan(study: &Path) -> Result<Vec<Settings>> {
    let path = study.join(plans::FILE);
    let bytes = fs::read(&path).with_context(|| {
        format!("{} cannot be read; `stitch study plan` makes it", path.display())
    })?;
    plans::read(&bytes).with_context(|| path.display().to_string())
}

/// Where the result of a run is.
fn result_path(study: &Path, id: &str) -> PathBuf {
    study.join(results::FOLDER).join(format!("{id}.json"))
}

/// What a run came to, if it has come to something.
fn read_result(study: &Path, id: &str) -> Result<Option<Record>> {
    let path = result_path(study, id);
    match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        Ok(bytes) => {
            let what = || format!("{}: remove it to have the row run again", path.display());
            Record::read(&bytes).map(Some).map_err(anyhow::Error::msg).with_context(what)
        }
    }
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
