//! `stitch inspect`: shows what is in files of tensors, traces, run folders and IDX files.

mod checkpoint;
mod contents;
mod folder;
mod idx;
mod script;
mod tally;
mod tensors;
mod text;

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use stitch::sha256;
use stitch::stitch_trace::RECORDS;

use self::contents::{Contents, Document, FileSum};
use super::{Console, Outcome, files, flags, print_error};
use crate::cli::InspectArgs;
use crate::suggest::hinted;

pub fn run(args: &InspectArgs, console: Console) -> Result<Outcome> {
    let mut documents = Vec::new();
    let mut unreadable = 0;
    for (i, file) in args.files.iter().enumerate() {
        let path = file.display().to_string();
        match contents(file, args) {
            Ok(contents) => {
                let separator = if i > 0 { "\n" } else { "" };
                console.show(&format!(
                    "{separator}{}",
                    text::contents(console.screen, &path, &contents, args)
                ))?;
                documents.push(Document::Shown { file: path, contents });
            }
            Err(error) => {
                print_error(&error);
                documents.push(Document::Failed { file: path, error: flags::message(&error) });
                unreadable += 1;
            }
        }
    }
    note_no_effect(args, &documents, console);
    console.document(|| Ok(documents))?;
    Ok(match unreadable {
        0 => Outcome::Done,
        all if all == args.files.len() => Outcome::Unreadable,
        _ => Outcome::CheckFailed,
    })
}

/// Prints which flags concern none of the files.
fn note_no_effect(args: &InspectArgs, documents: &[Document], console: Console) {
    let shown = || {
        documents.iter().filter_map(|document| match document {
            Document::Shown { contents, .. } => Some(contents),
            Document::Failed { .. } => None,
        })
    };
    let is_script = |it: &Contents| matches!(it, Contents::Tensors(it) if it.torchscript.is_some());
    let has_elements = |it: &Contents| matches!(it, Contents::Tensors(_) | Contents::Idx(_));
    if args.code && shown().next().is_some() && !shown().any(is_script) {
        console.note("note: --code has no effect: none of the files is TorchScript");
    }
    if args.stats && shown().next().is_some() && !shown().any(has_elements) {
        console
            .note("note: --stats has no effect on traces and run folders: give files of tensors");
    }
}

/// What is in a file or folder. Its kind is recognized by its content.
fn contents(file: &Path, args: &InspectArgs) -> Result<Contents> {
    if file.is_dir() {
        refuse_key(file, args)?;
        return folder::contents(file);
    }
    let mut start = Vec::new();
    let opened = files::open_regular(file)?;
    let cannot = || format!("{} cannot be read", file.display());
    let length = opened.metadata().map_err(|error| hinted(file, error))?.len();
    opened.take(idx::START).read_to_end(&mut start).with_context(cannot)?;
    if folder::is_records(&start) {
        refuse_key(file, args)?;
        // A trace is read from its folder, by the names of its files.
        ensure!(
            file.file_name().is_some_and(|name| name == RECORDS),
            "{}: the records of a trace: call it {RECORDS}, in the folder of the trace",
            file.display()
        );
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        return folder::trace(folder.unwrap_or(Path::new(".")));
    }
    if let Some(error) = idx::unsupported(&start) {
        bail!("{}: {error}", file.display());
    }
    match idx::is_idx(&start, length) {
        true => {
            refuse_key(file, args)?;
            idx::contents(file, args)
        }
        false => tensors::contents(file, args),
    }
}

/// Refuses `--key` where there are no dicts.
fn refuse_key(file: &Path, args: &InspectArgs) -> Result<()> {
    let is_given = args.key.get().is_some();
    ensure!(!is_given, "--key: {} is not a checkpoint, whose dicts have keys", file.display());
    Ok(())
}

/// The size and the SHA-256 of a file.
fn sum(file: &Path) -> Result<FileSum> {
    let sum = sha256::of_reader(files::open_regular(file)?);
    let (bytes, sha256) = sum.with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(FileSum { bytes, sha256 })
}
