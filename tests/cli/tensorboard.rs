//! `--tensorboard`: TensorBoard's own reader finds in the file what the run's other files say.

use std::fs;

use stitch::run_folder::{EVENTS_FILE, TENSORBOARD};

use crate::{common, files_in, folder_with_data, stitch};

#[test]
fn tensorboards_reader_finds_what_the_other_files_say() {
    let folder = folder_with_data();
    for learner in [&["lenet5"][..], &["lenet5", "--fast"], &["mlp", "--val", "60"]] {
        let mut command = stitch(folder.path());
        command.arg("train").args(learner).args(["--data", "data", "--epochs", "3", "--force"]);
        command.args(["--batch-size", "100", "--threads", "1", "--tensorboard", "--out", "run"]);
        command.assert().code(0);
        let run = folder.path().join("run");
        let names: Vec<String> = files_in(&run.join(TENSORBOARD)).into_keys().collect();
        assert_eq!(names, ["events.out.tfevents.stitch"]);
        common::run_python("cli/tensorboard_reader.py", &[run.to_str().unwrap(), "100"]);
    }
}

#[test]
fn the_bits_of_the_run_are_those_without_events() {
    let folder = folder_with_data();
    let run = |out: &str, flags: &[&str]| {
        let mut command = stitch(folder.path());
        command.args(["train", "lenet5", "--data", "data", "--epochs", "1", "--threads", "1"]);
        command.args(flags).args(["--out", out]).assert().code(0);
        files_in(&folder.path().join(out))
    };
    let (with, without) = (run("with", &["--tensorboard"]), run("without", &[]));
    for file in ["config.json", "weights.safetensors", "predictions.csv"] {
        assert!(with[file] == without[file], "{file}");
    }
}

#[test]
fn with_force_the_events_of_an_earlier_run_go_with_it() {
    let folder = folder_with_data();
    let train = |flags: &[&str]| {
        let mut command = stitch(folder.path());
        command.args(["train", "mlp", "--data", "data", "--epochs", "1", "--out", "run"]);
        command.args(flags).assert()
    };
    train(&["--tensorboard"]).code(0);
    train(&["--tensorboard"]).code(2);
    // A training that diverges replaces nothing.
    let before = fs::read(folder.path().join("run").join(EVENTS_FILE)).unwrap();
    train(&["--tensorboard", "--force", "--lr", "1e300"]).code(1);
    let events = files_in(&folder.path().join("run").join(TENSORBOARD));
    assert_eq!(events.into_values().collect::<Vec<_>>(), [before]);
    train(&["--force"]).code(0);
    assert!(!folder.path().join("run").join(TENSORBOARD).exists());
}
