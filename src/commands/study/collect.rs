//! `stitch study collect`: merges the results of studies into one table.

use anyhow::{Context, Result, bail};
use stitch::run_folder::write_whole;
use stitch::study::results;

use super::counted;
use super::merged::{check_there, merged};
use crate::cli::StudyCollectArgs;
use crate::commands::{Console, Outcome, documents};

pub fn run(args: &StudyCollectArgs, console: Console) -> Result<Outcome> {
    check_there(&args.studies)?;
    let output = match (&args.output, args.studies.as_slice()) {
        (Some(output), _) => output.clone(),
        (None, [study]) if study.is_dir() => study.join("results.csv"),
        _ => {
            bail!("--output is required unless there is one study folder: give the table to write")
        }
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
