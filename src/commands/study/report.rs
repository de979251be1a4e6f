//! `stitch study report`: writes the results as an HTML report, a figure and a table.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};
use stitch::report::effects::{Effect, effects, effects_csv};
use stitch::report::figures::{self, Drawn};
use stitch::report::{self, Study, configurations};
use stitch::run_folder::write_whole;

use super::merged;
use crate::cli::StudyReportArgs;
use crate::commands::{Console, Outcome, documents};

// Names of the written files.
const PAGE: &str = "report.html";
const FIGURE: &str = "accuracies.svg";
const SUMMARY: &str = "summary.csv";
/// Only if configurations differ in an option.
const EFFECTS: &str = "effects.csv";

/// How far the comparisons of options go.
const NOTE: &str = "Intervals are not corrected for multiple comparisons; the results are about these epochs and settings only.";

pub fn run(args: &StudyReportArgs, console: Console) -> Result<Outcome> {
    merged::check_there(&args.studies)?;
    let folder = match (&args.output, args.studies.as_slice()) {
        (Some(output), _) => output.as_path(),
        (None, [study]) if study.is_dir() => study,
        _ => bail!(
            "--output is required unless there is one study folder: give the folder to write to"
        ),
    };
    let records = merged::merged(&args.studies)?;
    let all = configurations::group(&records)?;
    let (samples, effects) = (report::study_samples(&all), effects(&all));
    let cannot = || format!("--output {} cannot be written", folder.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    write(folder, SUMMARY, &configurations::summary_csv(&all))?;
    write(folder, FIGURE, figures::samples(&samples, Drawn::Wide).svg().as_bytes())?;
    write_effects(folder, &effects)?;
    write(folder, PAGE, Study::new(&all, &records).page().as_bytes())?;
    for effect in &effects {
        console.show(&effect.sentence())?;
    }
    if !effects.is_empty() {
        console.show(NOTE)?;
    }
    console.show(&folder.join(PAGE).display().to_string())?;
    console.document(|| {
        let path = |name| folder.join(name).display().to_string();
        Ok(documents::StudyReported {
            report: path(PAGE),
            figure: path(FIGURE),
            summary: path(SUMMARY),
            effects: (!effects.is_empty()).then(|| path(EFFECTS)),
        })
    })?;
    Ok(Outcome::Done)
}

/// Writes the comparisons of options; without any, removes those of an earlier report.
fn write_effects(folder: &Path, effects: &[Effect]) -> Result<()> {
    if !effects.is_empty() {
        return write(folder, EFFECTS, &effects_csv(effects));
    }
    match std::fs::remove_file(folder.join(EFFECTS)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} is outdated", folder.join(EFFECTS).display()))
        }
        _ => Ok(()),
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    write_whole(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}
