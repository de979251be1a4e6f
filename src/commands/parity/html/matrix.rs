//! The matrix of the page: a row per tensor, a column per recorded step or epoch, or one of the whole run.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

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
enum At {
    Run,
    Epoch(usize),
    Step(usize),
}

impl At {
    fn of(tensor: &TensorResult) -> Self {
        match (tensor.epoch, tensor.step) {
            (_, Some(step)) => Self::Step(step),
            (Some(epoch), None) => Self::Epoch(epoch),
            (None, None) => Self::Run,
        }
    }

    /// Its kind of columns, and the most columns of that kind.
    fn kind(self) -> (&'static str, usize) {
        match self {
            Self::Run => ("run", 1),
            Self::Epoch(_) => ("epoch", EPOCHS),
            Self::Step(_) => ("step", STEPS),
        }
    }

    /// The label of its column.
    fn label(self) -> String {
        match self {
            Self::Run => String::new(),
            Self::Epoch(number) | Self::Step(number) => number.to_string(),
        }
    }
}

/// The matrix.
#[derive(Debug, Default)]
pub struct Matrix {
    /// Consecutive stages with the same columns.
    pub blocks: Vec<Block>,
    /// What is left out, a sentence each.
    pub left_out: Vec<String>,
}

/// Stages with the same columns.
#[derive(Debug)]
pub struct Block {
    /// `run`, `epoch` or `step`.
    pub kind: &'static str,
    pub columns: Vec<String>,
    pub groups: Vec<Group>,
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

/// The tensors of a stage, of one kind of columns.
struct Stage<'a> {
    title: String,
    kind: &'static str,
    lines: Vec<Line<'a>>,
}

/// The tensors of one name, by where they are.
struct Line<'a> {
    name: &'a str,
    tensors: HashMap<At, usize>,
}

impl Matrix {
    /// The matrix of a report; its cells link to the details.
    pub fn new(report: &Report, links: &Links) -> Self {
        let mut matrix = Self::default();
        let columns = matrix.columns(report);
        let mut stages = stages(report);
        matrix.limit_rows(report, &mut stages);
        for stage in stages.iter().filter(|stage| !stage.lines.is_empty()) {
            let columns = &columns[stage.kind];
            let group = View { report, links, columns }.group(stage);
            match matrix.blocks.last_mut() {
                Some(block) if block.kind == stage.kind => block.groups.push(group),
                _ => matrix.blocks.push(Block {
                    kind: stage.kind,
                    columns: columns.iter().map(|at| at.label()).collect(),
                    groups: vec![group],
                }),
            }
        }
        matrix
    }

    /// The columns of each kind.
    fn columns(&mut self, report: &Report) -> HashMap<&'static str, Vec<At>> {
        let differing = report.tensors.iter().filter(|tensor| !tensor.passes());
        let differing: HashSet<At> = differing.map(At::of).collect();
        let mut columns: BTreeMap<(&'static str, usize), Vec<At>> = BTreeMap::new();
        for at in report.tensors.iter().map(At::of).collect::<BTreeSet<At>>() {
            columns.entry(at.kind()).or_default().push(at);
        }
        let window = |((kind, most), all): ((&'static str, usize), Vec<At>)| {
            let first = all.iter().position(|at| differing.contains(at));
            (kind, self.window(kind, &all, first, most))
        };
        columns.into_iter().map(window).collect()
    }

    /// At most `most` of all, from the last one before the first that differs.
    fn window(&mut self, kind: &str, all: &[At], first: Option<usize>, most: usize) -> Vec<At> {
        let begin = first.unwrap_or(0).saturating_sub(1).min(all.len().saturating_sub(most));
        let kept = &all[begin..all.len().min(begin + most)];
        if let ([from, .., to], true) = (kept, kept.len() < all.len()) {
            let (shown, recorded) = (kept.len(), thousands(all.len() as u64));
            let (from, to) = (from.label(), to.label());
            self.left_out.push(format!(
                "Of {recorded} recorded {kind}s, {shown} are shown: {from} to {to}."
            ));
        }
        kept.to_vec()
    }

    /// Keeps the rows around the first divergence that are not equal, if there are too many. A stage whose tensors are all
    /// equal has one row.
    fn limit_rows(&mut self, report: &Report, stages: &mut [Stage]) {
        let is_summary = |stage: &Stage| stage.lines.iter().all(|line| line.is_equal(report));
        let rows = |it: &Stage| if is_summary(it) { 1 } else { it.lines.len() };
        if stages.iter().map(rows).sum::<usize>() <= ROWS {
            return;
        }
        let all = thousands(stages.iter().map(|it| it.lines.len()).sum::<usize>() as u64);
        let mut others: Vec<&mut Stage> = stages.iter_mut().filter(|it| !is_summary(it)).collect();
        let mut has_first = Vec::new();
        for stage in &mut others {
            stage.lines.retain(|line| !line.is_equal(report));
            has_first.extend(stage.lines.iter().map(|line| line.is_first(report)));
        }
        let first = has_first.iter().position(|&is_first| is_first).unwrap_or(0);
        let begin = first.saturating_sub(ROWS / 10).min(has_first.len().saturating_sub(ROWS));
        let mut row = 0;
        for stage in &mut others {
            stage.lines.retain(|_| {
                row += 1;
                (begin..begin + ROWS).contains(&(row - 1))
            });
        }
        let shown = has_first.len().min(ROWS);
        self.left_out.push(format!(
            "Of {all} tensors, {shown} that are not equal bit for bit are shown, around the first divergence."
        ));
    }
}

/// The tensors by stage and name, in causal order.
fn stages(report: &Report) -> Vec<Stage<'_>> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut places: HashMap<(Option<&str>, &str, &str), usize> = HashMap::new();
    let mut lines: HashMap<(usize, &str), usize> = HashMap::new();
    for (i, tensor) in report.tensors.iter().enumerate() {
        let (file, at) = (tensor.file.as_deref(), At::of(tensor));
        let (kind, _) = at.kind();
        let place = *places.entry((file, &tensor.stage, kind)).or_insert_with(|| {
            let file = file.map_or(String::new(), |file| format!(", {file}"));
            stages.push(Stage {
                title: format!("{}{file}", tensor.stage),
                kind,
                lines: Vec::new(),
            });
            stages.len() - 1
        });
        let of_stage = &mut stages[place].lines;
        let line = *lines.entry((place, &tensor.name)).or_insert_with(|| {
            of_stage.push(Line { name: &tensor.name, tensors: HashMap::new() });
            of_stage.len() - 1
        });
        of_stage[line].tensors.insert(at, i);
    }
    stages
}

impl Line<'_> {
    fn is_first(&self, report: &Report) -> bool {
        report.first.is_some_and(|first| self.tensors.values().any(|&i| i == first))
    }

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
    fn group(&self, Stage { title, lines, .. }: &Stage) -> Group {
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
        let cells = self.columns.iter().map(cell).collect();
        Row { name: visible_line(line.name), is_first: line.is_first(self.report), cells }
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
