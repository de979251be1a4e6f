//! Reads and merges the results of studies, which `collect` and the reports show.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use stitch::study::merge::{self, Contradiction};
use stitch::study::plan;
use stitch::study::results::{self, Record};

use super::{MAX_TABLE, RERUN, read_plan, read_record};
use crate::commands::inputs;

/// The advice about a file that is not a result and does not have the name of a row's result.
const STRAY: &str = "It is not a result of this study: move it away";

/// Checks that each path is a study folder or a file.
pub fn check_there(studies: &[PathBuf]) -> Result<()> {
    for study in studies {
        let shown = study.display();
        ensure!(study.exists(), "{shown} does not exist: give a study folder or a table");
        let is_study = [plan::FILE, results::FOLDER].iter().any(|it| study.join(it).exists());
        ensure!(
            is_study || !study.is_dir(),
            "{shown} is not a study folder: it contains neither {} nor {}",
            plan::FILE,
            results::FOLDER
        );
    }
    Ok(())
}

/// Reads and merges the results of studies and tables; there is at least one.
pub fn merged(studies: &[PathBuf]) -> Result<Vec<Record>> {
    check_there(studies)?;
    let mut all = Vec::new();
    for study in studies {
        all.extend(read(study)?);
    }
    merge::of_one_data_set(&all)?;
    let records = merge::merge(all)?;
    if records.is_empty() {
        bail!("there are no results yet: run `stitch study run` first");
    }
    Ok(records)
}

/// The results in a study folder or a table, each with its path.
fn read(study: &Path) -> Result<Vec<(String, Record)>> {
    if !study.is_dir() {
        let bytes = inputs::read_limited(study, MAX_TABLE)?;
        let records = results::read(&bytes).with_context(|| study.display().to_string())?;
        let place = |record| (study.display().to_string(), record);
        return Ok(records.into_iter().map(place).collect());
    }
    let plan = if study.join(plan::FILE).exists() { read_plan(study)? } else { Vec::new() };
    let ids: BTreeSet<String> = plan.iter().map(plan::id).collect();
    let folder = study.join(results::FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("{} cannot be read", folder.display()))?,
    };
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| is_result(path)).collect();
    paths.sort();
    let record = |path: PathBuf| {
        let is_planned =
            path.file_stem().is_some_and(|stem| ids.contains(&*stem.to_string_lossy()));
        let record = read_record(&path, if is_planned { RERUN } else { STRAY })?;
        Ok((path.display().to_string(), record))
    };
    paths.into_iter().map(record).collect()
}

fn is_result(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with('.') && name.ends_with(".json")
}

/// Whether an error is a failed check: the same run produced different results.
pub fn is_contradiction(error: &anyhow::Error) -> bool {
    error.is::<Box<Contradiction>>()
}
