//! Differences that follow from an earlier one, and what each layer makes of the difference of its input.

use serde::Serialize;
use stitch_trace::stage;

use crate::json;
use crate::result::{Outcome, TensorResult};

/// Stages that follow from the settings alone.
const GIVEN: [&str; 5] =
    [stage::DATA, stage::INIT, stage::PERMUTATION, stage::LEARNING_RATE, stage::LR];
/// Stages from which the batches follow.
const OF_DATA: [&str; 3] = [stage::DATA, stage::PERMUTATION, stage::BATCH];

/// The error of a layer's output, or of the gradient w.r.t. it, in the step of the first difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerError {
    /// [`FORWARD`](stage::FORWARD) or [`BACKWARD`](stage::BACKWARD).
    pub stage: String,
    /// Path of the module.
    pub name: String,
    /// Class of the module.
    pub class: Option<String>,
    /// The norm of the difference relative to that of the expected values; 0 if all bits are equal.
    #[serde(serialize_with = "json::number")]
    pub error: f64,
    /// The error of the layer that was computed before in this stage; `None` for the first.
    pub before: Option<f64>,
}

/// Marks the values that differ after the first difference, if that is one of values too, and that the run computes.
pub(crate) fn mark(tensors: &mut [TensorResult], first: Option<usize>) {
    let of_values = |tensor: &TensorResult| {
        matches!(tensor.outcome, Outcome::Different(_) | Outcome::HashDiffers { .. })
    };
    let Some(first) = first.filter(|&first| of_values(&tensors[first])) else { return };
    let of_data = OF_DATA.contains(&tensors[first].stage.as_str());
    for tensor in tensors[first + 1..].iter_mut().filter(|tensor| of_values(tensor)) {
        let stage = tensor.stage.as_str();
        tensor.inherited = !GIVEN.contains(&stage) && (stage != stage::BATCH || of_data);
    }
}

/// The errors of the layers in the step of the first difference, in the order in which they were computed. Layers whose
/// elements were not kept are left out.
pub(crate) fn layers(tensors: &[TensorResult], first: &TensorResult) -> Vec<LayerError> {
    let mut all: Vec<LayerError> = Vec::new();
    let is_layer =
        |tensor: &&TensorResult| [stage::FORWARD, stage::BACKWARD].contains(&tensor.stage.as_str());
    let in_step = tensors.iter().filter(|tensor| first.step.is_some() && tensor.step == first.step);
    for TensorResult { stage, name, class, outcome, .. } in in_step.filter(is_layer) {
        let error = match outcome {
            Outcome::Equal => 0.0,
            Outcome::Within(c) | Outcome::Different(c) => c.error(),
            _ => continue,
        };
        let (stage, name, class) = (stage.clone(), name.clone(), class.clone());
        let before = all.last().filter(|before| before.stage == stage).map(|before| before.error);
        all.push(LayerError { stage, name, class, error, before });
    }
    all
}
