//! The result of comparing two sides.

use serde::Serialize;

use crate::inherited::LayerError;
use crate::result::{Outcome, TensorResult};
use crate::task::TaskView;

/// The result of [`compare`](crate::compare): every tensor, the first difference, and what was not compared.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Path of the reference, as the caller gave it.
    pub reference: String,
    /// Path of the candidate, as the caller gave it.
    #[serde(rename = "port")]
    pub candidate: String,
    /// Differences between the settings of both runs, a sentence each; from
    /// [`Options::settings`](crate::Options::settings).
    pub settings: Vec<String>,
    /// Every tensor of either side, in causal order.
    pub tensors: Vec<TensorResult>,
    /// Position in `tensors` of the first that does not pass.
    pub first: Option<usize>,
    /// What may cause the first difference, the likeliest first.
    pub causes: Vec<String>,
    /// The errors of the layers in the step of the first difference; empty if the traces have none.
    pub layers: Vec<LayerError>,
    /// Differences of predictions, confusion matrix, accuracy and losses.
    pub task: TaskView,
    /// Whether both sides have a trace.
    pub traced: bool,
    /// Paths of the sides whose trace has no end marker: the run did not end, or the file was truncated.
    pub truncated: Vec<String>,
    /// How the tensors of each side were found and named, a sentence each.
    pub notes: Vec<String>,
    /// What was not compared, a phrase each; not everything was if it is not empty.
    pub not_compared: Vec<String>,
    /// Stages that were not compared since only one side has them.
    pub one_sided_stages: Vec<String>,
}

/// The number of tensors of a stage, by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageCounts<'a> {
    /// Name of the stage.
    pub stage: &'a str,
    /// Tensors with equal bits.
    pub equal: usize,
    /// Tensors that differ, within their tolerance.
    pub within: usize,
    /// Tensors that do not pass.
    pub different: usize,
}

impl Report {
    /// The counts of each stage, in causal order.
    pub fn stages(&self) -> Vec<StageCounts<'_>> {
        let mut stages: Vec<StageCounts> = Vec::new();
        for TensorResult { stage, outcome, .. } in &self.tensors {
            let place =
                stages.iter().position(|counts| counts.stage == stage).unwrap_or_else(|| {
                    stages.push(StageCounts { stage, equal: 0, within: 0, different: 0 });
                    stages.len() - 1
                });
            let counts = &mut stages[place];
            *match outcome {
                Outcome::Equal => &mut counts.equal,
                Outcome::Within(_) => &mut counts.within,
                _ => &mut counts.different,
            } += 1;
        }
        stages
    }

    /// The first tensor, in causal order, that does not pass.
    pub fn first_difference(&self) -> Option<&TensorResult> {
        self.tensors.get(self.first?)
    }

    /// Number of tensors that do not pass.
    pub fn different(&self) -> usize {
        self.tensors.iter().filter(|tensor| !tensor.passes()).count()
    }

    /// What is said of the tensors before and after the first difference, if that is of a step; `None` if nothing after
    /// it differs.
    pub fn consequences(&self) -> Option<String> {
        let first = self.first.filter(|&first| self.tensors[first].step.is_some())?;
        let differing = |tensors: &[TensorResult]| tensors.iter().filter(|it| !it.passes()).count();
        let after = differing(&self.tensors[first + 1..]);
        let inherited = self.tensors.iter().filter(|tensor| tensor.inherited).count();
        let before = match differing(&self.tensors[..first]) {
            0 if self.tensors[..first].iter().any(|it| it.outcome != Outcome::Equal) => {
                "what it is computed from is equal or within the tolerance, as far as it was recorded; "
            }
            0 => "what it is computed from is equal, as far as it was recorded; ",
            _ => "",
        };
        let inherit = match inherited {
            0 => String::new(),
            all if all == after => " and inherit the difference".into(),
            some => format!(", {some} of them inherit the difference"),
        };
        (after > 0).then(|| format!("{before}{after} tensors after it differ{inherit}"))
    }

    /// Whether the candidate equals the reference in all that was compared: every tensor passes, there is at least
    /// one, and no trace is truncated.
    pub fn is_equal(&self) -> bool {
        !self.tensors.is_empty() && self.different() == 0 && self.truncated.is_empty()
    }

    /// The verdict in one line: `PARITY: EQUAL (bit for bit)`, `PARITY: EQUAL within tolerance`,
    /// `PARITY: DIFFERENT (2 of 10)`, or `PARITY: INCOMPLETE (…)` if all is equal up to the end of a truncated
    /// trace. `, not compared: …` follows where nothing differs if only one side has a stage.
    pub fn verdict(&self) -> String {
        let (n, m) = (self.different(), self.tensors.len());
        let except = match &self.one_sided_stages[..] {
            [] => String::new(),
            stages => format!(", not compared: {}", stages.join(", ")),
        };
        if n == 0 && !self.truncated.is_empty() {
            return format!(
                "PARITY: INCOMPLETE (a trace is truncated; {m} of {m} up to there are equal){except}"
            );
        }
        if !self.is_equal() {
            return format!("PARITY: DIFFERENT ({n} of {m})");
        }
        if self.tensors.iter().all(|tensor| tensor.outcome == Outcome::Equal) {
            format!("PARITY: EQUAL (bit for bit){except}")
        } else {
            format!("PARITY: EQUAL within tolerance{except}")
        }
    }
}
