//! `stitch parity`: two runs, traces or files, and the first thing that differs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use anyhow::{Result, bail};
use clap::builder::styling::AnsiColor;
use stitch::closest::{closest_match, did_you_mean};
use stitch::parity::DECADES;
use stitch::parity::comparison::Comparison;
use stitch::parity::element::Element;
use stitch::parity::side::Side;
use stitch::parity::tolerance::Overrides;
use stitch::parity::trace::{self, Stage};
use stitch::parity::verdict::{Options, Outcome, Report, TensorResult};
use stitch::parity::{task::TaskView, verdict};
use stitch::run_folder::{self, ParityVerdict, write_whole};

use super::run_files::weights_sha256;
use super::terminal::{Screen, table};
use super::{Console, Outcome as Ending};
use crate::cli::ParityArgs;
use crate::suggest::hinted;

/// Lines of one kind that are shown before the rest is counted.
const SHOWN: usize = 10;

pub fn run(args: &ParityArgs, console: Console) -> Result<Ending> {
    let (mut reference, mut port) = open(args, console)?;
    let overrides =
        Overrides { atol: args.atol, rtol: args.rtol, ulp: args.ulp, by_name: args.tol.clone() };
    let options = Options { overrides, equal_nan: args.equal_nan };
    let report = verdict::judge(&mut reference, &mut port, &options)?;
    let names = || report.tensors.iter().map(|tensor| &tensor.name);
    if let Some(unused) =
        args.tol.iter().map(|(name, ..)| name).find(|name| !names().any(|it| it == *name))
    {
        let meant = did_you_mean(closest_match(unused, names().map(String::as_str)));
        bail!("--tol {unused}: neither side has a tensor of that name{meant}");
    }
    let text = if console.json {
        json(&report)?
    } else {
        Printer::new(args.histogram, console.screen).report(&report)
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
    let written = weights_sha256(&args.port).and_then(|weights_sha256| {
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
fn open(args: &ParityArgs, console: Console) -> Result<(Side, Side)> {
    let paths = [&args.reference, &args.port];
    let traced = paths.map(|path| Side::has_trace(path));
    let bare = paths.map(|path| path.join(trace::RECORDS).exists());
    let folders = paths.iter().all(|path| path.is_dir());
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
        return Ok((Side::open(&inside(0), true)?, Side::open(&inside(1), true)?));
    }
    if traced[0] != traced[1] && folders {
        let only = if traced[0] { "REFERENCE" } else { "PORT" };
        console.note(&format!(
            "note: only {only} has a trace: comparing the files of the runs. \
             With --trace on both sides the first divergence is found within the run"
        ));
    }
    let both = traced[0] && traced[1];
    let side = |path: &Path| Side::open(path, both).map_err(|error| hinted(path, error));
    let (mut reference, mut port) = (side(&args.reference)?, side(&args.port)?);
    if args.reference.is_file() {
        keep_what_is_in(&reference, &mut port)?;
    }
    if args.port.is_file() {
        keep_what_is_in(&port, &mut reference)?;
    }
    Ok((reference, port))
}

/// Leaves aside what `file` is not about.
fn keep_what_is_in(file: &Side, other: &mut Side) -> Result<()> {
    let stages: Vec<Stage> = file.items.iter().map(|item| item.key.stage).collect();
    // Of a run folder's three files of weights, the one that every reader has.
    let of_interest =
        [run_folder::SAFETENSORS, run_folder::PREDICTIONS, run_folder::CONFUSION_MATRIX];
    let had = other.items.len();
    other.items.retain_mut(|item| {
        let known = item.key.file.take().is_none_or(|file| of_interest.contains(&file));
        let about = match item.key.stage {
            Stage::Data => file.items.iter().any(|other| other.key == item.key),
            stage => stages.contains(&stage),
        };
        known && about
    });
    if had > 0 && other.items.is_empty() && !file.items.is_empty() {
        bail!(
            "{} and {} are about different things: nothing in the one is in the other",
            file.path.display(),
            other.path.display()
        );
    }
    Ok(())
}

fn json(report: &Report) -> Result<String> {
    let mut value = serde_json::to_value(report)?;
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
                let index = verdict::position(&tensor.shape, at.index);
                let values = verdict::values(c.dtype, at);
                format!("{place}{index}: {values}; {} of {} elements differ", c.failing, c.elements)
            }
            None => place,
        },
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

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }

    fn coloured(&mut self, colour: AnsiColor, text: &str) {
        self.line(&self.screen.coloured(colour, text));
    }

    fn report(mut self, report: &Report) -> String {
        let sides = [("reference", &report.reference), ("port     ", &report.port)];
        for ((role, path), engine) in sides.into_iter().zip(&report.engines) {
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
            self.line(&format!("likely cause: {}", verdict::likely_cause(report, tensor)));
        } else if report.tensors.is_empty() {
            self.line("there is nothing to compare: neither side holds a tensor");
        }
        let colour = if report.is_equal() { AnsiColor::Green } else { AnsiColor::Red };
        self.coloured(colour, &report.verdict());
        self.out
    }

    /// One line a stage: how many tensors are equal.
    fn stages(&mut self, report: &Report) {
        let mut stages: BTreeMap<Stage, [usize; 3]> = BTreeMap::new();
        for tensor in &report.tensors {
            let counts = stages.entry(tensor.stage).or_default();
            counts[match tensor.outcome {
                Outcome::Equal => 0,
                Outcome::Within(_) => 1,
                _ => 2,
            }] += 1;
        }
        let rows = stages.into_iter().map(|(stage, counts)| {
            let name = serde_json::to_value(stage).unwrap_or_default();
            let name = name.as_str().unwrap_or_default().to_owned();
            [vec![name], counts.map(|n| n.to_string()).to_vec()].concat()
        });
        let header = ["stage", "equal bits", "within tolerance", "different"];
        self.line(&table(self.screen, &header, rows));
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
            let index = verdict::position(&tensor.shape, element.index);
            format!("at {index}: {}", verdict::values(c.dtype, element))
        };
        if c.nan > 0 {
            self.line(&format!("  {} elements are NaN on one side or both", c.nan));
        }
        if let Some(abs) = c.abs {
            self.line(&format!("  greatest absolute difference {:e} {}", abs.value, at(abs.at)));
        }
        if let Some(rel) = c.rel {
            self.line(&format!("  greatest relative difference {:e} {}", rel.value, at(rel.at)));
        }
        if let Some(ulp) = c.ulp {
            self.line(&format!("  greatest distance {} ULP {}", ulp.value, at(ulp.at)));
        }
        self.line(&format!("  mean difference {:e}, median {:e}", c.mean, c.median));
        if let (Some(abs), 0) = (c.abs, c.nan) {
            let rtol = c.rel.map(|rel| rel.value).filter(|rtol| rtol.is_finite());
            let rtol = rtol.map_or(String::new(), |rtol| format!(", or --rtol {rtol:e}"));
            let ulp = c.ulp.map_or(String::new(), |ulp| format!(", or --ulp {}", ulp.value));
            self.line(&format!("  it would pass with --atol {:e}{rtol}{ulp}", abs.value));
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
