//! `stitch report`: writes the report of runs from their folders.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use stitch::report::{self, ImagesError, Parity, Run, Section, Study, configurations, folder};
use stitch::run_folder::{self, CONFIG, REPORT, write_whole};
use stitch::study::results::Record;

use super::export::check_output;
use super::study::merged;
#[cfg(feature = "libtorch")]
use super::test_images::TestImages;
use super::{Console, Outcome, links};
#[cfg(not(feature = "libtorch"))]
use super::{engine, inputs};
use crate::cli::ReportArgs;

/// Whether the networks of the runs are to be computed: they choose the images of the report.
#[cfg(not(feature = "libtorch"))]
pub fn computes(args: &ReportArgs) -> bool {
    args.compute.is_given() || args.data.data.is_some() || inputs::find(&args.data).is_ok()
}

pub fn run(args: &ReportArgs, console: Console) -> Result<Outcome> {
    #[cfg(not(feature = "libtorch"))]
    ensure!(!args.compute.is_given(), "--threads, --device: {}", engine::WITHOUT_LIBTORCH);
    #[cfg(feature = "libtorch")]
    let test_images = TestImages::open(args)?;
    let output = output(args)?;
    let mut runs = Vec::new();
    for folder in
        args.runs.iter().map(|path| run_folders(path)).collect::<Result<Vec<_>>>()?.concat()
    {
        runs.push((folder::read(&folder)?, folder));
    }
    // In the order of `stitch reproduce`.
    if let [_] = args.runs[..] {
        runs.sort_by_key(|(run, _)| run.model.position());
    }
    let study = match args.study.as_slice() {
        [] => None,
        studies => {
            let records = merged(studies).context("--study")?;
            check_data(&records, &runs)?;
            Some(Study::new(&configurations::group(&records)?, &records))
        }
    };
    let mut sections = Vec::new();
    for (run, folder) in runs {
        #[cfg(feature = "libtorch")]
        let images = test_images.of_run(&run, &folder, console)?;
        #[cfg(not(feature = "libtorch"))]
        let images =
            Err(if engine::EXISTS { ImagesError::NoData } else { ImagesError::NoLibtorch });
        if let Err(why) = &images {
            let flag = match why {
                ImagesError::NoData => " (give its folder with --data)",
                _ => "",
            };
            let folder = folder.display();
            console.note(&format!("note: {folder}: the report has no images: {why}{flag}"));
        }
        let parity = linked(folder::parity(&folder)?, &folder, &output);
        let folder = folder.display().to_string();
        sections.push(Section { run, images, parity, folder });
    }
    let sections: Vec<&Section> = sections.iter().collect();
    let page = report::page(&sections, study.as_ref(), args.figures.normalize());
    let path = output.display();
    write_whole(&output, page.as_bytes()).with_context(|| format!("{path} cannot be written"))?;
    console.show(&path.to_string())?;
    console.document(|| Ok(json!({ "report": path.to_string() })))?;
    Ok(Outcome::Done)
}

/// Refuses a study on another data set than that of the runs: its accuracies are not comparable.
fn check_data(records: &[Record], runs: &[(Run, PathBuf)]) -> Result<()> {
    let Some(of_study) = records.iter().find_map(|it| it.outcome.data_sha256.as_ref()) else {
        return Ok(());
    };
    match runs.iter().find(|(run, _)| run.config.data.digest() != *of_study) {
        None => Ok(()),
        Some((run, folder)) => bail!(
            "--study: the study used another data set (SHA-256 {of_study}) than {} ({}). Give a study on the same data",
            folder.display(),
            run.config.data.digest()
        ),
    }
}

/// The parity of a run with its page, if that exists, as a URL relative to the report.
fn linked(parity: Parity, folder: &Path, report: &Path) -> Parity {
    let Parity::Checked(mut verdict) = parity else { return parity };
    let page = verdict.html.map(|page| folder.join(page));
    let link = page.and_then(|page| links::relative(report.parent()?, &page));
    verdict.html = link.map(|link| links::url(&link));
    Parity::Checked(verdict)
}

/// The path of the report.
fn output(args: &ReportArgs) -> Result<PathBuf> {
    match (&args.output, args.runs.as_slice()) {
        (Some(output), _) => {
            check_output(output, args.force)?;
            refuse_run_file(output)?;
            Ok(output.clone())
        }
        (None, [only]) => Ok(only.join(REPORT)),
        (None, several) => bail!(
            "--output is required for {} runs: give the file to write, such as -o {REPORT}",
            several.len()
        ),
    }
}

/// Refuses to replace a file that a report reads, or another one of a run.
fn refuse_run_file(output: &Path) -> Result<()> {
    let name = output.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_run = output.with_file_name(CONFIG).exists();
    let is_of_run = name != REPORT && run_folder::files(true, true, true).contains(&name);
    ensure!(
        !(is_run && is_of_run),
        "--output {} is a file of a run: give another name, such as {REPORT}",
        output.display()
    );
    Ok(())
}

/// `path` if it is a run folder, else the run folders in it, sorted by name.
fn run_folders(path: &Path) -> Result<Vec<PathBuf>> {
    let shown = path.display();
    ensure!(
        path.is_dir(),
        "{shown} is not a folder: give a run folder, or a folder of run folders"
    );
    if path.join(CONFIG).exists() {
        return Ok(vec![path.into()]);
    }
    let cannot = || format!("{shown} cannot be read");
    let entries = fs::read_dir(path).with_context(cannot)?;
    let entries = entries.collect::<Result<Vec<_>, _>>().with_context(cannot)?;
    let mut folders: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    folders.retain(|folder| folder.join(CONFIG).exists());
    folders.sort();
    ensure!(
        !folders.is_empty(),
        "{shown} contains no complete run: neither it nor a folder in it has a {CONFIG}"
    );
    Ok(folders)
}
