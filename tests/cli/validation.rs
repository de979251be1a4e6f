//! `--val` and `--patience`: which images are held out, what is said of them, which weights are kept.

use stitch::run_folder::{
    BEST_SAFETENSORS, BEST_STATE_DICT, CONFIG, FILES, HISTORY, METRICS, VALIDATION_FILES,
};
use tempfile::TempDir;

use crate::{
    Files, TEST, TRAIN, cells, common, files_in, finished_run, folder_with_data, json, refused,
    stderr_of, stdout_of, stitch, train,
};

/// A model and its engine.
const LEARNERS: [&[&str]; 3] = [&["lenet5"], &["lenet5", "--fast"], &["mlp"]];
/// Images held out in these tests.
const VAL: usize = 60;

/// A folder with the cut data set in `data`, and in `shorter` the same without the last [`VAL`] training
/// images.
fn folder_with_both() -> TempDir {
    let folder = folder_with_data();
    common::small_dataset(&folder.path().join("shorter"), TRAIN - VAL, TEST);
    folder
}

/// `stitch train LEARNER --data DATA --threads 1 --batch-size 60 MORE --out OUT`, and the files.
fn run(folder: &TempDir, learner: &[&str], data: &str, more: &[&str], out: &str) -> Files {
    let mut command = stitch(folder.path());
    command.arg("train").args(learner).args(["--data", data, "--threads", "1"]);
    command.args(["--batch-size", "60", "--out", out, "--force"]).args(more);
    command.assert().code(0);
    files_in(&folder.path().join(out))
}

fn column(files: &Files, name: &str) -> Vec<f64> {
    let rows = cells(files, HISTORY);
    let at = rows[0].iter().position(|cell| cell == name).unwrap();
    rows[1..].iter().map(|row| row[at].parse().unwrap()).collect()
}

#[test]
fn the_run_has_the_bits_of_one_on_files_without_the_held_out_images() {
    let folder = folder_with_both();
    for learner in LEARNERS {
        let shorter = run(&folder, learner, "shorter", &["--epochs", "2"], "run");
        let held_out = run(&folder, learner, "data", &["--epochs", "2", "--val", "60"], "run");
        for file in ["state_dict.pt", "torchscript.pt", "predictions.csv"] {
            assert!(shorter[file] == held_out[file], "{learner:?}: {file}");
        }
        assert_eq!(column(&shorter, "loss"), column(&held_out, "loss"), "{learner:?}");
    }
}

#[test]
fn without_the_flags_nothing_of_them_is_in_the_files() {
    for model in ["mlp", "lenet5"] {
        let files = finished_run(model);
        assert_eq!(cells(files, HISTORY)[0], ["epoch", "loss", "lr", "seconds"]);
        for file in [CONFIG, METRICS] {
            for key in ["val", "patience", "validation"] {
                assert!(json(files, file).get(key).is_none(), "{file}: {key}");
            }
        }
        assert!(VALIDATION_FILES.iter().all(|file| !files.contains_key(*file)));
    }
}

#[test]
fn history_metrics_and_configuration_agree_on_the_held_out_images() {
    let folder = folder_with_data();
    for learner in LEARNERS {
        let files = run(&folder, learner, "data", &["--epochs", "3", "--val", "60"], "run");
        let header = ["epoch", "loss", "lr", "seconds", "val_loss", "val_accuracy"];
        assert_eq!(cells(&files, HISTORY)[0], header);
        let (losses, accuracies) = (column(&files, "val_loss"), column(&files, "val_accuracy"));
        assert_eq!(losses.len(), 3);
        let validation = &json(&files, METRICS)["validation"];
        let number = |key: &str| validation[key].as_f64().unwrap();
        assert_eq!(validation["images"], VAL);
        assert_eq!([number("loss"), number("accuracy")], [losses[2], accuracies[2]]);
        let lowest = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let best = losses.iter().position(|&loss| loss == lowest).unwrap();
        assert_eq!(validation["best_epoch"], best + 1);
        assert_eq!([number("best_loss"), number("best_accuracy")], [lowest, accuracies[best]]);
        let config = json(&files, CONFIG);
        assert_eq!(config["val"], VAL);
        assert!(config.get("patience").is_none());
    }
}

#[test]
fn loss_and_accuracy_are_pytorchs_on_the_last_images_and_the_best_weights_are_kept() {
    let folder = folder_with_data();
    // The validation loss rises in the end: the best weights are not the last ones.
    for (model, lr, epochs) in [("lenet5", "0.03", "2"), ("mlp", "0.1", "3")] {
        let flags = ["--epochs", epochs, "--val", "60", "--lr", lr];
        let files = run(&folder, &[model], "data", &flags, "run");
        assert_eq!(files.len(), FILES.len() + VALIDATION_FILES.len());
        assert!(files[BEST_STATE_DICT] != files["state_dict.pt"], "{model}");
        assert!(files[BEST_SAFETENSORS] != files["weights.safetensors"], "{model}");
        let [run, data] = ["run", "data"].map(|name| folder.path().join(name));
        common::run_python(
            "cli/validation.py",
            &[model, run.to_str().unwrap(), data.to_str().unwrap()],
        );
        let mut evaluate = stitch(folder.path());
        evaluate.args(["evaluate", "run/best_weights.safetensors", "--data", "data"]);
        let evaluated = evaluate.assert().code(0);
        let accuracy = &json(&files, METRICS)["validation"]["best_test_accuracy"];
        let wanted = format!("test accuracy {:.4}", accuracy.as_f64().unwrap());
        assert!(stdout_of(&evaluated).contains(&wanted), "{model}: no {wanted}");
    }
}

#[test]
fn patience_ends_the_run_after_that_many_epochs_without_a_lower_loss() {
    let folder = folder_with_data();
    for (learner, lr) in [(LEARNERS[0], "0.03"), (LEARNERS[1], "0.03"), (LEARNERS[2], "0.1")] {
        for patience in [1, 2] {
            let number = patience.to_string();
            let mut command = stitch(folder.path());
            command.arg("train").args(learner).args(["--data", "data", "--threads", "1"]);
            command.args(["--batch-size", "60", "--epochs", "60", "--lr", lr, "--val", "60"]);
            command.args(["--patience", &number, "--out", "run", "--force"]);
            let assert = command.assert().code(0);
            let files = files_in(&folder.path().join("run"));
            let losses = column(&files, "val_loss");
            let mut best = 0;
            for (i, loss) in losses.iter().enumerate() {
                assert!(i - best <= patience, "{learner:?}: {losses:?}, {patience}");
                best = if *loss < losses[best] { i } else { best };
            }
            assert_eq!(losses.len() - 1 - best, patience, "{learner:?}: {losses:?}");
            assert!(losses.len() < 60, "{learner:?}");
            let said = format!("improved for {patience} epochs since epoch {}", best + 1);
            assert!(stderr_of(&assert).contains(&said), "{}", stderr_of(&assert));
            assert_eq!(json(&files, CONFIG)["patience"], patience);
            assert_eq!(json(&files, METRICS)["epochs_run"], losses.len());
        }
    }
}

#[test]
fn impossible_numbers_are_refused_by_their_flags_names() {
    let folder = folder_with_data();
    for (flags, parts) in [
        (&["--val", "0"][..], &["--val", "at least 1"][..]),
        (&["--val", "-1"], &["--val", "'-1'"]),
        (&["--val", "300"], &["--val is 300", "300 training images"]),
        (&["--val", "99999999999999999999"], &["--val"]),
        (&["--val", "10", "--patience", "0"], &["--patience", "at least 1"]),
        (&["--patience", "3"], &["--patience is 3", "set val too"]),
        (&["--val", "off", "--patience", "3"], &["--patience is 3", "set val too"]),
        (&["--val", "some"], &["--val", "'some'", "off"]),
    ] {
        refused(train(folder.path(), "lenet5").args(flags).args(["--out", "run"]), 2, parts);
        assert!(files_in(&folder.path().join("run")).is_empty(), "{flags:?}");
    }
    // Of the ten that are left to learn from, not every class is one.
    let mut few = train(folder.path(), "mlp");
    refused(few.args(["--val", "290", "--out", "run"]), 2, &["of the 10 classes"]);
}

#[test]
fn a_traced_run_traces_what_it_learns_from() {
    let folder = folder_with_both();
    run(&folder, &["mlp"], "shorter", &["--epochs", "1", "--trace"], "one");
    run(&folder, &["mlp"], "data", &["--epochs", "1", "--trace", "--val", "60"], "two");
    let mut parity = stitch(folder.path());
    parity.args(["parity", "one/trace", "two/trace"]).assert().code(0);
    let settings = stitch(folder.path()).args(["parity", "one", "two"]).assert();
    let said = "val differs: none in the reference, 60 in the candidate";
    assert!(stdout_of(&settings).contains(said), "{}", stdout_of(&settings));
}
