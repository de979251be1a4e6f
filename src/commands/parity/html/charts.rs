//! The charts of the page: the relative error of each tensor where it begins, and of each step.

use std::collections::{BTreeMap, HashSet};

use stitch::report::figures::{self, StepError, TensorError, Widths};
use stitch_parity::{Comparison, Outcome, Report, TensorResult};

use super::size::relative;
use crate::commands::terminal::visible_line;

/// Most rows of the chart of tensors.
const ROWS: usize = 30;

/// A chart, and how many tensors it leaves out.
#[derive(Debug)]
pub struct Chart {
    pub figure: Widths,
    pub more: usize,
}

/// The elements that differ, within the tolerance or beyond.
fn compared(tensor: &TensorResult) -> Option<&Comparison> {
    match &tensor.outcome {
        Outcome::Within(c) | Outcome::Different(c) => Some(c),
        _ => None,
    }
}

/// Each tensor where it first differs beyond its tolerance, from the first divergence on.
pub fn by_tensor(report: &Report) -> Option<Chart> {
    let mut known = HashSet::new();
    let mut rows = Vec::new();
    for tensor in &report.tensors[report.first?..] {
        let Some(c) = compared(tensor).filter(|_| !tensor.passes()) else { continue };
        if known.insert((&tensor.stage, &tensor.name, &tensor.file)) {
            rows.push(TensorError { name: name(tensor), at: at(tensor), value: relative(c) });
        }
    }
    let more = rows.len().saturating_sub(ROWS);
    rows.truncate(ROWS);
    let figure = || Widths::new(|drawn| figures::tensor_errors(&rows, drawn));
    (!rows.is_empty()).then(|| Chart { figure: figure(), more })
}

/// The place of a tensor without its step or epoch.
fn name(tensor: &TensorResult) -> String {
    let everywhere = TensorResult { epoch: None, step: None, ..tensor.clone() };
    visible_line(&everywhere.place())
}

fn at(tensor: &TensorResult) -> String {
    match (tensor.epoch, tensor.step) {
        (_, Some(step)) => format!("step {step}"),
        (Some(epoch), None) => format!("epoch {epoch}"),
        (None, None) => String::new(),
    }
}

/// The greatest relative error of each step, of at least two steps.
pub fn by_step(report: &Report) -> Option<Widths> {
    let mut steps: BTreeMap<usize, Option<f64>> = BTreeMap::new();
    for tensor in &report.tensors {
        let Some(step) = tensor.step else { continue };
        let value = compared(tensor).map(relative);
        // A step of which nothing but, say, a missing tensor differs has no point.
        if value.is_some() || tensor.passes() {
            let greatest = steps.entry(step).or_default();
            *greatest = greatest.map_or(value, |it| Some(it.max(value.unwrap_or(it))));
        }
    }
    let points: Vec<StepError> =
        steps.into_iter().map(|(step, value)| StepError { step, value }).collect();
    let differs = points.iter().any(|point| point.value.is_some());
    (points.len() > 1 && differs).then(|| Widths::new(|drawn| figures::step_errors(&points, drawn)))
}
