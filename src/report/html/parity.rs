//! The parity section of a report: the verdict of `stitch parity` on each run, by stage.

use stitch_parity::stage;

use super::{Parity, Section};
use crate::report::figures::thousands;
use crate::run_folder::{ParityVerdict, StageVerdict};

/// Stages of a trace that make one row.
struct Group {
    name: &'static str,
    what: &'static str,
    stages: &'static [&'static str],
}

/// The rows, in causal order. Each stage that stitch records is in one of them, with the state of all its optimizers.
const GROUPS: [Group; 7] = [
    Group {
        name: "data",
        what: "normalized images and labels of the data set",
        stages: &[stage::DATA],
    },
    Group {
        name: "init",
        what: "weights before the first step, as the random generator draws them",
        stages: &[stage::INIT],
    },
    Group {
        name: "order",
        what: "order of the images in each epoch, and the batches",
        stages: &[stage::PERMUTATION, stage::BATCH],
    },
    Group {
        name: "forward",
        what: "outputs of the layers, logits and loss of a step",
        stages: &[stage::BUFFER_BEFORE, stage::FORWARD, stage::LOGITS, stage::LOSS],
    },
    Group {
        name: "gradient",
        what: "gradients of the loss in a step",
        stages: &[stage::BACKWARD, stage::GRADIENT],
    },
    Group {
        name: "step",
        what: "optimizer state, weights and buffers after a step",
        stages: &[
            stage::LEARNING_RATE,
            stage::EXP_AVG,
            stage::EXP_AVG_SQ,
            "momentum_buffer",
            "square_avg",
            "acc_delta",
            stage::PARAMETER,
            stage::BUFFER,
        ],
    },
    Group {
        name: "result",
        what: "losses of the epochs, final weights, predictions and accuracy",
        stages: &[
            stage::LR,
            stage::EPOCH_LOSS,
            stage::FINAL,
            stage::TEST_LOGITS,
            stage::PREDICTIONS,
            stage::CONFUSION_MATRIX,
            stage::ACCURACY,
        ],
    },
];

/// The row of all stages that no group has.
const OTHER: Group = Group { name: "other", what: "values of other stages", stages: &[] };

/// The parity section.
pub struct ParityView<'a> {
    pub runs: Vec<RunParity<'a>>,
    /// Names of the runs whose verdict has counts: the columns of the table.
    pub columns: Vec<&'a str>,
    /// The rows of the table, with the cells of these runs.
    pub rows: Vec<Row>,
}

/// The verdict on a run.
pub struct RunParity<'a> {
    pub name: &'a str,
    pub state: State,
    pub parity: &'a Parity,
}

/// A group of stages, and its tensors in each of the columns.
pub struct Row {
    pub name: &'static str,
    pub what: &'static str,
    pub cells: Vec<Cell>,
}

/// The tensors of a group of stages in a run.
pub struct Cell {
    pub state: State,
    pub text: String,
}

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Every bit is equal.
    Equal,
    /// All differences are within the tolerance.
    Within,
    /// There are greater differences.
    Different,
    /// All is equal up to the end of a truncated trace.
    Incomplete,
    /// Nothing was compared.
    Unknown,
}

impl State {
    /// Its CSS class.
    pub fn class(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Within => "within",
            Self::Different | Self::Incomplete => "different",
            Self::Unknown => "unknown",
        }
    }

    /// Its sign beside a text.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "✓",
            Self::Within => "≈",
            Self::Different | Self::Incomplete => "✗",
            Self::Unknown => "–",
        }
    }

    /// The state in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Equal => "equal, bit for bit",
            Self::Within => "equal within tolerance",
            Self::Different => "not equal",
            Self::Incomplete => "incomplete",
            Self::Unknown => "not compared yet",
        }
    }

    /// What the verdict on a run says.
    pub fn of(parity: &Parity) -> Self {
        match parity {
            Parity::Checked(verdict) if !verdict.equal && is_cut(verdict) => Self::Incomplete,
            Parity::Checked(ParityVerdict { equal: false, .. }) => Self::Different,
            Parity::Checked(verdict) if is_within(verdict) => Self::Within,
            Parity::Checked(_) => Self::Equal,
            Parity::Stale | Parity::Unchecked => Self::Unknown,
        }
    }
}

/// Whether a verdict has stages, none of which differs.
fn is_cut(verdict: &ParityVerdict) -> bool {
    !verdict.stages.is_empty() && verdict.stages.iter().all(|counts| counts.different == 0)
}

/// Whether an equal verdict needed a tolerance. Verdicts of earlier versions have no counts, but the sentence.
fn is_within(verdict: &ParityVerdict) -> bool {
    match verdict.stages.as_slice() {
        [] => verdict.verdict.contains("within tolerance"),
        stages => stages.iter().any(|counts| counts.within > 0),
    }
}

impl<'a> ParityView<'a> {
    /// The parity of the runs of these sections.
    pub fn new(sections: &[&'a Section], names: &'a [String]) -> Self {
        let run = |(section, name): (&&'a Section, &'a String)| RunParity {
            name,
            state: State::of(&section.parity),
            parity: &section.parity,
        };
        let runs: Vec<RunParity> = sections.iter().zip(names).map(run).collect();
        let counted: Vec<_> =
            runs.iter().filter_map(|run| Some((run.name, run.counts()?))).collect();
        let row = |group: &Group| Row {
            name: group.name,
            what: group.what,
            cells: counted.iter().map(|(_, stages)| cell(group, stages)).collect(),
        };
        let mut rows: Vec<Row> = GROUPS.iter().map(row).collect();
        let other = row(&OTHER);
        rows.extend(other.cells.iter().any(|cell| cell.state != State::Unknown).then_some(other));
        Self { columns: counted.iter().map(|(name, _)| *name).collect(), rows, runs }
    }
}

impl<'a> RunParity<'a> {
    /// The counts of its stages, if its verdict has them.
    pub fn counts(&self) -> Option<&'a [StageVerdict]> {
        match self.parity {
            Parity::Checked(verdict) if !verdict.stages.is_empty() => Some(&verdict.stages),
            _ => None,
        }
    }
}

/// The cell of a group in a run with these stages.
fn cell(group: &Group, stages: &[StageVerdict]) -> Cell {
    let is_known = |stage: &str| GROUPS.iter().any(|group| group.stages.contains(&stage));
    let is_member = |stage: &str| match group.stages {
        [] => !is_known(stage),
        members => members.contains(&stage),
    };
    let members = || stages.iter().filter(|counts| is_member(&counts.stage));
    let equal: usize = members().map(|counts| counts.equal).sum();
    let within: usize = members().map(|counts| counts.within).sum();
    let different: usize = members().map(|counts| counts.different).sum();
    let state = match (equal, within, different) {
        (0, 0, 0) => State::Unknown,
        (_, 0, 0) => State::Equal,
        (_, _, 0) => State::Within,
        _ => State::Different,
    };
    let phrase = |count: usize, what: &str| {
        (count > 0).then(|| format!("{} {what}", thousands(count as u64)))
    };
    let phrases = [
        phrase(different, "different"),
        phrase(within, "within tolerance"),
        phrase(equal, "equal"),
    ];
    let phrases: Vec<String> = phrases.into_iter().flatten().collect();
    let text = if phrases.is_empty() { "not compared".into() } else { phrases.join(", ") };
    Cell { state, text }
}

#[cfg(test)]
mod tests {
    use stitch_parity::stage;

    use super::{Cell, GROUPS, OTHER, State, cell};
    use crate::run_folder::StageVerdict;

    fn counts(stage: &str, [equal, within, different]: [usize; 3]) -> StageVerdict {
        StageVerdict { stage: stage.into(), equal, within, different }
    }

    #[test]
    fn every_stage_is_in_one_group() {
        let mut grouped: Vec<&str> =
            GROUPS.iter().flat_map(|group| group.stages).copied().collect();
        for known in stage::KNOWN {
            assert_eq!(grouped.iter().filter(|stage| *stage == known).count(), 1, "{known}");
        }
        let count = grouped.len();
        grouped.sort_unstable();
        grouped.dedup();
        assert_eq!(grouped.len(), count);
    }

    #[test]
    fn a_cell_adds_up_the_stages_of_its_group() {
        let stages = [
            counts(stage::LOGITS, [1200, 0, 0]),
            counts(stage::LOSS, [3, 2, 0]),
            counts(stage::GRADIENT, [0, 4, 1]),
            counts(stage::DATA, [5, 0, 0]),
            counts("scale", [0, 7, 0]),
        ];
        let of = |name: &str| {
            let Cell { state, text } =
                cell(GROUPS.iter().find(|it| it.name == name).unwrap_or(&OTHER), &stages);
            (state, text)
        };
        assert_eq!(of("data"), (State::Equal, "5 equal".into()));
        assert_eq!(of("forward"), (State::Within, "2 within tolerance, 1,203 equal".into()));
        assert_eq!(of("gradient"), (State::Different, "1 different, 4 within tolerance".into()));
        assert_eq!(of("init"), (State::Unknown, "not compared".into()));
        assert_eq!(of("other"), (State::Within, "7 within tolerance".into()));
    }
}
