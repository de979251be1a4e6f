//! Names that are in no list, and the closest match to a misspelled one.

use std::fmt::Display;

/// A name that is not in a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} {name:?}: the {kind}s are {names}{}", did_you_mean(*.closest))]
pub struct UnknownName {
    kind: &'static str,
    /// Shortened if it is long.
    name: String,
    names: String,
    closest: Option<&'static str>,
}

impl UnknownName {
    /// `kind` is what the names are of, such as `model`.
    pub fn new(
        kind: &'static str,
        name: &str,
        names: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        /// Characters of a foreign text that the error shows.
        const SHOWN: usize = 60;
        let mut shown: String = name.chars().take(SHOWN).collect();
        if shown.len() < name.len() {
            shown.push('…');
        }
        let names: Vec<&str> = names.into_iter().collect();
        let closest = closest_match(&shown, names.iter().copied());
        Self { kind, name: shown, names: names.join(", "), closest }
    }
}

/// The candidate that is most similar to `word`, if one is similar enough; clap judges commands and flags
/// by the same measure.
pub fn closest_match<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    most_similar(candidates, |candidate| strsim::jaro(word, candidate), 0.7)
}

/// The first of the candidates with the greatest similarity, if that is above `least`.
pub fn most_similar<'a>(
    candidates: impl IntoIterator<Item = &'a str>,
    similarity: impl Fn(&str) -> f64,
    least: f64,
) -> Option<&'a str> {
    let mut best = (least, None);
    for candidate in candidates {
        let similarity = similarity(candidate);
        if similarity > best.0 {
            best = (similarity, Some(candidate));
        }
    }
    best.1
}

/// `; did you mean …?`, or nothing.
pub fn did_you_mean(meant: Option<impl Display>) -> String {
    meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"))
}
