//! The results of a study: `results/ID.json`, one file per run, and one table of all of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stitch_run::rows::{self, TableError};
use stitch_run::{SettingError, find_wrong, json, sha256};

use super::plan;
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

/// Results on different data sets, whose accuracies are not comparable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{second} has another data set (SHA-256 {second_sha256}) than {first} ({first_sha256}): accuracies on \
     different test images are not comparable. Collect them separately"
)]
pub struct OtherData {
    first: String,
    first_sha256: String,
    second: String,
    second_sha256: String,
}

/// Different results of the same run.
#[derive(Debug, thiserror::Error)]
#[error(
    "{id}: {what} {second_value} in {second} ({second_cpu}), but {first_value} in {first} ({first_cpu}): {why}"
)]
pub struct Contradiction {
    id: String,
    what: &'static str,
    why: &'static str,
    first: String,
    first_value: String,
    first_cpu: String,
    second: String,
    second_value: String,
    second_cpu: String,
}

/// Why the same run can have different weights.
const OTHER_BITS: &str =
    "bits are equal only with the same libtorch, CPU kernels and data. Collect them separately";
/// Why equal weights can have different metrics.
const EDITED: &str = "equal weights and data give equal results, so one of the two was edited or damaged. Remove the wrong one";

impl Outcome {
    /// A readable object with all fields.
    fn example() -> Map<String, Value> {
        match serde_json::to_value(Self::default()) {
            Ok(Value::Object(map)) => map,
            other => unreachable!("a struct is an object: {other:?}"),
        }
    }
}

impl Record {
    /// The record of a run without a result.
    pub fn new(settings: &TrainConfig) -> Self {
        let settings = TrainConfig { engine: Some(settings.engine()), ..settings.clone() };
        let outcome = Outcome {
            stitch: env!("CARGO_PKG_VERSION").into(),
            // Set by build.rs from libtorch's own header.
            libtorch: env!("STITCH_LIBTORCH_VERSION").into(),
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
    fn order(&self) -> impl Ord + use<> {
        let TrainConfig { model, seed, .. } = &self.settings;
        (model.clone(), plan::order(&self.settings), *seed)
    }
}

/// Checks that all successful runs used the same data set, since accuracies on others are not comparable.
///
/// # Errors
/// [`OtherData`], with the places of two results.
pub fn of_one_data_set(all: &[(String, Record)]) -> Result<(), OtherData> {
    let sum = |record: &Record| record.outcome.data_sha256.clone();
    let mut done = all.iter().filter_map(|(place, record)| Some((place, sum(record)?)));
    let Some((first, first_sha256)) = done.next() else { return Ok(()) };
    match done.find(|(_, other)| *other != first_sha256) {
        None => Ok(()),
        Some((second, second_sha256)) => {
            let (first, second) = (first.clone(), second.clone());
            Err(OtherData { first, first_sha256, second, second_sha256 })
        }
    }
}

/// Removes duplicates and sorts the results, independently of their input order. If a run failed in one place and
/// succeeded in another, the success is kept.
///
/// # Errors
/// [`Contradiction`]: the same run has different results.
pub fn merge(
    all: impl IntoIterator<Item = (String, Record)>,
) -> Result<Vec<Record>, Box<Contradiction>> {
    let mut merged: BTreeMap<String, (String, Record)> = BTreeMap::new();
    for (place, record) in all {
        match merged.get(&record.id) {
            Some((first, kept)) if kept.is_done() && record.is_done() => {
                if let Some(difference) = difference(kept, &record) {
                    return Err(contradiction((first, kept), (&place, &record), difference));
                }
            }
            Some((_, kept)) if kept.is_done() || !record.is_done() => {}
            _ => {
                merged.insert(record.id.clone(), (place, record));
            }
        }
    }
    let mut records: Vec<Record> = merged.into_values().map(|(_, record)| record).collect();
    records.sort_by_key(Record::order);
    Ok(records)
}

/// A difference between two results of a run: the name of the value, its probable cause, and the two values.
type Difference = (&'static str, &'static str, [String; 2]);

/// The first difference between two results of the same run in values that must be equal.
fn difference(a: &Record, b: &Record) -> Option<Difference> {
    let number = |value: Option<f64>| value.map(|value| value.to_string());
    let row = |Record { outcome: it, .. }: &Record| {
        [
            ("weights", OTHER_BITS, it.weights_sha256.clone()),
            ("data set", OTHER_BITS, it.data_sha256.clone()),
            ("test accuracy", EDITED, number(it.test_accuracy)),
            ("training loss", EDITED, number(it.train_loss)),
            ("number of epochs", EDITED, it.epochs_run.map(|epochs| epochs.to_string())),
        ]
    };
    // The first digits of a checksum show the difference.
    let is_sum = |value: &String| sha256::is_hex(value);
    let shown = |value: Option<String>| match value {
        Some(sum) if is_sum(&sum) => sum.chars().take(12).collect(),
        Some(number) => number,
        None => "unknown".into(),
    };
    let pairs = row(a).into_iter().zip(row(b));
    let mut differing = pairs.filter(|((_, _, a), (_, _, b))| a != b);
    differing.next().map(|((what, why, a), (_, _, b))| (what, why, [shown(a), shown(b)]))
}

fn contradiction(
    first: (&str, &Record),
    second: (&str, &Record),
    (what, why, [first_value, second_value]): Difference,
) -> Box<Contradiction> {
    let cpu = |record: &Record| record.outcome.cpu_capability.clone().unwrap_or("unknown".into());
    Box::new(Contradiction {
        id: first.1.id.clone(),
        what,
        why,
        first: first.0.into(),
        first_value,
        first_cpu: cpu(first.1),
        second: second.0.into(),
        second_value,
        second_cpu: cpu(second.1),
    })
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
mod tests {
    use super::*;
    use crate::models::named;

    fn record(seed: u64, weights: &str) -> Record {
        let defaults = named("mlp").unwrap().config();
        let record = Record::new(&TrainConfig { seed, threads: Some(1), ..defaults });
        with(record, |it| {
            it.test_accuracy = Some(0.25);
            it.weights_sha256 = Some(weights.repeat(64));
        })
    }

    fn with(mut record: Record, change: impl Fn(&mut Outcome)) -> Record {
        change(&mut record.outcome);
        record
    }

    fn failed(seed: u64) -> Record {
        with(record(seed, "a"), |it| {
            (it.test_accuracy, it.weights_sha256) = (None, None);
            it.error = Some("the loss became NaN".into());
        })
    }

    fn merged(records: &[(&str, Record)]) -> Result<Vec<Record>, Box<Contradiction>> {
        merge(records.iter().map(|(place, record)| (place.to_string(), record.clone())))
    }

    #[test]
    fn results_of_several_places_are_merged_in_one_order() {
        let records = [("b", record(2, "a")), ("a", failed(1)), ("c", record(1, "b"))];
        let expected = [record(1, "b"), record(2, "a")];
        assert_eq!(merged(&records).unwrap(), expected);
        let reversed: Vec<_> = records.into_iter().rev().collect();
        assert_eq!(merged(&reversed).unwrap(), expected);
        assert_eq!(merged(&[("a", record(1, "b")), ("b", record(1, "b"))]).unwrap().len(), 1);
    }

    #[test]
    fn different_weights_of_the_same_run_are_an_error_that_names_both_places() {
        let error = merged(&[("here", record(1, "a")), ("there", record(1, "b"))]).unwrap_err();
        let sentence = error.to_string();
        for part in ["mlp-b200-lr0.001-e20-s1-t1: weights bbbb", "in there", "but aaaa", "in here"]
        {
            assert!(sentence.contains(part), "no {part} in {sentence}");
        }
    }

    #[test]
    fn different_metrics_of_equal_weights_are_an_error_in_either_order() {
        let good = record(1, "a");
        for (bad, part) in [
            (with(good.clone(), |it| it.test_accuracy = Some(0.5)), "test accuracy 0.5 in there"),
            (with(good.clone(), |it| it.train_loss = Some(0.75)), "training loss 0.75 in there"),
            (with(good.clone(), |it| it.epochs_run = Some(3)), "number of epochs 3 in there"),
        ] {
            let error = merged(&[("here", good.clone()), ("there", bad.clone())]).unwrap_err();
            assert!(error.to_string().contains(part), "no {part} in {error}");
            assert!(merged(&[("there", bad), ("here", good.clone())]).is_err());
        }
        // Times may differ.
        let slower = with(good.clone(), |it| it.train_seconds = Some(9.0));
        assert_eq!(merged(&[("here", good), ("there", slower)]).unwrap().len(), 1);
    }

    #[test]
    fn different_data_sets_are_an_error_that_names_both_places() {
        let of = |data: &str| with(record(1, "a"), |it| it.data_sha256 = Some(data.repeat(64)));
        let all = |second| [("here".into(), of("a")), ("there".into(), second)];
        assert_eq!(of_one_data_set(&all(of("a"))), Ok(()));
        assert_eq!(of_one_data_set(&all(failed(2))), Ok(()));
        let sentence = of_one_data_set(&all(of("b"))).unwrap_err().to_string();
        for part in ["there has another data set (SHA-256 bbb", "than here (aaa"] {
            assert!(sentence.contains(part), "no {part} in {sentence}");
        }
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
