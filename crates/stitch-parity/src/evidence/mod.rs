//! What the elements of the first difference, and of the tensors that it is computed from, say about its cause.

mod decay;
mod layer;
mod step;
mod update;

use std::collections::BTreeSet;

use stitch_trace::stage;
use tensor_files::Dtype;

use crate::comparison::Comparison;
use crate::element::bits;
use crate::error::SideError;
use crate::fit::{affine, difference, factor, norm};
use crate::result::{Outcome, TensorResult};
use crate::side::{Item, Side};

/// Most elements of a tensor that is looked at.
const MOST: usize = 1 << 22;

/// Looks for causes of `first`, the first of `tensors` that differs; the likeliest first. Empty if the elements say nothing.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn causes(
    [reference, candidate]: [&mut Side; 2],
    tensors: &[TensorResult],
    first: &TensorResult,
) -> Result<Vec<String>, SideError> {
    let mut evidence = Evidence { reference, candidate, tensors, first };
    let mut causes = Vec::new();
    if let (stage::PERMUTATION, Outcome::Shape { expected, actual }) =
        (first.stage.as_str(), &first.outcome)
    {
        causes.push(format!(
            "other samples: the epoch has {expected:?} in the reference, {actual:?} in the candidate (drop_last, or a \
             sample that was left out)"
        ));
    }
    if matches!(first.outcome, Outcome::Different(_)) {
        causes.extend(evidence.of_elements()?);
    }
    if let Some(cause) = evidence.of_names() {
        causes.insert(0, cause);
    }
    Ok(causes)
}

struct Evidence<'a> {
    reference: &'a mut Side,
    candidate: &'a mut Side,
    tensors: &'a [TensorResult],
    first: &'a TensorResult,
}

/// The elements of a tensor in the reference and in the candidate.
type Both = [Vec<f64>; 2];

impl Evidence<'_> {
    /// The step of the first difference.
    fn step(&self) -> Option<usize> {
        self.first.step
    }

    fn both(
        &mut self,
        stage: &str,
        step: Option<usize>,
        name: &str,
    ) -> Result<Option<Both>, SideError> {
        let one = values(self.reference, stage, step, name)?;
        let other = values(self.candidate, stage, step, name)?;
        Ok(one.zip(other).map(|(one, other)| [one, other]))
    }

    /// The same tensor of this step.
    fn here(&mut self, stage: &str, name: &str) -> Result<Option<Both>, SideError> {
        self.both(stage, self.step(), name)
    }

    /// Different optimizers have different names of their state. State of one side alone says nothing: the other side may not
    /// have recorded its own.
    fn of_names(&self) -> Option<String> {
        let [one, other] = [&*self.reference, &*self.candidate].map(optimizer_state);
        if one.is_empty() || other.is_empty() {
            return None;
        }
        let is_state = self.first.stage == stage::PARAMETER
            || one.contains(&self.first.stage)
            || other.contains(&self.first.stage);
        let optimizers = [optimizer(&one), optimizer(&other)];
        if is_state && optimizers[0] == optimizers[1] {
            let only_one = one.difference(&other).next().map(|state| ("reference", state));
            let only_other = other.difference(&one).next().map(|state| ("candidate", state));
            return only_one.or(only_other).map(|(side, state)| {
                format!(
                    "another setting of the optimizer: only the {side} keeps {state} (amsgrad, centered, momentum)"
                )
            });
        }
        let [one, other] = optimizers;
        let (one, other) = one.zip(other)?;
        (one != other && is_state).then(|| {
            format!(
                "another optimizer: the reference keeps the state of {one}, the candidate that of {other}"
            )
        })
    }

    fn of_elements(&mut self) -> Result<Vec<String>, SideError> {
        let TensorResult { stage, name, step, .. } = self.first.clone();
        let Some([one, other]) = self.both(&stage, step, &name)? else { return Ok(Vec::new()) };
        if self.is_rounding(&one, &other) {
            return Ok(of_relation(&one, &other, self.first));
        }
        let mut causes = match stage.as_str() {
            stage::PERMUTATION => of_orders(&one, &other),
            stage::BATCH | stage::DATA => self.of_batch(&one, &other),
            stage::FORWARD => self.of_layer(&one, &other),
            stage::LOSS => self.of_loss(&one, &other)?,
            stage::BACKWARD | stage::GRADIENT => self.of_gradients(&one, &other)?,
            stage::BUFFER => self.of_buffer(&name, &one, &other)?,
            stage::FINAL | stage::TEST_LOGITS | stage::LOGITS | stage::INIT => Vec::new(),
            _ => self.of_update(&one, &other)?,
        };
        if causes.is_empty() {
            causes.extend(of_relation(&one, &other, self.first));
        }
        Ok(causes)
    }

    /// Whether rounding alone explains the difference. A parameter or a state may differ by as little for another reason:
    /// there, only the last bits tell.
    fn is_rounding(&self, one: &[f64], other: &[f64]) -> bool {
        let Outcome::Different(comparison) = &self.first.outcome else { return false };
        let computed =
            [stage::FORWARD, stage::LOGITS, stage::LOSS, stage::BACKWARD, stage::GRADIENT];
        match computed.contains(&self.first.stage.as_str()) {
            true => norm(&difference(other, one)) < rounding(comparison.dtype) * norm(one),
            false => comparison.ulp.is_some_and(|ulp| (1..=2).contains(&ulp.value)),
        }
    }

    /// The names of the tensors of a stage in this step.
    fn names(&self, stage: &str) -> Vec<String> {
        let of_stage = self.tensors.iter().filter(|it| it.stage == stage && it.step == self.step());
        of_stage.map(|it| it.name.clone()).collect()
    }
}

/// The elements of a tensor as float64; `None` if they were not kept or are complex.
fn values(
    side: &mut Side,
    stage: &str,
    step: Option<usize>,
    name: &str,
) -> Result<Option<Vec<f64>>, SideError> {
    let is_it =
        |item: &&Item| item.key.stage == stage && item.key.step == step && item.key.name == name;
    let Some(item) = side.items.iter().find(is_it).cloned() else { return Ok(None) };
    let dtype = Dtype::from_name(&item.dtype).filter(|dtype| dtype.part().is_none());
    let count = item.shape.iter().product::<usize>();
    let Some(dtype) = dtype.filter(|_| count <= MOST) else { return Ok(None) };
    let Some(bytes) = side.load(&item.source)? else { return Ok(None) };
    Ok(Some(bytes.chunks_exact(dtype.size()).map(|element| dtype.number(bits(element))).collect()))
}

/// The names of the state that PyTorch's optimizers keep of a parameter.
const STATES: [&str; 10] = [
    stage::EXP_AVG,
    stage::EXP_AVG_SQ,
    "max_exp_avg_sq",
    "exp_inf",
    "momentum_buffer",
    "square_avg",
    "grad_avg",
    "acc_delta",
    "sum",
    "prev",
];

/// The state of the optimizer that a side records after its steps.
pub(crate) fn optimizer_state(side: &Side) -> BTreeSet<String> {
    let states = side.items.iter().map(|item| &item.key).filter(|key| key.step.is_some());
    states.map(|key| &key.stage).filter(|it| STATES.contains(&it.as_str())).cloned().collect()
}

/// The optimizer that keeps these states.
fn optimizer(states: &BTreeSet<String>) -> Option<&'static str> {
    let has = |name: &str| states.contains(name);
    match () {
        () if has("exp_avg_sq") => Some("Adam or AdamW"),
        () if has("acc_delta") => Some("Adadelta"),
        () if has("square_avg") => Some("RMSprop"),
        () if has("momentum_buffer") => Some("SGD with momentum"),
        () => None,
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

fn of_orders(one: &[f64], other: &[f64]) -> Vec<String> {
    let is_sorted = |order: &[f64]| order.windows(2).all(|pair| pair[0] < pair[1]);
    match (is_sorted(one), is_sorted(other)) {
        (false, true) => vec!["shuffle: the candidate visits the samples in the order of the data".into()],
        (true, false) => vec!["shuffle: the reference visits the samples in the order of the data".into()],
        _ if sorted(one) != sorted(other) => vec!["other samples: one side leaves some out, or visits some twice".into()],
        _ => vec!["the same samples in another order: seed or generator of the sampler, or the number of draws before it".into()],
    }
}

/// The relative difference up to which rounding alone may cause it.
pub(crate) fn rounding(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F64 => 1e-13,
        Dtype::F32 => 3e-6,
        Dtype::F16 => 5e-3,
        Dtype::BF16 => 4e-2,
        _ => 0.0,
    }
}

/// Relations that hold in any stage.
fn of_relation(one: &[f64], other: &[f64], first: &TensorResult) -> Vec<String> {
    let Outcome::Different(Comparison { dtype, .. }) = first.outcome else { return Vec::new() };
    let (gap, shape) = (difference(other, one), &first.shape);
    let size = norm(&gap) / norm(one);
    let differing: Vec<usize> = (0..gap.len()).filter(|&i| gap[i] != 0.0).collect();
    if dtype == Dtype::F64 && (1e-9..rounding(Dtype::F32)).contains(&size) {
        return vec![format!(
            "a number in float32: the difference is {size:.1e} of the tensor's norm, which is its precision, and the tensor is float64"
        )];
    }
    if size < rounding(dtype) {
        return vec![format!(
            "rounding: the difference is {size:.1e} of the tensor's norm (kernels, their order of summation, fused multiply-add, threads, libtorch build)"
        )];
    }
    if one.len() > 1 && sorted(one) == sorted(other) {
        return vec!["the same elements in another order: a transposed or permuted layout".into()];
    }
    if let Some(scale) = factor(one, other) {
        let what = if scale == -1.0 {
            "the sign: every element is that of the reference, negated".into()
        } else {
            format!("every element is {scale:.6} times that of the reference")
        };
        return vec![what];
    }
    if let Some([scale, offset]) = affine(one, other) {
        return vec![format!(
            "every element is {scale:.6} times that of the reference, plus {offset:.6}"
        )];
    }
    let width = one.len() / shape.first().copied().unwrap_or(1).max(1);
    let rows: BTreeSet<usize> = differing.iter().map(|i| i / width.max(1)).collect();
    if let (1, Some(row)) = (rows.len(), rows.first())
        && shape.first().is_some_and(|&n| n > 1)
    {
        return vec![format!("only row {row} of the first dimension differs")];
    }
    if differing.len() * 100 < one.len() {
        return vec![format!(
            "few elements differ, {} of {}: ties, values at a threshold, or damage",
            differing.len(),
            one.len()
        )];
    }
    Vec::new()
}
