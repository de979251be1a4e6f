//! The options of a PyTorch loop on the command line: what is refused, and what of them concerns later commands.

use std::fs;
use std::path::Path;

use stitch::run_folder::{
    BEST_SAFETENSORS, BEST_STATE_DICT, CONFIG, METRICS, SAFETENSORS, STATE_DICT, TORCHSCRIPT,
};

use crate::evaluate::evaluate;
use crate::{
    common, files_in, folder_with_data, json, refused, stderr_of, stdout_of, stitch, train,
};

#[test]
fn options_that_do_not_suit_the_model_or_another_option_are_refused_by_their_flags() {
    let folder = folder_with_data();
    let nll = ["--loss=nll", "--label-smoothing=0.1"];
    let one_cycle = ["--optimizer=adadelta", "--lr-schedule=onecycle"];
    let no_step = ["--drop-last", "--batch-size=301"];
    let cases: [(&str, &[&str], &[&str]); 16] = [
        ("mlp", &["--loss=nll"], &["--loss", "omitted for mlp"]),
        ("mlp", &["--normalize=0.5,0.5"], &["--normalize", "omitted for mlp"]),
        ("mlp", &["--shuffle=off"], &["--shuffle", "omitted for mlp"]),
        ("mlp", &["--drop-last"], &["--drop-last", "omitted for mlp"]),
        ("mlp", &["--optimizer=rmsprop"], &["--optimizer", "omitted for mlp"]),
        ("mlp", &["--init=data/train-labels-idx1-ubyte"], &["--init", "omitted for mlp"]),
        ("lenet5", &["--loss=mse"], &["--loss", "cross-entropy, nll"]),
        ("lenet5", &nll, &["--label-smoothing is 0.1", "unless loss is cross-entropy"]),
        ("lenet5", &["--normalize", "0.5"], &["--normalize", "MEAN,STD is expected"]),
        ("lenet5", &["--normalize", "0.5,0"], &["--normalize", "STD not 0"]),
        ("lenet5", &["--normalize", "0,0,0,1,1,1"], &["--normalize", "have one channel"]),
        ("lenet5", &one_cycle, &["--lr-schedule is onecycle", "adadelta, which has no momentum"]),
        ("lenet5", &["--optimizer=adadelta", "--momentum=0.9"], &["--momentum", "sgd or rmsprop"]),
        ("lenet5", &["--optimizer=rmsprop", "--momentum=0.9", "--nesterov"], &["--nesterov"]),
        ("lenet5", &no_step, &["--drop-last", "300 training images", "at most 300"]),
        ("lenet5", &["--init=missing.pt"], &["--init", "missing.pt cannot be read"]),
    ];
    for (model, flags, parts) in cases {
        refused(train(folder.path(), model).args(flags).args(["--out", "run"]), 2, parts);
        assert!(files_in(&folder.path().join("run")).is_empty(), "{flags:?}");
    }
}

/// The test accuracy that `stitch evaluate` finds, and what it notes.
fn accuracy(folder: &Path, file: &str, flags: &[&str]) -> (f64, String) {
    let assert = evaluate(folder, file).args(flags).arg("--json").assert().code(0);
    let document: serde_json::Value = serde_json::from_str(stdout_of(&assert)).unwrap();
    (document["metrics"]["test_accuracy"].as_f64().unwrap(), stderr_of(&assert).to_owned())
}

#[test]
fn the_weights_of_a_run_take_images_normalized_as_in_the_run() {
    let folder = folder_with_data();
    let path = folder.path();
    let flags = ["--normalize", "0.286,0.353", "--val", "60", "--loss", "nll", "--lr", "0.0003"];
    let mut command = train(path, "lenet5");
    command.args(flags).args(["--batch-size", "37", "--shuffle", "off", "--out", "run"]);
    command.assert().code(0);
    let run = files_in(&path.join("run"));
    assert_eq!(json(&run, CONFIG)["normalize"], "0.286,0.353");
    // Loss and accuracy on the images held out are PyTorch's.
    let [out, data] = ["run", "data"].map(|name| path.join(name).to_str().unwrap().to_owned());
    common::run_python("cli/validation.py", &["lenet5", &out, &data]);
    let metrics = json(&run, METRICS);
    let (last, best) = (&metrics["test_accuracy"], &metrics["validation"]["best_test_accuracy"]);
    let export = |format: &str, output: &str| {
        let mut command = stitch(path);
        command.args(["export", "run/state_dict.pt", "--format", format, "-o", output]);
        let assert = command.assert().code(0);
        assert!(stderr_of(&assert).contains("--normalize 0.286,0.353"), "{}", stderr_of(&assert));
    };
    export("safetensors", "exported.safetensors");
    export("npz", "exported.npz");
    // The names of the classes are not in an npz.
    fs::copy(path.join("data/classes.txt"), path.join("classes.txt")).unwrap();
    let of_run = [STATE_DICT, TORCHSCRIPT, SAFETENSORS].map(|name| (format!("run/{name}"), last));
    let of_best = [BEST_STATE_DICT, BEST_SAFETENSORS].map(|name| (format!("run/{name}"), best));
    let exported = [("exported.safetensors".to_owned(), last)];
    for (file, expected) in of_run.into_iter().chain(of_best).chain(exported) {
        let (found, notes) = accuracy(path, &file, &[]);
        assert_eq!(expected.as_f64(), Some(found), "{file}");
        assert!(!notes.contains("unknown"), "{file}: {notes}");
    }
    let (_, notes) = accuracy(path, "exported.npz", &[]);
    assert!(notes.contains("note: exported.npz: not in a run folder"), "{notes}");
    let (found, notes) = accuracy(path, "exported.npz", &["--normalize", "0.286,0.353"]);
    assert_eq!((last.as_f64(), notes.contains("unknown")), (Some(found), false), "{notes}");
    let predicted = |flags: &[&str]| {
        let mut command = stitch(path);
        command.args(["predict", flags[0], "data/t10k-images-idx3-ubyte", "--csv"]);
        stdout_of(&command.args(&flags[1..]).assert().code(0)).to_owned()
    };
    let of_run = predicted(&["run/state_dict.pt"]);
    assert_eq!(predicted(&["exported.npz", "--normalize", "0.286,0.353"]), of_run);
    assert_ne!(predicted(&["exported.npz", "--normalize", "none"]), of_run);
    let mut report = stitch(path);
    report.args(["report", "run", "--data", "data", "-o", "again.html"]).assert().code(0);
    assert_eq!(fs::read(path.join("again.html")).unwrap(), run["report.html"]);
}

#[test]
fn normalize_without_a_value_is_about_the_figures() {
    let folder = folder_with_data();
    let run = |flags: &[&str]| {
        train(folder.path(), "lenet5").args(["--out", "run"]).args(flags).assert().code(0);
        files_in(&folder.path().join("run"))
    };
    let (counts, percent) = (run(&[]), run(&["--force", "--normalize"]));
    assert_eq!(counts[CONFIG], percent[CONFIG]);
    assert_ne!(counts["confusion_matrix.svg"], percent["confusion_matrix.svg"]);
}

#[test]
fn a_run_neither_repeats_nor_resumes_with_other_initial_values() {
    let folder = folder_with_data();
    let path = folder.path();
    let shipped = |model: &str| common::root().join(format!("models/{model}/state_dict.pt"));
    fs::copy(shipped("lenet5"), path.join("init.pt")).unwrap();
    let begin = || {
        let mut command = train(path, "lenet5");
        command.args(["--init", "init.pt", "--out", "run", "--checkpoint-every", "1steps"]);
        command
    };
    let batch_norm = ["--init: init.pt", "missing key bn1.weight"];
    refused(begin().args(["--batch-norm", "on"]), 2, &batch_norm);
    begin().assert().code(0);
    let repeat = |flags: &[&str]| {
        let mut command = stitch(path);
        command.args(["train", "--config", "run", "--data", "data", "--force", "--out", "again"]);
        command.args(flags);
        command
    };
    repeat(&[]).assert().code(0);
    let [run, again] = ["run", "again"].map(|name| files_in(&path.join(name)));
    assert!(run[STATE_DICT] == again[STATE_DICT]);
    // The same tensors, another file.
    fs::copy(path.join("run/weights.safetensors"), path.join("init.pt")).unwrap();
    refused(&mut repeat(&[]), 2, &["--config run/config.json: init: init.pt", "has changed"]);
    refused(begin().arg("--resume"), 2, &["--resume", "init {\"file\":\"init.pt\""]);
    repeat(&["--init", "init.pt"]).assert().code(0);
    repeat(&["--init", "off"]).assert().code(0);
    assert!(json(&files_in(&path.join("again")), CONFIG).get("init").is_none());
    fs::copy(shipped("deepcnn"), path.join("init.pt")).unwrap();
    refused(&mut begin(), 2, &["--init: init.pt", "not the weights of lenet5"]);
}
