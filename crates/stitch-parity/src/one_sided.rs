//! Stages that only one of two sides records.

use std::collections::HashSet;

use crate::side::{Item, Side};

/// A stage that only one side records.
pub(crate) struct OneSided {
    pub stage: String,
    /// 0: only the reference records it; 1: only the candidate.
    pub side: usize,
    /// Number of its tensors.
    pub tensors: usize,
}

/// The stages that only one side records, those of the reference first. There is none if the sides have no stage in
/// common, and a truncated trace may have lost any; a file of a run folder is missing, not left unrecorded.
pub(crate) fn stages(sides: [&Side; 2]) -> Vec<OneSided> {
    let names = sides.map(|side| -> HashSet<&str> {
        side.items.iter().map(|item| item.key.stage.as_str()).collect()
    });
    if names[0].is_disjoint(&names[1]) {
        return Vec::new();
    }
    let mut all: Vec<OneSided> = Vec::new();
    for side in [0, 1].into_iter().filter(|side| !sides[1 - side].is_truncated()) {
        let is_absent = |item: &&Item| !names[1 - side].contains(item.key.stage.as_str());
        for Item { key, .. } in sides[side].items.iter().filter(is_absent) {
            match all.iter_mut().find(|one| one.stage == key.stage) {
                Some(one) => one.tensors += 1,
                None => all.push(OneSided { stage: key.stage.clone(), side, tensors: 1 }),
            }
        }
    }
    let in_file = |one: &OneSided| {
        let mut items = sides[one.side].items.iter();
        items.any(|item| item.key.file.is_some() && item.key.stage == one.stage)
    };
    all.retain(|one| !in_file(one));
    all
}
