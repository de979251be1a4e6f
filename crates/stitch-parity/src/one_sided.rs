//! Stages that only one of two sides records.

use std::collections::HashSet;

use stitch_trace::stage;

use crate::result::TensorResult;
use crate::side::{Item, Key, Side};

/// A stage that only one side records.
pub(crate) struct OneSided {
    /// The stage, as in reports.
    pub stage: String,
    /// 0: only the reference records it; 1: only the candidate.
    pub side: usize,
    /// Number of its tensors.
    pub tensors: usize,
}

impl OneSided {
    /// Whether it is the stage of a tensor.
    pub fn is_of(&self, tensor: &TensorResult) -> bool {
        self.stage == name_of(&tensor.stage, &tensor.name)
    }
}

/// The stage of a tensor. The labels of a batch count as one: a recorder may not see them.
fn name_of(stage: &str, name: &str) -> String {
    // `labels#2` is that of a second forward pass, `labels[0]` one of several.
    let is_labels = name.split(['#', '[']).next() == Some("labels");
    match stage {
        stage::BATCH if is_labels => format!("{stage} labels"),
        _ => stage.to_owned(),
    }
}

/// The items of a side up to the last one that a truncated trace has too.
fn before_end<'a>(side: &'a Side, truncated: &Side) -> &'a [Item] {
    let known: HashSet<&Key> = truncated.items.iter().map(|item| &item.key).collect();
    let last = side.items.iter().rposition(|item| known.contains(&item.key));
    &side.items[..last.map_or(0, |last| last + 1)]
}

/// The stages that only one side records, those of the reference first. There is none if the sides have no stage in
/// common; a truncated trace may have lost those after its end; a file of a run folder is missing, not left unrecorded.
pub(crate) fn stages(sides: [&Side; 2]) -> Vec<OneSided> {
    let of = |key: &Key| name_of(&key.stage, &key.name);
    let names = sides
        .map(|side| -> HashSet<String> { side.items.iter().map(|item| of(&item.key)).collect() });
    if names[0].is_disjoint(&names[1]) {
        return Vec::new();
    }
    let mut all: Vec<OneSided> = Vec::new();
    for side in [0, 1] {
        let other = sides[1 - side];
        let begun = match other.is_truncated() {
            true => before_end(sides[side], other),
            false => &sides[side].items[..],
        };
        let begun: HashSet<String> = begun.iter().map(|item| of(&item.key)).collect();
        let stages = sides[side].items.iter().map(|item| of(&item.key));
        for stage in
            stages.filter(|stage| begun.contains(stage) && !names[1 - side].contains(stage))
        {
            match all.iter_mut().find(|one| one.stage == stage) {
                Some(one) => one.tensors += 1,
                None => all.push(OneSided { stage, side, tensors: 1 }),
            }
        }
    }
    let in_file = |one: &OneSided| {
        let mut items = sides[one.side].items.iter();
        items.any(|item| item.key.file.is_some() && of(&item.key) == one.stage)
    };
    all.retain(|one| !in_file(one));
    all
}
