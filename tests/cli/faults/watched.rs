//! Runs with `--val`, `--patience` and `--tensorboard`: what these add is in checkpoints too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{LEARNERS, Learner, Place, calls, ends_the_same, files, left_alone, said};

/// Learning rates so large that the validation loss rises: LeNet-5's in the second epoch, the MLP's in
/// the third.
const WATCHED: [Learner; 3] = [
    &["lenet5", "--val", "60", "--patience", "1", "--tensorboard", "--lr", "0.03"],
    &["lenet5", "--fast", "--val", "60", "--patience", "1", "--tensorboard", "--lr", "0.03"],
    &["mlp", "--val", "60", "--patience", "1", "--tensorboard", "--lr", "0.1"],
];

/// The file of events in a folder, its times and their sums blanked; panics when something else is there.
pub fn events(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert_eq!(name, "events.out.tfevents.stitch");
        let mut bytes = fs::read(folder.join(&name)).unwrap();
        let mut at = 0;
        while at < bytes.len() {
            let length = u64::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
            // Length and its sum, the key of field 1, the time; the record's sum is the last.
            let (time, sum) = (at + 12 + 1, at + 12 + length);
            assert_eq!(bytes[time - 1], 0x09, "no double in field 1");
            bytes[time..time + 8].fill(0);
            bytes[sum..sum + 4].fill(0);
            at = sum + 4;
        }
        assert_eq!(at, bytes.len(), "the last record is cut");
        all.insert(name, bytes);
    }
    all
}

#[test]
fn killed_or_failed_at_some_calls_lenet5_has_the_same_validation_best_weights_and_events() {
    calls::faults(WATCHED[0], 23);
}

#[test]
fn killed_or_failed_at_some_calls_the_fast_engine_has_the_same_validation_and_events() {
    calls::faults(WATCHED[1], 37);
}

#[test]
fn killed_or_failed_at_some_calls_the_mlp_has_the_same_validation_best_weights_and_events() {
    calls::faults(WATCHED[2], 37);
}

#[test]
fn the_patience_ends_these_runs_and_their_best_weights_are_not_their_last() {
    for (learner, epochs) in WATCHED.into_iter().zip([2, 2, 3]) {
        let files = left_alone(learner);
        let losses = str::from_utf8(&files["losses"]).unwrap();
        assert_eq!(losses.lines().count(), 1 + epochs, "{learner:?}: {losses}");
        assert_ne!(files["best_weights.safetensors"], files["weights.safetensors"], "{learner:?}");
    }
}

/// A run that was killed after a checkpoint.
fn killed(place: &Place, learner: Learner) {
    let calls = super::calls_of(place, learner);
    let named = |call: &&super::Call| call.name == "rename" && call.path.contains("checkpoints");
    let at = calls.iter().filter(named).nth(1).unwrap().number + 1;
    let killed = place.faulty(learner, "run", at, "kill").output().unwrap();
    assert_eq!(killed.status.code(), None, "{}", said(&killed));
}

#[track_caller]
fn refused(command: &mut Command, part: &str) {
    let output = command.output().unwrap();
    let sentence = said(&output);
    assert_eq!(output.status.code(), Some(2), "{sentence}");
    assert!(sentence.contains(part), "no {part:?} in {sentence}");
}

#[test]
fn events_that_are_not_the_runs_are_refused_and_it_goes_on_without_them() {
    let place = Place::new();
    let learner = WATCHED[2];
    killed(&place, learner);
    let part = place.path("run/tensorboard/events.out.tfevents.stitch.part");
    let mut bytes = fs::read(&part).unwrap();
    bytes[40] ^= 1;
    fs::write(&part, bytes).unwrap();
    refused(&mut place.train(learner, "run", &["--resume"]), "do not match the checkpoint");
    let without: Vec<&str> =
        learner.iter().copied().filter(|flag| *flag != "--tensorboard").collect();
    let done = place.train(without.leak(), "run", &["--resume"]).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let mut wanted = left_alone(learner);
    wanted.remove("events.out.tfevents.stitch");
    assert!(files(&place.path("run")) == wanted, "other bits, or events are left");
}

#[test]
fn other_validation_images_and_events_of_a_run_without_any_are_refused() {
    let place = Place::new();
    place.killed("run", 2);
    let resumed = |flags: &[&str]| {
        let flags = [flags, &["--resume"]].concat();
        place.train(LEARNERS[0], "run", &flags)
    };
    refused(&mut resumed(&["--val", "60"]), "val 60 instead of none");
    refused(&mut resumed(&["--tensorboard"]), "was started without TensorBoard events");
    ends_the_same(&place, LEARNERS[0], "run", &left_alone(LEARNERS[0]), "after the refusals");
}
