//! The report of `stitch parity` as a page, one self-contained file without scripts. askama renders `parity.html` and
//! escapes all values.

mod charts;
mod detail;
mod matrix;
mod size;
mod task;

use askama::Template;
use stitch::report::figures::Widths;
use stitch_parity::{Outcome, Report};

use self::charts::Chart;
use self::detail::{Detail, Links};
use self::matrix::Matrix;
use self::task::Table;
use super::flags::{TRUNCATED, message, tolerances};
use crate::commands::terminal::visible_line;

/// What a page contains and no other file does.
pub const MARK: &str = "<p class=\"kicker\">stitch parity</p>";

#[derive(Template)]
#[template(path = "parity.html")]
struct Page {
    version: &'static str,
    mark: &'static str,
    title: String,
    verdict: String,
    /// Name of a side, its path, and its engine.
    sides: [(&'static str, String, Option<String>); 2],
    counts: [(&'static str, usize); 3],
    first: Option<First>,
    matrix: Matrix,
    is_empty: bool,
    legend: Vec<(&'static str, &'static str, &'static str)>,
    by_tensor: Option<Chart>,
    by_step: Option<Widths>,
    accuracy: Option<String>,
    task: Vec<Table>,
    /// Headings and their lines.
    notes: Vec<(&'static str, Vec<String>)>,
    details: Vec<Detail>,
    more: usize,
}

/// The first divergence.
struct First {
    /// Where it is and what differs, as in the text output.
    message: String,
    /// What follows from its step.
    after: Option<String>,
    /// The likeliest first.
    causes: Vec<String>,
    detail: Detail,
}

/// The page of a report; `engines` are those of the reference and the candidate. The same comparison gives the same bytes.
pub fn of(report: &Report, engines: &[Option<String>; 2]) -> String {
    page(report, engines).render().expect("writes to a string cannot fail")
}

fn page(report: &Report, engines: &[Option<String>; 2]) -> Page {
    let links = Links::new(report);
    let [reference, candidate] =
        [&report.reference, &report.candidate].map(|path| visible_line(path));
    let count = |counted: fn(&Outcome) -> bool| {
        report.tensors.iter().filter(|tensor| counted(&tensor.outcome)).count()
    };
    let within = count(|outcome| matches!(outcome, Outcome::Within(_)));
    let equal = count(|outcome| *outcome == Outcome::Equal);
    let verdict = visible_line(&report.verdict());
    let matrix = Matrix::new(report, &links);
    Page {
        version: env!("CARGO_PKG_VERSION"),
        mark: MARK,
        title: format!("{verdict}: {candidate}"),
        verdict,
        is_empty: report.tensors.is_empty(),
        legend: legend(&matrix),
        sides: [
            ("reference", reference, engines[0].clone()),
            ("candidate", candidate, engines[1].clone()),
        ],
        counts: [
            ("equal bits", equal),
            ("within tolerance", within),
            ("different", report.different()),
        ],
        first: report.first.map(|first| First::new(report, first)),
        matrix,
        by_tensor: charts::by_tensor(report),
        by_step: charts::by_step(report),
        accuracy: task::accuracy(&report.task),
        task: task::tables(&report.task),
        notes: notes(report),
        details: links.others.iter().map(|&i| Detail::new(report, i)).collect(),
        more: links.more,
    }
}

impl First {
    fn new(report: &Report, i: usize) -> Self {
        let tensor = &report.tensors[i];
        Self {
            message: visible_line(&message(tensor)),
            after: report.consequences().map(|text| capitalized(&text)),
            causes: report.causes.iter().map(|cause| visible_line(cause)).collect(),
            detail: Detail::new(report, i),
        }
    }
}

/// A sentence of its own.
fn capitalized(text: &str) -> String {
    let first = text.chars().take(1).flat_map(char::to_uppercase);
    first.chain(text.chars().skip(1)).chain(['.']).collect()
}

/// The signs that the matrix has, with their meanings.
fn legend(matrix: &Matrix) -> Vec<(&'static str, &'static str, &'static str)> {
    let groups = || matrix.blocks.iter().flat_map(|block| &block.groups);
    let cells = || groups().flat_map(|group| &group.rows).flat_map(|row| &row.cells);
    let occurs = |class: &str, sign: &str| {
        cells().any(|cell| cell.class == class && (class != size::OTHER || cell.sign == sign))
    };
    size::LEGEND.into_iter().filter(|(class, sign, _)| occurs(class, sign)).collect()
}

/// What the comparison did: headings and their lines, without those that have none.
fn notes(report: &Report) -> Vec<(&'static str, Vec<String>)> {
    let lines = |all: &[String]| all.iter().map(|line| visible_line(line)).collect::<Vec<_>>();
    let truncated =
        report.truncated.iter().map(|side| visible_line(&format!("{side}: {TRUNCATED}")));
    let used = tolerances(report);
    let tolerance = match used.is_empty() {
        true => vec!["none, every bit must be equal".into()],
        false => used
            .iter()
            .map(|(it, count)| visible_line(&format!("{it} ({count} tensors)")))
            .collect(),
    };
    let all = [
        ("Settings that differ", lines(&report.settings)),
        ("Truncated traces", truncated.collect()),
        ("Tolerance", tolerance),
        ("Not compared", lines(&report.not_compared)),
        ("Notes", lines(&report.notes)),
    ];
    all.into_iter().filter(|(_, lines)| !lines.is_empty()).collect()
}
