//! The program that is built without libtorch: what it does has the same output, what it cannot do it says.

use std::fs;
use std::path::PathBuf;
use std::process::Command as Process;
use std::sync::OnceLock;

use assert_cmd::Command;
use predicates::str::contains;

use crate::{Place, common, finished_run, put, stdout_of, stitch};

/// Builds the program without default features, once per process of tests.
fn built() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // A folder of its own: features of shared crates differ.
        let target = common::root().join("target/without-libtorch");
        let output = Process::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--locked",
                "--offline",
                "--no-default-features",
                "--bin",
                "stitch",
            ])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(common::root())
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            // Neither libtorch nor a compiler of C++ is used.
            .env("LIBTORCH", "/nonexistent")
            .env("CXX", "/nonexistent")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        target.join("debug/stitch")
    })
}

#[test]
fn files_are_compared_shown_converted_and_reported_with_the_same_output() {
    let place = Place::new();
    let folder = place.path("");
    put(finished_run("mlp"), &place.path("a"));
    put(finished_run("lenet5"), &place.path("b"));
    let same = |arguments: &[&str], code: i32| {
        let of = |mut command: Command| {
            let assert = command.args(arguments).current_dir(&folder).assert().code(code);
            stdout_of(&assert).to_owned()
        };
        let printed = of(Command::new(built()));
        assert_eq!(printed, of(stitch(&folder)), "{arguments:?}");
        printed
    };
    same(&["parity", "a", "a"], 0);
    same(&["parity", "a", "b", "--verbose"], 1);
    same(&["inspect", "a", "a/torchscript.pt", "a/weights.safetensors"], 0);
    same(&["data", "--data", "data"], 0);
    same(&["models"], 0);
    same(&["models", "lenet5", "--json"], 0);
    same(&["export", "a/state_dict.pt", "-o", "a.npz", "--force"], 0);
    let exported = fs::read(place.path("a.npz")).unwrap();
    same(
        &["export", "b/torchscript.pt", "-o", "b.safetensors", "--force", "--dtype", "float16"],
        0,
    );
    assert_eq!(fs::read(place.path("a.npz")).unwrap(), exported);
    let mut report = Command::new(built());
    report.args(["report", "a", "b", "--data", "data", "-o", "report.html"]).current_dir(&folder);
    report.assert().code(0).stderr(contains("this stitch was built without libtorch"));
    let page = fs::read_to_string(place.path("report.html")).unwrap();
    assert!(page.contains("LeNet-5") && page.contains("confusion"), "{page}");
}

#[test]
fn what_computes_says_that_it_needs_libtorch() {
    let place = Place::new();
    for arguments in [
        &["train", "lenet5"][..],
        &["reproduce"],
        &["evaluate", "state_dict.pt"],
        &["predict", "shoe.png"],
        &["study", "run", "study"],
    ] {
        let mut command = Command::new(built());
        command.args(arguments).current_dir(place.path(""));
        command.assert().code(2).stderr(contains("built without libtorch")).stdout("");
    }
    let mut export = Command::new(built());
    let weights = common::root().join("models/lenet5/state_dict.pt");
    export.arg("export").arg(weights).args(["-o", "x.onnx"]).current_dir(place.path(""));
    export.assert().code(2).stderr(contains("--format onnx needs a forward pass: this stitch"));
    assert!(!place.path("x.onnx").exists());
    let mut import = Command::new(built());
    import.args(["data", "import", "images", "-o", "data"]).current_dir(place.path(""));
    import.assert().code(2).stderr(contains("this stitch was built without import"));
    let mut doctor = Command::new(built());
    doctor.arg("doctor").current_dir(place.path(""));
    doctor.assert().code(0).stdout(contains("note    libtorch: none"));
    let mut versions = Command::new(built());
    versions.args(["--version", "--verbose"]);
    versions.assert().code(0).stdout(contains("libtorch: none"));
    let linked = Process::new("ldd").arg(built()).output().unwrap();
    let linked = String::from_utf8(linked.stdout).unwrap();
    assert!(linked.contains("libc.so") && !linked.contains("torch"), "{linked}");
}
