//! `stitch inspect`, on files that PyTorch, safetensors and NumPy write.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use assert_cmd::Command;
use flate2::Compression;
use flate2::write::GzEncoder;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use stitch::run_folder::{CONFIG, METRICS, RunConfig, SAFETENSORS, STATE_DICT};
use stitch::sha256;
use stitch::stitch_run::{Checkpoint, Progress, TrainState};
use stitch::tensor_files::read_weights;
use tempfile::TempDir;

use crate::{
    TEST, common, finished_run, folder_with_data, put, real_paths, refused, stderr_of, stdout_of,
    stitch, temporary_folder, train,
};

/// A folder with the files of `inspected.py`, and what is in them.
fn written() -> (TempDir, Value) {
    let folder = temporary_folder();
    let printed = common::run_python("cli/inspected.py", &[folder.path().to_str().unwrap()]);
    let expected = serde_json::from_str(&printed).unwrap();
    (folder, expected)
}

fn inspected(folder: &Path, arguments: &[&str], code: i32) -> Vec<Value> {
    let mut command = stitch(folder);
    let assert = command.arg("inspect").args(arguments).arg("--json").assert().code(code);
    serde_json::from_str(stdout_of(&assert)).unwrap()
}

fn text(folder: &Path, arguments: &[&str]) -> String {
    let assert = stitch(folder).arg("inspect").args(arguments).assert().code(0).stderr("");
    stdout_of(&assert).to_owned()
}

/// Name, dtype, shape and SHA-256 of each tensor.
fn tensors_of(document: &Value) -> Vec<Value> {
    let row = |tensor: &Value| {
        json!([tensor["name"], tensor["dtype"], tensor["shape"], tensor["sha256"]])
    };
    document["tensors"].as_array().unwrap().iter().map(row).collect()
}

#[test]
fn tensors_and_their_sums_are_those_of_pytorch_in_every_format() {
    let (folder, expected) = written();
    let sorted = |rows: &Value| {
        let mut rows = rows.as_array().unwrap().clone();
        rows.sort_by_key(|row| row[0].as_str().unwrap().to_owned());
        rows
    };
    for (file, kind, tensors) in [
        ("state_dict.pt", "state_dict", "net"),
        ("legacy.pt", "state_dict", "net"),
        ("checkpoint.pt", "checkpoint", "net"),
        ("net.safetensors", "safetensors", "net"),
        ("net.npz", "npz", "net"),
        ("script.pt", "torchscript", "net"),
        ("values.pt", "state_dict", "values"),
        ("hostile.pt", "state_dict", "hostile"),
        ("array.npy", "npy", "array"),
    ] {
        let [document] = &inspected(folder.path(), &[file], 0)[..] else { panic!("{file}") };
        let bytes = fs::read(folder.path().join(file)).unwrap();
        assert_eq!((&document["file"], &document["kind"]), (&json!(file), &json!(kind)));
        assert_eq!(document["bytes"], bytes.len(), "{file}");
        assert_eq!(document["sha256"], sha256::of(&bytes), "{file}");
        assert_eq!(document["tensors_sha256"], expected[tensors]["sha256"], "{file}");
        let found = Value::from(tensors_of(document));
        assert_eq!(sorted(&found), sorted(&expected[tensors]["tensors"]), "{file}");
        assert_eq!(document["model"], Value::Null, "{file}");
    }
    let document = &inspected(folder.path(), &["values.pt"], 0)[0];
    let size = |i: usize| {
        let tensor = &document["tensors"][i];
        (tensor["elements"].as_u64().unwrap(), tensor["bytes"].as_u64().unwrap())
    };
    assert_eq!([0, 1, 2, 3, 4].map(size), [(6, 24), (4, 32), (0, 0), (1, 2), (1, 8)]);
    assert_eq!((&document["elements"], &document["tensor_bytes"]), (&json!(12), &json!(66)));
}

#[test]
fn the_dicts_of_a_checkpoint_are_listed_and_one_is_chosen_by_its_key() {
    let (folder, expected) = written();
    let document = &inspected(folder.path(), &["several.pt"], 0)[0];
    assert_eq!(document["kind"], "checkpoint");
    assert_eq!(document.get("tensors"), None);
    let candidates = document["candidates"].as_array().unwrap();
    let keys: Vec<_> = candidates.iter().map(|candidate| &candidate["key"]).collect();
    assert_eq!(keys, ["model", "ema"]);
    for (candidate, tensors) in candidates.iter().zip(["net", "ema"]) {
        assert_eq!(Value::from(tensors_of(candidate)), expected[tensors]["tensors"]);
        assert_eq!(candidate["tensors_sha256"], expected[tensors]["sha256"]);
    }
    let shown = text(folder.path(), &["several.pt"]);
    assert!(shown.contains("2 dicts of tensors") && shown.contains("--key model"), "{shown}");
    let chosen = &inspected(folder.path(), &["several.pt", "--key", "ema"], 0)[0];
    assert_eq!((&chosen["key"], chosen.get("candidates")), (&json!("ema"), None));
    assert_eq!(chosen["tensors_sha256"], expected["ema"]["sha256"]);
    assert_eq!(chosen["skipped"][1], json!({"path": "epoch", "what": "int"}));
    let beside = &inspected(folder.path(), &["checkpoint.pt"], 0)[0];
    assert_eq!(beside["key"], "model");
    assert_eq!(beside["skipped"][0], json!({"path": "args", "what": "argparse.Namespace"}));
    let error = text_of_failure(folder.path(), &["several.pt", "--key", "emma"]);
    assert!(error.contains("--key: several.pt: it holds no dict of tensors under the key emma"));
}

/// What is on stderr of a command that ends with 2.
fn text_of_failure(folder: &Path, arguments: &[&str]) -> String {
    let assert = stitch(folder).arg("inspect").args(arguments).assert().code(2);
    stderr_of(&assert).to_owned()
}

#[test]
fn statistics_are_those_of_the_finite_elements() {
    let (folder, _) = written();
    let document = &inspected(folder.path(), &["values.pt", "--stats"], 0)[0];
    let statistics = |i: usize| document["tensors"][i]["statistics"].clone();
    let finite = json!({"min": -2.0, "max": 1.5, "mean": -0.25 / 3.0, "nan": 1, "inf": 2});
    assert_eq!(statistics(0), finite);
    assert_eq!(statistics(1), json!({"min": -5, "max": 6, "mean": 2.0, "nan": 0, "inf": 0}));
    let none = |nan: u64, inf: Option<u64>| json!({"min": null, "max": null, "mean": null, "nan": nan, "inf": inf});
    // Without elements, and of complex numbers.
    assert_eq!([statistics(2), statistics(4)], [none(0, Some(0)), none(1, None)]);
    let shown = text(folder.path(), &["values.pt", "--stats"]);
    let line = shown.lines().find(|line| line.contains("values ")).unwrap();
    let cells: Vec<&str> = line.split(['│', '┆']).map(str::trim).collect();
    assert_eq!(cells[6..11], ["-2", "1.5000", "-0.0833", "1", "2"], "{line}");
    let without = &inspected(folder.path(), &["values.pt"], 0)[0];
    assert_eq!(without["tensors"][0].get("statistics"), None);
}

#[test]
fn the_code_and_the_signature_of_torchscript_are_shown_and_metadata_too() {
    let (folder, _) = written();
    let script = &inspected(folder.path(), &["script.pt", "--code"], 0)[0]["torchscript"];
    assert_eq!((&script["class"], &script["training"]), (&json!("Net"), &json!(false)));
    assert_eq!(script["forward"], "forward(self, x: Tensor) -> Tensor");
    let code = script["code"].as_object().unwrap();
    let lines: usize = code.values().map(|text| text.as_str().unwrap().lines().count()).sum();
    assert_eq!(script["lines"], lines);
    assert!(code["__torch__"].as_str().unwrap().contains("class Net(Module)"), "{code:?}");
    let shown = text(folder.path(), &["script.pt"]);
    assert!(shown.contains("class Net: forward(self, x: Tensor) -> Tensor"), "{shown}");
    assert!(!shown.contains("class Net(Module)"), "{shown}");
    assert!(text(folder.path(), &["script.pt", "--code"]).contains("    class Net(Module)"));
    let document = &inspected(folder.path(), &["net.safetensors"], 0)[0];
    assert_eq!(document["metadata"], json!({"made by": "a test", "steps": "12"}));
    assert!(text(folder.path(), &["net.safetensors"]).contains("metadata made by: a test"));
}

#[test]
fn names_do_not_steer_the_terminal() {
    let (folder, _) = written();
    let shown = text(folder.path(), &["hostile.pt"]);
    assert!(shown.contains("a\\u{1b}[2J\\nb") && !shown.contains('\x1b'), "{shown}");
}

#[test]
fn a_file_that_cannot_be_read_does_not_hide_the_others() {
    let (folder, _) = written();
    let files = ["damaged.pt", "state_dic.pt", "state_dict.pt", "inspected"];
    fs::create_dir(folder.path().join("inspected")).unwrap();
    let documents = inspected(folder.path(), &files, 1);
    let names: Vec<_> = documents.iter().map(|document| &document["file"]).collect();
    assert_eq!(names, files);
    let error = |i: usize| documents[i]["error"].as_str().unwrap();
    assert!(error(0).starts_with("damaged.pt: a damaged archive: "), "{}", error(0));
    assert!(error(1).ends_with("; did you mean state_dict.pt?"), "{}", error(1));
    assert!(error(3).contains("neither a run folder nor a trace folder"), "{}", error(3));
    assert_eq!(documents[2]["kind"], "state_dict");
    let assert = stitch(folder.path()).arg("inspect").args(files).assert().code(1);
    let assert = assert.stdout(contains("state_dict.pt\n").and(contains("damaged.pt").not()));
    let errors = stderr_of(&assert).lines().filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 3);
    refused(stitch(folder.path()).arg("inspect"), 2, &["<FILE>"]);
}

#[test]
fn a_run_folder_its_weights_and_its_trace_are_recognized() {
    let folder = folder_with_data();
    let mut command = train(folder.path(), "lenet5");
    command.args(["--out", "run", "--trace", "--trace-steps", "1-2"]).assert().code(0);
    let read = |name: &str| fs::read(folder.path().join("run").join(name)).unwrap();
    let documents = inspected(folder.path(), &["run", "run/state_dict.pt", "run/trace"], 0);
    let [run, weights, trace] = &documents[..] else { panic!("{documents:?}") };
    assert_eq!((&run["kind"], &run["model"]), (&json!("run"), &json!("lenet5")));
    assert_eq!(run["complete"], true);
    assert_eq!(run["config"], serde_json::from_slice::<Value>(&read(CONFIG)).unwrap());
    assert_eq!(run["metrics"], serde_json::from_slice::<Value>(&read(METRICS)).unwrap());
    assert_eq!(run["weights_sha256"], sha256::of(read(SAFETENSORS)));
    let config = json!({"name": "config.json", "bytes": read(CONFIG).len()});
    assert!(run["files"].as_array().unwrap().contains(&config), "{}", run["files"]);
    assert_eq!(weights["model"], "lenet5");
    assert_eq!((&trace["kind"], &trace["complete"]), (&json!("trace"), &json!(true)));
    let lines = read("trace/trace.jsonl");
    let records: Vec<Value> = lines
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .filter(|line: &Value| line.get("stage").is_some())
        .collect();
    assert_eq!(trace["tensors"], records.len());
    let hash_only =
        |records: &[&Value]| records.iter().filter(|record| record.get("offset").is_none()).count();
    assert_eq!(trace["hash_only"], hash_only(&records.iter().collect::<Vec<_>>()));
    for stage in trace["stages"].as_array().unwrap() {
        let of_stage: Vec<&Value> =
            records.iter().filter(|record| record["stage"] == stage["stage"]).collect();
        assert_eq!(stage["tensors"], of_stage.len());
        assert_eq!(stage["hash_only"], hash_only(&of_stage));
    }
    let records = &inspected(folder.path(), &["run/trace/trace.jsonl"], 0)[0];
    assert_eq!(records["stages"], trace["stages"]);
    let cut = lines.len() - 40;
    fs::write(folder.path().join("run/trace/trace.jsonl"), &lines[..cut]).unwrap();
    assert_eq!(inspected(folder.path(), &["run/trace"], 0)[0]["complete"], false);
    assert!(text(folder.path(), &["run/trace"]).contains("truncated: no end marker"));
}

#[test]
fn the_formats_of_a_run_have_one_sum_of_their_tensors() {
    let folder = temporary_folder();
    put(finished_run("mlp"), &folder.path().join("run"));
    let files = ["run/state_dict.pt", "run/weights.safetensors", "run/torchscript.pt"];
    let documents = inspected(folder.path(), &files, 0);
    let sums: Vec<_> = documents.iter().map(|document| &document["tensors_sha256"]).collect();
    assert!(sums.iter().all(|sum| *sum == sums[0] && sum.is_string()), "{sums:?}");
    assert!(documents.iter().all(|document| document["model"] == "mlp"));
}

#[test]
fn idx_files_have_their_sizes_and_labels() {
    let folder = folder_with_data();
    let data = folder.path().join("data");
    let labels = fs::read(data.join("t10k-labels-idx1-ubyte")).unwrap();
    let document = &inspected(&data, &["t10k-labels-idx1-ubyte"], 0)[0];
    assert_eq!((&document["kind"], &document["count"]), (&json!("idx_labels"), &json!(TEST)));
    assert_eq!((&document["official"], &document["gzip"]), (&Value::Null, &json!(false)));
    for label in document["labels"].as_array().unwrap() {
        let value = label["label"].as_u64().unwrap() as u8;
        let count = labels[8..].iter().filter(|&&found| found == value).count();
        assert_eq!(label["count"], count, "{value}");
    }
    let total = document["labels"].as_array().unwrap().iter();
    assert_eq!(total.map(|label| label["count"].as_u64().unwrap()).sum::<u64>(), TEST as u64);
    let images = &inspected(&data, &["t10k-images-idx3-ubyte", "--stats"], 0)[0];
    let pixels = &fs::read(data.join("t10k-images-idx3-ubyte")).unwrap()[16..];
    let mean = pixels.iter().map(|&pixel| f64::from(pixel)).sum::<f64>() / pixels.len() as f64;
    assert_eq!((&images["kind"], &images["shape"]), (&json!("idx_images"), &json!([1, 28, 28])));
    assert_eq!(images["statistics"]["mean"], mean);
    let real = &real_paths()[3];
    let official = &inspected(folder.path(), &[real.to_str().unwrap()], 0)[0];
    assert_eq!(official["official"], "t10k-labels-idx1-ubyte");
    assert_eq!(official["labels"][0], json!({"label": 0, "class": "T-shirt/top", "count": 1000}));
    fs::write(data.join("cut"), &labels[..50]).unwrap();
    let error = text_of_failure(&data, &["cut"]);
    assert!(error.contains("cut: truncated: the header promises 100 bytes of labels"), "{error}");
}

#[test]
fn a_small_compressed_file_does_not_fill_the_memory() {
    let folder = temporary_folder();
    let packed = |name: &str, header: &[u8], zeros: u64| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(header).unwrap();
        std::io::copy(&mut std::io::repeat(7).take(zeros), &mut gzip).unwrap();
        fs::write(folder.path().join(name), gzip.finish().unwrap()).unwrap();
    };
    let count = 300u32 << 20;
    let header = [&0x801u32.to_be_bytes()[..], &count.to_be_bytes()].concat();
    packed("labels.gz", &header, count.into());
    // 200 MB of memory for everything, programs and libraries included, are not enough to hold them.
    let shell = "ulimit -d 200000; exec \"$0\" inspect labels.gz --json";
    let assert = Command::new("sh")
        .args(["-c", shell, env!("CARGO_BIN_EXE_stitch")])
        .current_dir(folder.path())
        .assert()
        .code(0);
    let documents: Value = serde_json::from_str(stdout_of(&assert)).unwrap();
    assert_eq!(documents[0]["labels"], json!([{"label": 7, "class": null, "count": count}]));
    packed("trailing.gz", &[&0x801u32.to_be_bytes()[..], &[0, 0, 0, 2]].concat(), 1 << 20);
    let error = text_of_failure(folder.path(), &["trailing.gz"]);
    assert!(error.contains("the file goes on after the 2 bytes of labels"), "{error}");
    packed(
        "one",
        &[&0x803u32.to_be_bytes()[..], &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]].concat(),
        1,
    );
    assert!(text(folder.path(), &["one"]).contains("  1 image of 1x1 pixel, gray"));
    packed("floats.gz", &[0, 0, 0x0d, 2, 0, 0, 0, 1, 0, 0, 0, 1], 4);
    fs::write(folder.path().join("floats"), [0, 0, 0x0d, 1, 0, 0, 0, 1, 0, 0, 0, 0]).unwrap();
    for (file, dimensions) in [("floats.gz", "2 dimensions"), ("floats", "1 dimension")] {
        let error = text_of_failure(folder.path(), &[file]);
        let expected =
            format!("{file}: an IDX file of float32 with {dimensions}, which is not supp");
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn files_that_inspect_does_not_read_are_named_as_what_they_are() {
    let folder = temporary_folder();
    put(finished_run("lenet5"), &folder.path().join("run"));
    let onnx = ["export", "run/state_dict.pt", "-o", "lenet5.onnx"];
    stitch(folder.path()).args(onnx).assert().code(0);
    let error = text_of_failure(folder.path(), &["lenet5.onnx"]);
    assert!(error.contains("an ONNX file, which stitch writes but does not read"), "{error}");
    let error = text_of_failure(folder.path(), &["run/metrics.json"]);
    let expected = "run/metrics.json is none of the files that inspect shows: files of tensors";
    assert!(error.contains(expected), "{error}");
    assert!(error.contains("traces, run folders and IDX files"), "{error}");
}

/// A checkpoint of a run of LeNet-5, after its first epoch.
fn checkpoint() -> Vec<u8> {
    let config = RunConfig::read(&finished_run("lenet5")[CONFIG]).unwrap();
    let mut progress = Progress::default();
    progress.end_epoch(1.5, 1e-3, None);
    progress.steps = 2;
    let weights = read_weights(&finished_run("lenet5")[STATE_DICT]).unwrap();
    let state = TrainState { updates: 12, tensors: weights };
    Checkpoint { config, progress, state, events: None }.write().unwrap()
}

#[test]
fn a_checkpoint_has_its_settings_and_one_that_is_damaged_is_refused() {
    let folder = temporary_folder();
    let checkpoints = folder.path().join("run/checkpoints");
    fs::create_dir_all(&checkpoints).unwrap();
    let mut bytes = checkpoint();
    fs::write(checkpoints.join("00000012.safetensors"), &bytes).unwrap();
    let files = ["run/checkpoints/00000012.safetensors", "run"];
    let documents = inspected(folder.path(), &files, 0);
    let [file, run] = &documents[..] else { panic!("{documents:?}") };
    let found = &file["checkpoint"];
    assert_eq!(file["kind"], "stitch_checkpoint");
    assert_eq!((&found["version"], &found["epochs"]), (&json!(3), &json!(1)));
    assert_eq!((&found["steps"], &found["updates"]), (&json!(2), &json!(12)));
    let config: Value = serde_json::from_slice(&finished_run("lenet5")[CONFIG]).unwrap();
    assert_eq!(found["config"], config);
    let shown = text(folder.path(), &files[..1]);
    for part in ["checkpoint of stitch", "1 epoch finished, 2 steps of the next", "model lenet5"] {
        assert!(shown.contains(part), "{shown}");
    }
    // The folder of a run that was interrupted has the settings of its checkpoint.
    assert_eq!((&run["complete"], &run["model"]), (&json!(false), &json!("lenet5")));
    assert_eq!((&run["config"], &run["metrics"]), (&config, &Value::Null));
    assert!(text(folder.path(), &["run"]).contains("folder of an interrupted run of lenet5"));
    // What is exported from it does not pretend to be a checkpoint.
    let export = ["export", files[0], "-o", "weights.safetensors"];
    stitch(folder.path()).args(export).assert().code(0);
    let weights = &inspected(folder.path(), &["weights.safetensors"], 0)[0];
    assert_eq!(
        (&weights["kind"], &weights["metadata"]["sha256"]),
        (&json!("safetensors"), &Value::Null)
    );
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(checkpoints.join("00000012.safetensors"), &bytes).unwrap();
    let error = text_of_failure(folder.path(), &files[..1]);
    assert!(error.contains("it is damaged: the SHA-256 of its content is "), "{error}");
    assert_eq!(inspected(folder.path(), &["run"], 0)[0]["model"], Value::Null);
    let error = text_of_failure(folder.path(), &["run", "--key", "model"]);
    assert!(error.contains("--key: run is not a checkpoint"), "{error}");
}
