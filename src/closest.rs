//! The closest match to a misspelled name.

use std::fmt::Display;

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
