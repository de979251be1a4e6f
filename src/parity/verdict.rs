//! The verdict on two sides: what differs first, and everything that does.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::compare;
use super::comparison::Comparison;
use super::element::{Element, number};
use super::side::{ElementSource, Item, Key, Side, SideError};
use super::stream::Pair;
use super::task::{self, TaskView};
use super::tolerance::{self, Overrides};
use super::trace::{self, Stage};
use crate::run_folder::Config;
use crate::sha256;
use crate::train::Engine;
use tensor_files::Dtype;

/// What the user may change about a comparison.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Tolerances instead of the table's.
    pub overrides: Overrides,
    /// NaN equals NaN.
    pub equal_nan: bool,
}

/// How one tensor compares.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every bit is equal.
    Equal,
    /// Not every bit, but within the tolerance.
    Within(Comparison),
    /// Beyond the tolerance.
    Different(Comparison),
    /// The hashes differ, and not both sides have the elements.
    HashDiffers,
    /// One side has neither its elements nor their hash.
    Unknown,
    /// Only the reference has it.
    Missing,
    /// Only the port has it.
    Unexpected,
    /// Another shape.
    Shape {
        /// The reference's.
        expected: Vec<usize>,
        /// The port's.
        actual: Vec<usize>,
    },
    /// Another element type.
    Dtype {
        /// The reference's.
        expected: String,
        /// The port's.
        actual: String,
    },
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorResult {
    /// What it is to the run.
    pub stage: Stage,
    /// Which tensor of the stage.
    pub name: String,
    /// Counted from 1.
    pub epoch: Option<usize>,
    /// Counted from 1 over the run.
    pub step: Option<usize>,
    /// The file of a run folder that it is from.
    pub file: Option<&'static str>,
    /// Sizes of the reference's dimensions.
    pub shape: Vec<usize>,
    /// How it compares.
    pub outcome: Outcome,
    /// The tolerance that was applied, where it is not bit equality.
    pub tolerance: Option<String>,
}

impl TensorResult {
    /// Whether it is as it should be.
    pub fn passes(&self) -> bool {
        matches!(self.outcome, Outcome::Equal | Outcome::Within(_))
    }

    /// `step 3, gradient of conv2.weight`
    pub fn place(&self) -> String {
        let file = self.file.map_or(String::new(), |file| format!("{file}, "));
        let at = match (self.epoch, self.step) {
            (_, Some(step)) => format!("step {step}, "),
            (Some(epoch), None) => format!("epoch {epoch}, "),
            (None, None) => String::new(),
        };
        let stage = stage_name(self.stage);
        match self.name.as_str() {
            // The only tensor of its stage.
            "order" | "logits" | "loss" | "y_pred" | "counts" | "accuracy" => {
                format!("{file}{at}{stage}")
            }
            name => format!("{file}{at}{stage} of {name}"),
        }
    }
}

/// The whole comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// As the user named it.
    pub reference: String,
    /// As the user named it.
    pub port: String,
    /// Which engine of stitch made the reference and the port; `None` of what another program made,
    /// or where no `config.json` says it.
    pub engines: [Option<String>; 2],
    /// What differs between the two `config.json` and makes other bits likely.
    pub settings: Vec<String>,
    /// Every tensor, in causal order.
    pub tensors: Vec<TensorResult>,
    /// Position of the first that differs.
    pub first: Option<usize>,
    /// What the task sees.
    pub task: TaskView,
}

impl Report {
    /// Number of tensors that are not as they should be.
    pub fn different(&self) -> usize {
        self.tensors.iter().filter(|tensor| !tensor.passes()).count()
    }

    /// Whether the port equals the reference. Nothing to compare is no equality.
    pub fn is_equal(&self) -> bool {
        !self.tensors.is_empty() && self.different() == 0
    }

    /// The last line.
    pub fn verdict(&self) -> String {
        if !self.is_equal() {
            let (n, m) = (self.different(), self.tensors.len());
            return format!("PARITY: DIFFERENT ({n} of {m})");
        }
        if self.tensors.iter().all(|tensor| tensor.outcome == Outcome::Equal) {
            "PARITY: EQUAL (bit for bit)".into()
        } else {
            "PARITY: EQUAL within tolerance".into()
        }
    }
}

/// Compares two sides.
///
/// # Errors
/// When a file cannot be read; a difference is no error.
pub fn judge(
    reference: &mut Side,
    port: &mut Side,
    options: &Options,
) -> Result<Report, SideError> {
    let places: HashMap<Key, usize> =
        (0..).zip(&port.items).map(|(i, item)| (item.key.clone(), i)).collect();
    // The exceptions are for the port against the original, not for the port against itself.
    let programs = [&*reference, &*port].map(|side| side.config.as_ref().map(|c| &c.program));
    let ported = programs.iter().all(|program| program.is_some_and(|name| name == "stitch"));
    let model = reference.model.clone().or_else(|| port.model.clone()).filter(|_| !ported);
    let mut tensors = Vec::new();
    for expected in reference.items.clone() {
        let actual = places.get(&expected.key).map(|&i| port.items[i].clone());
        tensors.push(match actual {
            Some(actual) => {
                let mut pair = ItemPair { reference, port, expected: &expected, actual: &actual };
                pair.judge(model.as_deref(), options)?
            }
            None => result(&expected, Outcome::Missing),
        });
    }
    let tensors = with_unexpected(tensors, &reference.items, &port.items);
    Ok(Report {
        reference: reference.path.display().to_string(),
        port: port.path.display().to_string(),
        engines: [&*reference, &*port]
            .map(|side| Some(side.config.as_ref()?.engine_name()?.to_owned())),
        settings: settings(reference.config.as_ref(), port.config.as_ref()),
        first: tensors.iter().position(|tensor| !tensor.passes()),
        task: task::look(reference, port)?,
        tensors,
    })
}

/// The results for the reference's items, and each item that only the port has behind the one that
/// it follows there.
fn with_unexpected(
    results: Vec<TensorResult>,
    reference: &[Item],
    port: &[Item],
) -> Vec<TensorResult> {
    let known: HashSet<&Key> = reference.iter().map(|item| &item.key).collect();
    let mut behind: HashMap<Option<&Key>, Vec<TensorResult>> = HashMap::new();
    let mut last = None;
    for item in port {
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

fn result(item: &Item, outcome: Outcome) -> TensorResult {
    let Key { stage, epoch, step, name, file } = item.key.clone();
    let shape = item.shape.clone();
    TensorResult { stage, name, epoch, step, file, shape, outcome, tolerance: None }
}

/// One tensor of both sides.
struct ItemPair<'a> {
    reference: &'a mut Side,
    port: &'a mut Side,
    expected: &'a Item,
    actual: &'a Item,
}

impl ItemPair<'_> {
    fn judge(&mut self, model: Option<&str>, options: &Options) -> Result<TensorResult, SideError> {
        let (expected, actual) = (self.expected, self.actual);
        if expected.shape != actual.shape {
            let [expected_shape, actual_shape] = [expected, actual].map(|item| item.shape.clone());
            let outcome = Outcome::Shape { expected: expected_shape, actual: actual_shape };
            return Ok(result(expected, outcome));
        }
        if expected.dtype != actual.dtype {
            let [expected_type, actual_type] = [expected, actual].map(|item| item.dtype.clone());
            let outcome = Outcome::Dtype { expected: expected_type, actual: actual_type };
            return Ok(result(expected, outcome));
        }
        let kept = |item: &Item| !matches!(item.source, ElementSource::Nowhere);
        let dtype = Dtype::from_name(&expected.dtype);
        let Some(dtype) = dtype.filter(|_| kept(expected) && kept(actual)) else {
            // Without its elements a tensor is known by its hash alone.
            let hashes = [digest(self.reference, expected)?, digest(self.port, actual)?];
            let outcome = match hashes {
                [Some(expected), Some(actual)] if expected == actual => Outcome::Equal,
                [Some(_), Some(_)] => Outcome::HashDiffers,
                _ => Outcome::Unknown,
            };
            return Ok(result(expected, outcome));
        };
        let Key { stage, name, .. } = &expected.key;
        let used = tolerance::resolve(model, *stage, name, dtype, &options.overrides);
        let comparison = compare::compare(self, dtype, &used.tolerance, options.equal_nan)?;
        self.check_hashes(&comparison)?;
        let outcome = if comparison.is_bit_equal() {
            Outcome::Equal
        } else if comparison.passes() {
            Outcome::Within(comparison)
        } else {
            Outcome::Different(comparison)
        };
        Ok(TensorResult { tolerance: used.reason, ..result(expected, outcome) })
    }
}

/// The SHA-256 of an item: as its trace has it, or of its elements.
fn digest(side: &mut Side, item: &Item) -> Result<Option<String>, SideError> {
    if item.sha256.is_some() {
        return Ok(item.sha256.clone());
    }
    let Some(mut stream) = side.stream(&item.source)? else { return Ok(None) };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(Some(sha256::hex(&hash.finalize()))),
            read => hash.update(&buffer[..read]),
        }
    }
}

impl ItemPair<'_> {
    /// Elements and hashes must tell the same: else a trace was damaged or edited.
    fn check_hashes(&self, comparison: &Comparison) -> Result<(), SideError> {
        let (Some(expected), Some(actual)) = (&self.expected.sha256, &self.actual.sha256) else {
            return Ok(());
        };
        if (expected == actual) == (comparison.unequal == 0) {
            return Ok(());
        }
        let path = self.reference.path.clone();
        let what = format!(
            "{} and {} contradict each other or themselves: the SHA-256 sums of {} in {} do not \
             fit the elements in {}",
            self.reference.path.display(),
            self.port.path.display(),
            result(self.expected, Outcome::Equal).place(),
            trace::RECORDS,
            trace::TENSORS
        );
        Err(SideError::Table { path, what })
    }
}

impl Pair for ItemPair<'_> {
    type Error = SideError;

    fn streams(&mut self) -> Result<(Box<dyn Read + '_>, Box<dyn Read + '_>), SideError> {
        // `judge` has made sure that neither is nowhere.
        let nothing = || Box::new(io::empty()) as Box<dyn Read>;
        let expected = self.reference.stream(&self.expected.source)?.unwrap_or_else(nothing);
        let actual = self.port.stream(&self.actual.source)?.unwrap_or_else(nothing);
        Ok((expected, actual))
    }
}

/// What differs between two configurations, the most telling first.
fn settings(reference: Option<&Config>, port: Option<&Config>) -> Vec<String> {
    let (Some(reference), Some(port)) = (reference, port) else { return Vec::new() };
    let or_off = |value: Option<usize>| Some(value.map_or("off".into(), |n| n.to_string()));
    // What another program made is to be equalled by the engines that have the notebook's bits.
    let engine = |config: &Config, other: &Config| {
        let same_bits = match other.engine_name() {
            Some(name) if name == Engine::Eager.name() => Engine::Eager,
            _ => Engine::Exact,
        };
        config.engine_name().unwrap_or(same_bits.name()).to_owned()
    };
    let rows = [
        ("model", Some(reference.model.clone()), Some(port.model.clone())),
        ("engine", Some(engine(reference, port)), Some(engine(port, reference))),
        ("threads", Some(reference.threads.to_string()), Some(port.threads.to_string())),
        ("libtorch", reference.libtorch(), port.libtorch()),
        ("CPU capability", reference.cpu_capability.clone(), port.cpu_capability.clone()),
        ("device", Some(reference.device.clone()), Some(port.device.clone())),
        ("seed", Some(reference.seed.to_string()), Some(port.seed.to_string())),
        ("epochs", Some(reference.epochs.to_string()), Some(port.epochs.to_string())),
        ("batch size", Some(reference.batch_size.to_string()), Some(port.batch_size.to_string())),
        ("learning rate", Some(reference.lr.to_string()), Some(port.lr.to_string())),
        ("validation images", or_off(reference.val), or_off(port.val)),
        ("patience", or_off(reference.patience), or_off(port.patience)),
    ];
    let mut lines: Vec<String> = rows
        .into_iter()
        .filter_map(|(what, expected, actual)| match (expected, actual) {
            (Some(expected), Some(actual)) if expected != actual => {
                Some(format!("{what} differs: {expected} in the reference, {actual} in the port"))
            }
            _ => None,
        })
        .collect();
    if reference.data.sha256 != port.data.sha256 {
        lines.push("the data sets differ (SHA-256)".into());
    }
    lines
}

/// A stage in words, before `of NAME`.
fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Data => "data",
        Stage::Init => "initial value",
        Stage::Permutation => "permutation",
        Stage::Batch => "batch",
        Stage::Logits => "logits",
        Stage::Loss => "loss",
        Stage::Gradient => "gradient",
        Stage::ExpAvg => "first moment",
        Stage::ExpAvgSq => "second moment",
        Stage::Parameter => "value after the update",
        Stage::EpochLoss => "mean loss",
        Stage::Final => "final value",
        Stage::TestLogits => "test logits",
        Stage::Predictions => "predictions",
        Stage::ConfusionMatrix => "confusion matrix",
        Stage::Accuracy => "accuracy",
    }
}

/// What usually causes this first divergence, everything before it being equal.
pub fn likely_cause(report: &Report, first: &TensorResult) -> &'static str {
    let compared = |stage: Stage| report.tensors.iter().any(|tensor| tensor.stage == stage);
    match first.stage {
        _ if !report.settings.is_empty() => "the settings that differ, see above",
        _ if matches!(first.outcome, Outcome::Missing | Outcome::Unexpected) => {
            "another program wrote it, or the run took other steps: another batch size, or a last \
             batch that is dropped or kept"
        }
        Stage::Predictions | Stage::ConfusionMatrix | Stage::Accuracy
            if !compared(Stage::TestLogits) && !compared(Stage::Final) =>
        {
            "other weights: compare those, or traces of both runs"
        }
        stage => cause_in(stage),
    }
}

/// What usually causes a first divergence in a stage.
fn cause_in(stage: Stage) -> &'static str {
    match stage {
        Stage::Data => {
            "another data set, or another normalisation (divide by 255 in float64, then cast)"
        }
        Stage::Init => {
            "another draw order (weight before bias, layers in definition order), another bound, or \
             another seed"
        }
        Stage::Permutation => {
            "another seed for the sampler (DataLoader draws two numbers an epoch, the second is \
             it), or another shuffle"
        }
        Stage::Batch => "another batch size, or a last batch that is dropped or kept",
        Stage::Logits => "another forward pass: kernels, memory layout, threads or libtorch build",
        Stage::Loss => "another loss or reduction: the logits are equal",
        Stage::Gradient => {
            "another kernel in the backward pass, or other threads: the logits are equal"
        }
        Stage::ExpAvg | Stage::ExpAvgSq | Stage::Parameter => {
            "another form of the optimizer (libtorch's C++ Adam rounds differently from PyTorch's \
             Python one; scikit-learn's puts epsilon elsewhere): the gradients are equal"
        }
        Stage::EpochLoss => "another way of averaging: mean of batches instead of mean of samples",
        Stage::Final => {
            "training differed somewhere before: run both sides with --trace to see where"
        }
        Stage::TestLogits => "another forward pass in evaluation: the parameters are equal",
        Stage::Predictions => "another way of choosing the class, or near ties",
        Stage::ConfusionMatrix => "rows and columns swapped, or other predictions",
        Stage::Accuracy => "another rounding, or other predictions",
    }
}

/// The index of an element in its dimensions: `[3, 2, 1, 4]`; empty for a scalar.
pub fn position(shape: &[usize], mut index: usize) -> String {
    let mut place = Vec::new();
    for &n in shape.iter().rev() {
        place.push((index % n.max(1)).to_string());
        index /= n.max(1);
    }
    place.reverse();
    if place.is_empty() { String::new() } else { format!("[{}]", place.join(", ")) }
}

/// Both values of an element in decimal and bits.
pub fn values(dtype: Dtype, at: Element) -> String {
    let show = |bits: u64| {
        let width = 2 + 2 * dtype.size();
        let value = number(dtype, bits);
        match dtype {
            Dtype::I64 => format!("{}", bits as i64),
            Dtype::U64 => format!("{bits}"),
            // The shortest digits that tell it from its neighbours, in its own type.
            Dtype::F32 => format!("{:?} ({bits:#0width$x})", f32::from_bits(bits as u32)),
            _ if dtype.is_float() => format!("{value:?} ({bits:#0width$x})"),
            _ => format!("{value}"),
        }
    };
    format!("expected {}, got {}", show(at.expected), show(at.actual))
}
