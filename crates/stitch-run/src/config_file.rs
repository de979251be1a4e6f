//! The file of `stitch train --config`: the `config.json` of a run, or settings in TOML or JSON, written by hand.

use serde::Deserialize;
use serde_json::{Map, Value};
use toml::de::DeTable;

use crate::setting_error::{expected, find_wrong, shortened};
use crate::setting_names::setting_of;
use crate::{RunConfig, RunConfigError, SettingError, TrainConfig, json};

/// The content of a file of settings.
#[derive(Debug, Clone, PartialEq)]
pub enum ConfigFile {
    /// The `config.json` of a run.
    Run(Box<RunConfig>),
    /// A table of settings, written by hand.
    Settings(SettingsFile),
}

/// A flat table of settings by the names of [`TrainConfig`], or those that other programs give them. Settings that are not in
/// it have the model's defaults.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SettingsFile {
    settings: Vec<Given>,
}

/// A setting in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// Its name in [`TrainConfig`].
    pub name: String,
    /// Its name in the file.
    pub written: String,
    /// Its line, counted from 1; `None` for JSON.
    pub line: Option<usize>,
    /// Its value; null: an option that is off. That of `init` may be a path.
    pub value: Value,
}

/// A file that is neither the `config.json` of a run nor a table of settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFileError {
    /// Bytes that are not UTF-8.
    #[error("it is not text in UTF-8")]
    NotText,
    /// A table without settings, or an empty file.
    #[error("it is empty: give at least one setting, such as lr = 0.001")]
    Empty,
    /// Text that is no JSON object.
    #[error("it is neither the config.json of a run nor settings in JSON: {0}")]
    Json(String),
    /// Text that is no TOML.
    #[error("it is neither the config.json of a run nor settings in TOML: {0}")]
    Toml(String),
    /// The `config.json` of a run with an invalid field.
    #[error(transparent)]
    Run(#[from] RunConfigError),
    /// An unknown or invalid setting.
    #[error("{place}{error}")]
    Setting {
        /// Where it is: `line 3: `.
        place: String,
        /// What is wrong.
        error: SettingError,
    },
    /// A table instead of a setting.
    #[error(
        "{place}{name} is a table: settings are not grouped, give each by its name, such as lr = 0.001"
    )]
    Table {
        /// Where it is.
        place: String,
        /// Its name.
        name: String,
    },
    /// Two names of one setting.
    #[error("{place}{first} and {second} are two names of one setting, {name}: give it once")]
    Twice {
        /// Where the second is.
        place: String,
        /// The name that comes first.
        first: String,
        /// The other name.
        second: String,
        /// The setting.
        name: String,
    },
}

impl ConfigFile {
    /// Reads a file. The `config.json` of a run is a JSON object with the program or the versions of the run; any other table
    /// is a table of settings. `is_json` is what the file's name says; only error messages depend on it.
    ///
    /// # Errors
    /// [`ConfigFileError`], for the first setting that is unknown, given twice or of a wrong type. Ranges are not checked.
    pub fn read(bytes: &[u8], is_json: bool) -> Result<Self, ConfigFileError> {
        // Some editors begin a text with a byte order mark.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = str::from_utf8(bytes).map_err(|_| ConfigFileError::NotText)?;
        let read_json = || {
            let read = json::read_object(text.as_bytes());
            read.map_err(|error| ConfigFileError::Json(shortened(&error.to_string())))
        };
        if !text.trim_start().starts_with('{') {
            let settings = SettingsFile::from_toml(text);
            return match settings {
                Err(ConfigFileError::Toml(_)) if is_json => {
                    Err(read_json().err().unwrap_or(ConfigFileError::Empty))
                }
                settings => settings.map(Self::Settings),
            };
        }
        let map = read_json()?;
        if RunConfig::is_run_config(&map) {
            return Ok(Self::Run(Box::new(RunConfig::read(bytes)?)));
        }
        let settings = map.into_iter().map(|(name, value)| (name, None, value));
        Ok(Self::Settings(SettingsFile::new(settings)?))
    }
}

impl SettingsFile {
    fn from_toml(text: &str) -> Result<Self, ConfigFileError> {
        let line = |at: usize| 1 + text[..at].matches('\n').count();
        let wrong = |error: toml::de::Error| {
            let place =
                error.span().map_or(String::new(), |span| format!("line {}: ", line(span.start)));
            ConfigFileError::Toml(shortened(&format!("{place}{}", error.message())))
        };
        let values: toml::Table = toml::from_str(text).map_err(wrong)?;
        let names = DeTable::parse(text).map_err(wrong)?;
        let line_of = |name: &str| {
            let key = names.get_ref().keys().find(|key| key.get_ref() == name)?;
            Some(line(key.span().start))
        };
        let mut settings: Vec<_> = values
            .into_iter()
            .map(|(name, value)| (line_of(&name), name, from_toml(value)))
            .collect();
        settings.sort_by_key(|(line, ..)| *line);
        Self::new(settings.into_iter().map(|(line, name, value)| (name, line, value)))
    }

    fn new(
        settings: impl Iterator<Item = (String, Option<usize>, Value)>,
    ) -> Result<Self, ConfigFileError> {
        let mut file = Self::default();
        for (written, line, value) in settings {
            let place = line.map_or(String::new(), |line| format!("line {line}: "));
            let Some(name) = setting_of(&written) else {
                let name = shortened(&written);
                return Err(match value.is_object() {
                    true => ConfigFileError::Table { place, name },
                    false => ConfigFileError::Setting { place, error: unknown(&written) },
                });
            };
            if let Some(first) = file.get(&name) {
                let (first, second) = (first.written.clone(), written);
                return Err(ConfigFileError::Twice { place, first, second, name });
            }
            let value = switched(&name, value);
            let given = Given { name, written, line, value };
            let checked = check_type(&given);
            checked.map_err(|error| ConfigFileError::Setting { place: given.place(), error })?;
            file.settings.push(given);
        }
        if file.settings.is_empty() { Err(ConfigFileError::Empty) } else { Ok(file) }
    }

    /// The settings, in the order of the file.
    pub fn settings(&self) -> &[Given] {
        &self.settings
    }

    /// The setting of this name.
    pub fn get(&self, name: &str) -> Option<&Given> {
        self.settings.iter().find(|given| given.name == name)
    }

    /// The values by name; null is off.
    pub fn to_map(&self) -> Map<String, Value> {
        self.settings.iter().map(|given| (given.name.clone(), given.value.clone())).collect()
    }
}

impl Given {
    /// Where it is, as the start of an error message: `line 3: `, and the file's name of it if that is another one.
    pub fn place(&self) -> String {
        let line = self.line.map_or(String::new(), |line| format!("line {line}: "));
        match self.written == self.name {
            true => line,
            false => format!("{line}{}: ", shortened(&self.written)),
        }
    }
}

/// A TOML value as JSON; what JSON does not have is a text, which no setting of numbers takes.
pub fn from_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) if number.is_finite() => number.into(),
        toml::Value::Boolean(value) => value.into(),
        toml::Value::Array(values) => values.into_iter().map(from_toml).collect(),
        toml::Value::Float(number) => number.to_string().into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Table(table) => table
            .into_iter()
            .map(|(name, value)| (name, from_toml(value)))
            .collect::<Map<_, _>>()
            .into(),
    }
}

fn unknown(name: &str) -> SettingError {
    let known = TrainConfig::names();
    SettingError::unknown(name, known.iter().map(String::as_str))
}

/// Options that can be off, besides those that are true or false.
const OPTIONS: [&str; 8] =
    ["val", "patience", "dropout", "init", "augment", "momentum", "label_smoothing", "lr_schedule"];

/// The value of an option that is switched on or off in the words of the flags: `"on"`, `"off"`, false or null.
fn switched(name: &str, value: Value) -> Value {
    let is_switch = expected(name) == expected("shuffle");
    let is_off = value.is_null() || value == "off";
    match value {
        value if is_switch && value == "on" => true.into(),
        _ if is_switch && is_off => false.into(),
        value if OPTIONS.contains(&name) && (is_off || value == false) => Value::Null,
        value => value,
    }
}

/// Refuses a value of another type than the setting's, whatever the other settings are.
fn check_type(given: &Given) -> Result<(), SettingError> {
    let is_off = given.value.is_null() && OPTIONS.contains(&&*given.name);
    if is_off || (given.name == "init" && given.value.is_string()) {
        return Ok(());
    }
    let example = TrainConfig::example().to_map();
    let mut map = example.clone();
    map.insert(given.name.clone(), given.value.clone());
    match TrainConfig::deserialize(&Value::Object(map.clone())) {
        Ok(_) => Ok(()),
        Err(error) => Err(find_wrong::<TrainConfig>(&map, example, &error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<ConfigFile, ConfigFileError> {
        ConfigFile::read(text.as_bytes(), false)
    }

    fn settings(text: &str) -> SettingsFile {
        match read(text).unwrap() {
            ConfigFile::Settings(file) => file,
            ConfigFile::Run(_) => panic!("{text} is read as that of a run"),
        }
    }

    #[test]
    fn toml_and_json_are_told_apart_by_their_content() {
        let expected = json!({ "lr": 0.5, "epochs": 3, "model": "mlp" });
        for text in [
            "epochs = 3\nmodel = 'mlp'\nlearning_rate = 0.5",
            " {\"num_epochs\": 3, \"model\": \"mlp\", \"lr\": 0.5}",
        ] {
            for is_json in [true, false] {
                let file = ConfigFile::read(text.as_bytes(), is_json).unwrap();
                let ConfigFile::Settings(file) = file else { panic!("{text}") };
                assert_eq!(Value::Object(file.to_map()), expected);
            }
        }
        let given = settings("# a\n\nlearning-rate = 1").settings()[0].clone();
        assert_eq!((given.name.as_str(), given.line), ("lr", Some(3)));
        assert_eq!(given.place(), "line 3: learning-rate: ");
        assert_eq!(settings("lr = 1").settings()[0].place(), "line 1: ");
    }

    #[test]
    fn options_are_switched_in_the_words_of_the_flags() {
        let value = |text: &str| settings(text).settings()[0].value.clone();
        for name in OPTIONS {
            for off in ["\"off\"", "false", "null"] {
                assert_eq!(value(&format!("{{\"{name}\": {off}}}")), Value::Null, "{name}: {off}");
            }
        }
        for name in ["batch_norm", "shuffle", "drop_last", "nesterov"] {
            assert_eq!(value(&format!("{name} = \"off\"")), false);
            assert_eq!(value(&format!("{name} = \"on\"")), true);
            assert_eq!(value(&format!("{{\"{name}\": null}}")), false);
        }
        for text in ["epochs = false", "classes = \"off\"", "lr = \"off\"", "val = true"] {
            assert!(read(text).is_err(), "{text}");
        }
        let marked = ConfigFile::read(b"\xef\xbb\xbf{\"lr\": 1}", true).unwrap();
        assert_eq!(marked, read("{\"lr\": 1}").unwrap());
    }

    #[test]
    fn the_error_is_about_the_format_of_the_content_or_else_of_the_name() {
        let message = |text: &str, is_json| {
            ConfigFile::read(text.as_bytes(), is_json).unwrap_err().to_string()
        };
        for (text, is_json, part) in [
            ("lr", false, "in TOML: line 1: "),
            ("lr", true, "in JSON: "),
            ("{\"lr\": 1", false, "in JSON: "),
            ("[1, 2]", true, "in JSON: expected an object, found an array"),
            ("{\"program\": \"stitch\"}", false, "the field \"model\" is missing"),
            ("{\"versions\": {}, \"lr\": 1}", false, "the field \"program\" is missing"),
        ] {
            assert!(message(text, is_json).contains(part), "{text}: {}", message(text, is_json));
        }
        assert_eq!(ConfigFile::read(b"\xff", true), Err(ConfigFileError::NotText));
        assert_eq!(read("# only a comment\n"), Err(ConfigFileError::Empty));
    }

    #[test]
    fn every_setting_can_be_given_and_is_checked_alone() {
        let example = TrainConfig::example().to_map();
        for (name, value) in &example {
            let text = json!({ name.as_str(): value }).to_string();
            assert_eq!(settings(&text).to_map()[name], *value);
            let wrong = json!({ name.as_str(): { "a": [] } }).to_string();
            let error = read(&wrong).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name} is {{")), "{error}");
        }
        assert_eq!(settings("init = 'a.pt'").to_map()["init"], "a.pt");
        let inline = "init = { file = 'a.pt', sha256 = '0' }";
        assert_eq!(settings(inline).to_map()["init"]["sha256"], "0");
    }
}
