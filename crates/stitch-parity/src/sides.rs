//! Compares two sides, tensor by tensor in causal order.

use std::collections::{HashMap, HashSet};

use stitch_trace::stage;

use crate::error::SideError;
use crate::pair::{ItemPair, result};
use crate::report::Report;
use crate::result::{Outcome, TensorResult};
use crate::side::{Item, Key, Side};
use crate::tolerance::{Overrides, Training};
use crate::{cause, closest, evidence, inherited, not_compared, one_sided, task, verify};

/// Options of [`compare`]. By default every bit must be equal, up to the [`EXCEPTIONS`](crate::EXCEPTIONS).
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Tolerances of the caller; they replace those of [`EXCEPTIONS`](crate::EXCEPTIONS).
    pub overrides: Overrides,
    /// Whether NaN equals NaN.
    pub equal_nan: bool,
    /// Whether the same program computed both sides in the same way: [`EXCEPTIONS`](crate::EXCEPTIONS), which are about a port
    /// against its original, do not apply.
    pub same_program: bool,
    /// The settings of the training, if they are known: the tolerances of [`EXCEPTIONS`](crate::EXCEPTIONS) grow
    /// with them.
    pub training: Option<Training>,
    /// Differences between the settings of both runs that make different bits likely, a sentence each. They are
    /// reported as the likely cause of a difference.
    pub settings: Vec<String>,
    /// Whether a stage that only one side records is a difference; otherwise it is not compared.
    pub strict_stages: bool,
    /// Whether the median and the quantiles are computed of the first difference alone, which is faster. Those of
    /// other tensors are then NaN.
    pub quantiles_of_first: bool,
}

/// Compares the candidate with the reference, tensor by tensor in causal order. Elements are read as streams, so
/// memory does not grow with the tensors.
///
/// # Errors
/// When a file cannot be read or a trace contradicts itself; see [`SideError`]. A difference is not an error.
pub fn compare(
    reference: &mut Side,
    candidate: &mut Side,
    options: &Options,
) -> Result<Report, SideError> {
    reference.match_names(candidate);
    let known = positions(reference)?;
    let places = positions(candidate)?;
    let model = reference.model.clone().or_else(|| candidate.model.clone());
    let model = model.filter(|_| !options.same_program);
    let (mut tensors, mut quantiles) = (Vec::new(), true);
    for expected in reference.items.clone() {
        let actual = places.get(&expected.key).map(|&i| candidate.items[i].clone());
        tensors.push(match actual {
            Some(actual) => {
                let mut pair = ItemPair::new([reference, candidate], [&expected, &actual]);
                let result = pair.compare(model.as_deref(), options, quantiles)?;
                // The first that differs is the first difference, in general.
                quantiles &= result.passes() || !options.quantiles_of_first;
                result
            }
            None => {
                verify::bits(reference, &expected)?;
                result(&expected, Outcome::Missing)
            }
        });
    }
    for item in candidate.items.clone().iter().filter(|item| !known.contains_key(&item.key)) {
        verify::bits(candidate, item)?;
    }
    let mut tensors = with_unexpected(tensors, &reference.items, &candidate.items);
    let one_sided = match options.strict_stages {
        true => Vec::new(),
        false => one_sided::stages([reference, candidate]),
    };
    tensors.retain(|tensor| !one_sided.iter().any(|one| one.is_of(tensor)));
    let beyond = beyond_end([reference, candidate], &mut tensors);
    closest::find(&mut tensors);
    let first = first(&tensors);
    if let Some(first) = first.map(|first| &mut tensors[first]).filter(|it| it.lacks_quantiles()) {
        let key = first.key();
        if let Some((expected, actual)) = known.get(&key).zip(places.get(&key)) {
            let [expected, actual] =
                [&reference.items[*expected], &candidate.items[*actual]].map(Clone::clone);
            let mut pair = ItemPair::new([reference, candidate], [&expected, &actual]);
            *first = pair.compare(model.as_deref(), options, true)?;
        }
    }
    inherited::mark(&mut tensors, first);
    let path = |side: &Side| side.path.display().to_string();
    let sides = [&*reference, &*candidate];
    let truncated = sides.iter().filter(|side| side.is_truncated());
    let mut report = Report {
        reference: path(reference),
        candidate: path(candidate),
        settings: options.settings.clone(),
        first,
        causes: Vec::new(),
        layers: Vec::new(),
        traced: sides.iter().all(|side| side.is_traced()),
        truncated: truncated.map(|side| path(side)).collect(),
        notes: sides.iter().flat_map(|side| notes(side)).collect(),
        not_compared: beyond
            .into_iter()
            .chain(not_compared::phrases(sides, &tensors, &one_sided))
            .collect(),
        one_sided_stages: one_sided.into_iter().map(|one| one.stage).collect(),
        task: task::differences(reference, candidate)?,
        tensors,
    };
    let Report { tensors, task, .. } = &mut report;
    task.losses.retain(|(epoch, ..)| {
        let of_epoch = |it: &&TensorResult| it.epoch.unwrap_or(0) == *epoch && !it.passes();
        tensors.iter().filter(|it| it.stage == stage::EPOCH_LOSS).any(|it| of_epoch(&it))
    });
    if let Some(first) = report.first_difference() {
        let found = evidence::causes([reference, candidate], &report.tensors, first)?;
        let layers = inherited::layers(&report.tensors, first);
        let advice = cause::unrecorded_state(&report, first, [&*reference, &*candidate]);
        report.causes = cause::ranked(&report, first, found);
        report.layers = layers;
        report.notes.extend(advice);
    }
    Ok(report)
}

/// The first tensor that does not pass. A learning rate explains a difference, and is none unless nothing else differs.
fn first(tensors: &[TensorResult]) -> Option<usize> {
    let differs = |tensor: &TensorResult| !tensor.passes();
    let of_run = |tensor: &TensorResult| differs(tensor) && tensor.stage != stage::LEARNING_RATE;
    tensors.iter().position(of_run).or_else(|| tensors.iter().position(differs))
}

/// Removes the tensors after the end of a truncated trace, which only the other side has; says how many there are.
fn beyond_end(sides: [&Side; 2], tensors: &mut Vec<TensorResult>) -> Option<String> {
    let is_beyond = |tensor: &TensorResult| match tensor.outcome {
        Outcome::Missing => sides[1].is_truncated(),
        Outcome::Unexpected => sides[0].is_truncated(),
        _ => false,
    };
    let of_trace = |tensor: &TensorResult| tensor.file.is_none();
    let common = tensors.iter().rposition(|tensor| of_trace(tensor) && !is_beyond(tensor));
    let (all, mut position) = (tensors.len(), 0);
    tensors.retain(|tensor| {
        position += 1;
        let is_after = common.is_none_or(|common| position > common + 1);
        !(is_after && of_trace(tensor) && is_beyond(tensor))
    });
    let count = all - tensors.len();
    let plural = if count == 1 { "" } else { "s" };
    (count > 0).then(|| format!("{count} tensor{plural} after the end of the truncated trace"))
}

/// The position of each tensor of a side, whose keys must be unique.
fn positions(side: &Side) -> Result<HashMap<Key, usize>, SideError> {
    let mut positions = HashMap::with_capacity(side.items.len());
    for (i, item) in side.items.iter().enumerate() {
        if positions.insert(item.key.clone(), i).is_some() {
            let tensor = result(item, Outcome::Missing).place();
            return Err(SideError::Duplicate { path: side.path.clone(), tensor });
        }
    }
    Ok(positions)
}

fn notes(side: &Side) -> impl Iterator<Item = String> {
    side.notes.iter().map(|note| format!("{}: {note}", side.path.display()))
}

/// The results for the reference's items, and each item that only the candidate has after the one that
/// it follows there.
fn with_unexpected(
    results: Vec<TensorResult>,
    reference: &[Item],
    candidate: &[Item],
) -> Vec<TensorResult> {
    let known: HashSet<&Key> = reference.iter().map(|item| &item.key).collect();
    let mut behind: HashMap<Option<&Key>, Vec<TensorResult>> = HashMap::new();
    let mut last = None;
    for item in candidate {
        if known.contains(&item.key) {
            last = Some(&item.key);
        } else {
            behind.entry(last).or_default().push(result(item, Outcome::Unexpected));
        }
    }
    let mut all = behind.remove(&None).unwrap_or_default();
    for (item, result) in reference.iter().zip(results) {
        all.push(result);
        all.extend(behind.remove(&Some(&item.key)).unwrap_or_default());
    }
    all
}
