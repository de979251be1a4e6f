//! `--json`: one document on stdout, whatever the command, that agrees with the files.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};
use stitch::dataset::classes;
use stitch::run_folder::{
    CLASSIFICATION_REPORT, CONFIG, CONFUSION_MATRIX, FILES, HISTORY, METRICS, SAFETENSORS,
    STATE_DICT,
};
use stitch::sha256;

use crate::{
    Files, TEST, cells, common, copy_real, files_in, finished_run, folder_with_data, put,
    stderr_of, stdout_of, stitch, temporary_folder, train,
};

/// Runs to this exit code: the document, which is all of stdout.
fn document(command: &mut Command, code: i32) -> Value {
    let assert = command.arg("--json").assert().code(code);
    serde_json::from_str(stdout_of(&assert)).unwrap()
}

fn json_of(files: &Files, name: &str) -> Value {
    serde_json::from_slice(&files[name]).unwrap()
}

/// Scores and confusions are those of the CSV files.
fn answers_agree(document: &Value, run: &Files) {
    let report = cells(run, CLASSIFICATION_REPORT);
    let matrix = cells(run, CONFUSION_MATRIX);
    assert_eq!(document["confusion_matrix"]["classes"], json!(classes::NAMES));
    for (i, name) in classes::NAMES.iter().enumerate() {
        let class = &document["classes"][i];
        assert_eq!((&class["label"], &class["class"]), (&json!(i), &json!(name)));
        for (column, key) in [(1, "precision"), (2, "recall"), (3, "f1"), (4, "support")] {
            assert_eq!(class[key].as_f64(), report[1 + i][column].parse().ok(), "{name} {key}");
        }
        let counts = matrix[1 + i][1..].iter().map(|count| count.parse::<u64>().unwrap());
        assert_eq!(document["confusion_matrix"]["counts"][i], json!(counts.collect::<Vec<_>>()));
    }
}

/// The document of a training is what its folder holds.
fn training_agrees(document: &Value, out: &str, folder: &Path) {
    let run = files_in(&folder.join(out));
    assert_eq!(document["out"], out);
    assert_eq!(document["config"], json_of(&run, CONFIG));
    assert_eq!(document["model"], document["config"]["model"]);
    assert_eq!(document["metrics"], json_of(&run, METRICS));
    let history = cells(&run, HISTORY);
    assert_eq!(document["history"].as_array().unwrap().len(), history.len() - 1);
    for (epoch, row) in document["history"].as_array().unwrap().iter().zip(&history[1..]) {
        assert_eq!(
            epoch.as_object().unwrap().keys().collect::<Vec<_>>(),
            [&"epoch", &"loss", &"lr", &"seconds"]
        );
        for (key, cell) in history[0].iter().zip(row) {
            assert_eq!(epoch[key].as_f64(), cell.parse().ok(), "{key}");
        }
    }
    let paths: Vec<String> = FILES.iter().map(|file| format!("{out}/{file}")).collect();
    assert_eq!(document["files"], json!(paths));
    assert_eq!(document["weights_sha256"], sha256::of(&run[SAFETENSORS]));
    answers_agree(document, &run);
}

#[test]
fn the_document_of_train_is_what_the_run_folder_holds() {
    for model in ["mlp", "lenet5"] {
        let folder = folder_with_data();
        let found = document(train(folder.path(), model).args(["--out", "run"]), 0);
        training_agrees(&found, "run", folder.path());
        // The run that is finished already has the same document.
        let again = document(train(folder.path(), model).args(["--out", "run", "--resume"]), 0);
        assert_eq!(again, found);
    }
}

#[test]
fn the_document_of_reproduce_holds_both_trainings_and_the_papers_figures() {
    let folder = folder_with_data();
    let mut command = stitch(folder.path());
    let found = document(command.args(["reproduce", "--data", "data", "--threads", "1"]), 0);
    assert_eq!(found["out"], "runs/reproduce");
    for (i, model, paper) in [(0, "mlp", 0.8709), (1, "lenet5", 0.8953)] {
        let run = &found["runs"][i];
        training_agrees(run, &format!("runs/reproduce/{model}"), folder.path());
        assert_eq!(run["paper_accuracy"], paper);
        let accuracy = run["metrics"]["test_accuracy"].as_f64().unwrap();
        assert_eq!(run["difference"], accuracy - paper);
    }
}

#[test]
fn the_document_of_evaluate_has_the_scores_that_it_writes() {
    let folder = folder_with_data();
    put(finished_run("lenet5"), &folder.path().join("run"));
    let file = format!("run/{STATE_DICT}");
    let arguments = ["evaluate", &file, "--data", "data", "--threads", "1"];
    let found = document(stitch(folder.path()).args(arguments).args(["--out", "out"]), 0);
    let out = files_in(&folder.path().join("out"));
    assert_eq!((&found["file"], &found["model"]), (&json!(file), &json!("lenet5")));
    assert_eq!(found["metrics"], json_of(&out, METRICS));
    assert_eq!(found["total"], TEST);
    let accuracy = found["correct"].as_f64().unwrap() / TEST as f64;
    assert_eq!(found["metrics"]["test_accuracy"], accuracy);
    answers_agree(&found, &out);
    let files = found["files"].as_array().unwrap().iter().map(|path| path.as_str().unwrap());
    let mut files: Vec<&str> = files.map(|path| path.strip_prefix("out/").unwrap()).collect();
    files.sort();
    assert_eq!(files, out.keys().collect::<Vec<_>>());
    // Without a folder, the same and no files.
    let alone = document(stitch(folder.path()).args(arguments), 0);
    assert_eq!((&alone["classes"], &alone["files"]), (&found["classes"], &json!([])));
}

#[test]
fn the_document_of_export_names_the_file_and_its_sum() {
    let folder = temporary_folder();
    put(finished_run("mlp"), &folder.path().join("run"));
    let arguments = ["export", "run/state_dict.pt", "--format", "npz", "-o", "mlp.npz"];
    let found = document(stitch(folder.path()).args(arguments), 0);
    let bytes = fs::read(folder.path().join("mlp.npz")).unwrap();
    let wanted = json!({
        "file": "run/state_dict.pt", "model": "mlp", "format": "npz", "output": "mlp.npz",
        "bytes": bytes.len(), "sha256": sha256::of(&bytes),
    });
    assert_eq!(found, wanted);
}

#[test]
fn the_document_of_parity_has_the_verdict() {
    let folder = temporary_folder();
    put(finished_run("mlp"), &folder.path().join("a"));
    put(finished_run("lenet5"), &folder.path().join("b"));
    let same = document(stitch(folder.path()).args(["parity", "a", "a"]), 0);
    assert_eq!((&same["equal"], &same["different"]), (&json!(true), &json!(0)));
    let other = document(stitch(folder.path()).args(["parity", "a", "b"]), 1);
    assert_eq!(other["equal"], false);
}

#[test]
fn the_document_of_predict_is_an_answer_a_picture() {
    let folder = temporary_folder();
    let picture = common::root().join("docs/pictures/shoe.png");
    let found = document(stitch(folder.path()).arg("predict").arg(&picture), 0);
    assert_eq!(found[0]["class"], "Ankle boot");
    assert_eq!(found.as_array().unwrap().len(), 1);
}

#[test]
fn the_documents_of_data_say_what_is_there_and_what_is_wrong() {
    let folder = folder_with_data();
    let of = |arguments: &[&str], code: i32| document(stitch(folder.path()).args(arguments), code);
    let shown = of(&["data", "--data", "data"], 0);
    assert_eq!((&shown["directory"], &shown["rule"]), (&json!("data"), &json!("--data")));
    assert_eq!(
        (&shown["identity"], &shown["classes"]),
        (&json!("another"), &json!(classes::NAMES))
    );
    let file = fs::read(folder.path().join("data/t10k-labels-idx1-ubyte")).unwrap();
    let wanted = json!({
        "name": "t10k-labels-idx1-ubyte", "path": "data/t10k-labels-idx1-ubyte", "count": TEST,
        "sha256": sha256::of(&file), "official": false,
    });
    assert_eq!(shown["files"][3], wanted);
    let verify = ["data", "verify", "--data", "data"];
    let intact = of(&verify, 0);
    assert_eq!((&intact["intact"], &intact["damage"]), (&json!(true), &json!([])));
    assert_eq!(intact["files"], shown["files"]);
    fs::write(folder.path().join("data/t10k-labels-idx1-ubyte"), &file[..20]).unwrap();
    let damaged = of(&verify, 1);
    assert_eq!(damaged["intact"], false);
    assert!(damaged["damage"][0].as_str().unwrap().starts_with("data/t10k-labels-idx1-ubyte"));
    assert_eq!(damaged["files"].as_array().unwrap().len(), 3);
}

#[test]
fn the_document_of_fetch_says_what_was_there() {
    let folder = temporary_folder();
    copy_real(&folder.path().join("data"));
    // Those that are packed are what a fetch would bring.
    let arguments = ["data", "fetch", "--to", "data", "--mirror", "http://127.0.0.1:1"];
    let found = document(stitch(folder.path()).args(arguments), 0);
    assert_eq!(found["directory"], "data");
    let files = found["files"].as_object().unwrap();
    assert_eq!(files.len(), 4);
    assert!(files.values().all(|state| state == "present"), "{files:?}");
}

#[test]
fn a_failure_is_a_document_with_the_sentence_of_stderr_and_the_exit_code() {
    let folder = folder_with_data();
    let cases: [(&[&str], i32); 5] = [
        (&["evaluate", "nowhere.pt"], 2),
        (&["train", "mlp", "--epochs", "0"], 2),
        (&["train", "lenet5", "--data", "data", "--lr", "1e30"], 1),
        (&["trian"], 2),
        (&["predict", "nowhere.png", "--csv"], 2),
    ];
    for (arguments, code) in cases {
        let assert = stitch(folder.path()).args(arguments).arg("--json").assert().code(code);
        let found: Value = serde_json::from_str(stdout_of(&assert)).unwrap();
        assert_eq!(found["exit_code"], code, "{arguments:?}");
        assert_eq!(found.as_object().unwrap().len(), 2);
        let error = found["error"].as_str().unwrap();
        assert!(stderr_of(&assert).contains(&format!("error: {error}")), "{error}");
    }
}

#[test]
fn an_answer_that_is_broken_off_is_still_a_document() {
    let folder = folder_with_data();
    fs::write(folder.path().join("images"), common::images_file(&vec![7; 300 * 784])).unwrap();
    fs::create_dir(folder.path().join("seen")).unwrap();
    // In the second batch: the first one is answered and printed by then.
    fs::write(folder.path().join("seen/images-280.png"), "another picture").unwrap();
    let mut command = stitch(folder.path());
    let found = document(command.args(["predict", "images", "--save-input", "seen"]), 2);
    let found = found.as_array().unwrap();
    let (last, answers) = found.split_last().unwrap();
    assert_eq!(answers.len(), 280);
    assert!(answers.iter().all(|answer| answer["class"].is_string()));
    assert!(last["error"].as_str().unwrap().contains("is another image"), "{last}");
    assert_eq!(last["exit_code"], 2);
}

#[test]
fn commands_without_a_document_refuse_the_flag() {
    let folder = temporary_folder();
    for arguments in [&["completions", "bash"][..], &["man", "pages"]] {
        let found = document(stitch(folder.path()).args(arguments), 2);
        assert!(found["error"].as_str().unwrap().starts_with("--json: "), "{found}");
    }
    assert!(!folder.path().join("pages").exists());
}
