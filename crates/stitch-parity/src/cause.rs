//! The likely cause of a first divergence.

use std::collections::BTreeSet;

use stitch_trace::stage;

use crate::verdict::{Outcome, Report, TensorResult};

/// What usually causes this first divergence, everything before it being equal.
pub fn likely_cause(report: &Report, first: &TensorResult) -> String {
    let compared = |stage: &str| report.tensors.iter().any(|tensor| tensor.stage == stage);
    if !report.settings.is_empty() {
        return "the settings that differ, see above".into();
    }
    match &first.outcome {
        Outcome::Missing | Outcome::Unexpected if ends_early(report) => {
            return "a truncated trace, see below: everything before its end is equal".into();
        }
        Outcome::Missing | Outcome::Unexpected => return cause_of_absence(first).into(),
        Outcome::Nan { .. } => return NAN.into(),
        Outcome::Different(comparison)
            if comparison.nan > 0 && comparison.nan == comparison.failing =>
        {
            return NAN.into();
        }
        Outcome::Shape { .. } if first.stage == stage::BATCH => {
            return cause_in(stage::BATCH).into();
        }
        Outcome::Shape { .. } => {
            return "another size of a layer, or another layout of the same elements (transposed, \
                    flattened)"
                .into();
        }
        Outcome::Dtype { .. } => {
            return "another element type in the program, or a conversion when it was saved".into();
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
            "other weights: compare those, or traces of both runs".into()
        }
        stage::FINAL if report.traced => {
            "an update after the last recorded step, or a buffer that is recorded only here".into()
        }
        stage => cause_in(stage).into(),
    }
}

const NAN: &str = "a NaN, which equals nothing, not even another NaN, unless that is asked for";

/// What usually causes a tensor to be on one side only.
fn cause_of_absence(first: &TensorResult) -> &'static str {
    let is_known = stage::KNOWN.contains(&first.stage.as_str());
    match (first.step, first.stage.as_str()) {
        (Some(_), stage) if !is_known || stage.starts_with("exp_avg") => {
            "another optimizer, or another setting of it: without momentum SGD keeps no state"
        }
        (Some(_), _) => {
            "other steps were recorded, or the run took others: another batch size, or a last batch that \
             is dropped or kept"
        }
        (None, stage::INIT | stage::FINAL) => {
            "another network, other names of its layers, or entries that only one program saves"
        }
        _ => "another program recorded it",
    }
}

/// Whether nothing but the end of a truncated trace is missing.
fn ends_early(report: &Report) -> bool {
    let mut different = report.tensors.iter().filter(|tensor| !tensor.passes());
    let is_missing =
        |tensor: &TensorResult| matches!(tensor.outcome, Outcome::Missing | Outcome::Unexpected);
    !report.truncated.is_empty() && different.all(is_missing)
}

/// Where the cause must lie if the steps before the first divergence were not recorded: what a step
/// computes follows from the parameters and the optimizer's state that the step before has left.
fn gap_before(report: &Report, first: &TensorResult) -> Option<String> {
    let step = first.step?;
    // These follow from the data, and from records of the same step.
    if [stage::BATCH, stage::LOSS].contains(&first.stage.as_str()) {
        return None;
    }
    let recorded: BTreeSet<usize> =
        report.tensors.iter().filter_map(|tensor| tensor.step).collect();
    let before = recorded.range(..step).next_back().copied();
    match before {
        Some(before) if before + 1 == step => None,
        Some(before) => Some(format!(
            "there is no record between step {before} and step {step}: the cause lies in one of the \
             steps {} to {step}; record these too",
            before + 1
        )),
        None if step == 1 => None,
        None => Some(format!(
            "there is no record before step {step}: the cause lies in one of the steps 1 to {step}; \
             record these too"
        )),
    }
}

/// What usually causes a first divergence in a stage.
fn cause_in(stage: &str) -> &'static str {
    match stage {
        stage::DATA => {
            "another data set, or another normalization (divide by 255 in float64, then cast)"
        }
        stage::INIT => {
            "another draw order (weight before bias, layers in definition order), another bound, or \
             another seed"
        }
        stage::PERMUTATION => {
            "another seed for the sampler (DataLoader draws two numbers per epoch, the second is \
             it), or another shuffle"
        }
        stage::BATCH => "another batch size, or a last batch that is dropped or kept",
        stage::LOGITS => {
            "another forward pass: a layer or a setting of it (epsilon, padding, activation), kernels, memory \
             layout, threads or libtorch build"
        }
        stage::LOSS => "another loss or reduction: the logits are equal",
        stage::GRADIENT => {
            "gradients that are clipped or scaled, another kernel in the backward pass, or other threads: the \
             logits are equal"
        }
        stage::EXP_AVG | stage::EXP_AVG_SQ | stage::PARAMETER => {
            "another form of the optimizer (libtorch's C++ Adam rounds differently from PyTorch's \
             Python one; scikit-learn's puts epsilon elsewhere), or another setting of it (learning rate, \
             betas, momentum, weight decay): the gradients are equal"
        }
        stage::BUFFER => "another update of the running statistics (momentum, biased variance)",
        stage::EPOCH_LOSS => "another way of averaging: mean of batches instead of mean of samples",
        stage::FINAL => {
            "training differed somewhere before: run both sides with --trace to see where"
        }
        stage::TEST_LOGITS => "another forward pass in evaluation: the parameters are equal",
        stage::PREDICTIONS => "another way of choosing the class, or near ties",
        stage::CONFUSION_MATRIX => "rows and columns swapped, or other predictions",
        stage::ACCURACY => "another rounding, or other predictions",
        _ => {
            "what computes this stage, such as a setting of the optimizer (momentum, dampening) if it is its \
             state: everything recorded before it is equal"
        }
    }
}
