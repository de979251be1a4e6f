//! Merges the results of several studies, and refuses results that contradict each other.

use std::collections::BTreeMap;

use stitch_run::sha256;

use super::results::Record;

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

#[cfg(test)]
mod tests {
    use super::super::results::tests::{failed, record, with};
    use super::*;

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
}
