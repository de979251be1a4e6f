//! `stitch parity`: compares two runs, traces or files, and reports the first difference.

mod ci;
mod document;
mod flags;
mod html;
mod sides;
mod text;

use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use stitch::closest::{closest_match, did_you_mean};
use stitch::parity::run::{self, Run};
use stitch::run_folder::write_whole;
use stitch_parity::{Map, Options, Overrides, Pattern, Report, compare, suggest};

use self::text::Details;
use super::{Console, Outcome};
use crate::cli::{ParityArgs, ParityFormat};
use crate::suggest::hinted;

pub fn run(args: &ParityArgs, console: Console) -> Result<Outcome> {
    ensure!(
        !console.json || args.format == ParityFormat::Text,
        "--format github and --json are two formats of one output: give one of them"
    );
    ensure!(
        args.junit.is_none() || args.junit != args.html,
        "--junit and --html are the same file: give them two paths"
    );
    // Before a comparison that may take minutes.
    [&args.junit, &args.html]
        .into_iter()
        .zip([JUNIT, PAGE])
        .try_for_each(|(path, written)| path.as_ref().map_or(Ok(()), |path| written.check(path)))?;
    let (mut reference, mut candidate) = sides::open(args, console)?;
    if args.suggest_map {
        let map = suggest(&mut reference.side, &mut candidate.side)?.to_string();
        let text = match console.json {
            true => json!({ "map": map }).to_string(),
            false => map,
        };
        console.print(text.trim_end())?;
        return Ok(Outcome::Done);
    }
    if let Some(path) = &args.map {
        let map = Map::read(path).map_err(|error| hinted(path, error))?;
        map.apply(&mut candidate.side)?;
    }
    let overrides = Overrides {
        atol: args.atol,
        rtol: args.rtol,
        ulp: args.ulp,
        torch: args.tolerance.is_some(),
        by_name: args.tol.clone(),
    };
    let options = Options {
        overrides,
        equal_nan: args.equal_nan,
        same_program: run::same_program(&reference, &candidate),
        training: run::training(&reference).or_else(|| run::training(&candidate)),
        settings: run::settings(&reference, &candidate),
        strict_stages: args.strict_stages,
        // The text shows those of the first alone.
        quantiles_of_first: !(args.verbose || console.json || args.html.is_some()),
    };
    let report = compare(&mut reference.side, &mut candidate.side, &options)?;
    check_names(args, &report)?;
    let engines = [&reference, &candidate].map(engine_of);
    let details = Details { verbose: args.verbose, histogram: args.histogram };
    let text = match console.json {
        true => document::json(&report, &engines)?,
        false => text::of(&report, &engines, details, console.screen),
    };
    console.print(text.trim_end())?;
    if let Some(path) = &args.junit {
        JUNIT.write(path, ci::junit(&report))?;
    }
    if let Some(path) = &args.html {
        PAGE.write(path, html::of(&report, &engines))?;
    }
    if args.format == ParityFormat::Github {
        console.print(&ci::github(&report))?;
    }
    document::save_verdict(args, &report, console);
    Ok(if report.is_equal() { Outcome::Done } else { Outcome::CheckFailed })
}

/// A file that a flag asks for. An earlier one is replaced, any other file is not.
struct Written {
    flag: &'static str,
    kind: &'static str,
    /// What every such file begins with, and contains.
    start: &'static str,
    mark: &'static str,
}

const JUNIT: Written =
    Written { flag: "--junit", kind: "JUnit XML of stitch parity", start: ci::XML, mark: ci::XML };
const PAGE: Written = Written {
    flag: "--html",
    kind: "page of stitch parity",
    start: "<!doctype html>",
    mark: html::MARK,
};

impl Written {
    /// Fails if the file exists and is another one.
    fn check(&self, path: &Path) -> Result<()> {
        let &Self { flag, kind, start, mark } = self;
        let shown = path.display();
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => bail!("{flag} {shown} cannot be replaced: {error}"),
            Ok(metadata) => ensure!(
                metadata.is_file(),
                "{flag} {shown}: it exists and is not a regular file: give another path"
            ),
        }
        let bytes = fs::read(path).with_context(|| format!("{flag} {shown} cannot be replaced"))?;
        let text = String::from_utf8_lossy(&bytes);
        let is_earlier = text.starts_with(start) && text.contains(mark);
        ensure!(is_earlier, "{flag} {shown}: the file exists and is no {kind}: give another path");
        Ok(())
    }

    fn write(&self, path: &Path, text: String) -> Result<()> {
        self.check(path)?;
        let written = write_whole(path, text.as_bytes());
        written.with_context(|| format!("{} {} cannot be written", self.flag, path.display()))
    }
}

/// Fails if `--tol` names a tensor that neither side has.
fn check_names(args: &ParityArgs, report: &Report) -> Result<()> {
    let is_used = |pattern: &Pattern| {
        report.tensors.iter().any(|tensor| pattern.matches(&tensor.stage, &tensor.name))
    };
    if let Some((pattern, ..)) = args.tol.iter().find(|(pattern, ..)| !is_used(pattern)) {
        let names = report.tensors.iter().map(|tensor| tensor.name.as_str());
        let hint = did_you_mean(closest_match(&pattern.to_string(), names));
        bail!("--tol {pattern}: neither side has a tensor of that name{hint}");
    }
    Ok(())
}

/// The engine of a run; `None` for another program, or without a `config.json` that names it.
fn engine_of(run: &Run) -> Option<String> {
    Some(run.config.as_ref()?.settings.engine?.to_string())
}
