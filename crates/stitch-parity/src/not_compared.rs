//! Lists what was not compared.

use std::collections::BTreeSet;

use stitch_trace::stage;

use crate::closest::similarity;
use crate::one_sided::OneSided;
use crate::result::TensorResult;
use crate::side::{Item, Side};

/// Number of names or ranges that a phrase lists before it counts the rest.
const SHOWN: usize = 5;

/// What of the two sides was not compared, a phrase each.
pub(crate) fn phrases(
    sides: [&Side; 2],
    tensors: &[TensorResult],
    one_sided: &[OneSided],
) -> Vec<String> {
    let mut all = Vec::new();
    for side in sides {
        all.extend(side.left_out.iter().map(|what| format!("{}: {what}", side.path.display())));
    }
    // A misspelled stage of the candidate is the greater surprise.
    all.extend([1, 0].into_iter().filter_map(|side| stages(sides, one_sided, side)));
    if sides.iter().any(|side| side.is_traced()) {
        all.extend(steps(tensors));
        all.extend(buffers(sides));
    } else if sides.iter().all(|side| !side.items.is_empty()) {
        all.push("the steps of the training: no traces are compared".into());
    }
    let by_hash: Vec<String> =
        tensors.iter().filter(|t| t.by_hash && t.passes()).map(TensorResult::place).collect();
    if !by_hash.is_empty() {
        let list = listed(&by_hash);
        all.push(format!("the elements of {list}: only their SHA-256 was kept, which is equal"));
    }
    let unknown: Vec<String> =
        tensors.iter().filter(|tensor| tensor.nan_unknown).map(TensorResult::place).collect();
    if !unknown.is_empty() {
        all.push(format!(
            "whether an element is NaN, which was not recorded: {}",
            listed(&unknown)
        ));
    }
    all
}

/// The stages that only one side (0: the reference) records, each with its closest match among those that may have been
/// meant.
fn stages(sides: [&Side; 2], one_sided: &[OneSided], side: usize) -> Option<String> {
    let own: Vec<&OneSided> = one_sided.iter().filter(|one| one.side == side).collect();
    let items = sides[1 - side].items.iter();
    let others: BTreeSet<&str> = items.map(|item| item.key.stage.as_str()).collect();
    let shown = own.iter().map(|OneSided { stage, tensors, .. }| {
        let plural = if *tensors == 1 { "" } else { "s" };
        let is_known = stage::KNOWN.contains(&stage.as_str());
        let meant = (!is_known).then(|| closest_stage(stage, &others)).flatten();
        let meant = meant.map_or(String::new(), |meant| format!("; closest match: {meant}"));
        format!("{stage} ({tensors} tensor{plural}{meant})")
    });
    let shown: Vec<String> = shown.collect();
    let only = ["reference", "candidate"][side];
    (!shown.is_empty()).then(|| format!("recorded by the {only} only: {}", shown.join(", ")))
}

/// The stage whose name is most similar to that of an unknown one: one of the other side's, or a known one.
fn closest_stage<'a>(name: &str, others: &BTreeSet<&'a str>) -> Option<&'a str> {
    let all = others.iter().copied().chain(stage::KNOWN.iter().copied());
    let scored = all.map(|other| (similarity(name, other), other));
    scored.filter(|(score, _)| *score > 0.6).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, it)| it)
}

/// The steps up to the last recorded one that have no record.
fn steps(tensors: &[TensorResult]) -> Option<String> {
    let recorded: BTreeSet<usize> = tensors.iter().filter_map(|tensor| tensor.step).collect();
    let mut gaps = Vec::new();
    let mut next = 1;
    for step in recorded {
        if step > next {
            let last = step - 1;
            gaps.push(if last == next { format!("{next}") } else { format!("{next} to {last}") });
        }
        next = step.saturating_add(1);
    }
    (!gaps.is_empty()).then(|| format!("steps without a record: {}", listed(&gaps)))
}

/// Buffers that are recorded after the last step only.
fn buffers(sides: [&Side; 2]) -> Option<String> {
    let of = |side: &'_ Side, stage: &str| -> BTreeSet<String> {
        let items = side.items.iter().filter(|item| item.key.stage == stage);
        items
            .filter(|item| item.key.file.is_none())
            .map(|item: &Item| item.key.name.clone())
            .collect()
    };
    let names: BTreeSet<String> = sides
        .into_iter()
        .filter(|side| of(side, stage::BUFFER).is_empty() && !of(side, stage::PARAMETER).is_empty())
        .flat_map(|side| &of(side, stage::FINAL) - &of(side, stage::PARAMETER))
        .collect();
    let names: Vec<String> = names.into_iter().collect();
    let sentence = || format!("buffers after each step, only after the last: {}", listed(&names));
    (!names.is_empty()).then(sentence)
}

/// The first few, and how many more there are.
pub(crate) fn listed(all: &[String]) -> String {
    let mut text = all[..all.len().min(SHOWN)].join(", ");
    if all.len() > SHOWN {
        text += &format!(" and {} more", all.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Outcome;

    fn at(step: usize) -> TensorResult {
        TensorResult {
            stage: stage::LOSS.into(),
            name: "loss".into(),
            class: None,
            epoch: None,
            step: Some(step),
            file: None,
            shape: Vec::new(),
            outcome: Outcome::Equal,
            tolerance: None,
            by_hash: false,
            nan_unknown: false,
            inherited: false,
            closest: None,
        }
    }

    #[test]
    fn steps_without_a_record_are_listed_up_to_the_last_recorded_one() {
        assert_eq!(steps(&[at(1), at(2)]), None);
        // A trace may claim any step.
        let sentence = steps(&[at(0), at(2), at(usize::MAX)]).unwrap();
        assert_eq!(sentence, format!("steps without a record: 1, 3 to {}", usize::MAX - 1));
    }
}
