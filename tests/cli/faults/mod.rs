//! Runs that are killed, interrupted, and refused the disk: each goes on to the bits of a run that
//! was left alone. `make faults` runs the long part too, and prints what was counted.
//!
//! `shim.c` stands between the binary and the C library, so a fault is at a call by its number, not
//! at a time.

#![cfg(target_os = "linux")]

mod calls;
mod exhausted;
mod long;
mod resume;
mod watched;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::{Place, common};

/// A model and the flags of its engine.
type Learner = &'static [&'static str];
const LEARNERS: [Learner; 3] = [&["lenet5"], &["lenet5", "--fast"], &["mlp"]];

/// 300 images to learn from: 5 steps an epoch for LeNet-5, 6 of the MLP's.
const FLAGS: [&str; 10] = [
    "--data",
    "data",
    "--epochs",
    "3",
    "--threads",
    "2",
    "--batch-size",
    "60",
    "--checkpoint-every",
    "2steps",
];

impl Place {
    /// `stitch train LEARNER FLAGS --out OUT MORE`, OUT absolute.
    fn train(&self, learner: Learner, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stitch"));
        command.current_dir(self.0.path()).env_remove("FASHION_MNIST_DIR");
        command.arg("train").args(learner).args(FLAGS).arg("--out").arg(self.path(out)).args(more);
        command
    }

    /// As [`Place::train`], with the shim, whose log is `OUT.log`.
    fn faulty(&self, learner: Learner, out: &str, at: usize, what: &str) -> Command {
        let mut command = self.train(learner, out, &[]);
        self.preload(&mut command, out, at, what);
        command
    }

    /// `stitch reproduce`, two steps between checkpoints.
    fn reproduce(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stitch"));
        command.current_dir(self.0.path()).env_remove("FASHION_MNIST_DIR");
        command.args(["reproduce", "--data", "data", "--threads", "2"]);
        command.args(["--checkpoint-every", "2steps", "--out"]).arg(self.path(out)).args(more);
        command
    }

    /// Puts the shim under a command that writes to `out`: what it does at call number `at`.
    fn preload(&self, command: &mut Command, out: &str, at: usize, what: &str) {
        command.env("LD_PRELOAD", shim()).env("FAULT_UNDER", self.path(out));
        command.env("FAULT_LOG", self.path(&format!("{out}.log")));
        command.env("FAULT_AT", at.to_string()).env("FAULT_DO", what);
    }

    /// A run that was killed at its `nth` renaming: checkpoints of steps 2, 4, 5, 7, 9, 10, ….
    fn killed(&self, out: &str, nth: usize) {
        let log = calls_of(self, LEARNERS[0]);
        let renames = log.iter().filter(|call| call.name == "rename");
        let at = renames.map(|call| call.number).nth(nth).unwrap() + 1;
        let killed = self.faulty(LEARNERS[0], out, at, "kill").output().unwrap();
        assert_eq!(killed.status.code(), None, "{}", said(&killed));
    }
}

/// The shim, compiled once.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| compiled("shim.c"))
}

/// The shim in which steps hang, compiled once.
fn hang() -> &'static Path {
    static HANG: OnceLock<PathBuf> = OnceLock::new();
    HANG.get_or_init(|| compiled("hang.c"))
}

/// A C file of this folder as a library for `LD_PRELOAD`. Two threads of a process must not call it for one file
/// at the same time.
fn compiled(source: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(source).with_extension("so");
    // Another process may be using it.
    let new = path.with_extension(std::process::id().to_string());
    let source = common::root().join("tests/cli/faults").join(source);
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&new).arg(&source).arg("-ldl");
    assert!(compiler.status().unwrap().success(), "{} does not compile", source.display());
    fs::rename(new, &path).unwrap();
    path
}

/// A call that the shim saw.
struct Call {
    number: usize,
    name: String,
    path: String,
}

/// What a run that is left alone calls.
fn calls_of(place: &Place, learner: Learner) -> Vec<Call> {
    let out = format!("alone-{}", learner.len());
    let calls = logged(place, &mut place.faulty(learner, &out, 0, "kill"), &out);
    fs::remove_dir_all(place.path(&out)).unwrap();
    calls
}

/// What a command that is left alone, and has the shim, calls.
fn logged(place: &Place, command: &mut Command, out: &str) -> Vec<Call> {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let log = fs::read_to_string(place.path(&format!("{out}.log"))).unwrap();
    fs::remove_file(place.path(&format!("{out}.log"))).unwrap();
    let call = |line: &str| {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut word = || words.next().unwrap();
        Call { number: word().parse().unwrap(), name: word(), path: word() }
    };
    log.lines().map(call).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The files of a run, without what times and memory are in; panics when something else is there.
fn files(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(run).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name == "tensorboard" {
            files.extend(watched::events(&entry.path()));
            continue;
        }
        assert!(entry.file_type().unwrap().is_file(), "{name} is left in {}", run.display());
        files.insert(name, fs::read(entry.path()).unwrap());
    }
    let history = String::from_utf8(files.remove("history.csv").unwrap()).unwrap();
    let without_seconds = |line: &str| {
        let mut cells: Vec<&str> = line.split(',').collect();
        cells.remove(3);
        cells.join(",")
    };
    let losses = history.lines().map(without_seconds);
    let losses = losses.collect::<Vec<_>>().join("\n").into_bytes();
    let mut metrics: serde_json::Value =
        serde_json::from_slice(&files.remove("metrics.json").unwrap()).unwrap();
    for key in ["train_seconds", "peak_rss_bytes"] {
        assert!(metrics.as_object_mut().unwrap().remove(key).is_some(), "no {key}");
    }
    files.insert("losses".into(), losses);
    files.insert("metrics".into(), metrics.to_string().into_bytes());
    files
}

/// The files of a run of these flags that was left alone.
fn left_alone(learner: Learner) -> BTreeMap<String, Vec<u8>> {
    let place = Place::new();
    let done = place.train(learner, "run", &[]).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    let files = files(&place.path("run"));
    let events = if learner.contains(&"--tensorboard") { 1 } else { 0 };
    let best = if learner.iter().any(|flag| flag.starts_with("--val")) { 3 } else { 0 };
    assert_eq!(files.len(), 13 + events + best);
    files
}

/// Resumes to the end, and compares.
#[track_caller]
fn ends_the_same(
    place: &Place,
    learner: Learner,
    out: &str,
    wanted: &BTreeMap<String, Vec<u8>>,
    case: &str,
) {
    let done = place.train(learner, out, &["--resume"]).output().unwrap();
    assert!(done.status.success(), "{case}: {}", said(&done));
    let files = files(&place.path(out));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&files), names(wanted), "{case}: other files");
    let other = files.iter().filter(|(name, bytes)| wanted[*name] != **bytes);
    let other: Vec<_> = other.map(|(name, _)| name).collect();
    assert!(other.is_empty(), "{case}: other bits in {other:?}");
}
