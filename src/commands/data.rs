//! `stitch data`: shows, verifies or downloads the data set; `data_import.rs` imports one.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::builder::styling::AnsiColor::{Green, Red, Yellow};
use serde_json::json;
use stitch::dataset::Dataset;
use stitch::dataset::source::{
    self, DEFAULT_DIRECTORY, Fetcher, Identity, OFFICIAL, Origin, PUBLISHER, Progress,
};

#[cfg(feature = "import")]
use super::data_import;
use super::terminal::bar;
use super::{Console, Outcome, documents, inputs};
use crate::cli::{DataAction, DataArgs, DataCommand, FetchArgs};

pub fn run(args: &DataCommand, console: Console) -> Result<Outcome> {
    match &args.action {
        None => show(&args.data, console),
        Some(DataAction::Verify(data)) => verify(data, console),
        Some(DataAction::Fetch(fetch_args)) => fetch(fetch_args, console),
        #[cfg(feature = "import")]
        Some(DataAction::Import(import_args)) => data_import::run(import_args, console),
        #[cfg(not(feature = "import"))]
        Some(DataAction::Import(_)) => anyhow::bail!(
            "this stitch was built without import. Build it with --features import, or with its default features \
             (cargo install --path .)"
        ),
    }
}

/// Shows where the files are, what they contain, and whether they are official.
fn show(args: &DataArgs, console: Console) -> Result<Outcome> {
    let Dataset { train, origin, .. } = source::load(inputs::find(args)?)?;
    let classes = train.classes.names();
    let directory = origin.found.directory.display();
    console.document(|| {
        Ok(json!({
            "directory": directory.to_string(),
            "rule": origin.found.rule,
            "identity": documents::identity(&origin),
            "files": documents::data_files(&origin),
            "classes": classes,
            "shape": train.shape.sizes(),
        }))
    })?;
    let colored = |color, text| console.screen.colored(color, text);
    console.show(&format!("{directory} ({})", origin.found.rule))?;
    for (file, official) in origin.files.iter().zip(&OFFICIAL) {
        let what = match official.content {
            source::Content::Images => format!("images of {}", train.shape),
            source::Content::Labels => "labels".into(),
        };
        let name = file.path.file_name().unwrap_or_default().display();
        let verdict = match file.official {
            true => colored(Green, "official"),
            false => colored(Yellow, "not the official file"),
        };
        console.show(&format!("  {name}: {} {what}, {verdict}", file.count))?;
        console.show(&format!("    SHA-256 (unpacked) {}", file.sha256))?;
    }
    let plural = if classes.len() == 1 { "class" } else { "classes" };
    let names = format!("{} {plural}: {}", classes.len(), classes.join(", "));
    console.show(&console.screen.paragraph(&names))?;
    console.show(&verdict(&origin, console))?;
    Ok(Outcome::Done)
}

fn verdict(origin: &Origin, console: Console) -> String {
    let (color, text) = match origin.identity() {
        Identity::Official => (Green, "These are the official files of Fashion-MNIST."),
        Identity::Another => {
            (Yellow, "Not Fashion-MNIST: none of the four checksums match the official files.")
        }
        Identity::Mixed => {
            (Red, "Some files are official and some are not: probably a file is damaged.")
        }
    };
    console.screen.colored(color, &console.screen.paragraph(text))
}

/// Checks each file separately, so that one damaged file does not hide another.
fn verify(args: &DataArgs, console: Console) -> Result<Outcome> {
    let found = inputs::find(args)?;
    let directory = found.directory.display();
    let (mut files, mut damage) = (Vec::new(), Vec::new());
    for (official, path) in OFFICIAL.iter().zip(&found.paths) {
        match source::load_file(official, path) {
            Ok((_, file)) => files.push(file),
            Err(error) => damage.push(error.to_string()),
        }
    }
    let (damaged, ok) =
        (console.screen.colored(Red, "DAMAGED"), console.screen.colored(Green, "ok"));
    for error in &damage {
        console.show(&format!("{damaged} {error}"))?;
    }
    let origin = Origin { found: found.clone(), files };
    let identity = origin.identity();
    for file in &origin.files {
        let path = file.path.display();
        let line = match (file.official, identity) {
            (true, _) => format!("{ok} {path}"),
            (false, Identity::Another) => format!("{ok} (not the official file) {path}"),
            (false, _) => {
                let what = "well-formed, but its SHA-256 is not the official one";
                damage.push(format!("{path}: {what}"));
                format!("{damaged} ({what}) {path}")
            }
        };
        console.show(&line)?;
    }
    if origin.files.len() < OFFICIAL.len() {
        console.show(&format!("{directory} is damaged: download it again"))?;
        // Each file may be intact although the files do not belong together.
    } else if let Err(error) = source::load(found.clone()) {
        damage.push(error.to_string());
        console.show(&format!("{damaged} {error}"))?;
    } else {
        console.show(&verdict(&origin, console))?;
    }
    let intact = damage.is_empty();
    console.document(|| {
        Ok(json!({
            "directory": directory.to_string(),
            "intact": intact,
            "identity": documents::identity(&origin),
            "files": documents::data_files(&origin),
            "damage": damage,
        }))
    })?;
    Ok(if intact { Outcome::Done } else { Outcome::CheckFailed })
}

fn fetch(args: &FetchArgs, console: Console) -> Result<Outcome> {
    let into = args.to.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_DIRECTORY));
    let base = args.mirror.as_deref().unwrap_or(PUBLISHER);
    console.note(&format!("downloading Fashion-MNIST from {base} to {}", into.display()));
    let template = "{msg} {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
    let bar = (!console.quiet && stderr().is_terminal()).then(|| bar(None, template));
    let note = |text: &str| match &bar {
        Some(bar) => bar.suspend(|| console.note(text)),
        None => console.note(text),
    };
    let mut files = BTreeMap::new();
    let mut report = |progress: Progress| match progress {
        Progress::Present(name) => {
            files.insert(name.to_owned(), "present");
            note(&format!("{name}: already downloaded"));
        }
        Progress::Done(name) => {
            files.insert(name.to_owned(), "fetched");
            note(&format!("{name}: downloaded, checksum matches the official file"));
        }
        Progress::Retry { reason, wait } => {
            note(&format!("{reason}; retrying in {} s", wait.as_secs()));
        }
        Progress::Bytes { name, done, total } => {
            if let Some(bar) = &bar {
                bar.set_message(name.to_owned());
                bar.set_length(total.unwrap_or(done));
                bar.set_position(done);
            }
        }
    };
    let stalled = Duration::from_secs(args.timeout.into());
    let mut fetcher = Fetcher { base, into: Path::new(&into), stalled, report: &mut report };
    fetcher.run()?;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    let directory = into.display().to_string();
    console.show(&format!("Fashion-MNIST is in {directory}"))?;
    console.document(|| Ok(json!({ "directory": directory, "files": files })))?;
    Ok(Outcome::Done)
}
