//! Proposes merges and splits: tensors of one side that are parts of one tensor of the other, such as q, k and v.

use std::collections::{BTreeMap, HashSet};

use crate::error::SideError;
use crate::rule::merged;
use crate::side::Side;
use crate::suggest::{Named, Place, RECORDS, reason};
use crate::verify;

/// Most parts of a tensor.
const PARTS: usize = 4;
/// Most parts whose order is found by their contents.
const ORDERED: usize = 3;

/// Tensors that are the parts of one of the other side, along the first dimension.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fusion {
    /// The side that has the whole: 0 for the reference, 1 for the candidate.
    pub side: usize,
    pub whole: String,
    pub parts: Vec<String>,
    pub reason: String,
}

/// The fusions among the names that are left on both sides. Each name is in at most one.
///
/// # Errors
/// [`SideError`] when elements cannot be read.
pub(crate) fn fusions(
    sides: &mut [&mut Side; 2],
    names: [&[&Named]; 2],
) -> Result<Vec<Fusion>, SideError> {
    let mut found = Vec::new();
    let mut taken = [HashSet::new(), HashSet::new()];
    for side in [0, 1] {
        let groups = groups(names[1 - side]);
        for whole in names[side] {
            if taken[side].contains(&whole.name) {
                continue;
            }
            let mut best: Option<(usize, Fusion)> = None;
            for parts in &groups {
                let free = parts.iter().all(|part| !taken[1 - side].contains(&part.name));
                let places = places(whole, parts).filter(|_| free);
                let Some(places) = places.filter(|at| fits(sides, side, &at[0])) else { continue };
                let (order, equal) = order(sides, side, &places, parts.len())?;
                if best.as_ref().is_none_or(|(most, _)| equal > *most) {
                    let parts = order.iter().map(|&i| parts[i].name.clone()).collect();
                    let reason = reason(equal, places.len(), false);
                    best = Some((equal, Fusion { side, whole: whole.name.clone(), parts, reason }));
                }
            }
            if let Some((_, fusion)) = best {
                taken[side].insert(fusion.whole.clone());
                taken[1 - side].extend(fusion.parts.iter().cloned());
                found.push(fusion);
            }
        }
    }
    Ok(found)
}

/// Names that differ in one segment alone: `attn.q.weight`, `attn.k.weight`, `attn.v.weight`.
fn groups<'a>(names: &[&'a Named]) -> Vec<Vec<&'a Named>> {
    let mut groups: BTreeMap<(Vec<&str>, Vec<&str>), Vec<&Named>> = BTreeMap::new();
    for named in names {
        let segments: Vec<&str> = named.name.split(['.', '/']).collect();
        for i in 0..segments.len() {
            let key = (segments[..i].to_vec(), segments[i + 1..].to_vec());
            groups.entry(key).or_default().push(named);
        }
    }
    groups.into_values().filter(|group| (2..=PARTS).contains(&group.len())).collect()
}

/// The positions of the whole and then of the parts, for each record that all of them have; `None` without one.
fn places(whole: &Named, parts: &[&Named]) -> Option<Vec<Vec<usize>>> {
    let at = |(place, i): &(Place, usize)| -> Option<Vec<usize>> {
        let parts = parts.iter().map(|part| part.places.get(place).copied());
        std::iter::once(Some(*i)).chain(parts).collect()
    };
    let places: Vec<Vec<usize>> = whole.items.iter().filter_map(at).take(RECORDS).collect();
    (!places.is_empty()).then_some(places)
}

/// Whether equal parts make up the whole along the first dimension.
fn fits(sides: &[&mut Side; 2], side: usize, at: &[usize]) -> bool {
    let whole = &sides[side].items[at[0]];
    let part = |i: usize| &sides[1 - side].items[i];
    let first = part(at[1]);
    let equal =
        at[1..].iter().all(|&i| part(i).shape == first.shape && part(i).dtype == whole.dtype);
    let ([length, rest @ ..], [of_part, of_part_rest @ ..]) = (&whole.shape[..], &first.shape[..])
    else {
        return false;
    };
    equal && rest == of_part_rest && *length == of_part * (at.len() - 1)
}

/// The order of the parts in which most records are equal to the whole, and how many are.
fn order(
    sides: &mut [&mut Side; 2],
    side: usize,
    places: &[Vec<usize>],
    parts: usize,
) -> Result<(Vec<usize>, usize), SideError> {
    let given: Vec<usize> = (0..parts).collect();
    let mut wholes = Vec::new();
    for at in places {
        let whole = sides[side].items[at[0]].clone();
        wholes.push(verify::comparable(sides[side], &whole)?);
    }
    let mut best = (given.clone(), 0);
    let orders = if parts <= ORDERED { permutations(&given) } else { vec![given] };
    for order in orders {
        let mut equal = 0;
        for (at, whole) in places.iter().zip(&wholes).filter(|(_, whole)| whole.is_some()) {
            let items = order.iter().map(|&i| sides[1 - side].items[at[1 + i]].clone()).collect();
            let together = verify::comparable(sides[1 - side], &merged(items, 0))?;
            equal += usize::from(together == *whole);
        }
        if equal > best.1 {
            best = (order, equal);
        }
    }
    Ok(best)
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.len() <= 1 {
        return vec![items.to_vec()];
    }
    let with_first = |&first: &usize| {
        let rest: Vec<usize> = items.iter().copied().filter(|&item| item != first).collect();
        permutations(&rest).into_iter().map(move |rest| [vec![first], rest].concat())
    };
    items.iter().flat_map(with_first).collect()
}
