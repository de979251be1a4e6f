//! Similarity of tensors with different names, by name and shape.

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

/// Whether both shapes have the same sizes in any order, or the same number of elements.
pub(crate) fn fits(one: &[usize], other: &[usize]) -> bool {
    let count = |shape: &[usize]| shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
    count(one).is_some_and(|n| Some(n) == count(other))
}

/// The names that are most similar to `name`, at most `most`, as a list for an error.
pub(crate) fn listed<'a>(
    name: &str,
    names: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> String {
    let name = canonical(name);
    let mut names: Vec<(f64, &str)> =
        names.into_iter().map(|other| (similarity(&name, &canonical(other)), other)).collect();
    names.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
    names.dedup();
    let names: Vec<&str> = names.into_iter().map(|(_, name)| name).take(most).collect();
    names.join(", ")
}
