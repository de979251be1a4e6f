//! `stitch data`: where the data set is, whether it is intact, and fetching it.

use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use stitch::dataset::source::{
    self, DEFAULT_DIRECTORY, Fetcher, FileOrigin, Found, Identity, OFFICIAL, Origin, PUBLISHER,
    Progress,
};
use stitch::dataset::{CLASSES, SIDE, classes};

use super::{Console, Outcome};
use crate::cli::{DataAction, DataArgs, DataCommand, FetchArgs};

pub fn run(args: &DataCommand, console: Console) -> Result<Outcome> {
    match &args.action {
        None => show(&args.data, console),
        Some(DataAction::Verify(data)) => verify(data, console),
        Some(DataAction::Fetch(fetch_args)) => fetch(fetch_args, console),
    }
}

/// Where the files are, what they hold, and whether they are the official ones.
fn show(args: &DataArgs, console: Console) -> Result<Outcome> {
    let origin = source::load(source::find(args.data.as_deref())?)?.origin;
    console.print(&format!("{} ({})", origin.found.directory.display(), origin.found.rule))?;
    for (file, official) in origin.files.iter().zip(&OFFICIAL) {
        let what = match official.content {
            source::Content::Images => format!("images of {SIDE}x{SIDE}"),
            source::Content::Labels => "labels".into(),
        };
        let name = file.path.file_name().unwrap_or_default().display();
        let verdict = if file.official { "official" } else { "not the official file" };
        console.print(&format!("  {name}: {} {what}, {verdict}", file.count))?;
        console.print(&format!("    SHA-256 (unpacked) {}", file.sha256))?;
    }
    console.print(&format!("{CLASSES} classes: {}", classes::NAMES.join(", ")))?;
    console.print(verdict(&origin))?;
    Ok(Outcome::Done)
}

fn verdict(origin: &Origin) -> &'static str {
    match origin.identity() {
        Identity::Official => "These are the official files of Fashion-MNIST.",
        Identity::Another => {
            "This is another data set in the same format (none of the four SHA-256 sums is the \
             official one)."
        }
        Identity::Mixed => {
            "Some files are the official ones and some are not: most likely one is damaged."
        }
    }
}

/// Checks each file by itself, so that one damaged file does not hide another.
fn verify(args: &DataArgs, console: Console) -> Result<Outcome> {
    let found = source::find(args.data.as_deref())?;
    let mut files: Vec<FileOrigin> = Vec::new();
    for (official, path) in OFFICIAL.iter().zip(&found.paths) {
        match source::load_file(official, path) {
            Ok((_, file)) => files.push(file),
            Err(error) => console.print(&format!("DAMAGED {error}"))?,
        }
    }
    let intact = files.len() == OFFICIAL.len();
    let origin = Origin { found: found.clone(), files };
    let identity = origin.identity();
    for file in &origin.files {
        let word = match (file.official, identity) {
            (true, _) => "ok",
            (false, Identity::Another) => "ok (not the official file)",
            (false, _) => "DAMAGED (well-formed, but its SHA-256 is not the official one)",
        };
        console.print(&format!("{word} {}", file.path.display()))?;
    }
    if !intact {
        console.print(&format!("{} is damaged: fetch it again", found.directory.display()))?;
        return Ok(Outcome::No);
    }
    // Each file may be in order by itself and yet not belong to its neighbour.
    if let Err(error) = load_again(found) {
        console.print(&format!("DAMAGED {error}"))?;
        return Ok(Outcome::No);
    }
    console.print(verdict(&origin))?;
    Ok(if identity == Identity::Mixed { Outcome::No } else { Outcome::Done })
}

fn load_again(found: Found) -> Result<(), source::FileError> {
    source::load(found).map(drop)
}

fn fetch(args: &FetchArgs, console: Console) -> Result<Outcome> {
    let into = args.to.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_DIRECTORY));
    let base = args.mirror.as_deref().unwrap_or(PUBLISHER);
    console.note(&format!("fetching Fashion-MNIST from {base} into {}", into.display()));
    let bar = (!console.quiet && stderr().is_terminal()).then(|| {
        let style = "{msg} {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
        let style =
            ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::no_length().with_style(style)
    });
    let say = |text: &str| match &bar {
        Some(bar) => bar.println(text),
        None => console.note(text),
    };
    let mut report = |progress: Progress| match progress {
        Progress::Present(name) => say(&format!("{name}: there already")),
        Progress::Done(name) => say(&format!("{name}: fetched, SHA-256 is the official one")),
        Progress::Retry { reason, wait } => {
            say(&format!("{reason}; trying again in {} s", wait.as_secs()));
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
    Fetcher { base, into: Path::new(&into), stalled, report: &mut report }.run()?;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    console.print(&format!("Fashion-MNIST is in {}", into.display()))?;
    Ok(Outcome::Done)
}
