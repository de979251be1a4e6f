//! `stitch doctor` and `stitch --version --verbose`.

use std::fs;

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;

use crate::{common, folder_with_data, stdout_of, stitch, temporary_folder};

/// The check with this name.
fn check<'a>(document: &'a Value, name: &str) -> &'a Value {
    let checks = document["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{document}"))
}

#[test]
fn doctor_finds_what_this_project_was_set_up_with() {
    let assert = stitch(common::root()).args(["doctor", "--json"]).assert().code(0);
    let document: Value = serde_json::from_str(stdout_of(&assert)).unwrap();
    assert_eq!(document["problems"], 0);
    for name in ["stitch", "libtorch", "ATen kernels", "oneDNN", "MKL", "data", "reference"] {
        assert_eq!(check(&document, name)["status"], "ok", "{document}");
    }
    let versions =
        "import sklearn, torch; print(torch.__version__.split('+')[0], sklearn.__version__)";
    let output =
        std::process::Command::new(common::python()).args(["-c", versions]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let (torch, sklearn) = printed.trim().split_once(' ').unwrap();
    assert!(
        check(&document, "libtorch")["found"].as_str().unwrap().starts_with(torch),
        "{document}"
    );
    let reference = check(&document, "reference")["found"].as_str().unwrap();
    assert!(reference.contains(&format!("torch {torch}")), "{reference}");
    assert!(reference.contains(&format!("scikit_learn {sklearn}")), "{reference}");
}

#[test]
fn what_is_missing_is_a_note_and_what_is_wrong_a_problem_each_with_a_remedy() {
    let folder = temporary_folder();
    // As in the repository of stitch, but without a Python environment.
    fs::create_dir_all(folder.path().join("tests/reference")).unwrap();
    fs::write(folder.path().join("tests/reference/notebook.py"), "").unwrap();
    let assert = stitch(folder.path())
        .arg("doctor")
        .env("MKL_ENABLE_INSTRUCTIONS", "AVX2")
        .env("ATEN_CPU_CAPABILITY", "default")
        .env("OMP_DYNAMIC", "true")
        .env("FASHION_MNIST_DIR", folder.path())
        .assert()
        .code(1)
        .stdout(contains("note    ATen kernels: DEFAULT"))
        .stdout(contains("unset ATEN_CPU_CAPABILITY"))
        .stdout(contains("PROBLEM threads: --threads: with OMP_DYNAMIC"))
        .stdout(contains("PROBLEM data: "))
        .stdout(contains("correct or unset $FASHION_MNIST_DIR"))
        .stdout(contains("note    MKL: ").and(contains("chosen by $MKL_ENABLE_INSTRUCTIONS=AVX2")))
        .stdout(contains("note    reference: there is no .venv"));
    assert!(stdout_of(&assert).contains("make venv"));
}

#[test]
fn another_data_set_is_a_note() {
    let folder = folder_with_data();
    stitch(folder.path())
        .arg("doctor")
        .env("FASHION_MNIST_DIR", folder.path().join("data"))
        .assert()
        .code(0)
        .stdout(contains("note    data: another data set in"));
}

#[test]
fn the_versions_are_those_that_pytorch_shows() {
    let folder = temporary_folder();
    let verbose = |flags: &[&str]| {
        let assert =
            stitch(folder.path()).args(flags).env("OMP_WAIT_POLICY", "passive").assert().code(0);
        stdout_of(&assert).to_owned()
    };
    let text = verbose(&["--version", "--verbose"]);
    let document: Value = serde_json::from_str(&verbose(&["-V", "-v", "--json"])).unwrap();
    let show = "import torch; print(torch.__config__.show())";
    let output = std::process::Command::new(common::python()).args(["-c", show]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    for name in ["onednn", "mkl", "openmp", "cpu_capability"] {
        let version = document[name].as_str().unwrap();
        assert!(shown.contains(version), "{name}: {version} is not in {shown}");
        assert!(text.contains(version), "{name}: {version} is not in {text}");
    }
    assert_eq!(document["variables"]["OMP_WAIT_POLICY"], "passive");
    for model in ["mlp", "lenet5", "deepcnn"] {
        let sha256 = document["kernels_sha256"][model].as_str().unwrap();
        assert!(text.contains(&format!("SHA-256 of a step of {model}: {sha256}")), "{text}");
    }
}
