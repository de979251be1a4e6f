//! `stitch study collect`: the results of studies as one table.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use stitch::run_folder::write_whole;
use stitch::study::plan;
use stitch::study::results::{self, Contradiction, Record};

use super::{LONGEST_TABLE, counted, read_plan, read_record};
use crate::cli::StudyCollectArgs;
use crate::commands::{Console, Outcome, documents, inputs};

pub fn run(args: &StudyCollectArgs, console: Console) -> Result<Outcome> {
    check_there(&args.studies)?;
    let output = match (&args.output, args.studies.as_slice()) {
        (Some(output), _) => output.clone(),
        (None, [study]) if study.is_dir() => study.join("results.csv"),
        _ => bail!("--output is wanted where it is not one study's folder: the table to write"),
    };
    let records = merged(&args.studies)?;
    write_whole(&output, &results::write(&records))
        .with_context(|| format!("{} cannot be written", output.display()))?;
    let failed = records.iter().filter(|record| !record.is_done()).count();
    let done = records.len() - failed;
    let table = output.display().to_string();
    console.show(&format!("{} done, {failed} failed, in {table}", counted(done)))?;
    console.document(|| Ok(documents::Collected { table, done, failed }))?;
    Ok(Outcome::Done)
}

/// Refuses what is no study's folder and no file.
pub fn check_there(studies: &[PathBuf]) -> Result<()> {
    for study in studies {
        let shown = study.display();
        ensure!(study.exists(), "{shown} is not there: a study's folder or its table is wanted");
        let is_study = [plan::FILE, results::FOLDER].iter().any(|it| study.join(it).exists());
        ensure!(
            is_study || !study.is_dir(),
            "{shown} is no study's folder: neither {} nor {} is in it",
            plan::FILE,
            results::FOLDER
        );
    }
    Ok(())
}

/// All results of studies and tables, at least one.
pub fn merged(studies: &[PathBuf]) -> Result<Vec<Record>> {
    check_there(studies)?;
    let mut all = Vec::new();
    for study in studies {
        if study.join(plan::FILE).exists() {
            read_plan(study)?;
        }
        all.extend(read(study)?);
    }
    results::of_one_data_set(&all)?;
    let records = results::merge(all)?;
    if records.is_empty() {
        bail!("there is no result yet; `stitch study run` makes them");
    }
    Ok(records)
}

/// The results of a study's folder, or of a table; each with where it is.
fn read(study: &Path) -> Result<Vec<(String, Record)>> {
    if !study.is_dir() {
        let bytes = inputs::read_short(study, LONGEST_TABLE)?;
        let records = results::read(&bytes).with_context(|| study.display().to_string())?;
        let place = |record| (study.display().to_string(), record);
        return Ok(records.into_iter().map(place).collect());
    }
    let folder = study.join(results::FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("{} cannot be read", folder.display()))?,
    };
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| is_result(path)).collect();
    paths.sort();
    let record = |path: PathBuf| {
        let record = read_record(&path)?;
        Ok((path.display().to_string(), record))
    };
    paths.into_iter().map(record).collect()
}

fn is_result(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with('.') && name.ends_with(".json")
}

/// Whether an error is the answer no: one run with two kinds of bits.
pub fn is_no(error: &anyhow::Error) -> bool {
    error.is::<Box<Contradiction>>()
}
