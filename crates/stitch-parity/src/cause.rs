//! The likely cause of the first difference.

use std::collections::BTreeSet;

use stitch_trace::stage;

use crate::closest::ClosestMatch;
use crate::evidence::optimizer_state;
use crate::locality;
use crate::report::Report;
use crate::result::{Outcome, TensorResult};
use crate::side::Side;

/// What may cause this first difference, the likeliest first: what its elements say (`found`), then what usually causes a
/// difference there.
pub(crate) fn ranked(report: &Report, first: &TensorResult, found: Vec<String>) -> Vec<String> {
    if let Some(earlier) = locality::within_tolerance_before(report, first) {
        return vec![
            format!(
                "a difference that grew: what this is computed from already differs, within the tolerance; the first \
                 that differs by more than rounding: {}",
                earlier.place()
            ),
            cause_in(&earlier.stage).into(),
        ];
    }
    let usual = usual(report, first);
    match gap_before(report, first) {
        // What was not recorded cannot be excluded.
        Some(_) => learning_rate(report, first).into_iter().chain([usual]).collect(),
        None => {
            let is_nan = matches!(&first.outcome, Outcome::Different(c) if c.nan_failing > 0);
            let nan = is_nan.then(|| NAN.to_owned()).filter(|nan| *nan != usual);
            nan.into_iter().chain(found).chain([usual]).collect()
        }
    }
}

/// The learning rates of the step of the first difference, if they differ.
fn learning_rate(report: &Report, first: &TensorResult) -> Option<String> {
    let of_step = |it: &&TensorResult| it.stage == stage::LEARNING_RATE && it.step == first.step;
    let rate = report.tensors.iter().filter(of_step).find(|it| !it.passes())?;
    let Outcome::Different(comparison) = &rate.outcome else { return None };
    let (step, values) = (first.step?, comparison.values(comparison.first?));
    Some(format!("another learning rate or schedule: in step {step} {values}"))
}

/// What usually causes this first difference, everything before it being equal.
fn usual(report: &Report, first: &TensorResult) -> String {
    let compared = |stage: &str| report.tensors.iter().any(|tensor| tensor.stage == stage);
    if !report.settings.is_empty() {
        return "the settings of the two runs differ".into();
    }
    match &first.outcome {
        Outcome::Missing | Outcome::Unexpected => return cause_of_absence(report, first),
        Outcome::Unknown => {
            return "the traces keep other sums of it: record it with its elements, or with blocks on both sides".into();
        }
        Outcome::Nan { .. } => return NAN.into(),
        Outcome::Different(comparison)
            if comparison.nan_failing > 0 && comparison.nan_failing == comparison.failing =>
        {
            return NAN.into();
        }
        Outcome::Shape { .. } if first.stage == stage::BATCH => {
            return cause_in(stage::BATCH).into();
        }
        Outcome::Shape { .. } => {
            return "a layer of a different size, or a different layout of the same elements (transposed, \
                    flattened)"
                .into();
        }
        Outcome::Dtype { .. } => {
            return "a different dtype in the program, or a conversion when the file was saved"
                .into();
        }
        _ => {}
    }
    if let Some(gap) = gap_before(report, first) {
        return gap;
    }
    match first.stage.as_str() {
        stage::PREDICTIONS | stage::CONFUSION_MATRIX | stage::ACCURACY
            if !compared(stage::TEST_LOGITS) && !compared(stage::FINAL) =>
        {
            "different weights: compare those, or traces of both runs".into()
        }
        stage::FINAL if report.traced => {
            "an update after the last recorded step, or a buffer that is recorded only after it"
                .into()
        }
        stage::GRADIENT => cause_in_gradients(report, first),
        stage => cause_in(stage).into(),
    }
}

/// What usually causes a first difference in the gradients.
fn cause_in_gradients(report: &Report, first: &TensorResult) -> String {
    let forward = match has_equal(report, stage::LOGITS, first.step) {
        true => "the logits match",
        false => "the forward pass matches as far as recorded",
    };
    locality::of_gradients(report, first).unwrap_or_else(|| {
        format!("{forward} but the gradients differ: {}", cause_in(stage::GRADIENT))
    })
}

/// Advice to record the state of the optimizer, where only one side does and that would tell the causes of the first
/// difference apart.
pub(crate) fn unrecorded_state(
    report: &Report,
    first: &TensorResult,
    sides: [&Side; 2],
) -> Option<String> {
    if first.stage != stage::PARAMETER && gap_before(report, first).is_none() {
        return None;
    }
    let [reference, candidate] = sides.map(optimizer_state);
    let (side, states) = match (reference.is_empty(), candidate.is_empty()) {
        (false, true) => ("candidate", reference),
        (true, false) => ("reference", candidate),
        _ => return None,
    };
    let states = states.into_iter().collect::<Vec<_>>().join(", ");
    Some(format!(
        "the {side} records no state of the optimizer ({states}); record it to narrow this down"
    ))
}

const NAN: &str =
    "a NaN, which equals no value, not even another NaN, unless NaN are compared as equal";

/// Whether it is a gradient, of a parameter or of an output.
fn is_gradient(tensor: &TensorResult) -> bool {
    [stage::GRADIENT, stage::BACKWARD].contains(&tensor.stage.as_str())
}

/// Whether a tensor of this stage and step passes.
fn has_equal(report: &Report, stage: &str, step: Option<usize>) -> bool {
    report.tensors.iter().any(|it| it.stage == stage && it.step == step && it.passes())
}

/// What usually causes a tensor to be on one side only.
fn cause_of_absence(report: &Report, first: &TensorResult) -> String {
    let here = (first.epoch, first.step);
    let same = |it: &&ClosestMatch| it.shape == first.shape && (it.epoch, it.step) == here;
    if let Some(other) = first.closest.as_ref().filter(same) {
        return format!("another name: {} has the same shape (see --suggest-map)", other.name);
    }
    cause_of_absence_without_match(report, first).into()
}

fn cause_of_absence_without_match(report: &Report, first: &TensorResult) -> &'static str {
    if is_gradient(first) && has_equal(report, &first.stage, first.step) {
        return "no gradient on one side: requires_grad is False, or the loss does not depend on it (detach, an unused module)";
    }
    let on_one_side =
        |it: &TensorResult| matches!(it.outcome, Outcome::Missing | Outcome::Unexpected);
    let in_step = |it: &TensorResult| first.step.is_some() && it.step == first.step;
    let is_known = stage::KNOWN.contains(&first.stage.as_str());
    match (first.step, first.stage.as_str()) {
        (Some(_), stage) if !is_known || stage.starts_with("exp_avg") => {
            "a different optimizer, or different settings of it: SGD without momentum keeps no state"
        }
        (Some(_), _) if report.tensors.iter().any(|it| in_step(it) && !on_one_side(it)) => {
            "both sides record this step, only one of them this tensor: another name, or a module that the other side does \
             not have or record"
        }
        (Some(_), _) => {
            "different steps were recorded, or the runs have different steps: check batch size and drop_last"
        }
        (None, stage::INIT | stage::FINAL) => {
            "a different network, different names of its layers, or entries that only one program saves"
        }
        _ => "the two programs recorded different tensors",
    }
}

/// The steps in which the cause must lie if those before the first difference were not recorded: what a step
/// computes follows from the parameters and the optimizer's state after the step before.
fn gap_before(report: &Report, first: &TensorResult) -> Option<String> {
    let step = first.step?;
    // These follow from the data, and from records of the same step.
    if [stage::BATCH, stage::LOSS].contains(&first.stage.as_str()) {
        return None;
    }
    // Equal outputs come from equal parameters.
    let outputs = [stage::FORWARD, stage::LOGITS, stage::LOSS];
    let is_output = [stage::BUFFER_BEFORE, stage::FORWARD, stage::LOGITS];
    if !is_output.contains(&first.stage.as_str())
        && outputs.iter().any(|stage| has_equal(report, stage, Some(step)))
    {
        return None;
    }
    let recorded: BTreeSet<usize> =
        report.tensors.iter().filter_map(|tensor| tensor.step).collect();
    let before = recorded.range(..step).next_back().copied();
    let last = if first.stage == stage::BUFFER_BEFORE { step.saturating_sub(1) } else { step };
    match before {
        Some(before) if before + 1 == step => None,
        Some(before) => Some(format!(
            "there is no record between step {before} and step {step}: the cause lies in one of the \
             steps {} to {last}; record these too",
            before + 1
        )),
        None if step == 1 => None,
        None => Some(format!(
            "there is no record before step {step}: the cause lies in one of the steps 1 to {last}; \
             record these too"
        )),
    }
}

/// What usually causes a first difference in a stage.
fn cause_in(stage: &str) -> &'static str {
    match stage {
        stage::DATA => {
            "a different data set or normalization (divide by 255 in float64, then cast)"
        }
        stage::INIT => {
            "a different order of random draws (weight before bias, layers in definition order), bound or \
             seed"
        }
        stage::PERMUTATION => {
            "a different seed of the sampler (DataLoader draws two numbers per epoch, the second is it) or \
             shuffle"
        }
        stage::BATCH => {
            "a different batch size, or the last, incomplete batch is dropped on one side"
        }
        stage::FORWARD => {
            "this module, or an operation between it and the one before: check its settings, the functions in \
             forward, kernels, memory layout, threads and libtorch build"
        }
        stage::BACKWARD => {
            "the outputs of all modules match but a gradient differs: check the loss, kernels of the backward pass, \
             and threads"
        }
        stage::LEARNING_RATE => "another learning rate or schedule, without effect so far",
        stage::LOGITS => {
            "a different forward pass: check layers and their settings (epsilon, padding, activation), \
             kernels, memory layout, threads and libtorch build"
        }
        stage::LOSS => "the logits match but the loss differs: check loss function and reduction",
        stage::GRADIENT => {
            "check clipping and scaling of gradients, kernels of the backward pass, and threads"
        }
        stage::EXP_AVG | stage::EXP_AVG_SQ | stage::PARAMETER => {
            "the gradients match but the update differs: check optimizer type (libtorch's C++ Adam rounds \
             differently from PyTorch's Python Adam; scikit-learn's adds epsilon elsewhere), learning rate or \
             schedule, betas, momentum, weight decay and epsilon"
        }
        stage::BUFFER => {
            "a different update of the running statistics: check momentum and biased or unbiased variance"
        }
        stage::BUFFER_BEFORE => {
            "another initial value, or an update of a step before, or of an evaluation in training mode"
        }
        stage::LR => "another schedule, or another number of epochs or steps",
        stage::EPOCH_LOSS => "a different average: mean of batches instead of mean of samples",
        stage::FINAL => {
            "training differed somewhere before: compare traces of both runs to see where"
        }
        stage::TEST_LOGITS => {
            "the parameters match but eval outputs differ: check eval() mode, BatchNorm running statistics and \
             dropout"
        }
        stage::PREDICTIONS => "a different choice of the class, or near ties",
        stage::CONFUSION_MATRIX => "rows and columns are swapped, or predictions differ",
        stage::ACCURACY => "different rounding, or different predictions",
        _ => {
            "everything recorded before it matches: check what computes this stage; if it is state of the \
             optimizer, its settings (momentum, dampening)"
        }
    }
}
