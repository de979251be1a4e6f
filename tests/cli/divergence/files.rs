//! One thing changed in a run folder without a trace, or in a single file.

use std::fs;
use std::path::Path;
use std::process::Command;

use predicates::prelude::*;
use stitch::tensor_files::{Dtype, Metadata, NamedTensor};

use super::*;

/// The notebook's run without its trace.
fn untraced() -> TempDir {
    let run = LENET5.copy();
    fs::remove_dir_all(run.path().join("trace")).unwrap();
    run
}

/// Changes the weights of a copy and compares it with the original.
fn weights_diverge(change: impl FnOnce(&mut Vec<NamedTensor>), first: &str) -> Assert {
    let (reference, port) = (untraced(), untraced());
    change_tensors(&port.path().join("weights.safetensors"), change);
    assert_diverges(reference.path(), port.path(), &format!("weights.safetensors, {first}"))
}

#[test]
fn a_run_equals_its_copy() {
    assert_equal(untraced().path(), untraced().path());
}

#[test]
fn one_ulp_in_one_weight_is_named_with_its_index_and_bits() {
    let next = |x: f32| f32::from_bits(x.to_bits() + 1);
    weights_diverge(
        |tensors| {
            let weight = tensor(tensors, "conv2.weight");
            // [3, 2, 1, 4] of (16, 6, 5, 5).
            let index = ((3 * 6 + 2) * 5 + 1) * 5 + 4;
            set_f32(weight, index, next(get_f32(weight, index)));
        },
        "final value of conv2.weight[3, 2, 1, 4]: expected ",
    )
    .stdout(predicate::str::contains("; 1 of 2400 elements differ\n"))
    .stdout(predicate::str::contains("greatest distance 1 ULP at [3, 2, 1, 4]"))
    .stdout(predicate::str::contains("or --ulp 1"))
    .stdout(predicate::str::contains("PARITY: DIFFERENT (1 of "));
}

#[test]
fn the_smallest_tolerance_that_is_named_does_pass() {
    let (reference, port) = (untraced(), untraced());
    change_tensors(&port.path().join("weights.safetensors"), |tensors| {
        let bias = tensor(tensors, "fc3.bias");
        (0..10).for_each(|i| set_f32(bias, i, get_f32(bias, i) * 1.001));
    });
    let output = parity(&[reference.path(), port.path()]).assert().code(1);
    let said = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let line =
        said.lines().find_map(|line| line.trim().strip_prefix("it would pass with ")).unwrap();
    let flags: Vec<&str> = line.split(", or ").collect();
    assert_eq!(flags.len(), 3, "{line}");
    for flag in flags {
        let mut command = parity(&[reference.path(), port.path()]);
        command.args(flag.split(' ')).assert().code(0).stdout(
            predicate::str::contains("PARITY: EQUAL within tolerance")
                .and(predicate::str::contains("tolerance for ")),
        );
    }
    let mut command = parity(&[reference.path(), port.path()]);
    command.args(["--tol", "fc3.bias=1"]).assert().code(0);
    let mut command = parity(&[reference.path(), port.path()]);
    command.args(["--tol", "fc2.bias=1"]).assert().code(1);
}

#[test]
fn a_renamed_tensor_is_missing_under_one_name_and_unexpected_under_the_other() {
    weights_diverge(
        |tensors| tensor(tensors, "fc1.bias").name = "fc1.offset".into(),
        "final value of fc1.offset: unexpected",
    )
    .stdout(predicate::str::contains("final value of fc1.bias: missing in the candidate"));
}

#[test]
fn a_transposed_matrix_is_a_wrong_shape() {
    weights_diverge(
        |tensors| tensor(tensors, "fc2.weight").shape.reverse(),
        "final value of fc2.weight: expected the shape [84, 120], got [120, 84]",
    );
}

#[test]
fn a_transposed_square_matrix_is_other_values() {
    let tensor = |data: Vec<f32>| NamedTensor {
        name: "w".into(),
        dtype: Dtype::F32,
        shape: vec![2, 2],
        data: data.into_iter().flat_map(f32::to_le_bytes).collect(),
    };
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    fs::write(&a, safetensors::write(&[tensor(vec![1., 2., 3., 4.])], &Metadata::new()).unwrap())
        .unwrap();
    fs::write(&b, safetensors::write(&[tensor(vec![1., 3., 2., 4.])], &Metadata::new()).unwrap())
        .unwrap();
    assert_diverges(
        &a,
        &b,
        "final value of w[0, 1]: expected 2.0 (0x40000000), got 3.0 (0x40400000)",
    );
}

#[test]
fn another_dtype_is_said() {
    weights_diverge(
        |tensors| {
            let bias = tensor(tensors, "conv1.bias");
            let values: Vec<f32> = (0..6).map(|i| get_f32(bias, i)).collect();
            bias.dtype = Dtype::F64;
            bias.data = values.into_iter().flat_map(|x| f64::from(x).to_le_bytes()).collect();
        },
        "final value of conv1.bias: expected the type float32, got float64",
    );
}

#[test]
fn nan_on_one_side_fails_and_on_both_sides_passes_only_when_asked_for() {
    let nan = |tensors: &mut Vec<NamedTensor>| set_f32(tensor(tensors, "fc3.bias"), 7, f32::NAN);
    let (reference, port) = (untraced(), untraced());
    change_tensors(&port.path().join("weights.safetensors"), nan);
    let first = "weights.safetensors, final value of fc3.bias[7]: expected ";
    assert_diverges(reference.path(), port.path(), first);
    for wide in [["--atol", "1e30"], ["--ulp", "4000000000"]] {
        parity(&[reference.path(), port.path()]).args(wide).assert().code(1);
    }
    change_tensors(&reference.path().join("weights.safetensors"), nan);
    assert_diverges(reference.path(), port.path(), first);
    parity(&[reference.path(), port.path()]).arg("--equal-nan").assert().code(0);
}

#[test]
fn negative_zero_is_not_zero() {
    let zero = |value| {
        move |tensors: &mut Vec<NamedTensor>| set_f32(tensor(tensors, "fc1.bias"), 0, value)
    };
    let (reference, port) = (untraced(), untraced());
    change_tensors(&reference.path().join("weights.safetensors"), zero(0.0));
    change_tensors(&port.path().join("weights.safetensors"), zero(-0.0));
    let first = "weights.safetensors, final value of fc1.bias[0]: expected 0.0 (0x00000000), got -0.0 (0x80000000)";
    assert_diverges(reference.path(), port.path(), first);
}

#[test]
fn a_truncated_file_cannot_be_read() {
    for file in ["weights.safetensors", "config.json", "metrics.json"] {
        let (reference, port) = (untraced(), untraced());
        let path = port.path().join(file);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 7]).unwrap();
        parity(&[reference.path(), port.path()])
            .assert()
            .code(2)
            .stdout("")
            .stderr(predicate::str::contains(path.to_str().unwrap()));
    }
}

/// Changes one line of a CSV file of a copy.
fn line_changed(file: &str, from: &str, to: &str) -> TempDir {
    let run = untraced();
    let path = run.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    run
}

#[test]
fn one_flipped_prediction_is_named_with_its_true_class() {
    let predictions = fs::read_to_string(untraced().path().join("predictions.csv")).unwrap();
    let line = predictions.lines().nth(43).unwrap();
    let [index, truth, answer] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let other = (answer.parse::<u8>().unwrap() + 1) % 10;
    let from = format!("\n{line}\n");
    let port = line_changed("predictions.csv", &from, &format!("\n{index},{truth},{other}\n"));
    let first =
        format!("predictions.csv, predictions[42]: expected {answer}, got {other}; 1 of 300");
    assert_diverges(untraced().path(), port.path(), &first).stdout(predicate::str::contains(
        format!("image 42 (true class {truth}): expected {answer}, got {other}"),
    ));
}

#[test]
fn a_changed_cell_of_the_confusion_matrix_is_named() {
    let matrix = fs::read_to_string(untraced().path().join("confusion_matrix.csv")).unwrap();
    let row = matrix.lines().nth(2).unwrap().to_owned();
    let mut cells: Vec<String> = row.split(',').map(str::to_owned).collect();
    let before = cells[4].clone();
    cells[4] = "77".into();
    let port = line_changed("confusion_matrix.csv", &row, &cells.join(","));
    let said = format!("true 1, predicted 3: expected {before}, got 77");
    assert_diverges(
        untraced().path(),
        port.path(),
        "confusion_matrix.csv, confusion matrix[1, 3]: ",
    )
    .stdout(predicate::str::contains(said));
}

#[test]
fn another_loss_and_another_accuracy_are_named() {
    let port = line_changed("history.csv", "\n1,", "\n1,1");
    assert_diverges(untraced().path(), port.path(), "history.csv, epoch 1, mean loss: expected ")
        .stdout(predicate::str::contains("loss of epoch 1: expected "));
    let port = line_changed("metrics.json", "\"test_accuracy\": 0.", "\"test_accuracy\": 0.0");
    assert_diverges(untraced().path(), port.path(), "metrics.json, accuracy: expected ")
        .stdout(predicate::str::contains("accuracy: expected 0."));
}

#[test]
fn other_threads_and_versions_are_said_after_the_verdict() {
    let port = line_changed("config.json", "\"threads\": 1", "\"threads\": 8");
    let path = port.path().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    let capability =
        text.split("\"cpu_capability\": \"").nth(1).unwrap().split('"').next().unwrap();
    let text = text.replace("\"torch\": \"2.13.0", "\"torch\": \"2.12.1");
    fs::write(&path, text.replace(capability, "ANCIENT")).unwrap();
    let output = parity(&[untraced().path(), port.path()]).assert().code(0);
    let said = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let head: Vec<&str> = said.lines().skip(1).take(3).collect();
    assert_eq!(head[0], "threads differs: 1 in the reference, 8 in the candidate");
    assert!(head[1].starts_with("libtorch differs: 2.13.0 in the reference, 2.12.1"), "{said}");
    assert!(head[2].starts_with("CPU capability differs: "), "{said}");
}

#[test]
fn damage_in_any_file_of_a_run_is_found() {
    for (file, from, to) in [
        ("classification_report.csv", "macro avg,0.", "macro avg,0.1"),
        ("classification_report.csv", "Trouser", "Trousers"),
        ("confusion_matrix.csv", "Trouser", "Trousers"),
        ("metrics.json", "\"f1\": 0.", "\"f1\": 0.0"),
        ("predictions.csv", "\n0,", "\n1,"),
    ] {
        let run = untraced();
        let path = run.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{file}");
        fs::write(&path, changed).unwrap();
        let code = parity(&[untraced().path(), run.path()]).output().unwrap().status.code();
        assert!(matches!(code, Some(1 | 2)), "{file}: {from} to {to} gives {code:?}");
    }
    for file in ["state_dict.pt", "torchscript.pt", "weights.safetensors"] {
        let run = untraced();
        let path = run.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let assert = parity(&[untraced().path(), run.path()]).assert();
        let output = assert.get_output();
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        assert_ne!(output.status.code(), Some(0), "{file}");
        assert!(String::from_utf8(said).unwrap().contains(file), "{file} is not named");
    }
}

#[test]
fn a_tolerance_for_no_tensor_and_files_of_different_kinds_are_usage_errors() {
    let run = untraced();
    parity(&[run.path(), run.path()])
        .args(["--tol", "conv9=1"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("--tol conv9"));
    let [a, b] = ["predictions.csv", "weights.safetensors"].map(|file| run.path().join(file));
    parity(&[&a, &b]).assert().code(2).stderr(predicate::str::contains("no tensor in common"));
}

#[test]
fn nothing_to_compare_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.safetensors", "b.safetensors"].map(|name| folder.path().join(name));
    for path in [&a, &b] {
        fs::write(path, safetensors::write(&[], &Metadata::new()).unwrap()).unwrap();
    }
    parity(&[&a, &b])
        .assert()
        .code(1)
        .stdout(predicate::str::contains("nothing to compare"))
        .stdout(predicate::str::starts_with("PARITY: DIFFERENT (0 of 0)\n"));
}

#[test]
fn every_kind_of_weights_file_is_compared_with_every_other() {
    let run = LENET5.notebook();
    let folder = tempfile::tempdir().unwrap();
    let made = common::run_python(
        "cli/divergence/formats.py",
        &[run.to_str().unwrap(), folder.path().to_str().unwrap()],
    );
    let files: Vec<&Path> = made.lines().map(Path::new).collect();
    assert_eq!(files.len(), 12, "{made}");
    for file in files {
        assert_equal(&run.join("weights.safetensors"), file);
        assert_equal(file, &run.join("state_dict.pt"));
        assert_equal(&run, file);
    }
}

#[test]
fn single_csv_files_are_compared() {
    for file in ["predictions.csv", "confusion_matrix.csv"] {
        let path = LENET5.notebook().join(file);
        assert_equal(&path, &path);
        assert_equal(&untraced().path().join(file), untraced().path());
    }
}

#[test]
fn what_is_no_side_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(&text, "no tensors").unwrap();
    let missing = folder.path().join("missing.pt");
    for side in [folder.path(), &text, &missing] {
        parity(&[&LENET5.notebook(), side])
            .assert()
            .code(2)
            .stderr(predicate::str::contains(side.to_str().unwrap()));
    }
}

#[test]
fn json_holds_every_number() {
    let (reference, port) = (untraced(), untraced());
    change_tensors(&port.path().join("weights.safetensors"), |tensors| {
        let bias = tensor(tensors, "fc3.bias");
        set_f32(bias, 2, get_f32(bias, 2) + 0.5);
    });
    let output = parity(&[reference.path(), port.path()]).arg("--json").assert().code(1);
    let report: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!((&report["equal"], &report["different"]), (&false.into(), &1.into()));
    assert!(
        report["first_divergence"]
            .as_str()
            .unwrap()
            .starts_with("weights.safetensors, final value of fc3.bias[2]")
    );
    let tensors = report["tensors"].as_array().unwrap();
    let bias = |tensor: &&serde_json::Value| {
        tensor["name"] == "fc3.bias" && tensor["file"] == "weights.safetensors"
    };
    let bias = tensors.iter().find(bias).unwrap();
    let numbers = &bias["outcome"]["different"];
    assert_eq!((&numbers["elements"], &numbers["unequal"]), (&10.into(), &1.into()));
    assert_eq!(numbers["abs"]["at"]["index"], 2);
    assert_eq!(numbers["median"], 0.0);
    assert_eq!(numbers["histogram"].as_array().unwrap().iter().filter(|n| **n != 0).count(), 2);
}

#[test]
fn the_histogram_is_shown_on_request() {
    let (reference, port) = (untraced(), untraced());
    change_tensors(&port.path().join("weights.safetensors"), |tensors| {
        let bias = tensor(tensors, "fc3.bias");
        set_f32(bias, 2, get_f32(bias, 2) + 0.5);
    });
    let sides = [reference.path(), port.path()];
    let bars = predicate::str::is_match(r"\n +0 +9 #{40}\n +1e-1 +1 #{5}\n").unwrap();
    parity(&sides).arg("--histogram").assert().code(1).stdout(bars.clone());
    parity(&sides).assert().code(1).stdout(bars.not());
}

#[test]
fn the_result_is_written_as_junit_xml_and_as_an_annotation() {
    let port = LENET5.copy();
    let weights = port.path().join("weights.safetensors");
    change_tensors(&weights, |tensors| set_f32(tensor(tensors, "fc1.bias"), 3, 7.0));
    let folder = tempfile::tempdir().unwrap();
    let xml = folder.path().join("result.xml");
    let run = |more: &[&str]| {
        let mut command = parity(&[&LENET5.notebook().join("weights.safetensors"), &weights]);
        command.args(["--junit", xml.to_str().unwrap()]).args(more);
        command
    };
    let assert = run(&["--format", "github"]).assert().code(1);
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let line = text.lines().last().unwrap();
    assert!(
        line.starts_with("::error title=") && line.contains("::PARITY: DIFFERENT (1 of 10)%0A")
    );
    assert!(line.contains("%0Afirst divergence: final value of fc1.bias[3]"), "{line}");
    let read = "import sys, xml.etree.ElementTree as tree\n\
                suite = tree.parse(sys.argv[1]).getroot()\n\
                failed = [case.get('name') for case in suite.iter('testcase') if case.find('failure') is not None]\n\
                print(suite.get('tests'), suite.get('failures'), failed)";
    let output = Command::new(common::python()).args(["-c", read]).arg(&xml).output().unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    assert_eq!(found.trim(), "10 1 ['final value of fc1.bias']");
    // The next run replaces it; another file is kept.
    run(&["--tol", "fc1.bias=10"]).assert().code(0);
    assert!(fs::read_to_string(&xml).unwrap().contains("failures=\"0\""));
    fs::write(&xml, "notes").unwrap();
    run(&[]).assert().code(2).stderr(predicate::str::contains("is no JUnit XML"));
    assert_eq!(fs::read_to_string(&xml).unwrap(), "notes");
    run(&["--format", "github", "--json"]).assert().code(2);
}
