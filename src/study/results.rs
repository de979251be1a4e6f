//! The results of a study: `results/ID.json`, one file per run, and all of them as one CSV.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::plan::{self, Settings};
use crate::formats::csv::table_writer;
use crate::models;
use crate::run_folder::Config;
use crate::train::Engine;

/// Folder of the results in the folder of a study.
pub const FOLDER: &str = "results";

/// The result of one run. Its fields are the columns of `results.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// See [`Settings::id`].
    pub id: String,
    /// The model's name.
    pub model: String,
    /// The engine's name.
    pub engine: String,
    /// Passes over the training images that were asked for.
    pub epochs: usize,
    /// Images a step.
    pub batch_size: usize,
    /// Learning rate.
    pub lr: f64,
    /// Seed.
    pub seed: u64,
    /// Threads.
    pub threads: u32,
    /// Correct answers over all answers on the test images; none when the run failed.
    pub test_accuracy: Option<f64>,
    /// Mean loss of the last epoch.
    pub train_loss: Option<f64>,
    /// Epochs that were run: fewer than asked for when scikit-learn's stopping rule ended it.
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

/// Results that contradict each other.
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

/// Why one run has two kinds of bits.
const OTHER_BITS: &str =
    "bits are equal only with the same libtorch, CPU kernels and data. Collect them apart";
/// Why equal bits have two results.
const EDITED: &str = "equal weights and data give equal results, so one of the two was edited or damaged. Remove the wrong one";

impl Record {
    /// A run with these settings that has no result yet.
    pub fn new(settings: &Settings) -> Self {
        let config = settings.config;
        Self {
            id: settings.id(),
            model: settings.model.name.into(),
            engine: config.engine.name().into(),
            epochs: config.epochs,
            batch_size: config.batch_size,
            lr: config.lr,
            seed: config.seed,
            threads: settings.threads,
            test_accuracy: None,
            train_loss: None,
            epochs_run: None,
            weights_sha256: None,
            error: None,
            train_seconds: None,
            cpu_capability: None,
            stitch: env!("CARGO_PKG_VERSION").into(),
            // Set by build.rs from libtorch's own header.
            libtorch: env!("STITCH_LIBTORCH_VERSION").into(),
            data_sha256: None,
        }
    }

    /// With where it ran and on which data.
    pub fn of_run(mut self, config: &Config) -> Self {
        self.cpu_capability = config.cpu_capability.clone();
        self.data_sha256 = Some(config.data.digest());
        self
    }

    /// Whether the run was done, and did not fail.
    pub fn is_done(&self) -> bool {
        self.test_accuracy.is_some()
    }

    /// Reads a file of [`FOLDER`].
    ///
    /// # Errors
    /// A sentence without the file's name.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        record.check()?;
        Ok(record)
    }

    fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{}: {what}", self.id));
        if self.test_accuracy.is_some_and(|accuracy| !(0.0..=1.0).contains(&accuracy)) {
            return wrong("its test accuracy is not between 0 and 1");
        }
        if let Err(unknown) = models::named(&self.model) {
            return wrong(&unknown.to_string());
        }
        if let Err(unknown) = Engine::named(&self.engine) {
            return wrong(&unknown.to_string());
        }
        let Self { model, engine, seed, threads, .. } = self;
        let settings = (self.epochs, self.batch_size, self.lr);
        if plan::id(model, engine, settings, *seed, *threads) != self.id {
            return wrong("its settings are others than its id says");
        }
        let is_sum = |sum: &String| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
        if ![&self.weights_sha256, &self.data_sha256].into_iter().flatten().all(is_sum) {
            return wrong("a SHA-256 is not 64 hexadecimal digits");
        }
        if self.is_done() != self.weights_sha256.is_some() || self.is_done() == self.error.is_some()
        {
            return wrong("it wants an accuracy and the weights' SHA-256, or an error");
        }
        Ok(())
    }

    /// What the rows of a table are ordered by: seeds of one configuration side by side.
    fn order(&self) -> impl Ord + use<> {
        // Positive floats are ordered as their bits are.
        let lr = self.lr.to_bits();
        let names = (self.model.clone(), self.engine.clone());
        (names, self.epochs, self.batch_size, lr, self.threads, self.seed)
    }
}

/// Checks that runs that were done had one data set: accuracies on others are not to be compared.
///
/// # Errors
/// A sentence that names a place of each of two.
pub fn of_one_data_set(all: &[(String, Record)]) -> Result<(), String> {
    let mut done = all.iter().filter_map(|(place, it)| Some((place, it.data_sha256.as_ref()?)));
    let Some((first, sha256)) = done.next() else { return Ok(()) };
    match done.find(|(_, other)| *other != sha256) {
        None => Ok(()),
        Some((second, other)) => Err(format!(
            "{second} is of another data set (SHA-256 {other}) than {first} ({sha256}): accuracies \
             on different test images are not to be compared. Collect them apart"
        )),
    }
}

/// All results once, in an order that does not depend on where they come from. Of a run that failed
/// in one place and was done in another, the second is kept.
///
/// # Errors
/// [`Contradiction`]: one run, done twice, with different bits or results.
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

/// In what two results of one run differ: the name of the value, why it must not, and the two values.
type Difference = (&'static str, &'static str, [String; 2]);

/// The first value that two results of one run must have in common, and do not.
fn difference(a: &Record, b: &Record) -> Option<Difference> {
    let number = |value: Option<f64>| value.map(|value| value.to_string());
    let row = |record: &Record| {
        [
            ("weights", OTHER_BITS, record.weights_sha256.clone()),
            ("data set", OTHER_BITS, record.data_sha256.clone()),
            ("test accuracy", EDITED, number(record.test_accuracy)),
            ("training loss", EDITED, number(record.train_loss)),
            ("number of epochs", EDITED, record.epochs_run.map(|epochs| epochs.to_string())),
        ]
    };
    // The beginning of a sum is enough to show that two differ.
    let is_sum = |value: &String| value.len() == 64;
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
    let cpu = |record: &Record| record.cpu_capability.clone().unwrap_or("unknown".into());
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

/// `results.csv`: a line a run, under the names of [`Record`]'s fields.
pub fn write(records: &[Record]) -> Vec<u8> {
    let mut writer = table_writer();
    // Into memory, and every line has the same fields.
    records.iter().for_each(|record| writer.serialize(record).expect("a line is a record"));
    writer.into_inner().expect("a Vec takes every byte")
}

/// Reads what [`write()`] gave.
///
/// # Errors
/// A sentence that names the line.
pub fn read(bytes: &[u8]) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    for (line, record) in (2..).zip(csv::Reader::from_reader(bytes).deserialize()) {
        let record: Record = record.map_err(|error: csv::Error| error.to_string())?;
        record.check().map_err(|what| format!("line {line}: {what}"))?;
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::models::named;
    use crate::train::TrainConfig;

    fn record(seed: u64, weights: &str) -> Record {
        let model = named("mlp").unwrap();
        let config = TrainConfig { seed, device: Device::Cpu, ..TrainConfig::notebook(model) };
        let record = Record::new(&Settings { model, config, threads: 1 });
        let weights_sha256 = Some(weights.repeat(64));
        Record { test_accuracy: Some(0.25), weights_sha256, ..record }
    }

    fn failed(seed: u64) -> Record {
        let error = Some("the loss became NaN".into());
        Record { test_accuracy: None, weights_sha256: None, error, ..record(seed, "a") }
    }

    fn merged(records: &[(&str, Record)]) -> Result<Vec<Record>, Box<Contradiction>> {
        merge(records.iter().map(|(place, record)| (place.to_string(), record.clone())))
    }

    #[test]
    fn results_of_several_places_are_merged_in_one_order() {
        let records = [("b", record(2, "a")), ("a", failed(1)), ("c", record(1, "b"))];
        let wanted = [record(1, "b"), record(2, "a")];
        assert_eq!(merged(&records).unwrap(), wanted);
        let reversed: Vec<_> = records.into_iter().rev().collect();
        assert_eq!(merged(&reversed).unwrap(), wanted);
        assert_eq!(merged(&[("a", record(1, "b")), ("b", record(1, "b"))]).unwrap().len(), 1);
    }

    #[test]
    fn one_run_with_two_kinds_of_bits_is_an_error_that_names_both_places() {
        let error = merged(&[("here", record(1, "a")), ("there", record(1, "b"))]).unwrap_err();
        let sentence = error.to_string();
        for part in ["mlp-b200-lr0.001-e20-s1-t1: weights bbbb", "in there", "but aaaa", "in here"]
        {
            assert!(sentence.contains(part), "no {part} in {sentence}");
        }
    }

    #[test]
    fn equal_weights_with_another_result_are_an_error_in_either_order() {
        let good = record(1, "a");
        for (bad, part) in [
            (Record { test_accuracy: Some(0.5), ..good.clone() }, "test accuracy 0.5 in there"),
            (Record { train_loss: Some(0.75), ..good.clone() }, "training loss 0.75 in there"),
            (Record { epochs_run: Some(3), ..good.clone() }, "number of epochs 3 in there"),
        ] {
            let error = merged(&[("here", good.clone()), ("there", bad.clone())]).unwrap_err();
            assert!(error.to_string().contains(part), "no {part} in {error}");
            assert!(merged(&[("there", bad), ("here", good.clone())]).is_err());
        }
        // What depends on the machine may differ.
        let slower = Record { train_seconds: Some(9.0), ..good.clone() };
        assert_eq!(merged(&[("here", good), ("there", slower)]).unwrap().len(), 1);
    }

    #[test]
    fn runs_on_another_data_set_are_an_error_that_names_both_places() {
        let of = |data: &str| Record { data_sha256: Some(data.repeat(64)), ..record(1, "a") };
        let all = |second| [("here".into(), of("a")), ("there".into(), second)];
        assert_eq!(of_one_data_set(&all(of("a"))), Ok(()));
        assert_eq!(of_one_data_set(&all(failed(2))), Ok(()));
        let sentence = of_one_data_set(&all(of("b"))).unwrap_err();
        for part in ["there is of another data set (SHA-256 bbb", "than here (aaa"] {
            assert!(sentence.contains(part), "no {part} in {sentence}");
        }
    }

    #[test]
    fn a_table_reads_back_and_what_cannot_be_is_refused() {
        let records = vec![record(1, "a"), failed(2)];
        let table = write(&records);
        assert_eq!(read(&table).unwrap(), records);
        let text = String::from_utf8(table).unwrap();
        for (from, to, part) in [
            (",0.25,", ",1.25,", "line 2: mlp-b200-lr0.001-e20-s1-t1: its test accuracy"),
            (
                ",1,1,0.25",
                ",2,1,0.25",
                "line 2: mlp-b200-lr0.001-e20-s1-t1: its settings are others",
            ),
            (",0.25,", ",,", "line 2: mlp-b200-lr0.001-e20-s1-t1: it wants an accuracy"),
            ("aaaa", "xyzx", "a SHA-256 is not"),
            (",200,", ",two,", "line: 2"),
            (",exact,", ",exakt,", "unknown engine \"exakt\": the engines are eager, exact, fast"),
            ("t1,mlp,", "t1,mpl,", "s1-t1: unknown model \"mpl\": the models are"),
        ] {
            let sentence = read(text.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(sentence.contains(part), "{from} to {to}: {sentence}");
        }
    }
}
