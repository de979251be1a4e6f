//! Similarity of tensors with different names, by name and shape.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use crate::layout::element_count;
use crate::result::{Outcome, TensorResult};

/// Number of names of a stage that are considered.
const NAMES: usize = 500;

/// The tensor of the other side that is most similar to one without a counterpart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClosestMatch {
    /// Name of the tensor.
    pub name: String,
    /// Epoch, counted from 1, if the tensor belongs to one.
    pub epoch: Option<usize>,
    /// Step, counted from 1 over the whole run, if the tensor belongs to one.
    pub step: Option<usize>,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// A canonical name, and the tensors that have it.
type Named<'a> = (String, Vec<&'a TensorResult>);

/// Finds the closest match of each tensor without a counterpart among those of its stage that the other side alone has,
/// by name and shape.
pub(crate) fn find(tensors: &mut [TensorResult]) {
    let is_absent =
        |tensor: &TensorResult| matches!(tensor.outcome, Outcome::Missing | Outcome::Unexpected);
    // By stage and side, then by name: the tensors of this name.
    let mut pools: HashMap<(&str, bool), Vec<Named>> = HashMap::new();
    for tensor in tensors.iter().filter(|tensor| is_absent(tensor)) {
        let is_missing = tensor.outcome == Outcome::Missing;
        let pool = pools.entry((&tensor.stage, is_missing)).or_default();
        match pool.iter().position(|(_, named)| named[0].name == tensor.name) {
            Some(i) => pool[i].1.push(tensor),
            None if pool.len() < NAMES => pool.push((canonical(&tensor.name), vec![tensor])),
            None => {}
        }
    }
    let mut known: HashMap<(&str, bool, &str, &[usize]), Option<usize>> = HashMap::new();
    let mut found = Vec::new();
    for (i, tensor) in tensors.iter().enumerate().filter(|(_, tensor)| is_absent(tensor)) {
        let is_missing = tensor.outcome == Outcome::Missing;
        let Some(pool) = pools.get(&(&tensor.stage, !is_missing)) else { continue };
        let (key, is_full) =
            ((&*tensor.stage, is_missing, &*tensor.name, &*tensor.shape), known.len() >= NAMES);
        let best = match known.get(&key) {
            Some(best) => *best,
            None if is_full => continue,
            None => *known.entry(key).or_insert_with(|| best_of(tensor, pool)),
        };
        let Some((_, named)) = best.map(|best| &pool[best]) else { continue };
        let place = |other: &&&TensorResult| {
            (&other.file, other.epoch, other.step) == (&tensor.file, tensor.epoch, tensor.step)
        };
        let other = named.iter().find(place).unwrap_or(&named[0]);
        let (name, shape) = (other.name.clone(), other.shape.clone());
        found.push((i, ClosestMatch { name, epoch: other.epoch, step: other.step, shape }));
    }
    for (i, closest) in found {
        tensors[i].closest = Some(closest);
    }
}

/// The position of the name that is most similar, if its shape fits or it is similar enough.
fn best_of(tensor: &TensorResult, pool: &[Named]) -> Option<usize> {
    let name = canonical(&tensor.name);
    let mut best = (0.4, None);
    for (i, (other, named)) in pool.iter().enumerate() {
        let shape = &named[0].shape;
        let of_shape = match () {
            () if *shape == tensor.shape => 0.5,
            () if fits(shape, &tensor.shape) => 0.4,
            () => 0.0,
        };
        let score = similarity(&name, other) + of_shape;
        if score > best.0 {
            best = (score, Some(i));
        }
    }
    best.1
}

/// Parts of names that mean the same in PyTorch, JAX, Keras and TensorFlow.
const SYNONYMS: [(&str, &str); 6] = [
    ("kernel", "weight"),
    ("gamma", "weight"),
    ("scale", "weight"),
    ("beta", "bias"),
    ("moving_", "running_"),
    ("variance", "var"),
];

/// A name in lower case, with PyTorch's words.
pub(crate) fn canonical(name: &str) -> String {
    let name = name.to_lowercase().replace('/', ".");
    SYNONYMS.iter().fold(name, |name, (from, to)| name.replace(from, to))
}

/// From 0 to 1: how similar two [`canonical`] names are.
pub(crate) fn similarity(one: &str, other: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(one, other)
}

/// Whether both shapes have the same number of elements.
pub(crate) fn fits(one: &[usize], other: &[usize]) -> bool {
    element_count(one).is_some_and(|n| Some(n) == element_count(other))
}

/// The tensor names that are most similar to `name`, at most `most`, the closest first, as a list for an error. Words of
/// PyTorch, JAX, Keras and TensorFlow that mean the same count as equal.
pub fn closest_names<'a>(
    name: &str,
    names: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> String {
    let name = canonical(name);
    let names: BTreeSet<&str> = names.into_iter().collect();
    let mut names: Vec<(f64, &str)> =
        names.into_iter().map(|other| (similarity(&name, &canonical(other)), other)).collect();
    names.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
    let names: Vec<&str> = names.into_iter().map(|(_, name)| name).take(most).collect();
    names.join(", ")
}
