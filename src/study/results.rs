//! The results of a study: `results/ID.json`, one file per run, and one table of all of them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stitch_run::rows::{self, TableError};
use stitch_run::{SettingError, find_wrong, json, sha256};

use super::{id, plan};
use crate::run_folder::RunConfig;
use crate::train::{ConfigError, TrainConfig};

/// Folder of the results in a study folder.
pub const FOLDER: &str = "results";

/// The result of one run. Its fields are the columns of `results.csv`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// See [`plan::id`].
    pub id: String,
    /// The settings; `engine` has a value.
    #[serde(flatten)]
    pub settings: TrainConfig,
    /// The outcome of the run.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The outcome of a run: metrics or error, machine and versions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Accuracy on the test images, 0 to 1; `None` if the run failed.
    pub test_accuracy: Option<f64>,
    /// Mean loss of the last epoch.
    pub train_loss: Option<f64>,
    /// Number of epochs; fewer than in the settings if training stopped early.
    pub epochs_run: Option<usize>,
    /// SHA-256 of the `weights.safetensors` that `stitch train` writes with these settings.
    pub weights_sha256: Option<String>,
    /// Why the run failed.
    pub error: Option<String>,
    /// Wall-clock seconds of the epochs.
    pub train_seconds: Option<f64>,
    /// The instruction set of libtorch's kernels.
    pub cpu_capability: Option<String>,
    /// Version of stitch.
    pub stitch: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// SHA-256 of the lines `SHA-256  NAME` of the four data files, in the order of their names.
    pub data_sha256: Option<String>,
}

/// A file or a row that is not the result of a run.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Not a table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A setting of a result is unknown or out of range.
    #[error("{id}: {error}")]
    Setting {
        /// Id of the run in the plan.
        id: String,
        /// What is wrong.
        error: Box<ConfigError>,
    },
    /// Inconsistent values.
    #[error("{id}: {what}")]
    Contradictory {
        /// Id of the run in the plan.
        id: String,
        /// What is wrong.
        what: String,
    },
    /// An invalid row of a table.
    #[error("line {line}: {error}")]
    Line {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        error: Box<RecordError>,
    },
}

impl Outcome {
    /// A readable object with all fields.
    fn example() -> Map<String, Value> {
        json::to_object(Self::default())
    }
}

impl Record {
    /// The record of a run without a result.
    pub fn new(settings: &TrainConfig) -> Self {
        let settings = TrainConfig { engine: Some(settings.engine()), ..settings.clone() };
        let outcome = Outcome {
            stitch: env!("CARGO_PKG_VERSION").into(),
            libtorch: crate::LIBTORCH.into(),
            ..Default::default()
        };
        Self { id: plan::id(&settings), settings, outcome }
    }

    /// Adds the CPU capability and the data set of the run.
    pub fn of_run(mut self, config: &RunConfig) -> Self {
        self.outcome.cpu_capability = config.cpu_capability.clone();
        self.outcome.data_sha256 = Some(config.data.digest());
        self
    }

    /// Whether the run succeeded.
    pub fn is_done(&self) -> bool {
        self.outcome.test_accuracy.is_some()
    }

    /// Reads a file of [`FOLDER`].
    ///
    /// # Errors
    /// [`RecordError`], without the file's name.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        Self::from_map(json::read_object(bytes)?)
    }

    fn from_map(mut map: Map<String, Value>) -> Result<Self, RecordError> {
        let id = map.shift_remove("id").unwrap_or_default();
        let names = TrainConfig::names();
        let example = Outcome::example();
        if let Some(name) = map.keys().find(|it| !names.contains(it) && !example.contains_key(*it))
        {
            let known = names.iter().chain(example.keys()).map(String::as_str);
            let error = Box::new(SettingError::unknown(name, known).into());
            return Err(RecordError::Setting { id: id.to_string(), error });
        }
        let (settings, outcome): (Map<_, _>, Map<_, _>) =
            map.into_iter().partition(|(name, _)| names.contains(name));
        let settings = plan::settings_from(settings);
        let settings = settings
            .map_err(|error| RecordError::Setting { id: id.to_string(), error: Box::new(error) })?;
        let outcome = Outcome::deserialize(&Value::Object(outcome.clone())).map_err(|error| {
            let error = find_wrong::<Outcome>(&outcome, example.clone(), &error).into();
            RecordError::Setting { id: id.to_string(), error: Box::new(error) }
        })?;
        let expected = plan::id(&settings);
        let record = Self { id: expected.clone(), settings, outcome };
        if id != expected.as_str() {
            return Err(record.contradictory(&format!("its id is {id}")));
        }
        record.check()?;
        Ok(record)
    }

    fn contradictory(&self, what: &str) -> RecordError {
        RecordError::Contradictory { id: self.id.clone(), what: what.into() }
    }

    fn check(&self) -> Result<(), RecordError> {
        let wrong = |what: &str| Err(self.contradictory(what));
        let Outcome { test_accuracy, epochs_run, weights_sha256, data_sha256, error, .. } =
            &self.outcome;
        if test_accuracy.is_some_and(|accuracy| !(0.0..=1.0).contains(&accuracy)) {
            return wrong("its test accuracy is not between 0 and 1");
        }
        if epochs_run.is_some_and(|epochs| !(1..=self.settings.epochs).contains(&epochs)) {
            return wrong("its number of epochs is 0 or more than in its settings");
        }
        if ![weights_sha256, data_sha256].into_iter().flatten().all(|sum| sha256::is_hex(sum)) {
            return wrong("a SHA-256 is not 64 hexadecimal digits");
        }
        if self.is_done() != weights_sha256.is_some() || self.is_done() == error.is_some() {
            return wrong("expected an accuracy and the weights' SHA-256, or an error");
        }
        Ok(())
    }

    /// The sort key of rows: model, then other settings, then seed.
    pub(super) fn order(&self) -> impl Ord + use<> {
        let TrainConfig { model, seed, .. } = &self.settings;
        (model.clone(), id::order(&self.settings), *seed)
    }
}

/// Formats `results.csv`: one row per run.
pub fn write(records: &[Record]) -> Vec<u8> {
    rows::write(records)
}

/// Reads `results.csv`.
///
/// # Errors
/// [`RecordError`], with the line.
pub fn read(bytes: &[u8]) -> Result<Vec<Record>, RecordError> {
    let record = |(line, map)| {
        Record::from_map(map).map_err(|error| RecordError::Line { line, error: Box::new(error) })
    };
    rows::read(bytes)?.into_iter().map(record).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::models::named;

    pub fn record(seed: u64, weights: &str) -> Record {
        let defaults = named("mlp").unwrap().config();
        let record = Record::new(&TrainConfig { seed, threads: Some(1), ..defaults });
        with(record, |it| {
            it.test_accuracy = Some(0.25);
            it.weights_sha256 = Some(weights.repeat(64));
        })
    }

    pub fn with(mut record: Record, change: impl Fn(&mut Outcome)) -> Record {
        change(&mut record.outcome);
        record
    }

    pub fn failed(seed: u64) -> Record {
        with(record(seed, "a"), |it| {
            (it.test_accuracy, it.weights_sha256) = (None, None);
            it.error = Some("the loss became NaN".into());
        })
    }

    #[test]
    fn a_table_reads_back_and_invalid_rows_are_refused() {
        let records = vec![record(1, "a"), failed(2)];
        let table = write(&records);
        assert_eq!(read(&table).unwrap(), records);
        let json = serde_json::to_string(&records[0]).unwrap();
        assert_eq!(Record::read(json.as_bytes()).unwrap(), records[0]);
        let twice = json.replacen('{', "{\"test_accuracy\":1.0,", 1);
        let error = Record::read(twice.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("duplicate field `test_accuracy`"), "{error}");
        let number = json.replacen(":0.25", ":\"0.25\"", 1);
        let error = Record::read(number.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("test_accuracy is \"0.25\""), "{error}");
        let text = String::from_utf8(table).unwrap();
        for (from, to, part) in [
            (",0.25,", ",1.25,", "line 2: mlp-b200-lr0.001-e20-s1-t1: its test accuracy"),
            (
                ",0.25,,,",
                ",0.25,,21,",
                "line 2: mlp-b200-lr0.001-e20-s1-t1: its number of epochs is 0 or more",
            ),
            (",1,1,cpu", ",2,1,cpu", "line 2: mlp-b200-lr0.001-e20-s2-t1: its id is"),
            (",0.25,", ",,", "line 2: mlp-b200-lr0.001-e20-s1-t1: expected an accuracy"),
            ("aaaa", "xyzx", "a SHA-256 is not"),
            (",200,", ",two,", "line 2: \"mlp-b200-lr0.001-e20-s1-t1\": batch_size is \"two\""),
            (",exact,", ",exakt,", "engine is \"exakt\": it must be eager, exact or fast"),
            ("t1,mlp,", "t1,mpl,", "s1-t1\": unknown model \"mpl\": the models are"),
            (",stitch,", ",stich,", "unknown field \"stich\""),
        ] {
            let sentence = read(text.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
            assert!(sentence.contains(part), "{from} to {to}: {sentence}");
        }
    }
}
