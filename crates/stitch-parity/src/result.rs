//! How one tensor compares, in numbers and in words.

use std::fmt;

use serde::Serialize;
use stitch_trace::{Statistics, stage};
use tensor_files::Dtype;

use crate::closest::ClosestMatch;
use crate::comparison::Comparison;
use crate::element::{Element, parts};
use crate::side::Key;
use crate::tolerance::AppliedTolerance;

/// How one tensor of the reference and of the candidate compare.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All bits are equal.
    Equal,
    /// Bits differ, within the tolerance.
    Within(Comparison),
    /// Elements differ beyond the tolerance.
    Different(Comparison),
    /// The SHA-256 sums differ, and the elements of at least one side were not kept.
    HashDiffers {
        /// Which blocks differ, if the tensor has several and both sides have their sums.
        blocks: Option<Blocks>,
        /// Statistics of the reference and of the candidate, if both were recorded.
        statistics: Option<[Statistics; 2]>,
    },
    /// All bits are equal, but some elements are NaN, which equals nothing unless
    /// [`Options::equal_nan`](crate::Options::equal_nan) is set.
    Nan {
        /// Number of NaN.
        elements: usize,
    },
    /// It cannot be compared: one side has neither the elements nor their SHA-256.
    Unknown,
    /// Only the reference has the tensor.
    Missing,
    /// Only the candidate has the tensor.
    Unexpected,
    /// Both sides have the tensor, in different shapes.
    Shape {
        /// Shape in the reference.
        expected: Vec<usize>,
        /// Shape in the candidate.
        actual: Vec<usize>,
    },
    /// Both sides have the tensor, with different dtypes.
    Dtype {
        /// Dtype in the reference.
        expected: String,
        /// Dtype in the candidate.
        actual: String,
    },
}

/// The blocks of a tensor that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Blocks {
    /// Number of blocks that differ.
    pub differing: usize,
    /// Number of all blocks.
    pub of: usize,
    /// Row-major position of the first element of the first one that differs.
    pub first: usize,
    /// Number of elements of a block; the last block may have fewer.
    pub elements: usize,
}

/// One tensor and how it compares. `Display` writes a sentence: where it is, and the first difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorResult {
    /// Stage of the run; see [`stage`].
    pub stage: String,
    /// Name of the tensor.
    pub name: String,
    /// Class of the module that it belongs to, such as `Conv2d`, if a trace records it.
    pub class: Option<String>,
    /// Epoch, counted from 1, if the tensor belongs to one.
    pub epoch: Option<usize>,
    /// Step, counted from 1 over the whole run, if the tensor belongs to one.
    pub step: Option<usize>,
    /// Name of its file, if it is from a file of a run folder.
    pub file: Option<String>,
    /// Shape in the reference; in the candidate if only the candidate has the tensor.
    pub shape: Vec<usize>,
    /// How it compares.
    pub outcome: Outcome,
    /// The tolerance that was applied; `None` if every bit had to be equal.
    pub tolerance: Option<AppliedTolerance>,
    /// Whether only the SHA-256 sums were compared, since the elements were not kept on both sides.
    pub by_hash: bool,
    /// Whether the tensor may contain NaN, as neither its elements nor their number of NaN were kept.
    pub nan_unknown: bool,
    /// Whether its values differ and are computed after the first difference, which may be why.
    pub inherited: bool,
    /// The most similar tensor of the other side, if that has no tensor of this name.
    pub closest: Option<ClosestMatch>,
}

impl TensorResult {
    /// Its identity.
    pub(crate) fn key(&self) -> Key {
        let Self { stage, name, epoch, step, file, .. } = self.clone();
        Key { stage, epoch, step, name, file }
    }

    /// Whether it differs, and the quantiles were not computed.
    pub(crate) fn lacks_quantiles(&self) -> bool {
        matches!(&self.outcome, Outcome::Different(comparison) if comparison.median.is_nan())
    }

    /// Whether the tensor is equal, or differs within its tolerance.
    pub fn passes(&self) -> bool {
        matches!(self.outcome, Outcome::Equal | Outcome::Within(_))
    }

    /// Step or epoch, stage and name: `step 3, gradient of conv2.weight`.
    pub fn place(&self) -> String {
        self.place_of("")
    }

    /// The same with an index behind the name: `step 3, conv2.weight[3, 2, 1, 4] after the optimizer step`.
    fn place_of(&self, index: &str) -> String {
        let file = self.file.as_ref().map_or(String::new(), |file| format!("{file}, "));
        let at = match (self.epoch, self.step) {
            (_, Some(step)) => format!("step {step}, "),
            (Some(epoch), None) => format!("epoch {epoch}, "),
            (None, None) => String::new(),
        };
        let what = match (self.stage.as_str(), self.name.as_str()) {
            (stage::PARAMETER, name) => format!("{name}{index} after the optimizer step"),
            (stage::FORWARD, name) => format!("forward of {name}{index}{}", self.of_class()),
            (stage::BACKWARD, name) => {
                format!("gradient of the output of {name}{index}{}", self.of_class())
            }
            (stage::LEARNING_RATE, group) => format!("learning rate of parameter group {group}"),
            (stage::BUFFER, name) => format!("buffer {name}{index} after the step"),
            (stage::BUFFER_BEFORE, name) => format!("buffer {name}{index} before the step"),
            // The only tensor of its stage.
            (stage, "order" | "logits" | "loss" | "y_pred" | "counts" | "accuracy") => {
                format!("{}{index}", stage_name(stage))
            }
            (stage, name) => format!("{} of {name}{index}", stage_name(stage)),
        };
        format!("{file}{at}{what}")
    }

    /// ` (Conv2d)`, or nothing.
    fn of_class(&self) -> String {
        self.class.as_ref().map_or(String::new(), |class| format!(" ({class})"))
    }

    /// The end of the message about a tensor without a counterpart; empty without a closest match.
    fn closest_match(&self) -> String {
        let Some(closest) = &self.closest else { return String::new() };
        let ClosestMatch { name, epoch, step, shape } = closest;
        let at = match (epoch, step) {
            _ if (*epoch, *step) == (self.epoch, self.step) => String::new(),
            (_, Some(step)) => format!(" of step {step}"),
            (Some(epoch), None) => format!(" of epoch {epoch}"),
            (None, None) => String::new(),
        };
        format!("; closest match: {name} {shape:?}{at}")
    }

    /// The end of the message about a tensor whose elements were not kept.
    fn hash_differs(
        &self,
        to: &mut fmt::Formatter,
        blocks: Option<&Blocks>,
        statistics: Option<&[Statistics; 2]>,
    ) -> fmt::Result {
        write!(to, ": its SHA-256 differs (the elements were not kept on both sides)")?;
        if let Some(Blocks { differing, of, first, elements }) = blocks {
            let last = self.shape.iter().product::<usize>().min(first + elements).saturating_sub(1);
            let [first, last] = [*first, last].map(|at| self.index(at));
            write!(
                to,
                "; {differing} of {of} blocks differ, the first has the elements {first} to {last}"
            )?;
        }
        let Some([expected, actual]) = statistics else { return Ok(()) };
        let number = |x: Option<f64>| x.map_or("none".into(), |x| format!("{x:e}"));
        let shown = |it: &Statistics| {
            let [min, max, mean, norm] = [it.min, it.max, it.mean, it.norm].map(number);
            format!("min {min}, max {max}, mean {mean}, norm {norm}, {} infinities", it.inf)
        };
        write!(to, "; expected {}; got {}", shown(expected), shown(actual))
    }

    /// The index of an element, given its row-major position, in this shape: `[3, 2, 1, 4]`; empty for a scalar.
    pub fn index(&self, mut position: usize) -> String {
        let mut index = Vec::new();
        for &n in self.shape.iter().rev() {
            index.push((position % n.max(1)).to_string());
            position /= n.max(1);
        }
        index.reverse();
        if index.is_empty() { String::new() } else { format!("[{}]", index.join(", ")) }
    }
}

impl fmt::Display for TensorResult {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        if let Outcome::Different(c) = &self.outcome
            && let Some(first) = c.first
        {
            let place = self.place_of(&self.index(first.index));
            let values = c.values(first);
            return write!(
                to,
                "{place}: {values}; {} of {} elements differ",
                c.failing, c.elements
            );
        }
        write!(to, "{}", self.place())?;
        match &self.outcome {
            Outcome::Equal | Outcome::Within(_) => write!(to, ": equal"),
            Outcome::Missing => {
                write!(to, ": missing in the candidate{}", self.closest_match())
            }
            Outcome::Unexpected => {
                let closest = self.closest_match();
                write!(to, ": unexpected, the reference has no such tensor{closest}")
            }
            Outcome::HashDiffers { blocks, statistics } => {
                self.hash_differs(to, blocks.as_ref(), statistics.as_ref())
            }
            Outcome::Nan { elements } => {
                write!(to, ": the bits are equal, and {elements} elements are NaN")
            }
            Outcome::Unknown => {
                write!(
                    to,
                    ": it cannot be compared, one side has neither elements nor their SHA-256 in this layout"
                )
            }
            Outcome::Shape { expected, actual } => {
                write!(to, ": expected the shape {expected:?}, got {actual:?}")
            }
            Outcome::Dtype { expected, actual } => {
                write!(to, ": expected the type {expected}, got {actual}")
            }
            Outcome::Different(_) => Ok(()),
        }
    }
}

/// A stage in words, before `of NAME`.
fn stage_name(stage: &str) -> &str {
    match stage {
        stage::INIT => "initial value",
        stage::EXP_AVG => "first moment",
        stage::EXP_AVG_SQ => "second moment",
        stage::LR => "learning rate",
        stage::EPOCH_LOSS => "mean loss",
        stage::FINAL => "final value",
        stage::TEST_LOGITS => "test logits",
        stage::CONFUSION_MATRIX => "confusion matrix",
        other => other,
    }
}

impl Comparison {
    /// Both values of an element in decimal and bits: `expected 0.5 (0x3f000000), got 1.0 (0x3f800000)`; integers
    /// in decimal alone, complex128 in the bits of the part that differs.
    pub fn values(&self, at: Element) -> String {
        let show = |bits| value(self.dtype, bits);
        format!("expected {}, got {}", show(at.expected), show(at.actual))
    }
}

fn value(dtype: Dtype, bits: u64) -> String {
    // Of 16 bytes, the 8 that differ.
    let width = 2 + 2 * dtype.size().min(8);
    let value = dtype.number(bits);
    match dtype {
        Dtype::I64 => format!("{}", bits as i64),
        Dtype::U64 => format!("{bits}"),
        // The shortest digits that distinguish it from its neighbors, in its own type.
        Dtype::F32 => format!("{:?} ({bits:#0width$x})", f32::from_bits(bits as u32)),
        Dtype::C128 => format!("{bits:#0width$x}"),
        _ if dtype.is_integer() => format!("{value}"),
        _ => match dtype.part() {
            Some(part) => {
                let [re, im] = parts(part, &bits.to_le_bytes()[..dtype.size()]);
                format!("{re:?}{im:+?}j ({bits:#0width$x})")
            }
            None => format!("{value:?} ({bits:#0width$x})"),
        },
    }
}
