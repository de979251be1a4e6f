//! Trace folders and run folders.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use stitch::run_folder::{self, CHECKPOINTS, CONFIG, MAX_FILE, METRICS, Metrics, RunConfig};
use stitch::stitch_trace::{self, RECORDS, Record};

use super::contents::{Checkpoint, Contents, NamedFile, Run, Stage, Trace};
use super::{checkpoint, sum};
use crate::commands::files;

/// Whether a file with this start is the `trace.jsonl` of a trace.
pub fn is_records(start: &[u8]) -> bool {
    let line = start.split(|&byte| byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice::<stitch_trace::Header>(line)
        .is_ok_and(|header| header.format == "stitch-trace")
}

/// What is in a folder.
pub fn contents(folder: &Path) -> Result<Contents> {
    let has = |name: &str| folder.join(name).exists();
    if has(RECORDS) {
        return trace(folder);
    }
    if has(CONFIG) || has(CHECKPOINTS) || has(METRICS) {
        return run(folder);
    }
    let runs = subfolders(folder)?.into_iter().filter(|name| {
        [CONFIG, CHECKPOINTS, RECORDS].iter().any(|file| folder.join(name).join(file).exists())
    });
    let runs: Vec<String> =
        runs.map(|name| folder.join(name).display().to_string()).take(5).collect();
    let advice = match &runs[..] {
        [] => format!("no {CONFIG}, {CHECKPOINTS} or {RECORDS} is in it"),
        runs => format!("give one of the folders in it, such as {}", runs.join(", ")),
    };
    bail!("{} is neither a run folder nor a trace folder: {advice}", folder.display())
}

fn subfolders(folder: &Path) -> Result<Vec<String>> {
    let cannot = || format!("{} cannot be read", folder.display());
    let entries = fs::read_dir(folder).with_context(cannot)?;
    let names = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        entry.path().is_dir().then(|| entry.file_name().into_string().ok())?
    });
    let mut names: Vec<String> = names.collect();
    // The order of directory entries is unspecified.
    names.sort();
    Ok(names)
}

/// The trace in a folder; its elements are not read, but for their file's SHA-256.
pub fn trace(folder: &Path) -> Result<Contents> {
    let trace = stitch_trace::Trace::open(folder)?;
    let is_kept: Vec<bool> = (0..trace.records().len()).map(|i| trace.has_elements(i)).collect();
    let mut names: Vec<&str> = Vec::new();
    for record in trace.records() {
        if !names.contains(&&*record.stage) {
            names.push(&record.stage);
        }
    }
    let records = || trace.records().iter().zip(&is_kept);
    let distinct = |number: fn(&Record) -> Option<usize>| {
        trace.records().iter().filter_map(number).collect::<BTreeSet<usize>>()
    };
    let stage = |name: &str| {
        let of_stage = || records().filter(|(record, _)| record.stage == name);
        let steps: BTreeSet<usize> = of_stage().filter_map(|(record, _)| record.step).collect();
        Stage {
            stage: name.to_owned(),
            names: of_stage().map(|(record, _)| &*record.name).collect::<BTreeSet<_>>().len(),
            tensors: of_stage().count(),
            hash_only: of_stage().filter(|(_, is_kept)| !**is_kept).count(),
            steps: steps.first().zip(steps.last()).map(|(first, last)| [*first, *last]),
        }
    };
    let files = [&folder.join(RECORDS), trace.elements_path()].map(|path| {
        let sum = sum(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(NamedFile { name, bytes: sum.bytes, sha256: Some(sum.sha256) })
    });
    Ok(Contents::Trace(Box::new(Trace {
        kind: "trace",
        version: trace.header().version,
        model: trace.header().model.clone(),
        complete: trace.is_complete(),
        tensors: is_kept.len(),
        hash_only: is_kept.iter().filter(|is_kept| !**is_kept).count(),
        epochs: distinct(|record| record.epoch).len(),
        steps: distinct(|record| record.step).len(),
        stages: names.iter().map(|name| stage(name)).collect(),
        files: files.into_iter().collect::<Result<_>>()?,
    })))
}

fn run(folder: &Path) -> Result<Contents> {
    let read = |name: &str| -> Result<Option<Vec<u8>>> {
        let path = folder.join(name);
        path.exists().then(|| files::read_limited(&path, MAX_FILE)).transpose()
    };
    let place = |name: &str| folder.join(name).display().to_string();
    let config = read(CONFIG)?.map(|bytes| RunConfig::read(&bytes));
    let config = config.transpose().with_context(|| place(CONFIG))?;
    let metrics = read(METRICS)?.map(|bytes| serde_json::from_slice::<Metrics>(&bytes));
    let metrics = metrics.transpose().with_context(|| place(METRICS))?;
    let is_run = config.is_some() || folder.join(CHECKPOINTS).exists();
    let complete = config.is_some() || !is_run;
    let config = config.map(serde_json::to_value).transpose()?;
    let config = config.or_else(|| newest_checkpoint(folder).map(|checkpoint| checkpoint.config));
    let model = config.as_ref().and_then(|config| config.get("model")?.as_str());
    let weights = folder.join(run_folder::SAFETENSORS);
    let weights_sha256 = weights.exists().then(|| sum(&weights)).transpose()?;
    Ok(Contents::Run(Box::new(Run {
        kind: if is_run { "run" } else { "evaluation" },
        complete,
        model: model.map(str::to_owned),
        config,
        metrics: metrics.map(serde_json::to_value).transpose()?,
        weights_sha256: weights_sha256.map(|sum| sum.sha256),
        files: listed(folder)?,
    })))
}

/// The newest intact checkpoint of a run, by the order of the names.
fn newest_checkpoint(folder: &Path) -> Option<Checkpoint> {
    let folder = folder.join(CHECKPOINTS);
    let entries = fs::read_dir(&folder).ok()?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().rev().find_map(|path| {
        let opened = files::weights_file(path, None).ok()?;
        checkpoint::of(path, &opened).ok()?
    })
}

/// The files in a folder and in the folders in it.
fn listed(folder: &Path) -> Result<Vec<NamedFile>> {
    let below = subfolders(folder)?;
    let mut files = Vec::new();
    for prefix in std::iter::once("").chain(below.iter().map(String::as_str)) {
        let path = folder.join(prefix);
        let cannot = || format!("{} cannot be read", path.display());
        for entry in fs::read_dir(&path).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let metadata = entry.metadata().with_context(cannot)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            if metadata.is_file() {
                files.push(NamedFile { name, bytes: metadata.len(), sha256: None });
            }
        }
    }
    files.sort_by(|a, b| a.name.contains('/').cmp(&b.name.contains('/')).then(a.name.cmp(&b.name)));
    Ok(files)
}
