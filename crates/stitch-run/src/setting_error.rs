//! Errors about a setting or another field of `config.json`: which one, what it is, what is expected.

use serde_json::{Map, Value};

use crate::closest::{closest_match, did_you_mean};
use crate::setting_names::setting_of;

/// The type and range of a setting or another field of `config.json`, as error messages give them: `an integer of at least
/// 1`; empty for an unknown name.
pub fn expected(name: &str) -> &'static str {
    match name {
        "epochs" | "batch_size" | "val" | "patience" => "an integer of at least 1",
        "classes" => "an integer from 1 to 256",
        "lr" => "a number above 0",
        "batch_norm" | "shuffle" | "drop_last" | "nesterov" => "true or false",
        "dropout" | "label_smoothing" => "a number from 0 to 1",
        "augment" => {
            "none, or a list of crop[:PADDING] (0 to 28), flip[:P] and erase[:P] (0 to 1), such as crop,flip"
        }
        "init" => "an object with file and sha256 (64 hexadecimal digits)",
        "normalize" => "none, or MEAN,STD of finite numbers, STD not 0, such as 0.2860,0.3530",
        "optimizer" => "adam, adamw, sgd, adadelta or rmsprop",
        "loss" => "cross-entropy or nll",
        "momentum" | "weight_decay" => "a number of at least 0",
        "lr_schedule" => "none, step:EVERY,GAMMA (such as step:5,0.1), cosine or onecycle",
        "seed" => "an integer from 0 to 18446744073709551615",
        "threads" => "an integer from 1 to 4096",
        "device" => "\"cpu\" or \"cuda:N\"",
        "engine" => "eager, exact or fast",
        "program" => "\"stitch\" or \"notebook.py\"",
        "kernels_sha256" | "model_sha256" => "a SHA-256 of 64 hexadecimal digits",
        "versions" => "an object of strings",
        "data" => "an object with official, sha256, the names of classes and the shape of images",
        "model" | "cpu_capability" => "a string",
        _ => "",
    }
}

/// A setting is unknown, missing or invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// A field that no setting has.
    #[error("unknown field {name:?}, which may affect the results: the fields are {known}")]
    Unknown {
        /// Name of the field, as it was given.
        name: String,
        /// The known names, and the closest match.
        known: String,
    },
    /// A required setting is missing.
    #[error("the field {0:?} is missing")]
    Missing(String),
    /// A value of a wrong type or out of range.
    #[error("{name} is {found}: it must be {expected}")]
    Wrong {
        /// Name of the setting.
        name: String,
        /// The value, shortened if long.
        found: String,
        /// Type and range of valid values: `an integer of at least 1`.
        expected: String,
    },
}

impl SettingError {
    /// The error about a setting whose value is `found` instead of `expected`.
    pub fn wrong(name: &str, found: &str, expected: &str) -> Self {
        Self::Wrong { name: name.into(), found: shortened(found), expected: expected.into() }
    }

    /// The error about a name that is not one of `known`, with the one that it means in another program, or else the closest
    /// match.
    pub fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Self {
        let own = setting_of(name);
        let own = known.clone().find(|known| own.as_deref() == Some(*known));
        let closest = did_you_mean(own.or_else(|| closest_match(name, known.clone())));
        let known = known.collect::<Vec<_>>().join(", ");
        Self::Unknown { name: shortened(name), known: format!("{known}{closest}") }
    }

    /// The name of the setting.
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown { name, .. } | Self::Missing(name) | Self::Wrong { name, .. } => name,
        }
    }
}

/// Finds the field that makes an object unreadable, since serde's errors do not contain it: the first one that makes
/// `example`, a valid object with all fields, unreadable too. `error` is serde's.
pub fn find_wrong<T: serde::de::DeserializeOwned>(
    map: &Map<String, Value>,
    mut example: Map<String, Value>,
    error: &serde_json::Error,
) -> SettingError {
    if let Some(unknown) = map.keys().find(|name| !example.contains_key(*name)) {
        return SettingError::unknown(unknown, example.keys().map(String::as_str));
    }
    let is_readable =
        |map: &Map<String, Value>| T::deserialize(&Value::Object(map.clone())).is_ok();
    for name in example.keys().cloned().collect::<Vec<_>>() {
        let removed = example.shift_remove(&name);
        if !map.contains_key(&name) && !is_readable(&example) {
            return SettingError::Missing(name);
        }
        if let Some(value) = map.get(&name) {
            example.insert(name.clone(), value.clone());
            if let Err(error) = T::deserialize(&Value::Object(example.clone())) {
                let expected = match expected(&name) {
                    "" => of_type(&error.to_string()),
                    expected => expected,
                };
                return SettingError::wrong(&name, &value.to_string(), expected);
            }
        } else if let Some(value) = removed {
            example.insert(name, value);
        }
    }
    // Each field is valid separately.
    SettingError::wrong("the object", &error.to_string(), "the settings of a run")
}

/// What serde expected, without the names of Rust's types.
fn of_type(error: &str) -> &'static str {
    match error.split_once("expected ").map_or("", |(_, expected)| expected) {
        "f64" => "a number",
        "usize" | "u64" | "i64" => "an integer",
        "a string" | "string" => "a string",
        "a boolean" => "true or false",
        _ => "of another type",
    }
}

/// The first characters of an untrusted text, with control characters replaced.
pub(crate) fn shortened(text: &str) -> String {
    /// Maximum number of characters in an error.
    const SHOWN: usize = 120;
    let printable = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let start: String = printable.clone().take(SHOWN).collect();
    if printable.count() > SHOWN { start + "…" } else { start }
}
