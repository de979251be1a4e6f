//! `stitch` computes nothing and is not linked with libtorch; `stitch-engine` next to it computes.

use std::path::Path;
use std::process::Command;

use predicates::str::contains;

use crate::{Place, common, temporary_folder};

#[test]
fn the_program_is_not_linked_with_libtorch() {
    let stitch = env!("CARGO_BIN_EXE_stitch");
    let linked = |program: &str| {
        let output = Command::new("ldd").arg(program).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let libraries = linked(stitch);
    assert!(libraries.contains("libc.so") && !libraries.contains("torch"), "{libraries}");
    assert!(linked(env!("CARGO_BIN_EXE_stitch-engine")).contains("libtorch_cpu.so"));
}

/// Copies `stitch` in another process: a file that is open for writing cannot be executed, and processes that other tests
/// start would inherit it.
fn copy_program(to: &Path) {
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_stitch")).arg(to).status().unwrap();
    assert!(copied.success());
}

/// A copy without `stitch-engine` next to it.
#[test]
fn alone_it_compares_shows_and_converts_and_says_what_it_lacks_to_compute() {
    let folder = temporary_folder();
    let place = Place::new();
    let stitch = folder.path().join("stitch");
    copy_program(&stitch);
    let run = |arguments: &[&str]| {
        let mut command = assert_cmd::Command::new(&stitch);
        command.current_dir(place.path("")).args(arguments).assert()
    };
    let weights = common::root().join("models/lenet5/state_dict.pt");
    let weights = weights.to_str().unwrap();
    run(&["--version"]).code(0);
    run(&["--help"]).code(0);
    run(&["inspect", weights]).code(0);
    run(&["parity", weights, weights]).code(0).stdout(contains("EQUAL"));
    run(&["export", weights, "-o", "lenet5.npz"]).code(0);
    run(&["data", "--data", "data"]).code(0);
    run(&["study", "plan", "--model", "mlp", "--seeds", "0..2", "-o", "study"]).code(0);
    for arguments in [
        &["train", "mlp", "--data", "data", "--out", "run"][..],
        &["evaluate", weights],
        &["export", weights, "-o", "lenet5.onnx"],
        &["--version", "--verbose"],
        &["doctor"],
    ] {
        let told = "It must be in the same folder as stitch: install both again";
        run(arguments).code(2).stderr(contains(told));
    }
    assert!(!place.path("run").exists() && !place.path("lenet5.onnx").exists());
}

#[test]
fn an_engine_that_is_stitch_or_of_another_version_is_refused() {
    let folder = temporary_folder();
    let stitch = folder.path().join("stitch");
    copy_program(&stitch);
    copy_program(&folder.path().join("stitch-engine"));
    let mut doctor = assert_cmd::Command::new(&stitch);
    doctor.arg("doctor").assert().code(2).stderr(contains("is another copy of stitch"));
    let mut engine = assert_cmd::Command::new(env!("CARGO_BIN_EXE_stitch-engine"));
    engine.arg("doctor").env("STITCH_STARTED_BY", "0.0.9");
    engine.assert().code(2).stderr(contains("stitch has version 0.0.9, but stitch-engine"));
}

/// A signal before the engine is started, or while it is, ends the program: it is never lost.
#[test]
#[cfg(unix)]
fn a_signal_while_the_engine_is_started_ends_the_program() {
    use std::time::Duration;
    use std::{process::Stdio, thread};

    let place = Place::new();
    for microseconds in (500..8_000).step_by(500) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stitch"));
        command.args(["train", "lenet5", "--data", "data", "--epochs", "200", "--threads", "1"]);
        command.args(["--force", "--quiet", "--out", "run"]).current_dir(place.path(""));
        let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(microseconds));
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        // If the signal was lost, training ends with success.
        let status = child.wait().unwrap();
        assert!(!status.success(), "after {microseconds} µs: {status}");
    }
}

#[test]
fn the_engine_has_only_the_commands_that_compute() {
    let mut engine = assert_cmd::Command::new(env!("CARGO_BIN_EXE_stitch-engine"));
    engine.arg("models").assert().code(2).stderr(contains("use stitch instead"));
}
