//! `stitch train`: its flags, its run folder, its progress, and how it fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use predicates::prelude::*;
use predicates::str::{contains, is_match};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stitch::dataset::source::OFFICIAL;
use stitch::dataset::{CLASSES, PIXELS, Split, classes};
use stitch::run_folder::{
    CLASSIFICATION_REPORT, CONFIG, CONFUSION_MATRIX, FILES, HISTORY, METRICS, PREDICTIONS,
};

use crate::{
    Files, TEST, TRAIN, cells, common, files_in, finished_run, folder_with_data, json, models, put,
    refused, stderr_of, stdout_of, stitch, temporary_folder, text, train,
};

const MODELS: [&str; 2] = ["mlp", "lenet5"];

/// `stitch train MODEL FLAGS`: exit code 2, each of `parts` on stderr, nothing written.
fn flags_are_refused(model: &str, flags: &[&str], parts: &[&str]) {
    let folder = temporary_folder();
    refused(stitch(folder.path()).args(["train", model]).args(flags), 2, parts);
    let entries = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(entries, 0, "{flags:?} left something behind");
}

/// The names of a run's files.
fn run_files() -> BTreeSet<String> {
    FILES.into_iter().map(str::to_owned).collect()
}

fn names(files: &Files) -> BTreeSet<String> {
    files.keys().cloned().collect()
}

#[test]
fn zero_epochs_are_refused() {
    flags_are_refused("mlp", &["--epochs", "0"], &["--epochs", "0", "at least 1"]);
}

#[test]
fn empty_batches_are_refused() {
    flags_are_refused("lenet5", &["--batch-size", "0"], &["--batch-size", "0", "at least 1"]);
}

#[test]
fn learning_rates_that_are_not_above_zero_are_refused() {
    flags_are_refused("mlp", &["--lr", "0"], &["--lr", "is 0", "above 0"]);
    flags_are_refused("lenet5", &["--lr", "-1"], &["--lr", "is -1", "above 0"]);
}

#[test]
fn learning_rates_that_are_not_finite_are_refused() {
    flags_are_refused("lenet5", &["--lr", "nan"], &["--lr", "is \"NaN\"", "number above 0"]);
    flags_are_refused("mlp", &["--lr", "inf"], &["--lr", "is \"inf\"", "number above 0"]);
}

#[test]
fn a_learning_rate_that_is_no_number_is_refused() {
    flags_are_refused("mlp", &["--lr", "fast"], &["--lr", "'fast'"]);
}

#[test]
fn zero_threads_are_refused() {
    flags_are_refused("mlp", &["--threads", "0"], &["--threads", "0", "from 1 to"]);
}

#[test]
fn a_seed_that_scikit_learn_refuses_is_refused_for_the_mlp() {
    let flags = ["--seed", "4294967296"];
    flags_are_refused("mlp", &flags, &["--seed", "4294967296", "0 to 4294967295"]);
}

#[test]
fn a_seed_beyond_64_bits_is_refused() {
    flags_are_refused("lenet5", &["--seed", "18446744073709551616"], &["--seed"]);
}

#[test]
fn a_negative_seed_is_refused_by_its_flags_name() {
    flags_are_refused("mlp", &["--seed", "-1"], &["--seed", "-1"]);
}

#[test]
fn a_negative_seed_behind_an_equals_sign_is_refused_by_its_flags_name() {
    flags_are_refused("lenet5", &["--seed=-1"], &["--seed", "-1"]);
}

#[test]
fn an_unknown_model_is_refused_with_the_known_ones() {
    flags_are_refused("resnet", &[], &["'resnet'", "mlp", "lenet5"]);
}

#[test]
fn an_unknown_device_is_refused_with_the_known_ones() {
    flags_are_refused("mlp", &["--device", "tpu"], &["--device", "'tpu'", "cpu, cuda or cuda:N"]);
    flags_are_refused("mlp", &["--device", "cuda:x"], &["--device", "'cuda:x'", "cuda:0"]);
}

#[test]
fn a_gpu_that_is_not_there_is_refused() {
    flags_are_refused("lenet5", &["--device", "cuda:99"], &["--device", "cuda:99", "Use cpu"]);
}

#[test]
fn the_fast_engine_is_refused_where_there_is_none() {
    let parts = ["--engine is fast", "eager or exact for mlp with these settings on the CPU"];
    flags_are_refused("mlp", &["--fast"], &parts);
    flags_are_refused("mlp", &["--engine", "fast"], &parts);
    flags_are_refused("lenet5", &["--fast", "--trace"], &["--trace", "--engine eager or exact"]);
}

#[test]
fn an_unknown_engine_is_refused_with_the_known_ones_and_so_are_two() {
    flags_are_refused("mlp", &["--engine", "exakt"], &["'exakt'", "eager, exact, fast", "'exact'"]);
    flags_are_refused("lenet5", &["--engine", "exact", "--fast"], &["--engine", "--fast"]);
    flags_are_refused("lenet5", &["--exact"], &["'--exact'"]);
}

#[test]
fn the_eager_engine_equals_the_exact_one() {
    for model in ["mlp", "lenet5"] {
        let folder = folder_with_data();
        for engine in ["eager", "exact"] {
            let mut command = train(folder.path(), model);
            command.args(["--engine", engine, "--out", engine]).assert().code(0);
            assert_eq!(json(&files_in(&folder.path().join(engine)), CONFIG)["engine"], engine);
        }
        // Bit for bit; the MLP within 1e-12, as it equals scikit-learn.
        let tolerance: &[&str] = if model == "mlp" { &["--atol", "1e-12"] } else { &[] };
        let mut parity = stitch(folder.path());
        parity.args(["parity", "eager", "exact"]).args(tolerance).assert().code(0);
    }
}

#[test]
fn a_run_of_the_fast_engine_says_so_and_learns_the_same() {
    let folder = folder_with_data();
    let mut command = train(folder.path(), "lenet5");
    command.args(["--fast", "--out", "run"]).assert().code(0);
    let (fast, exact) = (files_in(&folder.path().join("run")), finished_run("lenet5"));
    assert_eq!(json(&fast, CONFIG)["engine"], "fast");
    assert_ne!(fast["weights.safetensors"], exact["weights.safetensors"]);
    let loss = |run: &Files| number(&json(run, METRICS)["train_loss"]);
    assert!((loss(&fast) - loss(exact)).abs() < 1e-4, "{}, not {}", loss(&fast), loss(exact));
    put(exact, &folder.path().join("exact"));
    let mut parity = stitch(folder.path());
    parity.args(["parity", "exact", "run", "--verbose"]).assert().code(1).stdout(
        contains("reference exact (exact engine)")
            .and(contains("candidate run (fast engine)"))
            .and(contains("engine differs: exact in the reference, fast in the candidate")),
    );
}

#[test]
fn lenet5_takes_the_seeds_that_torch_takes() {
    let folder = folder_with_data();
    for seed in [4_294_967_296, u64::MAX] {
        let mut command = train(folder.path(), "lenet5");
        command.args(["--force", "--out", "run", "--seed", &seed.to_string()]).assert().code(0);
        assert_eq!(json(&files_in(&folder.path().join("run")), CONFIG)["seed"], seed);
    }
}

#[test]
fn a_run_folder_holds_exactly_the_files_of_a_run() {
    MODELS.iter().for_each(|model| assert_eq!(names(finished_run(model)), run_files()));
}

#[test]
fn without_a_folder_the_run_goes_to_the_models_own_below_runs() {
    let folder = folder_with_data();
    train(folder.path(), "mlp").assert().code(0).stdout(contains("written to runs/mlp"));
    assert_eq!(names(&files_in(&folder.path().join("runs/mlp"))), run_files());
}

#[test]
fn the_configuration_says_what_made_the_numbers() {
    let folder = folder_with_data();
    let sha256 = |file: &str| {
        let bytes = fs::read(folder.path().join("data").join(file)).unwrap();
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let sums: serde_json::Map<String, Value> =
        OFFICIAL.iter().map(|file| (file.name.into(), sha256(file.name).into())).collect();
    for (model, batch_size, lr) in [("mlp", 200, 1e-3), ("lenet5", 32, 2e-3)] {
        let mut config = json(finished_run(model), CONFIG);
        let libtorch = config["versions"]["libtorch"].take();
        assert!(is_match(r"^\d+\.\d+\.\d+$").unwrap().eval(libtorch.as_str().unwrap()));
        let capability = config["cpu_capability"].take();
        if cfg!(target_arch = "x86_64") {
            assert!(["DEFAULT", "AVX2", "AVX512"].contains(&capability.as_str().unwrap()));
        }
        let kernels = config["kernels_sha256"].take();
        assert!(is_match("^[0-9a-f]{64}$").unwrap().eval(kernels.as_str().unwrap()));
        let wanted = json!({
            "program": "stitch",
            "model": model,
            "epochs": 1,
            "batch_size": batch_size,
            "lr": lr,
            "seed": 0,
            "threads": 1,
            "device": "cpu",
            "engine": "exact",
            "cpu_capability": null,
            "kernels_sha256": null,
            "versions": {"stitch": env!("CARGO_PKG_VERSION"), "libtorch": null},
            "data": {"official": false, "sha256": sums},
        });
        assert_eq!(config, wanted);
    }
}

#[test]
fn the_configuration_holds_the_settings_that_were_given() {
    let folder = folder_with_data();
    let flags = ["--batch-size", "50", "--lr", "2e-3", "--seed", "3", "--threads", "2"];
    let mut command = stitch(folder.path());
    command.args(["train", "lenet5", "--data", "data", "--epochs", "2", "--out", "run"]);
    command.args(flags).assert().code(0);
    let config = json(&files_in(&folder.path().join("run")), CONFIG);
    let settings = ["epochs", "batch_size", "lr", "seed", "threads"].map(|key| config[key].clone());
    assert_eq!(settings, [json!(2), json!(50), json!(2e-3), json!(3), json!(2)]);
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn the_metrics_agree_with_the_predictions_and_the_history() {
    for model in MODELS {
        let run = finished_run(model);
        let metrics = json(run, METRICS);
        let right = cells(run, PREDICTIONS)[1..].iter().filter(|row| row[1] == row[2]).count();
        assert_eq!(number(&metrics["test_accuracy"]), right as f64 / TEST as f64);
        // Recall weighted by support is the accuracy.
        let recall = number(&metrics["weighted_avg"]["recall"]);
        assert!((recall - number(&metrics["test_accuracy"])).abs() < 1e-12, "{recall}");
        let history = cells(run, HISTORY);
        assert_eq!(number(&metrics["train_loss"]), history[1][1].parse::<f64>().unwrap());
        assert_eq!(metrics["epochs_run"], 1);
        assert_eq!(number(&metrics["train_seconds"]), history[1][3].parse::<f64>().unwrap());
        if cfg!(target_os = "linux") {
            assert!(metrics["peak_rss_bytes"].as_u64().unwrap() > (TRAIN * PIXELS) as u64);
        }
    }
}

#[test]
fn the_metrics_are_the_averages_of_the_classification_report() {
    for model in MODELS {
        let run = finished_run(model);
        let metrics = json(run, METRICS);
        let report = cells(run, CLASSIFICATION_REPORT);
        assert_eq!(report[0], ["", "precision", "recall", "f1-score", "support"]);
        let labels: Vec<&str> = report[1..].iter().map(|row| row[0].as_str()).collect();
        let averages = ["accuracy", "macro avg", "weighted avg"];
        assert_eq!(labels, [&classes::NAMES[..], &averages].concat());
        let row = |name: &str| report.iter().find(|row| row[0] == name).unwrap();
        let cell = |name: &str, column: usize| row(name)[column].parse::<f64>().unwrap();
        for (name, key) in [("macro avg", "macro_avg"), ("weighted avg", "weighted_avg")] {
            for (column, score) in [(1, "precision"), (2, "recall"), (3, "f1")] {
                assert_eq!(cell(name, column), number(&metrics[key][score]), "{name} {score}");
            }
            assert_eq!(cell(name, 4), TEST as f64);
        }
        assert_eq!(cell("accuracy", 1), number(&metrics["test_accuracy"]));
    }
}

#[test]
fn the_history_has_a_line_an_epoch() {
    let folder = folder_with_data();
    let mut command = stitch(folder.path());
    command.args(["train", "lenet5", "--data", "data", "--epochs", "3", "--out", "run"]);
    command.assert().code(0);
    let run = files_in(&folder.path().join("run"));
    let rows = cells(&run, HISTORY);
    assert_eq!(rows[0], ["epoch", "loss", "lr", "seconds"]);
    let epochs: Vec<&str> = rows[1..].iter().map(|row| row[0].as_str()).collect();
    assert_eq!(epochs, ["1", "2", "3"]);
    for row in &rows[1..] {
        let [loss, seconds] = [1, 3].map(|column| row[column].parse::<f64>().unwrap());
        assert!(loss.is_finite() && loss > 0.0 && seconds > 0.0, "{row:?}");
    }
    assert_eq!(json(&run, METRICS)["epochs_run"], 3);
}

#[test]
fn the_predictions_have_a_line_a_test_image() {
    for model in MODELS {
        let rows = cells(finished_run(model), PREDICTIONS);
        assert_eq!(rows[0], ["index", "y_true", "y_pred"]);
        assert_eq!(rows.len(), 1 + TEST);
        for (i, row) in rows[1..].iter().enumerate() {
            assert_eq!(row[..2], [i.to_string(), common::dataset().test.labels[i].to_string()]);
            assert!(row[2].parse::<usize>().unwrap() < CLASSES, "{row:?}");
        }
    }
}

#[test]
fn the_confusion_matrix_counts_the_predictions_under_the_classes_names() {
    for model in MODELS {
        let run = finished_run(model);
        let mut counts = [[0; CLASSES]; CLASSES];
        for row in &cells(run, PREDICTIONS)[1..] {
            counts[row[1].parse::<usize>().unwrap()][row[2].parse::<usize>().unwrap()] += 1;
        }
        let rows = cells(run, CONFUSION_MATRIX);
        assert_eq!(rows[0], [&[""], &classes::NAMES[..]].concat());
        assert_eq!(rows.len(), 1 + CLASSES);
        for ((row, name), counts) in rows[1..].iter().zip(classes::NAMES).zip(counts) {
            assert_eq!(row[0], name);
            assert_eq!(row[1..], counts.map(|count: u32| count.to_string()), "{name}");
        }
    }
}

#[test]
fn the_summary_ends_with_the_accuracy_and_the_folder() {
    let folder = folder_with_data();
    let assert = train(folder.path(), "mlp").args(["--out", "some/run"]).assert().code(0);
    let run = files_in(&folder.path().join("some/run"));
    let accuracy = number(&json(&run, METRICS)["test_accuracy"]);
    let last = stdout_of(&assert).lines().last().unwrap();
    assert!(last.starts_with(&format!("test accuracy {accuracy:.4}, ")), "{last}");
    assert!(last.ends_with("written to some/run"), "{last}");
}

#[test]
fn a_folder_that_holds_another_run_is_refused_and_left_as_it_is() {
    let folder = folder_with_data();
    let run = folder.path().join("run");
    put(finished_run("lenet5"), &run);
    let mut command = train(folder.path(), "mlp");
    refused(command.args(["--out", "run"]), 2, &["--out run", "contains another run", "--force"]);
    assert!(files_in(&run) == *finished_run("lenet5"), "the run was changed");
}

#[test]
fn a_folder_that_holds_a_part_of_a_run_is_refused_too() {
    let folder = folder_with_data();
    fs::create_dir(folder.path().join("run")).unwrap();
    fs::write(folder.path().join("run/state_dict.pt"), "weeks of work").unwrap();
    let mut command = train(folder.path(), "mlp");
    refused(command.args(["--out", "run"]), 2, &["--out run", "state_dict.pt", "--force"]);
    assert_eq!(fs::read(folder.path().join("run/state_dict.pt")).unwrap(), b"weeks of work");
}

#[test]
fn with_force_another_run_is_replaced_whole_and_the_users_own_files_stay() {
    let folder = folder_with_data();
    let run = folder.path().join("run");
    put(finished_run("lenet5"), &run);
    fs::write(run.join("notes.txt"), "mine").unwrap();
    train(folder.path(), "mlp").args(["--out", "run", "--force"]).assert().code(0);
    let mut files = files_in(&run);
    assert_eq!(files.remove("notes.txt").unwrap(), b"mine");
    assert_eq!(names(&files), run_files());
    assert_eq!(json(&files, CONFIG)["model"], "mlp");
    let kept = FILES.into_iter().filter(|&name| files[name] == finished_run("lenet5")[name]);
    assert_eq!(kept.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_folder_with_other_files_is_no_run_and_is_used() {
    let folder = folder_with_data();
    fs::create_dir(folder.path().join("run")).unwrap();
    fs::write(folder.path().join("run/notes.txt"), "mine").unwrap();
    train(folder.path(), "mlp").args(["--out", "run"]).assert().code(0);
    let mut files = files_in(&folder.path().join("run"));
    assert_eq!(files.remove("notes.txt").unwrap(), b"mine");
    assert_eq!(names(&files), run_files());
}

#[test]
fn a_file_in_place_of_the_run_folder_is_refused_before_the_training() {
    let folder = folder_with_data();
    fs::write(folder.path().join("run"), "a file").unwrap();
    let assert = train(folder.path(), "mlp").args(["--out", "run"]).assert().code(2).stdout("");
    assert
        .stderr(contains("--out run").and(contains("cannot be written")))
        .stderr(contains("epoch").not());
    assert_eq!(fs::read(folder.path().join("run")).unwrap(), b"a file");
}

#[test]
fn a_run_folder_below_a_file_is_refused_before_the_training() {
    let folder = folder_with_data();
    fs::write(folder.path().join("file"), "a file").unwrap();
    let assert =
        train(folder.path(), "mlp").args(["--out", "file/run"]).assert().code(2).stdout("");
    let sentence = contains("--out file/run").and(contains("cannot be written"));
    assert.stderr(sentence).stderr(contains("epoch").not());
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"a file");
}

/// What two runs of one command may differ in is taken out.
fn without_times_and_memory(mut run: Files) -> (Files, Vec<Vec<String>>, Value) {
    let mut history = cells(&run, HISTORY);
    history.iter_mut().for_each(|row| row.truncate(2));
    let mut metrics = json(&run, METRICS);
    for key in ["train_seconds", "peak_rss_bytes"] {
        assert!(metrics.as_object_mut().unwrap().remove(key).is_some(), "no {key}");
    }
    [HISTORY, METRICS].iter().for_each(|name| drop(run.remove(*name)));
    (run, history, metrics)
}

fn two_runs_are_equal(model: &str, flags: &[&str]) {
    let folder = folder_with_data();
    let run = |out: &str| {
        let mut command = stitch(folder.path());
        command.args(["train", model, "--data", "data", "--epochs", "2", "--threads", "2"]);
        command.args(flags).args(["--out", out]).assert().code(0);
        without_times_and_memory(files_in(&folder.path().join(out)))
    };
    let (first, second) = (run("first"), run("second"));
    assert_eq!(first.0.len(), FILES.len() - 2);
    let differing = first.0.iter().filter(|(name, bytes)| second.0[*name] != **bytes);
    assert_eq!(differing.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), [""; 0]);
    assert_eq!((first.1, first.2), (second.1, second.2));
}

#[test]
fn two_runs_of_the_mlp_are_equal_but_for_times_and_memory() {
    two_runs_are_equal("mlp", &[]);
}

#[test]
fn two_runs_of_lenet5_are_equal_but_for_times_and_memory() {
    two_runs_are_equal("lenet5", &[]);
}

#[test]
fn two_runs_of_the_fast_engine_are_equal_but_for_times_and_memory() {
    two_runs_are_equal("lenet5", &["--fast", "--batch-size", "33"]);
}

#[test]
fn another_seed_gives_other_weights() {
    for model in MODELS {
        let folder = folder_with_data();
        train(folder.path(), model).args(["--seed", "1", "--out", "run"]).assert().code(0);
        let run = files_in(&folder.path().join("run"));
        assert!(
            run["weights.safetensors"] != finished_run(model)["weights.safetensors"],
            "{model}"
        );
    }
}

#[test]
fn quiet_means_nothing_on_stderr_and_the_result_on_stdout() {
    let folder = folder_with_data();
    let mut command = train(folder.path(), "mlp");
    let assert = command.args(["--out", "run", "--quiet"]).assert().code(0).stderr("");
    assert.stdout(contains("test accuracy"));
}

#[test]
fn without_a_terminal_progress_is_a_plain_line_an_epoch() {
    let folder = folder_with_data();
    let mut command = stitch(folder.path());
    command.args(["train", "lenet5", "--data", "data", "--epochs", "2", "--out", "run"]);
    let assert = command.assert().code(0).stdout(contains("epoch 1/2").not());
    let stderr = stderr_of(&assert);
    assert!(!stderr.contains(['\r', '\x1b']), "{stderr:?}");
    let lines: Vec<&str> = stderr.lines().filter(|line| line.contains("epoch")).collect();
    assert_eq!(lines.len(), 2, "{stderr}");
    assert!(lines[0].starts_with("lenet5 epoch 1/2: loss "), "{stderr}");
    assert!(lines[1].starts_with("lenet5 epoch 2/2: loss "), "{stderr}");
}

#[test]
fn training_on_another_data_set_is_noted() {
    let folder = folder_with_data();
    let assert = train(folder.path(), "mlp").args(["--out", "run"]).assert().code(0);
    assert.stderr(contains("data is not Fashion-MNIST"));
}

/// A training that diverges: exit code 1, each of `parts` on stderr, no run.
fn diverges(model: &str, flags: &[&str], parts: &[&str]) {
    let folder = folder_with_data();
    let mut command = train(folder.path(), model);
    let parts = [&["training diverged: ", "--lr"], parts].concat();
    refused(command.args(["--out", "run"]).args(flags), 1, &parts);
    assert_eq!(names(&files_in(&folder.path().join("run"))), BTreeSet::new());
}

#[test]
fn a_loss_that_is_not_finite_ends_the_training_with_its_place() {
    let parts = ["the loss became ", "epoch 1, step 2"];
    diverges("lenet5", &["--lr", "1e30"], &parts);
    diverges("mlp", &["--lr", "1e300"], &parts);
}

#[test]
fn weights_that_are_not_finite_after_the_last_step_are_no_result() {
    let parts = ["not finite", "after epoch 1, step 1"];
    diverges("lenet5", &["--lr", "1e39", "--batch-size", "300"], &parts);
}

#[test]
fn a_diverged_training_does_not_replace_an_earlier_run() {
    let folder = folder_with_data();
    let run = folder.path().join("run");
    put(finished_run("lenet5"), &run);
    let mut command = train(folder.path(), "lenet5");
    command.args(["--out", "run", "--force", "--lr", "1e30"]).assert().code(1);
    assert!(files_in(&run) == *finished_run("lenet5"), "the run was changed");
}

#[test]
fn batches_larger_than_the_data_hold_all_of_it() {
    for model in MODELS {
        let folder = folder_with_data();
        for (out, size) in [("larger", "100000"), ("equal", "300")] {
            let mut command = train(folder.path(), model);
            command.args(["--batch-size", size, "--out", out]).assert().code(0);
        }
        let weights = |out: &str| files_in(&folder.path().join(out))["weights.safetensors"].clone();
        assert!(weights("larger") == weights("equal"), "{model}");
    }
}

/// The cut training images without those of class 9.
fn without_a_class() -> Split {
    let all = common::first(&common::dataset().train, TRAIN);
    let kept: Vec<u32> = (0..TRAIN as u32).filter(|&i| all.labels[i as usize] != 9).collect();
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    all.gather(&kept, &mut images, &mut labels);
    Split::new(images, labels)
}

fn folder_without_a_class() -> tempfile::TempDir {
    let folder = temporary_folder();
    let test = common::first(&common::dataset().test, TEST);
    common::write_dataset(&folder.path().join("data"), &without_a_class(), &test);
    folder
}

#[test]
fn training_images_that_lack_a_class_are_refused_for_the_mlp() {
    let folder = folder_without_a_class();
    let mut command = train(folder.path(), "mlp");
    refused(command.args(["--out", "run"]), 2, &["9 of the 10 classes", "MLPClassifier"]);
    assert_eq!(names(&files_in(&folder.path().join("run"))), BTreeSet::new());
}

#[test]
fn training_images_that_lack_a_class_are_taken_by_lenet5_as_by_pytorch() {
    let folder = folder_without_a_class();
    train(folder.path(), "lenet5").args(["--out", "run"]).assert().code(0);
    assert_eq!(names(&files_in(&folder.path().join("run"))), run_files());
}

#[test]
fn nothing_hidden_is_left_in_the_folders() {
    let folder = folder_with_data();
    train(folder.path(), "mlp").args(["--out", "runs/one"]).assert().code(0);
    let entries = |path: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(entries(folder.path()), ["data", "runs"].map(String::from).into());
    assert_eq!(entries(&folder.path().join("runs")), ["one".to_owned()].into());
    assert_eq!(entries(&folder.path().join("runs/one")), run_files());
}

#[test]
fn the_text_files_end_with_a_line_feed_and_hold_no_carriage_return() {
    let run = finished_run("mlp");
    for name in [CONFIG, HISTORY, METRICS, PREDICTIONS, CONFUSION_MATRIX, CLASSIFICATION_REPORT] {
        let content = text(run, name);
        assert!(content.ends_with('\n') && !content.contains('\r'), "{name}");
    }
}

#[test]
fn help_gives_the_defaults_and_says_what_the_notebook_leaves_open() {
    let folder = temporary_folder();
    let assert = stitch(folder.path()).args(["train", "--help"]).assert().code(0).stderr("");
    // Lines are broken to the terminal's width.
    let help = stdout_of(&assert).split_whitespace().collect::<Vec<_>>().join(" ");
    let defaults = |shown: fn(&Value) -> String| {
        let of = |model: &Value| {
            format!("{} {}", model["name"].as_str().unwrap(), shown(&model["defaults"]))
        };
        format!("[default: {}", models().iter().map(of).collect::<Vec<_>>().join(", "))
    };
    for sentence in [
        &format!("{}]", defaults(|it| it["epochs"].to_string())),
        &defaults(|it| it["batch_size"].to_string()),
        &defaults(|it| format!("{:e}", it["lr"].as_f64().unwrap())),
        "mlp 20, lenet5 5",
        "mlp 200, lenet5 32",
        "mlp 1e-3, lenet5 2e-3",
        "[default: 0; not given in the notebook for lenet5]",
        "[default: runs/<model>]",
        "[default: cpu]",
        "but no batch size, learning rate or seed",
        "docs/study.md says how the defaults were chosen",
    ] {
        assert!(help.contains(sentence), "no {sentence:?} in:\n{help}");
    }
}

/// Trains for ever in `folder`, sends a signal in the second epoch, and returns the exit code and the lines of stderr
/// from then on.
#[cfg(unix)]
fn interrupted(folder: &Path, flags: &[&str], signal: &str) -> (Option<i32>, Vec<String>) {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let mut child = Command::new(env!("CARGO_BIN_EXE_stitch"))
        .current_dir(folder)
        .args(["train", "lenet5", "--epochs", "100000", "--data", "data", "--out", "run"])
        .args(flags)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    // The second epoch is told of when the first one's checkpoint is handed over.
    assert!(lines.any(|line| line.contains("epoch 2/100000")), "no epoch was told");
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    (child.wait().unwrap().code(), lines.collect())
}

#[cfg(unix)]
#[test]
fn a_traced_run_that_does_not_end_leaves_its_trace_truncated() {
    let folder = folder_with_data();
    let part = folder.path().join("run/trace.part");
    let note = "note: the truncated trace is in run/trace.part".to_owned();
    for (signal, is_told) in [("-KILL", false), ("-INT", true)] {
        let (_, lines) = interrupted(folder.path(), &["--engine", "eager", "--trace"], signal);
        assert_eq!(lines.contains(&note), is_told, "{signal}: {lines:?}");
        assert!(files_in(&folder.path().join("run")).is_empty(), "files were left");
        let mut parity = stitch(folder.path());
        let incomplete = predicates::str::starts_with("PARITY: INCOMPLETE (a trace is truncated; ");
        let sides = ["parity", "run/trace.part", "run/trace.part"];
        parity.args(sides).assert().code(1).stdout(incomplete);
    }
    // A run that ends puts its trace in its place, or removes that of another one.
    for (flag, traced) in [("--trace", true), ("--force", false)] {
        fs::create_dir_all(&part).unwrap();
        fs::write(part.join("trace.jsonl"), "").unwrap();
        let train = ["train", "lenet5", "--epochs", "1", "--data", "data", "--out", "run"];
        stitch(folder.path()).args(train).arg(flag).assert().code(0);
        assert!(!part.exists());
        assert_eq!(folder.path().join("run/trace/trace.bin").exists(), traced);
    }
}

#[cfg(unix)]
#[test]
fn signals_end_the_training_with_their_code_and_a_way_to_continue() {
    let ended = |signal: &str, flags: &[&str], code: i32, sentence: &str| {
        let folder = folder_with_data();
        let (exit, lines) = interrupted(folder.path(), flags, signal);
        assert_eq!(exit, Some(code));
        let last = lines.last().unwrap();
        assert!(last.ends_with(sentence) && !last.contains("stitch-engine"), "{last}");
        assert!(files_in(&folder.path().join("run")).is_empty(), "files were left");
        files_in(&folder.path().join("run/checkpoints")).len()
    };
    assert_eq!(ended("-INT", &[], 130, "--out run --resume"), 2);
    assert_eq!(ended("-TERM", &[], 143, "--out run --resume"), 2);
    assert_eq!(ended("-INT", &["--checkpoint-every", "off"], 130, "no checkpoint was written"), 0);
}

#[test]
fn the_engines_of_the_mlp_differ_by_rounding_at_most() {
    let folder = folder_with_data();
    for (engine, out) in [("eager", "eager"), ("exact", "exact"), ("exact", "again")] {
        let mut command = train(folder.path(), "mlp");
        command.args(["--engine", engine, "--batch-size", "33", "--out", out]).assert().success();
    }
    let verdict = |other: &str, expected: &str| {
        let mut parity = stitch(folder.path());
        parity.args(["parity", "exact", other]).assert().code(0).stdout(contains(expected));
    };
    verdict("eager", "PARITY: EQUAL within tolerance");
    verdict("again", "PARITY: EQUAL (bit for bit)");
}
