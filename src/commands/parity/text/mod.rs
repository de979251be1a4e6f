//! The report of `stitch parity` as text: one screen, or all of it with `--verbose`.

mod brief;

use std::fmt::Write;

use clap::builder::styling::AnsiColor;
use stitch_parity::{
    Comparison, DECADES, Element, LayerError, Outcome, Report, StageCounts, TaskView, TensorResult,
    stage,
};

use self::brief::round_up;
use super::flags::{TRUNCATED, flag, has_size, message, sensible, tolerances};
use crate::commands::terminal::{Screen, table, visible_line};

/// Maximum number of lines of one kind without `--verbose`; the rest is only counted.
const SHOWN: usize = 3;
/// Maximum number of causes without `--verbose`.
const CAUSES: usize = 2;

/// What to show besides the verdict.
#[derive(Debug, Clone, Copy)]
pub struct Details {
    /// Everything: every tensor that differs, tables of stages and layers, predictions.
    pub verbose: bool,
    /// Histograms of the differences.
    pub histogram: bool,
}

/// The report as text; `engines` are those of the reference and the candidate.
pub fn of(
    report: &Report,
    engines: &[Option<String>; 2],
    details: Details,
    screen: Screen,
) -> String {
    Printer { out: String::new(), screen, details }.report(report, engines)
}

/// The accuracies of both sides where they or the predictions differ.
fn accuracies(task: &TaskView) -> Option<[f64; 2]> {
    task.accuracy.filter(|[expected, actual]| expected != actual || !task.predictions.is_empty())
}

/// The text written so far.
struct Printer {
    out: String,
    screen: Screen,
    details: Details,
}

impl Printer {
    /// Writes a line of text; control characters in names from files are escaped.
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}", visible_line(text));
    }

    fn colored(&mut self, color: AnsiColor, text: &str) {
        let _ = writeln!(self.out, "{}", self.screen.colored(color, &visible_line(text)));
    }

    fn report(mut self, report: &Report, engines: &[Option<String>; 2]) -> String {
        let color = if report.is_equal() { AnsiColor::Green } else { AnsiColor::Red };
        self.colored(color, &report.verdict());
        for side in &report.truncated {
            self.colored(AnsiColor::Red, &format!("the trace of {side} has {TRUNCATED}"));
        }
        self.some(&report.settings, |printer, setting| printer.colored(AnsiColor::Yellow, setting));
        if let Some(first) = report.first_difference() {
            self.first(report, first);
        } else if report.tensors.is_empty() {
            self.line("nothing to compare: neither side contains a tensor");
        }
        self.not_compared(report);
        let is_different = report.different() > 0;
        if self.details.verbose || !is_different {
            self.sides(report, engines);
        }
        match self.details.verbose {
            true => self.stages(report),
            false => self.stages_in_brief(report),
        }
        self.tolerances(report);
        self.others(report);
        match self.details.verbose {
            _ if report.is_equal() => {}
            true => self.task(&report.task),
            false => self.task_in_brief(&report.task),
        }
        self.notes(report, engines);
        if !self.details.verbose && is_different {
            self.line(
                "details: --verbose (stages, layers, every tensor), or a page with --html FILE",
            );
        }
        self.out
    }

    fn sides(&mut self, report: &Report, engines: &[Option<String>; 2]) {
        let sides = [("reference", &report.reference), ("candidate", &report.candidate)];
        for ((side, path), engine) in sides.into_iter().zip(engines) {
            let engine = engine.as_ref().map_or(String::new(), |name| format!(" ({name} engine)"));
            self.line(&format!("{side} {path}{engine}"));
        }
    }

    /// The first difference, what may cause it, and what it causes.
    fn first(&mut self, report: &Report, first: &TensorResult) {
        self.colored(AnsiColor::Red, &format!("first divergence: {}", message(first)));
        let causes = if self.details.verbose { report.causes.len() } else { CAUSES };
        for (i, cause) in report.causes.iter().take(causes).enumerate() {
            let label = if i == 0 { "likely cause" } else { "or" };
            self.line(&format!("{label}: {cause}"));
        }
        if let Outcome::Different(comparison) = &first.outcome {
            self.numbers(first, comparison);
        }
        if let Some(consequences) = report.consequences() {
            self.line(&consequences);
        }
        if self.details.verbose {
            self.layers(report);
        }
    }

    /// The errors of the layers in the step of the first difference, each with what it adds.
    fn layers(&mut self, report: &Report) {
        let shown = report.layers.iter().filter(|layer| layer.error > 0.0);
        let lines: Vec<String> = shown
            .map(|LayerError { stage, name, class, error, before }| {
                let class = class.as_ref().map_or(String::new(), |class| format!(" ({class})"));
                let growth = match before {
                    Some(before) if *before > 0.0 => {
                        format!(", {:.3} times that of the module before", error / before)
                    }
                    Some(_) => ", the module before is equal".into(),
                    None => String::new(),
                };
                format!("  {stage} of {name}{class}: {error:.2e}{growth}")
            })
            .collect();
        if !lines.is_empty() {
            self.line("relative error of each layer (norm of the difference / norm of the expected values):");
        }
        self.some(&lines, |printer, line| printer.line(line));
    }

    fn notes(&mut self, report: &Report, engines: &[Option<String>; 2]) {
        let is_final = |tensor: &TensorResult| tensor.stage == stage::FINAL;
        let mut notes = report.notes.clone();
        let first = report.first_difference().filter(|first| is_final(first));
        if first.is_some_and(|first| matches!(first.outcome, Outcome::Different(_)))
            && !report.traced
        {
            let traced = match engines.iter().all(Option::is_some) {
                true => "--trace on both sides",
                false => "traces of both programs (docs/parity.md)",
            };
            notes.push(format!("with {traced} the first divergence is found within the run"));
        }
        if report.tensors.iter().any(|tensor| tensor.closest.is_some()) {
            notes.push("if names or layouts differ, --suggest-map proposes a map of them".into());
        }
        if self.details.verbose && !report.one_sided_stages.is_empty() {
            notes
                .push("with --strict-stages a stage that only one side has is a difference".into());
        }
        self.some(&notes, |printer, note| printer.line(&format!("note: {note}")));
    }

    /// What was not compared, one line per kind.
    fn not_compared(&mut self, report: &Report) {
        let all = &report.not_compared;
        let shown = self.shown(all);
        all[..shown].iter().for_each(|what| self.line(&format!("not compared: {what}")));
        if all.len() > shown {
            let more = all.len() - shown;
            self.line(&format!("not compared: {more} more (--verbose lists all)"));
        }
    }

    /// One row per stage: the number of tensors that are equal, within tolerance, and different.
    fn stages(&mut self, report: &Report) {
        let rows = report.stages().into_iter().map(|counts| {
            let StageCounts { stage, equal, within, different } = counts;
            let numbers = [equal, within, different].map(|n| n.to_string());
            [vec![stage.to_owned()], numbers.to_vec()].concat()
        });
        let header = ["stage", "equal bits", "within tolerance", "different"];
        let _ = writeln!(self.out, "{}", table(self.screen, &header, rows));
    }

    /// The tolerances that were applied, and the greatest difference within them.
    fn tolerances(&mut self, report: &Report) {
        let used = tolerances(report);
        if used.is_empty() && (self.details.verbose || report.different() == 0) {
            self.line("tolerance: none, every bit must be equal");
        }
        for (tolerance, count) in used {
            self.line(&format!("tolerance for {count} tensors: {tolerance}"));
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

    /// The tensors after the first that differ: those that could not be compared element by element first.
    fn others(&mut self, report: &Report) {
        let differing = report.tensors.iter().enumerate().filter(|(_, tensor)| !tensor.passes());
        let others = differing.filter(|(i, _)| Some(*i) != report.first).map(|(_, tensor)| tensor);
        let (numbers, names): (Vec<_>, Vec<_>) =
            others.partition(|tensor| matches!(tensor.outcome, Outcome::Different(_)));
        self.some(&names, |printer, tensor| printer.line(&message(tensor)));
        if !self.details.verbose {
            if !numbers.is_empty() && report.consequences().is_none() {
                self.line(&format!(
                    "the elements of {} other tensors differ (--verbose shows them)",
                    numbers.len()
                ));
            }
            return;
        }
        self.some(&numbers, |printer, tensor| {
            if let Outcome::Different(comparison) = &tensor.outcome {
                let shape = &tensor.shape;
                let shape = if shape.is_empty() { "".into() } else { format!(" {shape:?}") };
                let inherited = if tensor.inherited { ", inherited" } else { "" };
                printer.line(&format!("{}{shape}{inherited}", tensor.place()));
                printer.numbers(tensor, comparison);
            }
        });
    }

    /// How many items to show: with `--verbose` and where only one would be left, all.
    fn shown<T>(&self, all: &[T]) -> usize {
        if self.details.verbose || all.len() == SHOWN + 1 {
            all.len()
        } else {
            all.len().min(SHOWN)
        }
    }

    /// Prints the first [`SHOWN`] items, or all, and the number of the others.
    fn some<T>(&mut self, all: &[T], mut each: impl FnMut(&mut Self, &T)) {
        let shown = self.shown(all);
        all.iter().take(shown).for_each(|one| each(self, one));
        if all.len() > shown {
            self.line(&format!("… and {} more (--verbose lists all)", all.len() - shown));
        }
    }

    fn numbers(&mut self, tensor: &TensorResult, c: &Comparison) {
        let verbose = self.details.verbose;
        if verbose {
            let percent = 100.0 * c.failing as f64 / c.elements as f64;
            self.line(&format!(
                "  {} of {} elements differ ({percent:.3} %)",
                c.failing, c.elements
            ));
        }
        let index = |element: Element| match tensor.index(element.index) {
            index if index.is_empty() => index,
            index => format!(" at {index}"),
        };
        let at = |element: Element| format!("{}: {}", index(element), c.values(element));
        if c.nan > 0 {
            self.line(&format!("  {} elements are NaN on one side or both", c.nan));
        }
        if !has_size(tensor) {
            return;
        }
        if let Some(abs) = c.abs {
            self.line(&format!("  greatest absolute difference {:e}{}", abs.value, at(abs.at)));
        }
        if let Some(rel) = c.rel.filter(|_| verbose) {
            self.line(&format!("  greatest relative difference {:e}{}", rel.value, at(rel.at)));
        }
        if let Some(ulp) = c.ulp {
            // The values of the same element are in the line before.
            let at = match c.abs.filter(|abs| abs.at == ulp.at && !verbose) {
                Some(abs) => index(abs.at),
                None => at(ulp.at),
            };
            self.line(&format!("  greatest distance {} ULP{at}", ulp.value));
        }
        if verbose {
            self.spread(c);
        }
        let mut sufficient = sensible(tensor, c);
        if !verbose {
            sufficient.iter_mut().for_each(round_up);
        }
        let flags: Vec<String> =
            sufficient.iter().map(|tolerance| flag(tolerance, tensor, c)).collect();
        if !flags.is_empty() {
            self.line(&format!("  it would pass with {}", flags.join(", or ")));
        }
        if self.details.histogram {
            self.decades(c);
        }
    }

    fn spread(&mut self, c: &Comparison) {
        self.line(&format!(
            "  absolute differences: mean {:e}, median {:e}, 90 % up to {:e}, 99 % up to {:e}",
            c.mean, c.median, c.p90, c.p99
        ));
        self.line(&format!(
            "  mean relative difference {:e}, cosine {:.9}, signal to noise {:.1} dB",
            c.mean_rel, c.cosine, c.snr
        ));
    }

    fn decades(&mut self, c: &Comparison) {
        self.line("  number of elements by absolute difference, from:");
        let most = c.histogram.iter().copied().max().unwrap_or(1).max(1);
        let labels = std::iter::once("0".to_string())
            .chain(DECADES.map(|decade| match decade {
                // The first bin has no lower end.
                _ if decade == DECADES.start => format!("<1e{}", decade + 1),
                _ => format!("1e{decade}"),
            }))
            .zip(&c.histogram);
        for (label, &count) in labels.filter(|(_, count)| **count > 0) {
            // 40 marks for the largest count, at least one for each other.
            let marks = "#".repeat((count * 40).div_ceil(most) as usize);
            self.line(&format!("  {label:>6} {count:>12} {marks}"));
        }
    }

    fn task(&mut self, task: &TaskView) {
        if !task.predictions.is_empty() {
            self.line(&format!("{} predictions differ:", task.predictions.len()));
        }
        self.some(&task.predictions, |printer, prediction| {
            let truth = prediction.truth.map_or("unknown".into(), |truth| truth.to_string());
            let margins = prediction.margins.map_or(String::new(), |[expected, actual]| {
                format!(", best logit ahead by {expected:e} and {actual:e}")
            });
            let (index, expected, actual) =
                (prediction.index, prediction.expected, prediction.actual);
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
        if let Some([expected, actual]) = accuracies(task) {
            let difference = actual - expected;
            self.line(&format!("accuracy: expected {expected}, got {actual} ({difference:+e})"));
        }
        self.some(&task.losses, |printer, (epoch, expected, actual)| {
            printer.line(&format!("loss of epoch {epoch}: expected {expected}, got {actual}"));
        });
    }
}
