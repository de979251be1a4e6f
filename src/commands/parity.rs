//! `stitch parity`: two runs, traces or files, and the first thing that differs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use anyhow::{Error, Result, anyhow, bail};
use clap::builder::styling::AnsiColor;
use stitch::closest::{closest_match, did_you_mean};
use stitch::parity::run::{self, Run, RunError};
use stitch::run_folder::{self, ParityVerdict, write_whole};
use stitch_parity::{
    Comparison, DECADES, Element, Options, Outcome, Overrides, Report, Side, SideError, TaskView,
    TensorResult, Tolerance, judge, likely_cause, position, values,
};
use stitch_trace::{self as trace, stage};
use tensor_files::ReadError;

use super::terminal::{Screen, table, visible_line};
use super::{Console, Outcome as Ending};
use crate::cli::ParityArgs;
use crate::suggest::hinted;
use stitch::run::weights_sha256;

/// Lines of one kind that are shown before the rest is counted.
const SHOWN: usize = 10;

pub fn run(args: &ParityArgs, console: Console) -> Result<Ending> {
    let (mut reference, mut port) = open(args, console)?;
    let overrides =
        Overrides { atol: args.atol, rtol: args.rtol, ulp: args.ulp, by_name: args.tol.clone() };
    let options = Options {
        overrides,
        equal_nan: args.equal_nan,
        same_program: run::same_program(&reference, &port),
        training: run::training(&reference).or_else(|| run::training(&port)),
        settings: run::settings(&reference, &port),
    };
    let report = judge(&mut reference.side, &mut port.side, &options)?;
    let engines = [&reference, &port].map(engine_of);
    let names = || report.tensors.iter().map(|tensor| &tensor.name);
    if let Some(unused) =
        args.tol.iter().map(|(name, ..)| name).find(|name| !names().any(|it| it == *name))
    {
        let meant = did_you_mean(closest_match(unused, names().map(String::as_str)));
        bail!("--tol {unused}: neither side has a tensor of that name{meant}");
    }
    let text = if console.json {
        json(&report, &engines)?
    } else {
        Printer::new(args.histogram, console.screen).report(&report, &engines)
    };
    console.print(text.trim_end())?;
    leave_verdict(args, &report, console);
    Ok(if report.is_equal() { Ending::Done } else { Ending::No })
}

/// Leaves the verdict on two runs in the port's folder, for its report. The exit code is the verdict's
/// own, whether or not it can be written.
fn leave_verdict(args: &ParityArgs, report: &Report, console: Console) {
    let is_run = |path: &Path| path.join(run_folder::CONFIG).is_file();
    if !is_run(&args.reference) || !is_run(&args.port) {
        return;
    }
    let tolerances: BTreeSet<&String> =
        report.tensors.iter().filter_map(|tensor| tensor.tolerance.as_ref()).collect();
    let path = args.port.join(run_folder::PARITY);
    let written = weights_sha256(&args.port).map_err(Error::from).and_then(|weights_sha256| {
        let verdict = ParityVerdict {
            reference: report.reference.clone(),
            verdict: report.verdict(),
            equal: report.is_equal(),
            tensors: report.tensors.len(),
            tolerances: tolerances.into_iter().cloned().collect(),
            weights_sha256,
        };
        let json = serde_json::to_string_pretty(&verdict)?;
        Ok(write_whole(&path, format!("{json}\n").as_bytes())?)
    });
    if let Err(error) = written {
        console.note(&format!(
            "note: the verdict could not be left in {}, so a report will not show it: {error:#}",
            path.display()
        ));
    }
}

/// Opens both sides so that they can be compared: traces only when both have one; of a run folder
/// beside a single file or a bare trace only what that is about.
fn open(args: &ParityArgs, console: Console) -> Result<(Run, Run)> {
    let paths = [&args.reference, &args.port].map(|path| run::without_wrapper(path));
    let traced = paths.each_ref().map(|path| run::has_trace(path));
    let bare = paths.each_ref().map(|path| path.join(trace::RECORDS).exists());
    let folders = paths.iter().all(|path| path.is_dir());
    let no_such_key = |key: &str| {
        anyhow!("--key {key}: neither side is a checkpoint with a dict of tensors under this key")
    };
    if let Some(key) = args.key.as_ref().filter(|_| folders) {
        return Err(no_such_key(key));
    }
    if bare != [false; 2] && folders {
        if let Some(i) = traced.iter().position(|traced| !traced) {
            bail!(
                "{} has no trace to compare with the other side's: run it with --trace",
                paths[i].display()
            );
        }
        let inside = |i: usize| match bare[i] {
            true => paths[i].clone(),
            false => paths[i].join(trace::FOLDER),
        };
        let open = |i: usize| run::open(&inside(i), true, None);
        return Ok((open(0)?, open(1)?));
    }
    if traced[0] != traced[1] && folders {
        let only = if traced[0] { "REFERENCE" } else { "PORT" };
        console.note(&format!(
            "note: only {only} has a trace: comparing the files of the runs. \
             With --trace on both sides the first divergence is found within the run"
        ));
    }
    let both = traced[0] && traced[1];
    let mut used = false;
    let mut side = |path: &Path| {
        let opened = match run::open(path, both, args.key.as_deref()) {
            // It has no keys: the flag is for the other side.
            Err(RunError::Side(SideError::Tensors {
                error: ReadError::NoSuchKey { keys, .. },
                ..
            })) if keys.is_empty() => run::open(path, both, None),
            opened => {
                // The tables of a run, which have no key.
                used |=
                    path.is_file() && path.extension().is_none_or(|extension| extension != "csv");
                opened
            }
        };
        opened.map_err(|error| match error {
            RunError::Side(SideError::Tensors { error: ReadError::Ambiguous { .. }, .. }) => {
                anyhow!("{error}. Choose with --key NAME")
            }
            error => hinted(path, error),
        })
    };
    let (mut reference, mut port) = (side(&paths[0])?, side(&paths[1])?);
    if let Some(key) = args.key.as_ref().filter(|_| !used) {
        return Err(no_such_key(key));
    }
    if args.reference.is_file() {
        keep_what_is_in(&reference.side, &mut port.side)?;
    }
    if args.port.is_file() {
        keep_what_is_in(&port.side, &mut reference.side)?;
    }
    Ok((reference, port))
}

/// Leaves aside what `file` is not about.
fn keep_what_is_in(file: &Side, other: &mut Side) -> Result<()> {
    let mut stages: Vec<&str> = file.items.iter().map(|item| item.key.stage.as_str()).collect();
    if stages.is_empty() {
        // Only a file of tensors may be empty.
        stages.push(stage::FINAL);
    }
    // Of a run folder's three files of weights, the one that every reader has.
    let of_interest =
        [run_folder::SAFETENSORS, run_folder::PREDICTIONS, run_folder::CONFUSION_MATRIX];
    let had = other.items.len();
    other.items.retain_mut(|item| {
        let known = item.key.file.take().is_none_or(|file| of_interest.contains(&&*file));
        let about = match item.key.stage.as_str() {
            stage::DATA => file.items.iter().any(|other| other.key == item.key),
            stage => stages.contains(&stage),
        };
        known && about
    });
    let left = had - other.items.len();
    if left > 0 {
        let path = file.path.display();
        other.left_out.push(format!("{left} of its {had} tensors, which {path} does not hold"));
    }
    if had > 0 && other.items.is_empty() && !file.items.is_empty() {
        bail!(
            "{} and {} are about different things: nothing in the one is in the other",
            file.path.display(),
            other.path.display()
        );
    }
    Ok(())
}

/// Which engine of stitch made a run; `None` of what another program made, or where no `config.json` says it.
fn engine_of(run: &Run) -> Option<String> {
    Some(run.config.as_ref()?.settings.engine?.to_string())
}

fn json(report: &Report, engines: &[Option<String>; 2]) -> Result<String> {
    let mut value = serde_json::to_value(report)?;
    value["engines"] = serde_json::to_value(engines)?;
    value["equal"] = report.is_equal().into();
    value["different"] = report.different().into();
    value["verdict"] = report.verdict().into();
    let first = report.first.map(|first| sentence(&report.tensors[first]));
    value["first_divergence"] = first.into();
    Ok(serde_json::to_string_pretty(&value)?)
}

/// Where a tensor differs, in one sentence.
fn sentence(tensor: &TensorResult) -> String {
    let place = tensor.place();
    match &tensor.outcome {
        Outcome::Equal | Outcome::Within(_) => format!("{place}: equal"),
        Outcome::Missing => format!("{place}: missing in the port"),
        Outcome::Unexpected => format!("{place}: unexpected, the reference has no such tensor"),
        Outcome::HashDiffers => {
            format!("{place}: its SHA-256 differs (not both sides have kept the elements)")
        }
        Outcome::Nan { elements } => {
            format!(
                "{place}: the bits are equal, and {elements} elements are NaN (see --equal-nan)"
            )
        }
        Outcome::Unknown => {
            format!("{place}: it cannot be compared, one side has neither elements nor SHA-256")
        }
        Outcome::Shape { expected, actual } => {
            format!("{place}: expected the shape {expected:?}, got {actual:?}")
        }
        Outcome::Dtype { expected, actual } => {
            format!("{place}: expected the type {expected}, got {actual}")
        }
        Outcome::Different(c) => match c.first {
            Some(at) => {
                let index = position(&tensor.shape, at.index);
                let values = values(c.dtype, at);
                format!("{place}{index}: {values}; {} of {} elements differ", c.failing, c.elements)
            }
            None => place,
        },
    }
}

/// The flag that sets a tolerance. Those for all tensors do not apply to integers.
fn flag(tolerance: &Tolerance, tensor: &TensorResult, c: &Comparison) -> String {
    match *tolerance {
        Tolerance::Bits => String::new(),
        Tolerance::Within { atol, rtol, .. } if !c.dtype.is_float() => match rtol > 0.0 {
            true => format!("--tol {}=0,{rtol:e}", tensor.name),
            false => format!("--tol {}={atol:e}", tensor.name),
        },
        Tolerance::Within { rtol, .. } if rtol > 0.0 => format!("--rtol {rtol:e}"),
        Tolerance::Within { ulp, .. } if ulp > 0 => format!("--ulp {ulp}"),
        Tolerance::Within { atol, .. } => format!("--atol {atol:e}"),
    }
}

/// Writes a report for people.
struct Printer {
    out: String,
    screen: Screen,
    histogram: bool,
}

impl Printer {
    fn new(histogram: bool, screen: Screen) -> Self {
        Self { out: String::new(), screen, histogram }
    }

    /// A line of text in which names from files stand.
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}", visible_line(text));
    }

    fn coloured(&mut self, colour: AnsiColor, text: &str) {
        let _ = writeln!(self.out, "{}", self.screen.coloured(colour, &visible_line(text)));
    }

    fn report(mut self, report: &Report, engines: &[Option<String>; 2]) -> String {
        let sides = [("reference", &report.reference), ("port     ", &report.port)];
        for ((role, path), engine) in sides.into_iter().zip(engines) {
            let engine = engine.as_ref().map_or(String::new(), |name| format!(" ({name} engine)"));
            self.line(&format!("{role} {path}{engine}"));
        }
        for setting in &report.settings {
            self.coloured(AnsiColor::Yellow, setting);
        }
        self.stages(report);
        self.tolerances(report);
        self.differences(report);
        if !report.is_equal() {
            self.task(&report.task);
        }
        if let Some(first) = report.first {
            let tensor = &report.tensors[first];
            self.coloured(AnsiColor::Red, &format!("first divergence: {}", sentence(tensor)));
            self.line(&format!("likely cause: {}", likely_cause(report, tensor)));
        } else if report.tensors.is_empty() {
            self.line("there is nothing to compare: neither side holds a tensor");
        }
        for side in &report.truncated {
            self.coloured(
                AnsiColor::Red,
                &format!("the trace of {side} ends without its end marker: the run did not end, or the file was cut"),
            );
        }
        for note in &report.notes {
            self.line(&format!("note: {note}"));
        }
        for what in &report.not_compared {
            self.line(&format!("not compared: {what}"));
        }
        let colour = if report.is_equal() { AnsiColor::Green } else { AnsiColor::Red };
        self.coloured(colour, &report.verdict());
        self.out
    }

    /// One line a stage: how many tensors are equal.
    fn stages(&mut self, report: &Report) {
        let mut stages: Vec<(&str, [usize; 3])> = Vec::new();
        for tensor in &report.tensors {
            let known = stages.iter().position(|(stage, _)| *stage == tensor.stage);
            let place = known.unwrap_or_else(|| {
                stages.push((&tensor.stage, [0; 3]));
                stages.len() - 1
            });
            stages[place].1[match tensor.outcome {
                Outcome::Equal => 0,
                Outcome::Within(_) => 1,
                _ => 2,
            }] += 1;
        }
        let rows = stages.into_iter().map(|(stage, counts)| {
            [vec![stage.to_owned()], counts.map(|n| n.to_string()).to_vec()].concat()
        });
        let header = ["stage", "equal bits", "within tolerance", "different"];
        let _ = writeln!(self.out, "{}", table(self.screen, &header, rows));
    }

    /// What was excused, and why.
    fn tolerances(&mut self, report: &Report) {
        let mut used: BTreeMap<&str, usize> = BTreeMap::new();
        for tensor in &report.tensors {
            if let Some(reason) = &tensor.tolerance {
                *used.entry(reason).or_default() += 1;
            }
        }
        if used.is_empty() {
            self.line("tolerance: none, every bit must be equal");
        }
        for (reason, count) in used {
            self.line(&format!("tolerance for {count} tensors: {reason}"));
        }
        let greatest = report.tensors.iter().filter_map(|tensor| match &tensor.outcome {
            Outcome::Within(c) => c.abs.map(|abs| (abs.value, tensor)),
            _ => None,
        });
        if let Some((value, tensor)) = greatest.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
            let place = tensor.place();
            self.line(&format!("greatest difference within tolerance: {value:e}, {place}"));
        }
    }

    /// Names and shapes first, then the numbers.
    fn differences(&mut self, report: &Report) {
        let (numbers, names): (Vec<_>, Vec<_>) = (report.tensors.iter())
            .filter(|tensor| !tensor.passes())
            .partition(|tensor| matches!(tensor.outcome, Outcome::Different(_)));
        self.some(&names, |printer, tensor| printer.line(&sentence(tensor)));
        self.some(&numbers, |printer, tensor| {
            if let Outcome::Different(comparison) = &tensor.outcome {
                let shape = &tensor.shape;
                let shape = if shape.is_empty() { "".into() } else { format!(" {shape:?}") };
                printer.line(&format!("{}{shape}", tensor.place()));
                printer.numbers(tensor, comparison);
            }
        });
    }

    /// The first few, and how many more there are.
    fn some<T>(&mut self, all: &[T], mut each: impl FnMut(&mut Self, &T)) {
        all.iter().take(SHOWN).for_each(|one| each(self, one));
        if all.len() > SHOWN {
            self.line(&format!("… and {} more (--json lists all)", all.len() - SHOWN));
        }
    }

    fn numbers(&mut self, tensor: &TensorResult, c: &Comparison) {
        let percent = 100.0 * c.failing as f64 / c.elements as f64;
        self.line(&format!("  {} of {} elements differ ({percent:.3} %)", c.failing, c.elements));
        let at = |element: Element| {
            let index = position(&tensor.shape, element.index);
            let at = if index.is_empty() { String::new() } else { format!(" at {index}") };
            format!("{at}: {}", values(c.dtype, element))
        };
        if c.nan > 0 {
            self.line(&format!("  {} elements are NaN on one side or both", c.nan));
        }
        if let Some(abs) = c.abs {
            self.line(&format!("  greatest absolute difference {:e}{}", abs.value, at(abs.at)));
        }
        if let Some(rel) = c.rel {
            self.line(&format!("  greatest relative difference {:e}{}", rel.value, at(rel.at)));
        }
        if let Some(ulp) = c.ulp {
            self.line(&format!("  greatest distance {} ULP{}", ulp.value, at(ulp.at)));
        }
        if !c.mean.is_nan() {
            self.line(&format!("  mean difference {:e}, median {:e}", c.mean, c.median));
        }
        let ways: Vec<String> = c.sufficient().iter().map(|way| flag(way, tensor, c)).collect();
        if !ways.is_empty() {
            self.line(&format!("  it would pass with {}", ways.join(", or ")));
        }
        if self.histogram {
            self.decades(c);
        }
    }

    fn decades(&mut self, c: &Comparison) {
        let most = c.histogram.iter().copied().max().unwrap_or(1).max(1);
        let labels = std::iter::once("0".to_string())
            .chain(DECADES.map(|decade| match decade {
                // Everything down to the smallest number.
                _ if decade == DECADES.start => format!("<1e{}", decade + 1),
                _ => format!("1e{decade}"),
            }))
            .zip(&c.histogram);
        for (label, &count) in labels.filter(|(_, count)| **count > 0) {
            // 40 marks for the most frequent; at least one for any.
            let marks = "#".repeat((count * 40).div_ceil(most) as usize);
            self.line(&format!("  {label:>6} {count:>12} {marks}"));
        }
    }

    fn task(&mut self, task: &TaskView) {
        if !task.answers.is_empty() {
            self.line(&format!("{} predictions differ:", task.answers.len()));
        }
        self.some(&task.answers, |printer, answer| {
            let truth = answer.truth.map_or("unknown".into(), |truth| truth.to_string());
            let margins = answer.margins.map_or(String::new(), |[expected, actual]| {
                format!(", best logit ahead by {expected:e} and {actual:e}")
            });
            let (index, expected, actual) = (answer.index, answer.expected, answer.actual);
            printer.line(&format!(
                "  image {index} (true class {truth}): expected {expected}, got {actual}{margins}"
            ));
        });
        if !task.cells.is_empty() {
            self.line(&format!("{} cells of the confusion matrix differ:", task.cells.len()));
        }
        self.some(&task.cells, |printer, cell| {
            let (truth, predicted) = (cell.truth, cell.predicted);
            printer.line(&format!(
                "  true {truth}, predicted {predicted}: expected {}, got {}",
                cell.expected, cell.actual
            ));
        });
        if let Some([expected, actual]) = task.accuracy.filter(|[a, b]| a != b) {
            let difference = actual - expected;
            self.line(&format!("accuracy: expected {expected}, got {actual} ({difference:+e})"));
        }
        self.some(&task.losses, |printer, (epoch, expected, actual)| {
            printer.line(&format!("loss of epoch {epoch}: expected {expected}, got {actual}"));
        });
    }
}
