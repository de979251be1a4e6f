//! `--config` with settings written by hand, in TOML or JSON.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_match};
use serde_json::json;
use stitch::run_folder::CONFIG;

use crate::{
    files_in, finished_run, folder_with_data, json, put, refused, stderr_of, stdout_of, stitch,
};

/// `stitch train --config FILE` with this content, in a folder with data.
fn with_file(folder: &Path, file: &str, content: &str, flags: &[&str]) -> Command {
    fs::write(folder.join(file), content).unwrap();
    let mut command = stitch(folder);
    command.args(["train", "--config", file, "--data", "data", "--out", "run"]).args(flags);
    command
}

const TOML: &str = "# Quick.\nmodel = \"lenet5\"\nepochs = 2\nlr = 5e-3\nbatch_size = 60\noptimizer = \"sgd\"\n\
                    momentum = 0.9\nshuffle = false\nlr_schedule = \"step:1,0.5\"\nthreads = 1\n";

#[test]
fn a_file_of_settings_trains_the_bits_of_the_same_flags() {
    let folder = folder_with_data();
    let flags = "lenet5 --epochs 2 --lr 5e-3 --batch-size 60 --optimizer sgd --momentum 0.9 --shuffle off \
                 --lr-schedule step:1,0.5 --threads 1 --data data --out flags";
    stitch(folder.path()).arg("train").args(flags.split(' ')).assert().code(0);
    let expected = files_in(&folder.path().join("flags"));
    let as_json = json!({
        "model": "lenet5", "epochs": 2, "lr": 0.005, "batch_size": 60, "optimizer": "sgd", "momentum": 0.9,
        "shuffle": false, "lr_schedule": "step:1,0.5", "threads": 1, "val": null
    });
    let of_others = "arch = \"lenet5\"\nmax-epochs = 2\nlearning_rate = 5e-3\nbatchSize = 60\noptim = \"sgd\"\n\
                     Momentum = 0.9\nshuffle = false\nscheduler = \"step:1,0.5\"\nn_jobs = 1\n";
    for (file, content) in [
        ("c.toml", TOML),
        ("c.json", &as_json.to_string()),
        // The content decides, not the name.
        ("toml.json", TOML),
        ("json", &format!("\n {as_json}")),
        ("others.toml", of_others),
    ] {
        with_file(folder.path(), file, content, &["--force"]).assert().code(0);
        let found = files_in(&folder.path().join("run"));
        for name in [CONFIG, "weights.safetensors", "predictions.csv"] {
            assert!(found[name] == expected[name], "{file}: {name}");
        }
    }
}

#[test]
fn names_of_other_programs_are_noted_and_flags_override_the_file() {
    let folder = folder_with_data();
    let content = "learning_rate = 0.01\nnum-epochs = 3\nrandom_state = 7\nval = 40\n";
    let flags = ["lenet5", "--epochs", "1", "--val", "off", "--dry-run"];
    let assert = with_file(folder.path(), "c.toml", content, &flags).assert().code(0);
    for note in [
        "learning_rate is the setting lr",
        "num-epochs is the setting epochs",
        "random_state is the setting seed",
    ] {
        assert!(stderr_of(&assert).contains(&format!("note: --config c.toml: {note}\n")), "{note}");
    }
    for (setting, value, source) in [
        ("model", "lenet5", "command line"),
        ("epochs", "1", "command line"),
        ("val", "off", "command line"),
        ("lr", "0.01", "--config"),
        ("seed", "7", "--config"),
        ("batch_size", "32", "default"),
        ("optimizer", "adam", "default"),
        ("patience", "off", "default"),
    ] {
        let row = is_match(format!("│ {setting} *┆ *{value} ┆ *{source} │")).unwrap();
        assert!(row.eval(stdout_of(&assert)), "no {setting} in {}", stdout_of(&assert));
    }
    let quiet = with_file(folder.path(), "c.toml", content, &["lenet5", "--dry-run", "--quiet"]);
    { quiet }.assert().code(0).stderr("");
}

#[test]
fn initial_values_are_given_by_their_path() {
    let folder = folder_with_data();
    put(finished_run("lenet5"), &folder.path().join("before"));
    let content = "model = \"lenet5\"\nepochs = 1\ninit = \"before/state_dict.pt\"\n";
    with_file(folder.path(), "c.toml", content, &[]).assert().code(0);
    let config = json(&files_in(&folder.path().join("run")), CONFIG);
    assert_eq!(config["init"]["file"], "before/state_dict.pt");
    let missing = content.replace("state_dict", "state");
    let mut missing = with_file(folder.path(), "c.toml", &missing, &["--force"]);
    refused(&mut missing, 2, &["--config c.toml: line 3: init: ", "before/state.pt"]);
    let mut off = with_file(folder.path(), "c.toml", content, &["--init", "off", "--force"]);
    off.assert().code(0);
    assert!(json(&files_in(&folder.path().join("run")), CONFIG).get("init").is_none());
}

#[test]
fn the_model_is_in_the_file_or_an_argument() {
    let folder = folder_with_data();
    let train = |content, flags: &[&str]| with_file(folder.path(), "c.toml", content, flags);
    train("model = \"mlp\"\nepochs = 1\n", &["mlp", "--dry-run"]).assert().code(0);
    let parts = ["the model is lenet5", "--config c.toml: line 1 is mlp"];
    refused(&mut train("model = \"mlp\"\n", &["lenet5"]), 2, &parts);
    let parts = ["--config c.toml has no model", "model = \"lenet5\"", "MODEL"];
    refused(&mut train("lr = 0.1\n", &[]), 2, &parts);
    let parts = ["--config c.toml: line 2: unknown model \"lenet\"", "did you mean lenet5?"];
    refused(&mut train("lr = 0.1\nmodel = \"lenet\"\n", &[]), 2, &parts);
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_line_and_what_is_expected() {
    let folder = folder_with_data();
    let cases: [(&str, &[&str]); 34] = [
        ("lr = 0.1\npace = 2\n", &["line 2: unknown field \"pace\"", "the fields are model, "]),
        ("lr = 0.1\nmomentun = 2\n", &["line 2: unknown field", "did you mean momentum?"]),
        ("learning_rat = 0.1\n", &["line 1: unknown field \"learning_rat\""]),
        ("lr = 0.1\n\nlr = 0.2\n", &["line 3: duplicate key"]),
        (
            "lr = 0.1\nlearning_rate = 0.2\n",
            &["line 2: lr and learning_rate are two names of one setting"],
        ),
        ("batch_size = 1\nbatch-size = 1\n", &["line 2: batch_size and batch-size are two names"]),
        ("lr = \"small\"\n", &["line 1: lr is \"small\": it must be a number above 0"]),
        ("lr = -1\n", &["line 1: lr is -1: it must be a number above 0"]),
        ("lr = nan\n", &["line 1: lr is \"NaN\": it must be a number above 0"]),
        ("learning_rate = 0\n", &["line 1: learning_rate: lr is 0: it must be a number above 0"]),
        ("epochs = 1.5\n", &["line 1: epochs is 1.5: it must be an integer of at least 1"]),
        ("epochs = 0\n", &["line 1: epochs is 0: it must be an integer of at least 1"]),
        ("epochs = [1, 2]\n", &["line 1: epochs is [1,2]: it must be an integer of at least 1"]),
        ("seed = -1\n", &["line 1: seed is -1: it must be an integer from 0 to"]),
        ("seed = 99999999999999999999\n", &["line 1: ", "integer"]),
        ("threads = 5000\n", &["line 1: threads is 5000: it must be an integer from 1 to 4096"]),
        ("shuffle = \"yes\"\n", &["line 1: shuffle is \"yes\": it must be true or false"]),
        ("lr = 1979-05-27\n", &["line 1: lr is \"1979-05-27\": it must be a number"]),
        ("engine = \"quick\"\n", &["line 1: engine is \"quick\": it must be eager, exact or fast"]),
        (
            "[optimizer]\nname = \"sgd\"\n",
            &["line 1: optimizer is {\"name\":\"sgd\"}", "adam, adamw, sgd"],
        ),
        ("[training]\nlr = 0.1\n", &["line 1: training is a table: settings are not grouped"]),
        ("nesterov = true\n", &["line 1: nesterov is true: it must be false, unless"]),
        ("patience = 2\n", &["line 1: patience is 2", "set val too"]),
        ("data = \"data\"\n", &["line 1: \"data\" is not a setting", "with --data"]),
        ("lr = 1\nout = \"runs/a\"\n", &["line 2: \"out\" is not a setting", "with --out"]),
        ("output_dir = \"runs/a\"\n", &["line 1: \"output_dir\" is not a setting", "with --out"]),
        ("checkpoint_every = \"30s\"\n", &["is not a setting", "with --checkpoint-every"]),
        ("num_workers = 4\n", &["line 1: there is no setting \"num_workers\"", "in memory"]),
        ("early_stopping = 3\n", &["no setting \"early_stopping\": give patience, an integer"]),
        ("val_split = 0.1\n", &["no setting \"val_split\": give val, an integer of at least 1"]),
        ("gpu = true\n", &["line 1: there is no setting \"gpu\": give device = \"cuda\""]),
        ("lr 0.1\n", &["nor settings in TOML: line 1: "]),
        ("", &["c.toml: it is empty"]),
        ("# nothing\n", &["c.toml: it is empty"]),
    ];
    for (content, parts) in cases {
        let mut command = with_file(folder.path(), "c.toml", content, &["lenet5"]);
        refused(&mut command, 2, &[&["--config c.toml: "], parts].concat());
        assert!(!folder.path().join("run").exists(), "{content}");
    }
    let cases: [(&str, &[&str]); 7] = [
        ("{\"lr\": 0.1,\n \"lr\": 0.2}", &["duplicate field `lr` at line 2"]),
        ("{\"lr\": 0.1,\n \"epochs\": }", &["nor settings in JSON: ", "line 2"]),
        ("{\"lr\": null}", &["c.json: lr is null: it must be a number above 0"]),
        ("{\"learning_rate\": true}", &["c.json: learning_rate: lr is true: it must be"]),
        ("{\"data\": \"data\"}", &["\"data\" is not a setting", "with --data"]),
        ("{}", &["c.json: it is empty"]),
        ("{\"program\": \"stitch\", \"lr\": 1}", &["c.json: ", "\"model\" is missing"]),
    ];
    for (content, parts) in cases {
        let mut command = with_file(folder.path(), "c.json", content, &["lenet5"]);
        refused(&mut command, 2, &[&["--config c.json"], parts].concat());
    }
}

#[test]
fn an_error_of_a_flag_names_the_flag_and_not_the_file() {
    let folder = folder_with_data();
    let train = |flags: &[&str]| with_file(folder.path(), "c.toml", TOML, flags);
    refused(&mut train(&["--lr", "0"]), 2, &["error: --lr is 0"]);
    refused(&mut train(&["--optimizer", "adam"]), 2, &["--config c.toml: line 7: momentum is 0.9"]);
    let held = format!("{TOML}val = 300\n");
    let mut held = with_file(folder.path(), "c.toml", &held, &[]);
    refused(&mut held, 2, &["--config c.toml: line 11: val is 300"]);
}

#[test]
fn a_grid_of_a_study_names_the_setting_that_is_meant() {
    let folder = folder_with_data();
    let grid = "[[grid]]\nmodel = \"lenet5\"\nseeds = 0\nlearning_rate = 0.1\n";
    fs::write(folder.path().join("grid.toml"), grid).unwrap();
    let mut command = stitch(folder.path());
    command.args(["study", "plan", "--file", "grid.toml", "-o", "study"]);
    refused(&mut command, 2, &["unknown field \"learning_rate\"", "did you mean lr?"]);
    command.assert().stderr(contains("--file grid.toml"));
}
