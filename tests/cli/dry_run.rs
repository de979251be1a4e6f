//! `--dry-run`: it says what would be done, does one step, and writes nothing.

use std::fs;
use std::path::Path;

use predicates::prelude::*;
use predicates::str::{contains, is_match};
use stitch::run_folder::HISTORY;

use crate::{
    cells, files_in, finished_run, folder_with_data, put, refused, stdout_of, stitch,
    temporary_folder, train,
};

/// The names of what is in a folder.
fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A row of the table of settings.
fn row(setting: &str, value: &str, source: &str) -> impl Predicate<str> + use<> {
    is_match(format!("│ {setting} *┆ *{value} ┆ *{source} │")).unwrap()
}

#[test]
fn it_shows_settings_data_steps_and_files_and_writes_nothing() {
    let folder = folder_with_data();
    for (learner, steps, lr) in [
        (&["lenet5"][..], "20 in total", "0.002"),
        (&["lenet5", "--fast"], "20 in total", "0.002"),
        (&["mlp"], "80 in total", "0.001"),
    ] {
        let mut command = stitch(folder.path());
        command.arg("train").args(learner).args(["--data", "data", "--batch-size", "70"]);
        command.args(["--val", "50", "--tensorboard", "--dry-run", "--out", "some/run"]);
        let assert = command.assert().code(0);
        let text = stdout_of(&assert);
        for part in [
            "data in data (--data)",
            "train-images-idx3-ubyte: not the official file, SHA-256 ",
            "250 training images, 50 held out, 100 test images",
            "4 steps per epoch, ",
            steps,
            "some/run contains no run",
            "history.csv",
            "best_weights.safetensors",
            "tensorboard/events.out.tfevents.stitch",
            "first step, 70 images: loss ",
            "nothing was written",
        ] {
            assert!(text.contains(part), "{learner:?}: no {part:?} in {text}");
        }
        for (setting, value, source) in [
            ("batch_size", "70", "command line"),
            ("lr", lr, "default"),
            ("val", "50", "command line"),
            ("patience", "off", "default"),
        ] {
            assert!(row(setting, value, source).eval(text), "no {setting} in {text}");
        }
        assert_eq!(entries(folder.path()), ["data"]);
    }
}

#[test]
fn its_step_is_the_first_of_the_run() {
    let folder = folder_with_data();
    for model in ["lenet5", "mlp"] {
        // A batch that is all there is: the loss of the step is that of the epoch.
        let flags = ["--batch-size", "300", "--out", "run", "--force"];
        let dry = train(folder.path(), model).args(flags).arg("--dry-run").assert().code(0);
        train(folder.path(), model).args(flags).assert().code(0);
        let history = cells(&files_in(&folder.path().join("run")), HISTORY);
        let loss: f64 = history[1][1].parse().unwrap();
        assert!(stdout_of(&dry).contains(&format!("loss {loss:.6}, ")), "{model}: {loss}");
    }
}

#[test]
fn with_a_configuration_it_says_which_settings_come_from_it() {
    let folder = folder_with_data();
    put(finished_run("mlp"), &folder.path().join("before"));
    let mut command = stitch(folder.path());
    command.args(["train", "--config", "before", "--data", "data", "--seed", "4", "--dry-run"]);
    let assert = command.assert().code(0);
    let text = stdout_of(&assert);
    for (setting, value, source) in
        [("model", "mlp", "--config"), ("epochs", "1", "--config"), ("seed", "4", "command line")]
    {
        assert!(row(setting, value, source).eval(text), "no {setting} in {text}");
    }
}

#[test]
fn what_the_run_would_refuse_it_refuses_with_the_same_code() {
    let folder = folder_with_data();
    let run = folder.path().join("run");
    put(finished_run("mlp"), &run);
    fs::write(folder.path().join("file"), "a file").unwrap();
    for (flags, parts) in [
        (&["--out", "run"][..], &["--out run", "contains another run", "--force"][..]),
        (&["--out", "file"], &["--out file", "cannot be written"]),
        (&["--out", "file/below"], &["--out file/below", "cannot be written"]),
        (&["--lr", "0"], &["--lr"]),
        (&["--val", "300"], &["--val is 300"]),
        (&["--val", "290"], &["of the 10 classes"]),
        (&["--resume"], &["--resume", "--dry-run"]),
    ] {
        let mut command = train(folder.path(), "mlp");
        refused(command.args(flags).arg("--dry-run"), 2, parts);
    }
    let mut missing = stitch(folder.path());
    missing.args(["train", "mlp", "--data", "nowhere", "--dry-run"]);
    refused(&mut missing, 2, &["--data", "nowhere"]);
    let mut forced = train(folder.path(), "mlp");
    let forced = forced.args(["--out", "run", "--force", "--dry-run"]).assert().code(0);
    forced.stdout(contains("run contains a run, which would be replaced"));
    assert!(files_in(&run) == *finished_run("mlp"), "the run was changed");
    assert_eq!(entries(folder.path()), ["data", "file", "run"]);
}

#[test]
fn a_folder_that_another_process_writes_is_refused() {
    let folder = folder_with_data();
    fs::create_dir(folder.path().join("run")).unwrap();
    let held = fs::File::open(folder.path().join("run")).unwrap();
    held.lock().unwrap();
    let mut command = train(folder.path(), "mlp");
    let parts = ["another process is writing a run there"];
    refused(command.args(["--out", "run", "--dry-run"]), 2, &parts);
    // Not dropped: a child that another test is starting holds a copy.
    held.unlock().unwrap();
}

#[test]
fn the_help_has_examples_of_all_of_it() {
    let folder = temporary_folder();
    let assert = stitch(folder.path()).args(["train", "--help"]).assert().code(0);
    for part in ["--config runs/long", "--val 5000 --patience 3 --tensorboard", "--dry-run"] {
        assert!(stdout_of(&assert).contains(part), "no {part:?}");
    }
}
