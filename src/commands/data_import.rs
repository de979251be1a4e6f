//! `stitch data import`: converts another form of a data set to IDX files.

use std::io::{IsTerminal, stderr};

use anyhow::{Error, Result, anyhow};
use clap::builder::styling::AnsiColor::Red;
use serde_json::json;
use stitch::dataset::import::{self, ImportError, Imported, Options, Progress, Unreadable};
use stitch::dataset::source::Half;

use super::terminal::bar;
use super::{Console, Outcome};
use crate::cli::ImportArgs;
use crate::suggest::hinted;

/// Files that are listed as text; `--json` lists all.
const LISTED: usize = 20;

pub fn run(args: &ImportArgs, console: Console) -> Result<Outcome> {
    import::check(&args.output, args.force).map_err(|error| advised(error, args))?;
    let options = Options {
        size: args.size,
        channels: args.channels.as_deref().and_then(|channels| channels.parse().ok()),
        label: args.label.clone(),
        test_last: args.test_last.map(|n| n as usize),
        skip_unreadable: args.skip_unreadable,
    };
    match read(args, &options, console) {
        Ok(imported) => write(args, &imported, console),
        Err(ImportError::Unreadable(unreadable)) => {
            let mark = console.screen.colored(Red, "UNREADABLE");
            for line in listed(&unreadable) {
                console.show(&format!("{mark} {line}"))?;
            }
            console.show(&format!(
                "{} of the images cannot be read: nothing was written. Repair them, or leave them out with --skip-unreadable",
                unreadable.len()
            ))?;
            let from = args.from.display().to_string();
            let unreadable = documents(&unreadable);
            console.document(|| {
                Ok(json!({ "from": from, "directory": null, "files": [], "unreadable": unreadable }))
            })?;
            Ok(Outcome::CheckFailed)
        }
        Err(error) => Err(advised(error, args)),
    }
}

/// Reads the data set below a bar on a terminal.
fn read(args: &ImportArgs, options: &Options, console: Console) -> Result<Imported, ImportError> {
    let template = "{msg} {bar:30} {human_pos}/{human_len} images  {eta} left";
    let counting = "{msg} {human_pos} images";
    let is_terminal = !console.quiet && stderr().is_terminal();
    let mut shown: Option<(Half, indicatif::ProgressBar)> = None;
    let mut report = |Progress { half, done, total }: Progress| {
        if !is_terminal {
            return;
        }
        if shown.as_ref().is_none_or(|(of, _)| *of != half) {
            if let Some((_, bar)) = shown.take() {
                bar.finish_and_clear();
            }
            let total = total.map(|total| total as u64);
            let bar = bar(total, if total.is_some() { template } else { counting });
            bar.set_message(if half == Half::Train { "training half" } else { "test half" });
            shown = Some((half, bar));
        }
        if let Some((_, bar)) = &shown {
            bar.set_position(done as u64);
        }
    };
    let imported = import::read(&args.from, options, &mut report);
    if let Some((_, bar)) = shown {
        bar.finish_and_clear();
    }
    imported
}

fn write(args: &ImportArgs, imported: &Imported, console: Console) -> Result<Outcome> {
    let Imported { form, halves, shape, classes, unreadable, notes } = imported;
    notes.iter().for_each(|note| console.note(&format!("note: {note}")));
    for line in listed(unreadable) {
        console.note(&format!("warning: left out {line}"));
    }
    let files = import::write(imported, &args.output, args.force);
    let files = files.map_err(|error| advised(error, args))?;
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let [train, test] = [0, 1].map(|half| halves[half].labels.len());
    let directory = args.output.display().to_string();
    console.show(&format!(
        "imported {train} training and {test} test images of {shape} from {} ({})",
        args.from.display(),
        form.name()
    ))?;
    if !unreadable.is_empty() {
        console.show(&format!("left out {} images that cannot be read", unreadable.len()))?;
    }
    if let Some(classes) = classes {
        let names = format!("{} classes: {}", classes.len(), classes.names().join(", "));
        console.show(&console.screen.paragraph(&names))?;
    }
    console.show(&format!("The data set is in {directory}: use it with --data {directory}"))?;
    console.document(|| {
        Ok(json!({
            "from": args.from.display().to_string(),
            "form": form.name(),
            "directory": directory,
            "train": train,
            "test": test,
            "shape": shape.sizes(),
            "classes": classes.as_ref().map(|classes| classes.names()),
            "files": files,
            "unreadable": documents(unreadable),
            "notes": notes,
        }))
    })?;
    Ok(Outcome::Done)
}

/// The first of the images, one line per image.
fn listed(unreadable: &[Unreadable]) -> Vec<String> {
    let lines = unreadable.iter().take(LISTED).map(ToString::to_string);
    let more = unreadable.len().saturating_sub(LISTED);
    let more = (more > 0).then(|| format!("{more} more; --json lists all"));
    lines.chain(more).collect()
}

fn documents(unreadable: &[Unreadable]) -> Vec<serde_json::Value> {
    let document = |it: &Unreadable| json!({ "file": it.file, "reason": it.reason });
    unreadable.iter().map(document).collect()
}

/// The error with the flag concerned and what to do.
fn advised(error: ImportError, args: &ImportArgs) -> Error {
    let (flag, advice) = match &error {
        ImportError::Sizes { .. } => {
            ("", ". Give --size HEIGHTxWIDTH to scale all images to one size")
        }
        ImportError::Pixels(..) => ("", ". Give the size of the images with --size HEIGHTxWIDTH"),
        ImportError::NoTest(..) => {
            ("", ". Give --test-last N to take the last N training images for it")
        }
        ImportError::NoTestFolder(_) => {
            ("", ". Give --test-last N to take the last images of each class for it, N in all")
        }
        ImportError::HasTest(_) => ("--test-last: ", ". Omit --test-last"),
        ImportError::TestLast { .. } => ("--test-last: ", ""),
        ImportError::LabelColumn(..) => ("", ". Give its name with --label NAME"),
        ImportError::TooLarge(_) => ("", ". Give --size for smaller ones"),
        ImportError::Occupied(_) => {
            ("--output ", ". Give another folder, or --force to replace the data set in it")
        }
        ImportError::Foreign(..) => ("--output ", ". Give another folder"),
        _ => ("", ""),
    };
    hinted(&args.from, anyhow!("{flag}{error}{advice}"))
}
