//! A fault at every call that changes the run folder.

use super::{LEARNERS, Learner, Place, calls_of, ends_the_same, left_alone, said};

/// Input/output error, no space, read-only file system: what disks say.
const ERRORS: [i32; 3] = [libc::EIO, libc::ENOSPC, libc::EROFS];

/// Kills and fails a run at every `stride`th call; returns how many faults there were.
pub fn faults(learner: Learner, stride: usize) -> usize {
    let wanted = left_alone(learner);
    let place = Place::new();
    let calls = calls_of(&place, learner);
    let mut faults = 0;
    for call in calls.iter().step_by(stride) {
        let case = format!("{learner:?}, call {} ({} {})", call.number, call.name, call.path);
        let out = format!("killed-{}", call.number);
        let killed = place.faulty(learner, &out, call.number, "kill").output().unwrap();
        assert_eq!(killed.status.code(), None, "{case}: {}", said(&killed));
        ends_the_same(&place, learner, &out, &wanted, &case);
        let out = format!("failed-{}", call.number);
        let error = ERRORS[call.number % ERRORS.len()].to_string();
        let failed = place.faulty(learner, &out, call.number, &error).output().unwrap();
        let sentence = said(&failed);
        assert_eq!(failed.status.code(), Some(2), "{case}: {sentence}");
        let line = sentence.lines().last().unwrap_or_default();
        assert!(line.starts_with("error: ") && line.contains("os error"), "{case}: {sentence}");
        ends_the_same(&place, learner, &out, &wanted, &case);
        faults += 2;
    }
    faults
}

#[test]
fn killed_or_failed_at_some_calls_lenet5_loses_nothing() {
    faults(LEARNERS[0], 23);
}

#[test]
fn killed_or_failed_at_some_calls_the_fast_engine_loses_nothing() {
    faults(LEARNERS[1], 47);
}

#[test]
fn killed_or_failed_at_some_calls_the_mlp_loses_nothing() {
    faults(LEARNERS[2], 47);
}

#[test]
fn ctrl_c_twice_within_any_write_leaves_no_half_written_file() {
    let place = Place::new();
    let wanted = left_alone(LEARNERS[0]);
    let calls = calls_of(&place, LEARNERS[0]);
    let writes = calls.iter().filter(|call| call.name == "write").step_by(3).take(3);
    for call in writes {
        let out = format!("interrupted-{}", call.number);
        let ended = place.faulty(LEARNERS[0], &out, call.number, "interrupt").output().unwrap();
        assert_eq!(ended.status.code(), Some(130), "{}", said(&ended));
        let entries = std::fs::read_dir(place.path(&out).join("checkpoints")).unwrap();
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(name.ends_with(".safetensors") && !name.starts_with('.'), "{name}");
        }
        ends_the_same(&place, LEARNERS[0], &out, &wanted, "interrupted twice");
    }
}

#[test]
fn every_file_is_on_the_disk_before_its_name_and_its_name_before_the_run_goes_on() {
    let place = Place::new();
    let calls = calls_of(&place, LEARNERS[0]);
    let mut renames = 0;
    for (i, call) in calls.iter().enumerate().filter(|(_, call)| call.name == "rename") {
        let (from, to) = call.path.split_once(' ').unwrap();
        let folder = std::path::Path::new(to).parent().unwrap().to_str().unwrap();
        let before: Vec<&str> =
            calls[..i].iter().filter(|call| call.path == from).map(|c| c.name.as_str()).collect();
        assert_eq!(before.first(), Some(&"open"), "{from}");
        assert_eq!(before.last(), Some(&"fsync"), "{from}: {before:?}");
        assert!(before[1..before.len() - 1].iter().all(|&call| call == "write"), "{before:?}");
        let after = &calls[i + 1];
        assert_eq!((after.name.as_str(), after.path.as_str()), ("fsync", folder), "after {to}");
        renames += 1;
    }
    // Thirteen files of the run, and a checkpoint after steps 2, 4, 5, 6, 8, 10 (twice), 12, 14, 15.
    assert_eq!(renames, 13 + 10);
}
