//! Whole trainings: `stitch train` and `notebook.py` as processes with the same flags.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use stitch::tensor_files::read_weights;

use super::{assert_equal, assert_within, common, values};

/// scikit-learn's BLAS sums in another order than libtorch's: measured 2.7e-15 after 6,000 steps.
const MLP_TOLERANCE: f64 = 1e-12;

/// Trainings of several threads each take turns: together they would wait for each other's cores.
static TURN: Mutex<()> = Mutex::new(());

/// Runs both sides with `flags` into two folders and returns these.
fn train_both(flags: &str, data: &Path) -> [tempfile::TempDir; 2] {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [notebook, port] = folders.each_ref().map(|folder| folder.path().to_str().unwrap());
    let words: Vec<&str> = flags.split(' ').collect();
    let (model, flags) = words.split_first().unwrap();
    let data = data.to_str().unwrap();
    let reference = [&["--model", model, "--data", data, "--out", notebook], flags].concat();
    common::run_python("reference/notebook.py", &reference);
    common::stitch(folders[1].path())
        .args(["train", model, "--data", data, "--out", port])
        .args(flags)
        .assert()
        .success();
    folders
}

fn read(folder: &tempfile::TempDir, file: &str) -> String {
    fs::read_to_string(folder.path().join(file)).unwrap()
}

/// A column of history.csv.
fn column(folder: &tempfile::TempDir, name: &str) -> Vec<f64> {
    let history = read(folder, "history.csv");
    let mut lines = history.lines().map(|line| line.split(','));
    let position = lines.next().unwrap().position(|column| column == name).unwrap();
    lines.map(|mut line| line.nth(position).unwrap().parse().unwrap()).collect()
}

fn losses(folder: &tempfile::TempDir) -> Vec<f64> {
    column(folder, "loss")
}

/// Weights and losses within `tolerance`, answers and scores equal to the last byte.
fn assert_runs_equal(flags: &str, data: &Path, tolerance: f64) {
    let folders = train_both(flags, data);
    let [expected, actual] = folders.each_ref().map(|folder| {
        read_weights(&fs::read(folder.path().join("weights.safetensors")).unwrap()).unwrap()
    });
    assert_eq!(expected.len(), actual.len(), "{flags}");
    for (expected, actual) in expected.iter().zip(&actual) {
        let what = format!("{flags}: {}", expected.name);
        assert_eq!(expected.name, actual.name, "{flags}");
        assert_within(&what, &values(expected), &values(actual), tolerance);
    }
    let [expected, actual] = folders.each_ref().map(losses);
    assert_within(&format!("{flags}: losses"), &expected, &actual, tolerance);
    let [expected, actual] = folders.each_ref().map(|folder| column(folder, "lr"));
    assert_equal(&format!("{flags}: learning rates"), &expected, &actual);
    for file in ["predictions.csv", "confusion_matrix.csv", "classification_report.csv"] {
        assert_eq!(read(&folders[0], file), read(&folders[1], file), "{flags}: {file}");
    }
    let accuracy = |folder| -> serde_json::Value {
        let metrics: serde_json::Value =
            serde_json::from_str(&read(folder, "metrics.json")).unwrap();
        metrics["test_accuracy"].clone()
    };
    assert_eq!(accuracy(&folders[0]), accuracy(&folders[1]), "{flags}: accuracy");
}

#[test]
fn short_lenet5_trainings_have_the_notebooks_bits() {
    let folder = tempfile::tempdir().unwrap();
    // 1025 is a multiple of 64 and one over: the last batch holds one image.
    common::small_dataset(folder.path(), 1025, 300);
    for flags in [
        "lenet5 --epochs 2 --seed 0 --batch-size 64 --threads 1",
        "lenet5 --epochs 2 --seed 0 --batch-size 64 --threads 2",
        "lenet5 --epochs 1 --seed 1 --batch-size 1 --threads 2",
        "lenet5 --epochs 3 --seed 2 --batch-size 5000 --threads 2",
        "lenet5 --epochs 2 --seed 18446744073709551615 --batch-size 37 --lr 0.01 --threads 1",
        "lenet5 --epochs 2 --seed 3 --batch-size 512 --lr 0.002 --threads 2",
        "lenet5 --epochs 1 --seed 4 --batch-size 100 --threads 3",
    ] {
        assert_runs_equal(flags, folder.path(), 0.0);
    }
}

/// Settings that every option takes part in.
const ALL_OPTIONS: &str = "--batch-norm on --dropout 0.3 --augment crop:3,flip,erase:0.5 --optimizer adamw \
                           --weight-decay 0.05 --label-smoothing 0.1 --lr-schedule onecycle";

#[test]
fn trainings_with_options_have_the_notebooks_bits() {
    let folder = tempfile::tempdir().unwrap();
    common::small_dataset(folder.path(), 1025, 300);
    let shipped = common::root().join("models/deepcnn/state_dict.pt");
    let shipped = shipped.to_str().unwrap();
    let settings = ["--seed 0 --batch-size 37 --threads 1", "--seed 1 --batch-size 64 --threads 2"];
    for (i, options) in [
        "lenet5 --batch-norm on",
        "lenet5 --dropout 0.3",
        "lenet5 --augment crop,flip,erase:0.5",
        "lenet5 --optimizer adamw --lr-schedule cosine",
        "lenet5 --optimizer sgd --momentum 0.9 --nesterov --weight-decay 0.001 --lr 0.01 --lr-schedule step:1,0.5",
        "lenet5 --label-smoothing 0.1 --weight-decay 0.01",
        "lenet5 --normalize 0.2860,0.3530 --loss nll --lr 0.0001",
        "lenet5 --shuffle off --drop-last --lr-schedule onecycle",
        "lenet5 --optimizer adadelta --lr 1 --weight-decay 0.001",
        "lenet5 --optimizer rmsprop --lr 0.001",
        "deepcnn --optimizer rmsprop --momentum 0.9 --lr 0.0001 --normalize 0.5,0.25 --augment crop,flip,erase:0.5",
        "deepcnn --optimizer adadelta --lr 0.5 --drop-last --loss nll",
        &format!("deepcnn --init {shipped} --optimizer rmsprop --lr-schedule onecycle --lr 0.001"),
        &format!("lenet5 --init {}", shipped.replace("deepcnn", "lenet5")),
        &format!("lenet5 {ALL_OPTIONS}"),
        "deepcnn --batch-norm off --dropout 0",
        "deepcnn",
        &format!("deepcnn {ALL_OPTIONS}"),
    ]
    .into_iter()
    .enumerate()
    {
        let flags = format!("{options} --epochs 2 {}", settings[i % settings.len()]);
        assert_runs_equal(&flags, folder.path(), 0.0);
    }
}

#[test]
fn an_epoch_of_lenet5_on_the_whole_data_has_the_notebooks_bits() {
    let data = &common::dataset().origin.found.directory;
    let data = common::root().join(data);
    assert_runs_equal("lenet5 --epochs 1 --seed 0 --threads 2", &data, 0.0);
}

#[test]
fn short_mlp_trainings_have_the_notebooks_numbers() {
    let folder = tempfile::tempdir().unwrap();
    common::small_dataset(folder.path(), 1001, 300);
    for flags in [
        "mlp --epochs 5 --seed 0 --batch-size 200 --threads 1",
        "mlp --epochs 5 --seed 1 --batch-size 100 --threads 2",
        "mlp --epochs 2 --seed 4294967295 --batch-size 1 --threads 2",
        "mlp --epochs 5 --seed 2 --batch-size 5000 --threads 2",
        // Small steps, then none that helps by 1e-4: the stopping rule ends it.
        "mlp --epochs 400 --seed 3 --batch-size 1001 --lr 0.00001 --threads 2",
    ] {
        assert_runs_equal(flags, folder.path(), MLP_TOLERANCE);
    }
}

#[test]
fn the_whole_mlp_training_has_the_notebooks_numbers() {
    let data = common::root().join(&common::dataset().origin.found.directory);
    assert_runs_equal("mlp --seed 0", &data, MLP_TOLERANCE);
}

#[test]
fn the_stopping_rule_ends_the_port_where_it_ends_scikit_learn() {
    let folder = tempfile::tempdir().unwrap();
    common::small_dataset(folder.path(), 500, 100);
    let flags = "mlp --epochs 60 --seed 0 --lr 0.0000001 --threads 1";
    let folders = train_both(flags, folder.path());
    let [expected, actual] = folders.each_ref().map(losses);
    assert!(expected.len() < 60, "scikit-learn ran all epochs: the case tests nothing");
    assert_equal("epochs", &[expected.len() as f64], &[actual.len() as f64]);
}
