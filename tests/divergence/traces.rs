//! One thing changed in a trace, and real traces of both sides.

use std::fs;
use stitch::sha256;

use serde_json::Value;

use super::*;

/// The records of a run's trace, and a way to put them back.
fn records(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("trace/trace.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn write_records(run: &Path, records: &[Value]) {
    let text: String = records.iter().map(|record| format!("{record}\n")).collect();
    fs::write(run.join("trace/trace.jsonl"), text).unwrap();
}

/// A copy in whose trace a kept tensor is changed, with its hash, as a port with that fault would
/// have left it.
fn with_changed([stage, step, name]: [&str; 3], change: impl FnOnce(&mut NamedTensor)) -> TempDir {
    let port = LENET5.copy();
    let mut sha256 = String::new();
    change_tensors(&port.path().join("trace/trace.safetensors"), |tensors| {
        let changed = tensor(tensors, &format!("{stage}{step}/{name}"));
        change(changed);
        sha256 = sha256::of(&changed.data);
    });
    let mut lines = records(port.path());
    let at = step.split('=').nth(1).and_then(|number| number.parse::<u64>().ok());
    let line = lines.iter_mut().find(|line| {
        let place = if step.contains("epoch") { &line["epoch"] } else { &line["step"] };
        line["stage"] == stage && line["name"] == name && place.as_u64() == at
    });
    line.unwrap()["sha256"] = sha256.into();
    write_records(port.path(), &lines);
    port
}

#[test]
fn real_traces_of_three_seeds_are_equal_to_the_last_record() {
    let folder = tempfile::tempdir().unwrap();
    for (model, verdict) in
        [("lenet5", "PARITY: EQUAL (bit for bit)\n"), ("mlp", "PARITY: EQUAL within tolerance\n")]
    {
        for seed in ["0", "1", "2"] {
            let [notebook, port] = ["notebook", "port"]
                .map(|side| folder.path().join(format!("{side}-{model}-{seed}")));
            let data = LENET5.data();
            let shared = ["--epochs", "1", "--seed", seed, "--threads", "1", "--trace"];
            let data = ["--data", data.to_str().unwrap(), "--out"];
            let flags = [&["--model", model], &shared[..], &data, &[notebook.to_str().unwrap()]];
            common::run_python("reference/notebook.py", &flags.concat());
            let flags = [&["train", model], &shared[..], &data, &[port.to_str().unwrap()]];
            common::stitch(folder.path()).args(flags.concat()).assert().success();
            assert_eq!(records(&notebook).len(), records(&port).len());
            parity(&[&notebook, &port])
                .assert()
                .code(0)
                .stdout(predicate::str::ends_with(format!("\n{verdict}")));
            // The folder of the trace alone is a side too.
            parity(&[&notebook.join("trace"), &port.join("trace")]).assert().code(0);
        }
    }
}

#[test]
fn tracing_changes_no_bit_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = LENET5.data();
    for model in ["mlp", "lenet5"] {
        let run = |out: &str, more: &[&str]| {
            let flags =
                ["train", model, "--epochs", "2", "--data", data.to_str().unwrap(), "--out"];
            common::stitch(folder.path()).args(flags).arg(out).args(more).assert().success();
            fs::read(folder.path().join(out).join("weights.safetensors")).unwrap()
        };
        let [plain, traced] = [format!("{model}-plain"), format!("{model}-traced")];
        assert!(run(&plain, &[]) == run(&traced, &["--trace"]), "{model}");
    }
}

#[test]
fn a_weight_one_ulp_off_after_a_step_is_found_there() {
    let port = with_changed(["parameter", "/step=3", "conv2.weight"], |weight| {
        let value = get_f32(weight, 554);
        set_f32(weight, 554, f32::from_bits(value.to_bits() + 1));
    });
    let first = "step 3, value after the update of conv2.weight[3, 4, 0, 4]: expected ";
    assert_diverges(&LENET5.notebook(), port.path(), first);
}

#[test]
fn a_swapped_epoch_order_is_found_at_the_permutation() {
    let port =
        with_changed(["permutation", "/epoch=1", "order"], |order| order.data.rotate_left(8));
    assert_diverges(&LENET5.notebook(), port.path(), "epoch 1, permutation[0]: expected ");
}

#[test]
fn a_changed_answer_is_shown_with_the_margins_of_both_sides() {
    let port = with_changed(["predictions", "", "y_pred"], |answers| {
        let answer = &mut answers.data[8 * 5];
        *answer = (*answer + 1) % 10;
    });
    assert_diverges(&LENET5.notebook(), port.path(), "predictions[5]: expected ")
        .stdout(predicate::str::contains("best logit ahead by "));
}

#[test]
fn a_large_tensor_that_differs_is_known_by_its_hash() {
    let port = LENET5.copy();
    let mut lines = records(port.path());
    assert_eq!((&lines[1]["stage"], &lines[1]["name"]), (&"data".into(), &"train.images".into()));
    lines[1]["sha256"] = "0".repeat(64).into();
    write_records(port.path(), &lines);
    let first = "data of train.images: its SHA-256 differs";
    assert_diverges(&LENET5.notebook(), port.path(), first).stdout(predicate::str::contains(
        "likely cause: another data set, or another normalisation",
    ));
}

#[test]
fn a_trace_that_contradicts_itself_is_refused() {
    let port = LENET5.copy();
    change_tensors(&port.path().join("trace/trace.safetensors"), |tensors| {
        tensor(tensors, "logits/step=1/logits").data[0] ^= 1;
    });
    let refused = parity(&[&LENET5.notebook(), port.path()]).assert().code(2);
    refused.stderr(predicate::str::contains("contradict"));
    let port = LENET5.copy();
    let mut lines = records(port.path());
    lines.push(lines[7].clone());
    write_records(port.path(), &lines);
    let refused = parity(&[&LENET5.notebook(), port.path()]).assert().code(2);
    refused.stderr(predicate::str::contains("is recorded twice"));
}

#[test]
fn a_bare_trace_is_compared_with_the_trace_of_a_run_folder() {
    let (run, bare) = (LENET5.notebook(), LENET5.notebook().join("trace"));
    assert_equal(&run, &bare);
    assert_equal(&bare, &run);
    assert_equal(&bare, &run.join("predictions.csv"));
    assert_equal(&run.join("weights.safetensors"), &bare);
    let port = LENET5.copy();
    fs::remove_dir_all(port.path().join("trace")).unwrap();
    let refused = parity(&[&bare, port.path()]).assert().code(2);
    refused.stderr(predicate::str::contains("run it with --trace"));
}

#[test]
fn a_dropped_record_is_missing() {
    let port = LENET5.copy();
    let mut lines = records(port.path());
    let dropped = lines.iter().position(|line| line["stage"] == "gradient").unwrap();
    lines.remove(dropped);
    write_records(port.path(), &lines);
    let first = "step 1, gradient of conv1.weight: missing in the port";
    assert_diverges(&LENET5.notebook(), port.path(), first);
}

#[test]
fn a_trace_cut_in_a_line_or_of_a_newer_version_cannot_be_read() {
    let port = LENET5.copy();
    let path = port.path().join("trace/trace.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    for (changed, said) in [
        (text[..text.len() - 20].to_owned(), "is not a record of a trace"),
        (text.replacen("\"version\": 1", "\"version\": 2", 1), "it is a trace of version 2"),
        (String::new(), "line 1 is not the header of a trace"),
    ] {
        fs::write(&path, changed).unwrap();
        parity(&[&LENET5.notebook(), port.path()])
            .assert()
            .code(2)
            .stderr(predicate::str::contains(said));
    }
}

#[test]
fn a_trace_on_one_side_only_compares_the_files_and_says_so() {
    let port = LENET5.copy();
    fs::remove_dir_all(port.path().join("trace")).unwrap();
    parity(&[&LENET5.notebook(), port.path()])
        .assert()
        .code(0)
        .stderr(predicate::str::contains("only REFERENCE has a trace"));
}
