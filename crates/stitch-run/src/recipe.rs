//! `config.json` as a recipe: the settings of a run to repeat, refused where it says something else
//! than a run would have written.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Config, DataConfig};

/// What a `config.json` may say; anything else may have changed the numbers.
const FIELDS: [&str; 15] = [
    "program",
    "model",
    "epochs",
    "batch_size",
    "lr",
    "seed",
    "threads",
    "device",
    "engine",
    "val",
    "patience",
    "cpu_capability",
    "kernels_sha256",
    "versions",
    "data",
];
/// Characters of a foreign text that an error shows.
const SHOWN: usize = 120;

/// A file that is no `config.json` of a run.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// Not JSON, or not an object.
    #[error("it is not the config.json of a run: {0}")]
    NotJson(String),
    /// A field that no run has.
    #[error(
        "the field {0:?} is not known: it may change the numbers. Remove it, or use the stitch that wrote it"
    )]
    Unknown(String),
    /// A field that every run has.
    #[error("the field {0:?} is missing")]
    Missing(&'static str),
    /// A name that nothing has, such as a model's: the sentence lists those that there are.
    #[error(transparent)]
    Name(Box<dyn std::error::Error + Send + Sync>),
    /// A value of another type, or out of its range.
    #[error("{field} is {found}: it must be {wanted}")]
    Wrong {
        /// The field.
        field: &'static str,
        /// What it holds.
        found: String,
        /// What it must hold.
        wanted: String,
    },
}

/// Reads the bytes of a `config.json`, of stitch or of `notebook.py`. Whether there are such a model and such
/// an engine is not looked at.
///
/// # Errors
/// See [`RecipeError`]; each names the field.
pub fn parse(bytes: &[u8]) -> Result<Config, RecipeError> {
    let not_json = |error: serde_json::Error| RecipeError::NotJson(shown(&error.to_string()));
    let fields: Map<String, Value> = serde_json::from_slice(bytes).map_err(not_json)?;
    if let Some(unknown) = fields.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(RecipeError::Unknown(shown(unknown)));
    }
    check_text(&fields, "program", "\"stitch\" or \"notebook.py\"", |program| {
        ["stitch", "notebook.py"].contains(&program)
    })?;
    check_text(&fields, "model", "a model's name", |_| true)?;
    for field in ["epochs", "batch_size"] {
        check(&fields, field, "an integer of at least 1", |&n: &usize| n >= 1)?;
    }
    check(&fields, "lr", "a number above 0", |&lr: &f64| lr.is_finite() && lr > 0.0)?;
    let seeds = "an integer from 0 to 18446744073709551615";
    check(&fields, "seed", seeds, |_: &u64| true)?;
    check(&fields, "threads", "an integer from 1 to 4096", |n: &usize| (1..=4096).contains(n))?;
    check_text(&fields, "device", "\"cpu\" or \"cuda:N\"", |device| {
        device == "cpu" || device.strip_prefix("cuda:").is_some_and(|n| n.parse::<u16>().is_ok())
    })?;
    check_optional(&fields)?;
    // Once more as a whole: a field that is there twice is neither.
    serde_json::from_slice(bytes).map_err(not_json)
}

/// The fields that are not in every run.
fn check_optional(fields: &Map<String, Value>) -> Result<(), RecipeError> {
    let there = |field: &str| fields.contains_key(field);
    if there("engine") {
        check_text(fields, "engine", "an engine's name", |_| true)?;
    }
    if there("patience") && !there("val") {
        return Err(RecipeError::Missing("val"));
    }
    for field in ["val", "patience"].into_iter().filter(|field| there(field)) {
        check(fields, field, "an integer of at least 1", |&n: &usize| n >= 1)?;
    }
    if there("cpu_capability") {
        check(fields, "cpu_capability", "text or null", |_: &Option<String>| true)?;
    }
    if there("kernels_sha256") {
        let is_sum = |sum: &str| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
        check_text(fields, "kernels_sha256", "a SHA-256 of 64 hexadecimal digits", is_sum)?;
    }
    type Texts = std::collections::BTreeMap<String, String>;
    check(fields, "versions", "an object of texts", |_: &Texts| true)?;
    check(fields, "data", "an object with official and sha256", |_: &DataConfig| true)
}

fn check_text(
    fields: &Map<String, Value>,
    field: &'static str,
    wanted: &str,
    fits: impl Fn(&str) -> bool,
) -> Result<(), RecipeError> {
    check(fields, field, wanted, |text: &String| fits(text))
}

/// Checks the type of a field, and its value.
fn check<T: DeserializeOwned>(
    fields: &Map<String, Value>,
    field: &'static str,
    wanted: &str,
    fits: impl Fn(&T) -> bool,
) -> Result<(), RecipeError> {
    let value = fields.get(field).ok_or(RecipeError::Missing(field))?;
    match T::deserialize(value) {
        Ok(found) if fits(&found) => Ok(()),
        _ => Err(RecipeError::Wrong {
            field,
            found: shown(&value.to_string()),
            wanted: wanted.into(),
        }),
    }
}

/// The beginning of a text that may be long, or hold anything.
pub fn shown(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let start: String = printable.clone().take(SHOWN).collect();
    if printable.count() > SHOWN { start + "…" } else { start }
}
