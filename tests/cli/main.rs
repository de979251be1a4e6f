//! The command line, driven as a process: exit codes, sentences, files. A folder per group of tests that has helpers
//! of its own, a file per command otherwise.
//!
//! Every test works in a temporary folder of its own, on the real data set cut to a few images. A test that computes
//! with libtorch in this process too holds [`common::libtorch`].

mod architecture;
#[path = "../common/mod.rs"]
mod common;
mod config;
mod cpp_port;
mod data;
mod divergence;
mod doctor;
mod dry_run;
mod evaluate;
mod examples;
mod export;
mod faults;
mod fetch;
mod flags;
mod forward;
mod front;
mod import;
mod inspect;
mod json;
mod links;
mod man;
mod markdown;
mod models;
mod notebooks;
mod options;
mod other_data;
mod own_network;
mod predict;
mod python_package;
mod readme;
mod recipes;
mod reference;
mod report;
mod server;
mod settings_file;
mod setup;
mod shipped;
mod study;
mod tensorboard;
mod terminal;
mod tls_server;
mod train;
mod usage;
mod validation;
mod without_libtorch;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::str::contains;
use tempfile::TempDir;

/// A folder with the real data set in `data`, cut to 300 and 50 images.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        common::small_dataset(&folder.path().join("data"), 300, 50);
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Images in the cut data set.
const TRAIN: usize = 300;
const TEST: usize = 100;

/// File names and contents.
type Files = BTreeMap<String, Vec<u8>>;

fn temporary_folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The binary in `folder`, without a home where a cache could be found, and ended when it hangs.
fn stitch(folder: &Path) -> Command {
    let mut command = common::stitch(folder);
    command.env("HOME", folder.join("home")).timeout(Duration::from_secs(300));
    command
}

/// Runs to the end: this exit code, nothing on stdout, each of `parts` on stderr, no cause of the
/// error said twice.
fn refused(command: &mut Command, code: i32, parts: &[&str]) {
    let assert = command.assert().code(code).stdout("").stderr(contains("error: "));
    let assert = parts.iter().fold(assert, |assert, part| assert.stderr(contains(*part)));
    let error = stderr_of(&assert).lines().find(|line| line.starts_with("error: ")).unwrap();
    let causes: Vec<&str> = error.split(": ").collect();
    let twice = causes.iter().enumerate().find(|(i, cause)| causes[..*i].contains(cause));
    assert_eq!(twice, None, "{error}");
}

fn stdout_of(assert: &Assert) -> &str {
    str::from_utf8(&assert.get_output().stdout).unwrap()
}

fn stderr_of(assert: &Assert) -> &str {
    str::from_utf8(&assert.get_output().stderr).unwrap()
}

/// What `stitch models --json` lists.
fn models() -> &'static [serde_json::Value] {
    static LISTED: OnceLock<Vec<serde_json::Value>> = OnceLock::new();
    LISTED.get_or_init(|| {
        let assert = stitch(temporary_folder().path()).args(["models", "--json"]).assert().code(0);
        serde_json::from_str(stdout_of(&assert)).unwrap()
    })
}

/// The names of the models, as sentences list them.
fn model_names() -> String {
    let names = models().iter().map(|model| model["name"].as_str().unwrap());
    names.collect::<Vec<_>>().join(", ")
}

/// The real data set's four files.
fn real_paths() -> [PathBuf; 4] {
    common::dataset().origin.found.paths.clone().map(|path| common::root().join(path))
}

/// Copies the real data set's files into `folder`.
fn copy_real(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for path in real_paths() {
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
}

/// A temporary folder with the cut data set in `data`.
fn folder_with_data() -> TempDir {
    let folder = temporary_folder();
    common::small_dataset(&folder.path().join("data"), TRAIN, TEST);
    folder
}

/// `stitch train MODEL --data data --epochs 1 --threads 1` in a folder with the cut data set.
fn train(folder: &Path, model: &str) -> Command {
    let mut command = stitch(folder);
    command.args(["train", model, "--data", "data", "--epochs", "1", "--threads", "1"]);
    command
}

/// The plain files in `folder`; none when it is not there.
fn files_in(folder: &Path) -> Files {
    let Ok(entries) = fs::read_dir(folder) else { return Files::new() };
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    paths.map(|path| (name_of(&path), fs::read(&path).unwrap())).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn put(files: &Files, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
}

/// The run folder of [`train`], made once a model.
fn finished_run(model: &str) -> &'static Files {
    static MLP: OnceLock<Files> = OnceLock::new();
    static LENET5: OnceLock<Files> = OnceLock::new();
    let run = if model == "mlp" { &MLP } else { &LENET5 };
    run.get_or_init(|| {
        let folder = folder_with_data();
        train(folder.path(), model).args(["--out", "run"]).assert().success();
        files_in(&folder.path().join("run"))
    })
}

fn text<'a>(files: &'a Files, name: &str) -> &'a str {
    str::from_utf8(&files[name]).unwrap()
}

fn json(files: &Files, name: &str) -> serde_json::Value {
    serde_json::from_slice(&files[name]).unwrap()
}

/// The cells of a CSV file, header included.
fn cells(files: &Files, name: &str) -> Vec<Vec<String>> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).from_reader(files[name].as_slice());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}
