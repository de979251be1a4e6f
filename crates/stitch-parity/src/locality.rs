//! Where a difference arises: in which layers, in which parameters, or before the first that exceeds its tolerance.

use stitch_trace::stage;

use crate::evidence::rounding;
use crate::report::Report;
use crate::result::{Outcome, TensorResult};

/// How many times the size of an earlier difference may grow by further computation.
const GROWTH: f64 = 100.0;

/// The tensors of the first difference's stage and step.
fn beside<'a>(
    report: &'a Report,
    first: &'a TensorResult,
) -> impl Iterator<Item = &'a TensorResult> {
    report.tensors.iter().filter(|it| it.stage == first.stage && it.step == first.step)
}

/// Whether the first difference is in the biases, all other parameters of the step being equal.
pub(crate) fn is_in_biases_only(tensors: &[TensorResult], first: &TensorResult) -> bool {
    let is_bias = |it: &TensorResult| it.name.rsplit('.').next() == Some("bias");
    let mut here = tensors.iter().filter(|it| it.stage == first.stage && it.step == first.step);
    let mut others = here.clone().filter(|it| !is_bias(it)).peekable();
    let has_others = others.peek().is_some();
    has_others && others.all(TensorResult::passes) && here.any(|it| is_bias(it) && !it.passes())
}

/// The path of the module that a parameter belongs to.
fn module(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(module, _)| module)
}

/// The layers between which the error of the gradients arises: those of the later layers are equal. `None` if the
/// gradients of the last layer differ.
pub(crate) fn of_gradients(report: &Report, first: &TensorResult) -> Option<String> {
    let mut layers: Vec<(&str, bool)> = Vec::new();
    for tensor in beside(report, first) {
        let path = module(&tensor.name);
        match layers.iter_mut().find(|(known, _)| *known == path) {
            Some((_, passes)) => *passes &= tensor.passes(),
            None => layers.push((path, tensor.passes())),
        }
    }
    let last = layers.iter().rposition(|(_, passes)| !passes)?;
    let (differs, later) = (layers[last].0, layers.get(last + 1)?.0);
    if last > 0 && layers[..last].iter().all(|(_, passes)| *passes) {
        return Some(format!(
            "of the gradients only those of {differs} differ: the gradient w.r.t. its parameters"
        ));
    }
    let between = between(report, first, [differs, later]);
    Some(format!(
        "the gradients of {later} match, those of {differs} differ: the error arises between {later} and {differs} in the \
         backward pass{between}"
    ))
}

/// The recorded modules that are computed between two layers: `: act (Tanh)`; empty if there are none.
fn between(report: &Report, first: &TensorResult, [from, to]: [&str; 2]) -> String {
    let forward = |it: &&TensorResult| it.stage == stage::FORWARD && it.step == first.step;
    let modules: Vec<&TensorResult> = report.tensors.iter().filter(forward).collect();
    let position = |name: &str| modules.iter().position(|it| it.name == name);
    let Some((from, to)) = position(from).zip(position(to)) else { return String::new() };
    let named = modules.get(from + 1..to).unwrap_or_default().iter().map(|it| match &it.class {
        Some(class) => format!("{} ({class})", it.name),
        None => it.name.clone(),
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() { String::new() } else { format!(": {}", named.join(", ")) }
}

/// The first tensor before the first difference that differs by more than rounding within its tolerance, if the first
/// difference may have grown from there.
pub(crate) fn within_tolerance_before<'a>(
    report: &'a Report,
    first: &TensorResult,
) -> Option<&'a TensorResult> {
    let Outcome::Different(comparison) = &first.outcome else { return None };
    // Nothing is computed from these.
    let ends = [stage::LEARNING_RATE, stage::EPOCH_LOSS, stage::LR];
    let earlier = report.tensors[..report.first?].iter().filter_map(|it| match &it.outcome {
        Outcome::Within(c) if c.error() > 3.0 * rounding(c.dtype) => Some((it, c.error())),
        _ => None,
    });
    let earlier: Vec<(&TensorResult, f64)> =
        earlier.filter(|(it, _)| !ends.contains(&it.stage.as_str())).collect();
    let greatest = earlier.iter().map(|(_, error)| *error).fold(0.0, f64::max);
    (greatest * GROWTH >= comparison.error()).then(|| earlier.first()).flatten().map(|(it, _)| *it)
}
