//! `stitch evaluate`: the weights that `stitch train` wrote, and what is not weights.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use stitch::models::named;
use stitch::run_folder::{
    CLASSIFICATION_REPORT, CONFIG, CONFUSION_MATRIX, METRICS, PREDICTIONS, SAFETENSORS, STATE_DICT,
    TORCHSCRIPT,
};
use stitch::tensor_files::{Dtype, Metadata, NamedTensor, safetensors};
use tempfile::TempDir;

use crate::{
    TEST, common, copy_real, files_in, finished_run, folder_with_data, json, put, real_paths,
    refused, stdout_of, stitch, temporary_folder,
};

/// `stitch evaluate FILE --data data`.
pub fn evaluate(folder: &Path, file: &str) -> Command {
    let mut command = stitch(folder);
    command.args(["evaluate", file, "--data", "data"]);
    command
}

/// A temporary folder with the cut data set in `data` and a finished run in `run`.
pub fn folder_with_run(model: &str) -> TempDir {
    let folder = folder_with_data();
    put(finished_run(model), &folder.path().join("run"));
    folder
}

/// Evaluates `file` of the model's run into a folder: the scores and CSV files of the run.
fn gives_the_runs_results(model: &str, file: &str) {
    let folder = folder_with_run(model);
    let run = finished_run(model);
    let mut command = evaluate(folder.path(), &format!("run/{file}"));
    let assert = command.args(["--out", "out", "--threads", "1"]).assert().code(0);

    let mut wanted = json(run, METRICS);
    let accuracy = wanted["test_accuracy"].as_f64().unwrap();
    let right = (accuracy * TEST as f64).round();
    let line = format!("{model}: test accuracy {accuracy:.4} ({right} of {TEST})");
    assert_eq!(stdout_of(&assert).lines().last().unwrap(), line);

    let out = files_in(&folder.path().join("out"));
    let files = [CLASSIFICATION_REPORT, CONFUSION_MATRIX, METRICS, PREDICTIONS];
    assert_eq!(out.keys().collect::<Vec<_>>(), files);
    for name in [CLASSIFICATION_REPORT, CONFUSION_MATRIX, PREDICTIONS] {
        assert!(out[name] == run[name], "{name} differs from the run's");
    }
    let mut found = json(&out, METRICS);
    let without = |metrics: &mut Value, keys: &[&str]| {
        keys.iter().for_each(|key| drop(metrics.as_object_mut().unwrap().remove(*key)));
    };
    without(&mut wanted, &["train_loss", "epochs_run", "train_seconds", "peak_rss_bytes"]);
    without(&mut found, &["peak_rss_bytes"]);
    assert_eq!(found, wanted);
}

#[test]
fn the_mlps_state_dict_gives_the_runs_results() {
    gives_the_runs_results("mlp", STATE_DICT);
}

#[test]
fn the_mlps_safetensors_give_the_runs_results() {
    gives_the_runs_results("mlp", SAFETENSORS);
}

#[test]
fn lenet5s_state_dict_gives_the_runs_results() {
    gives_the_runs_results("lenet5", STATE_DICT);
}

#[test]
fn lenet5s_safetensors_give_the_runs_results() {
    gives_the_runs_results("lenet5", SAFETENSORS);
}

#[test]
fn the_mlps_torchscript_gives_the_runs_results() {
    gives_the_runs_results("mlp", TORCHSCRIPT);
}

#[test]
fn without_a_folder_nothing_is_written() {
    let folder = folder_with_run("mlp");
    evaluate(folder.path(), "run/state_dict.pt").arg("--quiet").assert().code(0).stderr("");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    assert!(files_in(&folder.path().join("run")) == *finished_run("mlp"), "the run was changed");
}

#[test]
fn the_right_model_may_be_named_and_the_files_name_does_not_matter() {
    let folder = folder_with_run("lenet5");
    let [from, to] = ["run/weights.safetensors", "weights.bin"].map(|p| folder.path().join(p));
    fs::rename(from, to).unwrap();
    let mut command = evaluate(folder.path(), "weights.bin");
    let assert = command.args(["--model", "lenet5"]).assert().code(0);
    assert.stdout(contains("lenet5: test accuracy"));
}

#[test]
fn weights_of_the_other_model_are_refused_with_names_and_shapes() {
    let [conv1, first] = ["conv1.weight [6, 1, 5, 5]", "0.weight [64, 784]"];
    for (weights, asked, found, wanted) in
        [("lenet5", "mlp", conv1, first), ("mlp", "lenet5", first, conv1)]
    {
        let folder = folder_with_run(weights);
        let mut command = evaluate(folder.path(), "run/state_dict.pt");
        let found = format!("the file holds {found}");
        let wanted = format!("none of which is a tensor of {asked} ({wanted}");
        refused(command.args(["--model", asked]), 2, &["run/state_dict.pt", &found, &wanted]);
    }
}

/// Evaluates a file of these bytes: exit code 2, its name and each of `parts` on stderr.
fn bytes_are_refused(bytes: &[u8], parts: &[&str]) {
    let folder = folder_with_data();
    fs::write(folder.path().join("weights.pt"), bytes).unwrap();
    let parts = [&["weights.pt"], parts].concat();
    refused(&mut evaluate(folder.path(), "weights.pt"), 2, &parts);
}

#[test]
fn text_is_refused_as_weights() {
    bytes_are_refused(
        b"These are not the weights.",
        &["not a file of tensors", ".pt", ".safetensors"],
    );
}

#[test]
fn an_empty_file_is_refused_as_weights() {
    bytes_are_refused(b"", &["it is empty"]);
}

#[test]
fn a_cut_file_of_old_pytorch_and_another_pickle_are_refused_by_what_they_are() {
    bytes_are_refused(
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
        &["a damaged .pt file of the format before PyTorch 1.6", "it ends in a pickle"],
    );
    bytes_are_refused(b"\x80\x02}.", &["a bare pickle", "save its tensors with torch.save"]);
}

#[test]
fn a_truncated_state_dict_is_refused() {
    let whole = &finished_run("lenet5")[STATE_DICT];
    bytes_are_refused(&whole[..whole.len() / 2], &["damaged"]);
}

#[test]
fn a_truncated_safetensors_file_is_refused() {
    let whole = &finished_run("lenet5")[SAFETENSORS];
    bytes_are_refused(&whole[..whole.len() / 2], &["damaged .safetensors file"]);
}

#[test]
fn a_flipped_bit_in_a_state_dict_is_noticed() {
    let mut bytes = finished_run("lenet5")[STATE_DICT].clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes_are_refused(&bytes, &["damaged"]);
}

#[test]
fn an_archive_of_something_else_is_refused() {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("letter.txt", options).unwrap();
    zip.write_all(b"Dear reader").unwrap();
    bytes_are_refused(&zip.finish().unwrap().into_inner(), &["not a file of tensors"]);
}

fn tensor(name: &str, dtype: Dtype, shape: &[usize]) -> NamedTensor {
    let data = vec![0; shape.iter().product::<usize>() * dtype.size()];
    NamedTensor { name: name.into(), dtype, shape: shape.to_vec(), data }
}

#[test]
fn tensors_of_no_known_model_are_refused_with_what_each_model_wants() {
    let file = safetensors::write(&[tensor("head.weight", Dtype::F32, &[2, 3])], &Metadata::new())
        .unwrap();
    let wanted = "none of which is a tensor of mlp (0.weight [64, 784], ";
    let parts = ["holds head.weight [2, 3]", wanted, "or lenet5 (conv1.weight [6, 1, 5, 5], "];
    bytes_are_refused(&file, &parts);
}

#[test]
fn a_file_of_no_tensors_is_refused() {
    bytes_are_refused(
        &safetensors::write(&[], &Metadata::new()).unwrap(),
        &["the file holds no tensor", "the weights of mlp, lenet5, deepcnn are expected"],
    );
}

/// Zeros with the mlp's names and shapes.
fn mlp_of_zeros(dtype: Dtype) -> Vec<NamedTensor> {
    let shape = |sizes: &[i64]| sizes.iter().map(|&n| n as usize).collect::<Vec<_>>();
    let mlp = named("mlp").unwrap();
    let graph = mlp.graph(mlp.options());
    let specs = graph.parameters().iter();
    specs.map(|spec| tensor(&spec.name, dtype, &shape(&spec.shape))).collect()
}

#[test]
fn a_tensor_too_many_or_too_few_is_no_known_model() {
    let mut tensors = mlp_of_zeros(Dtype::F64);
    tensors.push(tensor("4.bias", Dtype::F64, &[10]));
    let parts = ["not the weights of mlp: unexpected key 4.bias"];
    bytes_are_refused(&safetensors::write(&tensors, &Metadata::new()).unwrap(), &parts);
    tensors.drain(3..);
    let parts = ["not the weights of mlp: missing key 2.bias"];
    bytes_are_refused(&safetensors::write(&tensors, &Metadata::new()).unwrap(), &parts);
}

#[test]
fn whole_numbers_are_refused_as_weights() {
    let tensors = mlp_of_zeros(Dtype::I64);
    bytes_are_refused(
        &safetensors::write(&tensors, &Metadata::new()).unwrap(),
        &["0.weight", "int64", "float64"],
    );
}

#[test]
fn a_folder_is_refused_as_weights() {
    let folder = folder_with_run("mlp");
    refused(&mut evaluate(folder.path(), "run"), 2, &["run is a folder", "weights file"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = folder_with_data();
    refused(&mut evaluate(folder.path(), "nowhere.pt"), 2, &["nowhere.pt cannot be read"]);
}

#[test]
fn data_that_is_not_there_is_named() {
    let folder = folder_with_run("mlp");
    let mut command = stitch(folder.path());
    command.args(["evaluate", "run/state_dict.pt", "--data", "nowhere", "--out", "out"]);
    refused(&mut command, 2, &["--data nowhere does not exist"]);
    assert!(files_in(&folder.path().join("out")).is_empty());
}

#[test]
fn a_folder_that_holds_another_run_is_refused_and_left_as_it_is() {
    let folder = folder_with_run("mlp");
    let mut command = evaluate(folder.path(), "run/state_dict.pt");
    refused(
        command.args(["--out", "run"]),
        2,
        &["--out run", "contains a training run", "--force"],
    );
    assert!(files_in(&folder.path().join("run")) == *finished_run("mlp"), "the run was changed");
}

#[test]
fn with_force_an_evaluation_replaces_another() {
    let folder = folder_with_run("mlp");
    fs::create_dir(folder.path().join("out")).unwrap();
    fs::write(folder.path().join("out").join(METRICS), "{}").unwrap();
    let mut command = evaluate(folder.path(), "run/state_dict.pt");
    command.args(["--out", "out", "--force"]).assert().code(0);
    let found = json(&files_in(&folder.path().join("out")), METRICS);
    assert_eq!(found["test_accuracy"], json(finished_run("mlp"), METRICS)["test_accuracy"]);
}

#[test]
fn even_with_force_the_weights_that_are_evaluated_are_not_deleted() {
    let folder = folder_with_run("mlp");
    let mut command = evaluate(folder.path(), "run/state_dict.pt");
    command.args(["--out", "run", "--force"]).output().unwrap();
    let weights = fs::read(folder.path().join("run/state_dict.pt")).ok();
    assert!(weights.as_ref() == Some(&finished_run("mlp")[STATE_DICT]), "the weights are gone");
}

#[test]
fn with_force_an_evaluation_makes_no_mixture_with_the_run_of_another_model() {
    let folder = folder_with_run("lenet5");
    put(finished_run("mlp"), &folder.path().join("other"));
    let mut command = evaluate(folder.path(), "run/state_dict.pt");
    let code = command.args(["--out", "other", "--force"]).output().unwrap().status.code();
    let files = files_in(&folder.path().join("other"));
    // A folder that has config.json holds a complete run.
    match code {
        Some(0) => assert!(!files.contains_key(CONFIG), "the mlp's {CONFIG} beside other metrics"),
        Some(2) => assert!(files == *finished_run("mlp"), "refused, but the run was changed"),
        code => panic!("{code:?}"),
    }
}

#[test]
fn a_damaged_official_file_is_warned_of() {
    let folder = temporary_folder();
    let data = folder.path().join("data");
    copy_real(&data);
    put(finished_run("mlp"), &folder.path().join("run"));
    let path = real_paths()[3].file_name().map(|name| data.join(name)).unwrap();
    let mut labels = common::dataset().test.labels.clone();
    labels[0] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(data.join("t10k-labels-idx1-ubyte"), common::labels_file(&labels)).unwrap();
    let assert = evaluate(folder.path(), "run/state_dict.pt").assert().code(0);
    let warning = contains("warning: data/t10k-labels-idx1-ubyte is not the official file");
    assert.stderr(warning.and(contains("stitch data verify")));
}

#[test]
fn weights_that_are_no_numbers_are_warned_of() {
    let folder = folder_with_run("mlp");
    let mut tensors = stitch::tensor_files::read_weights(&finished_run("mlp")[STATE_DICT]).unwrap();
    tensors[1].data[..8].copy_from_slice(&f64::NAN.to_le_bytes());
    let file = safetensors::write(&tensors, &Metadata::new()).unwrap();
    fs::write(folder.path().join("nan.safetensors"), file).unwrap();
    let warning = predicate::str::contains("nan.safetensors: 0.bias contains NaN or infinity");
    evaluate(folder.path(), "nan.safetensors").assert().success().stderr(warning);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_instead_of_waited_for() {
    let folder = folder_with_run("mlp");
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("p.pt")).status();
    assert!(made.unwrap().success());
    let plain = ["p.pt", "not a regular file"];
    refused(&mut evaluate(folder.path(), "p.pt"), 2, &plain);
    for command in [["parity", "p.pt", "p.pt"], ["predict", "p.pt", "p.pt"]] {
        refused(common::stitch(folder.path()).args(command), 2, &plain);
    }
    let export = ["export", "run/state_dict.pt", "-o", "p.pt", "--force"];
    refused(common::stitch(folder.path()).args(export), 2, &plain);
    assert!(folder.path().join("p.pt").symlink_metadata().is_ok_and(|there| !there.is_file()));
}
