//! The JSON document of `stitch parity`, and the verdict that it saves in the candidate's run folder.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Error, Result};
use stitch::report::folder::weights_sha256;
use stitch::run_folder::{self, ParityVerdict, StageVerdict, write_whole};
use stitch_parity::{Report, StageCounts};

use super::flags::{applied, message};
use crate::cli::ParityArgs;
use crate::commands::terminal::visible;
use crate::commands::{Console, links};

/// The report as JSON; `engines` are those of the reference and the candidate.
pub fn json(report: &Report, engines: &[Option<String>; 2]) -> Result<String> {
    let mut value = serde_json::to_value(report)?;
    for (i, tensor) in report.tensors.iter().enumerate() {
        value["tensors"][i]["tolerance"] = tensor.tolerance.as_ref().map(applied).into();
    }
    value["engines"] = serde_json::to_value(engines)?;
    value["equal"] = report.is_equal().into();
    value["different"] = report.different().into();
    value["verdict"] = report.verdict().into();
    value["first_divergence"] = report.first_difference().map(message).into();
    Ok(escaped(&serde_json::to_string_pretty(&value)?))
}

/// A JSON document in which no character of a name acts on a terminal: the parsed document is the same.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        let mut buffer = [0; 4];
        match visible(c.encode_utf8(&mut buffer)) {
            Cow::Borrowed(text) => out += text,
            Cow::Owned(_) => out += &format!("\\u{:04x}", u32::from(c)),
        }
    }
    out
}

/// Saves the verdict on two runs as `parity.json` in the candidate's run folder, for its report. Only prints a note if it
/// cannot be written: the exit code is that of the comparison.
pub fn save_verdict(args: &ParityArgs, report: &Report, console: Console) {
    let is_run = |path: &Path| path.join(run_folder::CONFIG).is_file();
    if !is_run(&args.reference) || !is_run(&args.candidate) {
        return;
    }
    let tolerances: BTreeSet<String> =
        report.tensors.iter().filter_map(|tensor| tensor.tolerance.as_ref().map(applied)).collect();
    let path = args.candidate.join(run_folder::PARITY);
    let written = weights_sha256(&args.candidate).map_err(Error::from).and_then(|weights_sha256| {
        let verdict = ParityVerdict {
            reference: report.reference.clone(),
            verdict: report.verdict(),
            equal: report.is_equal(),
            tensors: report.tensors.len(),
            stages: report.stages().into_iter().map(stage).collect(),
            tolerances: tolerances.into_iter().collect(),
            not_compared: report.not_compared.clone(),
            html: args.html.as_ref().and_then(|page| links::relative(&args.candidate, page)),
            weights_sha256,
        };
        let json = serde_json::to_string_pretty(&verdict)?;
        Ok(write_whole(&path, format!("{json}\n").as_bytes())?)
    });
    if let Err(error) = written {
        console.note(&format!(
            "note: the verdict cannot be saved in {}, so a report will not show it: {error:#}",
            path.display()
        ));
    }
}

/// The counts of a stage, as `parity.json` has them.
fn stage(counts: StageCounts) -> StageVerdict {
    let StageCounts { stage, equal, within, different } = counts;
    StageVerdict { stage: stage.into(), equal, within, different }
}
