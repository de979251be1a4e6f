//! The verdict on two sides: what differs first, and everything that does.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};

use serde::Serialize;
use stitch_trace::stage;
use tensor_files::Dtype;

use crate::compare;
use crate::comparison::Comparison;
use crate::element::{Element, is_number, number};
use crate::not_compared;
use crate::side::{Item, Key, Side, SideError};
use crate::stream::Pair;
use crate::task::{self, TaskView};
use crate::tolerance::{self, Of, Overrides, Training};
use crate::verify::{self, Bits, is_kept};

/// Options of a comparison.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Tolerances instead of the table's.
    pub overrides: Overrides,
    /// NaN equals NaN.
    pub equal_nan: bool,
    /// Whether both sides were computed by the same program, to which the table's exceptions (of the port
    /// against the original) do not apply.
    pub same_program: bool,
    /// The settings of the training, where they are known: the table's exceptions grow with them.
    pub training: Option<Training>,
    /// What differs between the settings of both runs and makes other bits likely, a sentence each.
    pub settings: Vec<String>,
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
    /// The SHA-256 sums differ, and not both sides have the elements.
    HashDiffers,
    /// The bits are equal, and this many elements are NaN, which equals nothing unless it is asked for.
    Nan {
        /// Number of NaN.
        elements: usize,
    },
    /// One side has neither its elements nor their SHA-256.
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
    /// The stage of the run.
    pub stage: String,
    /// Which tensor of the stage.
    pub name: String,
    /// Counted from 1.
    pub epoch: Option<usize>,
    /// Counted from 1 over the run.
    pub step: Option<usize>,
    /// Its file in a run folder.
    pub file: Option<String>,
    /// Sizes of the reference's dimensions.
    pub shape: Vec<usize>,
    /// How it compares.
    pub outcome: Outcome,
    /// The tolerance that was applied, where it is not bit equality.
    pub tolerance: Option<String>,
    /// Whether only SHA-256 sums were compared, since not both sides have the elements.
    pub by_hash: bool,
    /// Whether it is not known if an element is NaN.
    pub nan_unknown: bool,
}

impl TensorResult {
    /// Whether it is equal, or within its tolerance.
    pub fn passes(&self) -> bool {
        matches!(self.outcome, Outcome::Equal | Outcome::Within(_))
    }

    /// `step 3, gradient of conv2.weight`
    pub fn place(&self) -> String {
        let file = self.file.as_ref().map_or(String::new(), |file| format!("{file}, "));
        let at = match (self.epoch, self.step) {
            (_, Some(step)) => format!("step {step}, "),
            (Some(epoch), None) => format!("epoch {epoch}, "),
            (None, None) => String::new(),
        };
        let stage = stage_name(&self.stage);
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
    /// What differs between the two `config.json` and makes other bits likely.
    pub settings: Vec<String>,
    /// Every tensor, in causal order.
    pub tensors: Vec<TensorResult>,
    /// Position of the first that differs.
    pub first: Option<usize>,
    /// The differences in terms of the task.
    pub task: TaskView,
    /// Whether both sides have a trace.
    pub traced: bool,
    /// The sides whose trace ends without its end marker: the run did not end, or the file was cut.
    pub truncated: Vec<String>,
    /// How the tensors of each side were found and named, a sentence each.
    pub notes: Vec<String>,
    /// What was not compared, a sentence each.
    pub not_compared: Vec<String>,
}

impl Report {
    /// Number of tensors that are not equal, or differ beyond their tolerance.
    pub fn different(&self) -> usize {
        self.tensors.iter().filter(|tensor| !tensor.passes()).count()
    }

    /// Whether the port equals the reference. Nothing to compare is no equality, nor is a trace that was
    /// cut.
    pub fn is_equal(&self) -> bool {
        !self.tensors.is_empty() && self.different() == 0 && self.truncated.is_empty()
    }

    /// The last line.
    pub fn verdict(&self) -> String {
        let (n, m) = (self.different(), self.tensors.len());
        if n == 0 && !self.truncated.is_empty() {
            return format!(
                "PARITY: INCOMPLETE (a trace is truncated; {m} of {m} up to there are equal)"
            );
        }
        if !self.is_equal() {
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
    reference.match_names(port);
    let places: HashMap<Key, usize> =
        (0..).zip(&port.items).map(|(i, item)| (item.key.clone(), i)).collect();
    let model = reference.model.clone().or_else(|| port.model.clone());
    let model = model.filter(|_| !options.same_program);
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
    let path = |side: &Side| side.path.display().to_string();
    let sides = [&*reference, &*port];
    let truncated = sides.iter().filter(|side| side.is_truncated());
    Ok(Report {
        reference: path(reference),
        port: path(port),
        settings: options.settings.clone(),
        first: tensors.iter().position(|tensor| !tensor.passes()),
        traced: sides.iter().all(|side| side.is_traced()),
        truncated: truncated.map(|side| path(side)).collect(),
        notes: sides.iter().flat_map(|side| notes(side)).collect(),
        not_compared: not_compared::sentences(sides, &tensors),
        task: task::look(reference, port)?,
        tensors,
    })
}

fn notes(side: &Side) -> impl Iterator<Item = String> {
    side.notes.iter().map(|note| format!("{}: {note}", side.path.display()))
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
    let (tolerance, by_hash, nan_unknown) = (None, false, false);
    TensorResult { stage, name, epoch, step, file, shape, outcome, tolerance, by_hash, nan_unknown }
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
        let dtype = Dtype::from_name(&expected.dtype);
        let Some(dtype) = dtype.filter(|_| is_kept(expected) && is_kept(actual)) else {
            return self.judge_by_hash(options);
        };
        // What a trace records of the elements is checked, whatever it is compared with.
        if expected.sha256.is_some() || actual.sha256.is_some() || !is_number(dtype) {
            let [one, other] = self.bits()?;
            let known = one.zip(other).filter(|(one, other)| one.sha256 == other.sha256);
            match known.map(|(one, _)| one.nan.unwrap_or(0)) {
                Some(nan) if nan == 0 || options.equal_nan => {
                    return Ok(result(expected, Outcome::Equal));
                }
                Some(elements) if !is_number(dtype) => {
                    return Ok(result(expected, Outcome::Nan { elements }));
                }
                _ => {}
            }
        }
        let Key { stage, name, .. } = &expected.key;
        let of = Of { model, stage, name, dtype };
        let largest = || verify::largest(self.reference, expected);
        let used = tolerance::resolve(of, &options.overrides, options.training.as_ref(), largest)?;
        let comparison = compare::compare(self, dtype, &used.tolerance, options.equal_nan)?;
        let outcome = if comparison.is_bit_equal() {
            Outcome::Equal
        } else if comparison.passes() {
            Outcome::Within(comparison)
        } else {
            Outcome::Different(comparison)
        };
        Ok(TensorResult { tolerance: used.reason, ..result(expected, outcome) })
    }

    /// Compares what is known of the bits where not both sides have the elements.
    fn judge_by_hash(&mut self, options: &Options) -> Result<TensorResult, SideError> {
        let [one, other] = self.bits()?;
        let Some((one, other)) = one.zip(other) else {
            return Ok(result(self.expected, Outcome::Unknown));
        };
        // Two records of the same bits that disagree: at least one of them counted a NaN.
        let nan = one.nan.max(other.nan);
        let may_be_nan =
            Dtype::from_name(&self.expected.dtype).is_none_or(|dtype| !dtype.is_integer());
        let outcome = match nan {
            _ if one.sha256 != other.sha256 => Outcome::HashDiffers,
            Some(elements) if elements > 0 && !options.equal_nan => Outcome::Nan { elements },
            _ => Outcome::Equal,
        };
        let nan_unknown = outcome == Outcome::Equal && nan.is_none() && may_be_nan;
        Ok(TensorResult { by_hash: true, nan_unknown, ..result(self.expected, outcome) })
    }

    /// What is known of the bits of both, checked against the elements where they are.
    fn bits(&mut self) -> Result<[Option<Bits>; 2], SideError> {
        let one = verify::bits(self.reference, self.expected)?;
        Ok([one, verify::bits(self.port, self.actual)?])
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

/// A stage in words, before `of NAME`.
fn stage_name(stage: &str) -> &str {
    match stage {
        stage::INIT => "initial value",
        stage::EXP_AVG => "first moment",
        stage::EXP_AVG_SQ => "second moment",
        stage::PARAMETER => "value after the update",
        stage::BUFFER => "buffer after the update",
        stage::EPOCH_LOSS => "mean loss",
        stage::FINAL => "final value",
        stage::TEST_LOGITS => "test logits",
        stage::CONFUSION_MATRIX => "confusion matrix",
        other => other,
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

/// Both values of an element in decimal and bits; the bits alone where they are not compared as numbers.
pub fn values(dtype: Dtype, at: Element) -> String {
    let show = |bits: u64| {
        // Of 16 bytes, the 8 that differ.
        let width = 2 + 2 * dtype.size().min(8);
        let value = number(dtype, bits);
        match dtype {
            Dtype::I64 => format!("{}", bits as i64),
            Dtype::U64 => format!("{bits}"),
            // The shortest digits that distinguish it from its neighbors, in its own type.
            Dtype::F32 => format!("{:?} ({bits:#0width$x})", f32::from_bits(bits as u32)),
            _ if dtype.is_float() => format!("{value:?} ({bits:#0width$x})"),
            _ if !is_number(dtype) => format!("{bits:#0width$x}"),
            _ => format!("{value}"),
        }
    };
    format!("expected {}, got {}", show(at.expected), show(at.actual))
}
