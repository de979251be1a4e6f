//! `--config`: a run is repeated to the same bits, flags go before it, and a hostile file is refused.

use std::fs;
use std::process::Command as Plain;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use stitch::run_folder::CONFIG;

use crate::{
    common, files_in, finished_run, folder_with_data, json, put, refused, stderr_of, stitch,
    temporary_folder,
};

/// A run's `config.json`, changed.
fn changed(change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut config = json(finished_run("lenet5"), CONFIG);
    change(&mut config);
    serde_json::to_vec_pretty(&config).unwrap()
}

/// The same with another value under a key.
fn with(key: &str, value: Value) -> Vec<u8> {
    changed(|config| config[key] = value.clone())
}

/// The same without a key.
fn without(key: &str) -> Vec<u8> {
    changed(|config| drop(config.as_object_mut().unwrap().remove(key)))
}

#[test]
fn every_kind_of_run_is_repeated_to_the_same_bits_and_the_same_configuration() {
    let folder = folder_with_data();
    let runs: [&[&str]; 7] = [
        &[
            "lenet5",
            "--epochs",
            "2",
            "--loss",
            "nll",
            "--normalize",
            "0.286,0.353",
            "--shuffle",
            "off",
            "--drop-last",
            "--optimizer",
            "rmsprop",
            "--lr",
            "0.0001",
        ],
        &["mlp", "--epochs", "2", "--seed", "7", "--lr", "3e-3", "--batch-size", "33"],
        &["lenet5", "--epochs", "2", "--seed", "18446744073709551615", "--lr", "0.0017"],
        &["lenet5", "--epochs", "2", "--fast", "--threads", "2"],
        &["deepcnn", "--epochs", "2", "--batch-norm", "off", "--augment", "erase,flip:0.3,crop:0"],
        &[
            "lenet5",
            "--epochs",
            "3",
            "--optimizer",
            "sgd",
            "--momentum",
            "0.9",
            "--nesterov",
            "--lr-schedule",
            "step:2,0.1",
        ],
        &["mlp", "--epochs", "9", "--val", "60", "--patience", "1", "--lr", "0.1"],
    ];
    for flags in runs {
        let train = |flags: &[&str], out: &str| {
            let mut command = stitch(folder.path());
            command.arg("train").args(flags).args(["--data", "data", "--force", "--out", out]);
            command.assert().code(0);
            files_in(&folder.path().join(out))
        };
        let first = train(flags, "first");
        let again = train(&["--config", "first"], "again");
        assert_eq!(first.len(), again.len());
        for file in ["config.json", "state_dict.pt", "weights.safetensors", "predictions.csv"] {
            assert!(again[file] == first[file], "{flags:?}: {file}");
        }
    }
}

#[test]
fn a_run_of_the_notebook_is_repeated_too() {
    let folder = folder_with_data();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut notebook = Plain::new(common::python());
    notebook.arg(common::root().join("tests/reference/notebook.py"));
    notebook.args(["--model", "lenet5", "--epochs", "1", "--threads", "1", "--seed", "5"]);
    notebook.args(["--batch-size", "50", "--data", &path("data"), "--out", &path("original")]);
    assert!(notebook.output().unwrap().status.success());
    let mut command = stitch(folder.path());
    command.args(["train", "--config", "original/config.json", "--data", "data", "--out", "port"]);
    command.assert().code(0);
    let mut parity = stitch(folder.path());
    parity.args(["parity", "original", "port"]).assert().code(0).stdout(contains("bit for bit"));
}

#[test]
fn a_training_without_avx512_has_the_notebooks_bits() {
    let folder = folder_with_data();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let settings = ["--batch-size", "37", "--epochs", "2", "--seed", "3", "--threads", "2"];
    let variables = [("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2")];
    let mut notebook = Plain::new(common::python());
    notebook.arg(common::root().join("tests/reference/notebook.py")).envs(variables);
    notebook.args(["--model", "lenet5", "--data", &path("data"), "--out", &path("original")]);
    let output = notebook.args(settings).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut command = stitch(folder.path());
    command.args(["train", "lenet5", "--data", "data", "--out", "port"]).args(settings);
    command.envs(variables).assert().code(0);
    let mut parity = stitch(folder.path());
    parity.args(["parity", "original", "port"]).assert().code(0).stdout(contains("bit for bit"));
}

#[test]
fn flags_go_before_the_configuration() {
    let folder = folder_with_data();
    let all = changed(|config| {
        config["engine"] = json!("fast");
        config["val"] = json!(50);
        config["patience"] = json!(2);
    });
    fs::write(folder.path().join("c.json"), all).unwrap();
    let mut command = stitch(folder.path());
    command.args(["train", "lenet5", "--config", "c.json", "--data", "data", "--out", "run"]);
    command.args(["--epochs", "2", "--batch-size", "70", "--lr", "0.01", "--seed", "9"]);
    command.args(["--threads", "2", "--engine", "exact", "--val", "off", "--patience", "off"]);
    command.assert().code(0);
    let config = json(&files_in(&folder.path().join("run")), CONFIG);
    for (key, value) in [
        ("epochs", json!(2)),
        ("batch_size", json!(70)),
        ("lr", json!(0.01)),
        ("seed", json!(9)),
        ("threads", json!(2)),
        ("engine", json!("exact")),
        ("val", Value::Null),
        ("patience", Value::Null),
    ] {
        assert_eq!(config[key], value, "{key}");
    }
}

#[test]
fn an_engine_that_shows_no_tensors_is_not_traced_unless_another_is_given() {
    let folder = folder_with_data();
    fs::write(folder.path().join("c.json"), with("engine", json!("fast"))).unwrap();
    let traced = |more: &[&str]| {
        let mut command = stitch(folder.path());
        command.args(["train", "--config", "c.json", "--data", "data", "--trace", "--out", "run"]);
        command.args(more);
        command
    };
    refused(&mut traced(&[]), 2, &["--trace", "fast engine", "--engine eager or exact"]);
    traced(&["--engine", "eager"]).assert().code(0);
}

#[test]
fn the_run_that_it_came_from_is_not_written_over_unasked() {
    let folder = folder_with_data();
    let run = folder.path().join("runs/lenet5");
    put(finished_run("lenet5"), &run);
    let mut command = stitch(folder.path());
    command.args(["train", "--config", "runs/lenet5", "--data", "data"]);
    refused(&mut command, 2, &["--out runs/lenet5", "contains another run", "--force"]);
    assert!(files_in(&run) == *finished_run("lenet5"));
}

#[test]
fn another_model_is_refused_and_so_is_none() {
    let folder = temporary_folder();
    put(finished_run("lenet5"), &folder.path().join("run"));
    let mut command = stitch(folder.path());
    command.args(["train", "mlp", "--config", "run"]);
    refused(&mut command, 2, &["the model is mlp", "run/config.json", "lenet5"]);
    let mut neither = stitch(folder.path());
    neither.arg("train").assert().code(2).stderr(contains("MODEL"));
}

#[test]
fn other_data_are_refused_unless_they_are_named() {
    let folder = folder_with_data();
    common::small_dataset(&folder.path().join("other"), 200, 50);
    put(finished_run("mlp"), &folder.path().join("run"));
    let on = |name: &str, value: Option<&str>| {
        let mut command = stitch(folder.path());
        command.args(["train", "--config", "run", "--out", "again", "--force"]);
        command.env("FASHION_MNIST_DIR", folder.path().join(name));
        command.args(value.map(|data| ["--data", data]).into_iter().flatten());
        command
    };
    let parts = ["is not the data set of the run", "train-images-idx3-ubyte", "--data"];
    refused(&mut on("other", None), 2, &parts);
    on("data", None).assert().code(0).stderr(contains("is not the data set of the run").not());
    let named = on("data", Some("other")).assert().code(0);
    assert!(stderr_of(&named).contains("warning: --config "), "{}", stderr_of(&named));
    assert!(stderr_of(&named).contains("is not the data set of the run"), "{}", stderr_of(&named));
}

#[test]
fn another_libtorch_or_cpu_is_warned_of_and_the_run_goes_on() {
    let folder = folder_with_data();
    let other = changed(|config| {
        config["versions"]["libtorch"] = json!("1.0.0");
        config["cpu_capability"] = json!("NEON");
    });
    fs::write(folder.path().join("c.json"), other).unwrap();
    let mut command = stitch(folder.path());
    command.args(["train", "--config", "c.json", "--data", "data", "--out", "run"]);
    let assert = command.assert().code(0);
    for part in [
        "warning: --config c.json",
        "instead of 1.0.0",
        "instead of NEON",
        "may not be bit-identical",
    ] {
        assert!(stderr_of(&assert).contains(part), "no {part:?} in {}", stderr_of(&assert));
    }
}

/// Files that are no run's configuration, and what is said of each.
fn hostile() -> Vec<(Vec<u8>, &'static [&'static str])> {
    let no_run: &[&str] = &["is neither the config.json of a run nor settings in JSON"];
    let nested = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let twice = String::from_utf8(changed(|_| ())).unwrap().replacen('{', "{\"epochs\": 2,", 1);
    let mlp = |key: &str, value: Value| {
        changed(|config| {
            config["model"] = json!("mlp");
            config[key] = value.clone();
        })
    };
    vec![
        (b"".to_vec(), &["c.json: it is empty"]),
        (b"null".to_vec(), no_run),
        (b"\xff\xfe{}".to_vec(), &["is not text in UTF-8"]),
        (nested, no_run),
        (b" ".repeat((1 << 20) + 1), &["is larger than 1048576 bytes"]),
        (twice.into_bytes(), &["duplicate field `epochs`"]),
        (without("epochs"), &["\"epochs\" is missing"]),
        (without("data"), &["\"data\" is missing"]),
        (with("pace", json!(0.5)), &["unknown field \"pace\""]),
        (with("dropout", json!(2)), &["dropout is 2: it must be a number from 0 to 1"]),
        (
            with("augment", json!("rotate")),
            &["augment is \"rotate\": it must be none, or a list of"],
        ),
        (
            with("nesterov", json!(true)),
            &["nesterov is true: it must be false, unless optimizer is sgd"],
        ),
        (mlp("batch_norm", json!(true)), &["batch_norm is true: it must be omitted for mlp"]),
        (with("loss", json!("mse")), &["loss is \"mse\"", "cross-entropy or nll"]),
        (with("normalize", json!("0.5")), &["normalize is \"0.5\"", "MEAN,STD"]),
        (with("normalize", json!("0.1,0.2,1,1")), &["normalize is", "the images have one channel"]),
        (with("init", json!({"file": "a.pt", "sha256": "0"})), &["init is {", "file and sha256"]),
        (with("program", json!("other")), &["program is \"other\""]),
        (with("model", json!("resnet")), &["unknown model \"resnet\": the models are"]),
        (with("epochs", json!(0)), &["epochs is 0", "at least 1"]),
        (with("epochs", json!(-3)), &["epochs is -3"]),
        (with("epochs", json!("5")), &["epochs is \"5\""]),
        (with("batch_size", json!(0)), &["batch_size is 0"]),
        (with("batch_size", json!(1.5)), &["batch_size is 1.5"]),
        (with("lr", json!(-0.1)), &["lr is -0.1", "above 0"]),
        (with("lr", json!(null)), &["lr is null"]),
        (with("seed", json!(-1)), &["seed is -1"]),
        (with("seed", json!("9".repeat(100_000))), &["seed is \"999", "…"]),
        (with("threads", json!(0)), &["threads is 0", "1 to 4096"]),
        (with("threads", json!(4097)), &["threads is 4097"]),
        (with("device", json!("tpu\u{1b}[31m")), &["device is", "cuda:N"]),
        (with("engine", json!("quick")), &["engine is \"quick\"", "eager, exact or fast"]),
        (with("engine", json!(7)), &["engine is 7"]),
        (with("val", json!(0)), &["val is 0"]),
        (with("patience", json!(2)), &["patience is 2", "set val too"]),
        (with("versions", json!([1])), &["versions is [1]"]),
        (with("data", json!({"sha256": 1})), &["data is "]),
        (mlp("engine", json!("fast")), &["engine is fast", "eager or exact for mlp"]),
        (mlp("seed", json!(1u64 << 32)), &["seed is 4294967296", "4294967295"]),
    ]
}

#[test]
fn a_hostile_configuration_is_refused_with_file_and_field() {
    let folder = folder_with_data();
    for (bytes, parts) in hostile() {
        fs::write(folder.path().join("c.json"), bytes).unwrap();
        let mut command = stitch(folder.path());
        command.args(["train", "--config", "c.json", "--data", "data", "--out", "run"]);
        refused(&mut command, 2, &[&["--config", "c.json"], parts].concat());
        assert!(!folder.path().join("run").exists());
    }
    for path in ["missing.json", "data"] {
        let mut command = stitch(folder.path());
        refused(command.args(["train", "--config", path]), 2, &["--config", path]);
    }
}
