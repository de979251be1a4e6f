//! Unknown names, and the closest match to a misspelled one.

use std::fmt::Display;

/// A name that is not among the known ones; the message lists them.
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
    /// The error about an unknown `kind` (such as `model`); `names` are the known ones.
    pub fn new(
        kind: &'static str,
        name: &str,
        names: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        /// Maximum number of characters of the name in the message.
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

/// The candidate that is most similar to `word`, if one is similar enough (by the measure that clap uses for flags).
pub fn closest_match<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    most_similar(candidates, |candidate| strsim::jaro(word, candidate), 0.7)
}

/// The candidate with the greatest similarity if that is above `threshold`; the first one in case of a tie.
pub fn most_similar<'a>(
    candidates: impl IntoIterator<Item = &'a str>,
    similarity: impl Fn(&str) -> f64,
    threshold: f64,
) -> Option<&'a str> {
    let mut best = (threshold, None);
    for candidate in candidates {
        let similarity = similarity(candidate);
        if similarity > best.0 {
            best = (similarity, Some(candidate));
        }
    }
    best.1
}

/// The end of an error message: `; did you mean …?`, or nothing.
pub fn did_you_mean(closest: Option<impl Display>) -> String {
    closest.map_or_else(String::new, |closest| format!("; did you mean {closest}?"))
}
