//! The matrix of the page: a row per tensor, a column per recorded step, epoch, or the whole run.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use stitch::report::figures::thousands;
use stitch_parity::{Outcome, Report, TensorResult};

use super::detail::{self, Links};
use super::size::shade;
use crate::commands::terminal::visible_line;

/// Most columns of epochs and of steps, and most rows.
const EPOCHS: usize = 20;
const STEPS: usize = 60;
const ROWS: usize = 200;

/// Where in the run a tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    Run,
    Epoch(usize),
    Step(usize),
}

impl At {
    pub fn of(tensor: &TensorResult) -> Self {
        match (tensor.epoch, tensor.step) {
            (_, Some(step)) => Self::Step(step),
            (Some(epoch), None) => Self::Epoch(epoch),
            (None, None) => Self::Run,
        }
    }
}

/// The matrix.
#[derive(Debug, Default)]
pub struct Matrix {
    /// Whether there is a column of the whole run.
    pub has_run: bool,
    pub epochs: Vec<usize>,
    pub steps: Vec<usize>,
    pub groups: Vec<Group>,
    /// What is left out, a sentence each.
    pub left_out: Vec<String>,
}

/// The rows of a stage.
#[derive(Debug)]
pub struct Group {
    pub title: String,
    pub count: String,
    pub rows: Vec<Row>,
}

#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub is_first: bool,
    pub cells: Vec<Cell>,
}

/// A cell; without a sign it is empty.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    pub class: &'static str,
    pub sign: String,
    pub link: Option<String>,
    pub title: String,
    pub is_first: bool,
}

/// The tensors of one name and stage, by where they are.
struct Line<'a> {
    name: &'a str,
    tensors: HashMap<At, usize>,
}

impl Matrix {
    /// The matrix of a report; its cells link to the details.
    pub fn new(report: &Report, links: &Links) -> Self {
        let all: BTreeSet<At> = report.tensors.iter().map(At::of).collect();
        let mut matrix = Self { has_run: all.contains(&At::Run), ..Self::default() };
        let epochs: Vec<usize> = all.iter().filter_map(epoch).collect();
        let steps: Vec<usize> = all.iter().filter_map(step).collect();
        let differing = report.tensors.iter().filter(|tensor| !tensor.passes());
        let differing: BTreeSet<At> = differing.map(At::of).collect();
        let first_epoch = epochs.iter().position(|&epoch| differing.contains(&At::Epoch(epoch)));
        let first_step = steps.iter().position(|&step| differing.contains(&At::Step(step)));
        matrix.epochs = matrix.window("epochs", &epochs, first_epoch, EPOCHS);
        matrix.steps = matrix.window("steps", &steps, first_step, STEPS);
        let columns = matrix.columns();
        let mut groups = groups(report);
        matrix.limit_rows(report, &mut groups);
        let view = View { report, links, columns: &columns };
        let shown = groups.iter().filter(|(_, lines)| !lines.is_empty());
        matrix.groups = shown.map(|(title, lines)| view.group(title, lines)).collect();
        matrix
    }

    /// Number of cells of a row.
    pub fn width(&self) -> usize {
        usize::from(self.has_run) + self.epochs.len() + self.steps.len()
    }

    fn columns(&self) -> Vec<At> {
        let run = self.has_run.then_some(At::Run);
        let epochs = self.epochs.iter().copied().map(At::Epoch);
        run.into_iter().chain(epochs).chain(self.steps.iter().copied().map(At::Step)).collect()
    }

    /// At most `most` of all, from the last one before the first that differs.
    fn window(
        &mut self,
        what: &str,
        all: &[usize],
        first: Option<usize>,
        most: usize,
    ) -> Vec<usize> {
        let begin = first.unwrap_or(0).saturating_sub(1).min(all.len().saturating_sub(most));
        let range: Range<usize> = begin..all.len().min(begin + most);
        let kept = all[range].to_vec();
        if let ([from, .., to], true) = (&kept[..], kept.len() < all.len()) {
            let (shown, recorded) = (kept.len(), thousands(all.len() as u64));
            self.left_out
                .push(format!("Of {recorded} recorded {what}, {shown} are shown: {from} to {to}."));
        }
        kept
    }

    /// Keeps the first rows that are not equal, if there are too many.
    fn limit_rows(&mut self, report: &Report, groups: &mut [(String, Vec<Line>)]) {
        let count =
            |groups: &[(String, Vec<Line>)]| groups.iter().map(|(_, it)| it.len()).sum::<usize>();
        let all = count(groups);
        if all <= ROWS {
            return;
        }
        let mut left = ROWS;
        for (_, lines) in groups.iter_mut() {
            lines.retain(|line| !line.is_equal(report));
            lines.truncate(left);
            left -= lines.len();
        }
        let (shown, all) = (count(groups), thousands(all as u64));
        self.left_out.push(format!(
            "Of {all} tensors, {shown} are shown: the first that are not equal bit for bit."
        ));
    }
}

fn epoch(at: &At) -> Option<usize> {
    if let At::Epoch(epoch) = at { Some(*epoch) } else { None }
}

fn step(at: &At) -> Option<usize> {
    if let At::Step(step) = at { Some(*step) } else { None }
}

/// The tensors by stage and name, in causal order.
fn groups(report: &Report) -> Vec<(String, Vec<Line<'_>>)> {
    let mut groups: Vec<(String, Vec<Line>)> = Vec::new();
    let mut places: HashMap<(Option<&str>, &str), usize> = HashMap::new();
    let mut lines: HashMap<(usize, &str), usize> = HashMap::new();
    for (i, tensor) in report.tensors.iter().enumerate() {
        let file = tensor.file.as_deref();
        let group = *places.entry((file, &tensor.stage)).or_insert_with(|| {
            let title =
                file.map_or(tensor.stage.clone(), |file| format!("{}, {file}", tensor.stage));
            groups.push((title, Vec::new()));
            groups.len() - 1
        });
        let of_group = &mut groups[group].1;
        let line = *lines.entry((group, &tensor.name)).or_insert_with(|| {
            of_group.push(Line { name: &tensor.name, tensors: HashMap::new() });
            of_group.len() - 1
        });
        of_group[line].tensors.insert(At::of(tensor), i);
    }
    groups
}

impl Line<'_> {
    fn is_equal(&self, report: &Report) -> bool {
        self.tensors.values().all(|&i| report.tensors[i].outcome == Outcome::Equal)
    }
}

struct View<'a> {
    report: &'a Report,
    links: &'a Links,
    columns: &'a [At],
}

impl View<'_> {
    /// The rows of a stage; one row if all its tensors are equal.
    fn group(&self, title: &str, lines: &[Line]) -> Group {
        let equal = lines.iter().filter(|line| line.is_equal(self.report)).count();
        let (count, rows) = match lines.len() {
            n if n == equal && n > 1 => (String::new(), vec![self.summary(lines)]),
            n => {
                let differ = n - equal;
                let count =
                    if n > 1 { format!("{differ} of {n} not equal") } else { String::new() };
                (count, lines.iter().map(|line| self.row(line)).collect())
            }
        };
        Group { title: visible_line(title), count, rows }
    }

    fn row(&self, line: &Line) -> Row {
        let cell = |at: &At| line.tensors.get(at).map_or_else(Cell::default, |&i| self.cell(i));
        let is_first =
            self.report.first.is_some_and(|first| line.tensors.values().any(|&i| i == first));
        let cells = self.columns.iter().map(cell).collect();
        Row { name: visible_line(line.name), is_first, cells }
    }

    /// The row of tensors that are all equal.
    fn summary(&self, lines: &[Line]) -> Row {
        let cell = |at: &At| {
            let tensor = lines.iter().find_map(|line| line.tensors.get(at));
            tensor.map_or_else(Cell::default, |&i| self.cell(i))
        };
        let cells = self.columns.iter().map(cell).collect();
        Row { name: format!("{} tensors", lines.len()), is_first: false, cells }
    }

    fn cell(&self, i: usize) -> Cell {
        let tensor = &self.report.tensors[i];
        let shade = shade(tensor);
        Cell {
            class: shade.class,
            sign: shade.sign,
            link: self.links.of(i),
            title: detail::brief(tensor),
            is_first: self.report.first == Some(i),
        }
    }
}
