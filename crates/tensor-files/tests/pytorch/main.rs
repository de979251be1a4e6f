//! Files as PyTorch, safetensors and NumPy write and read them.

mod archive;
mod formats;
mod mutants;
mod written;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter that the set-up made. Without it a test fails: it is not skipped.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join(".venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make venv` first", python.display());
    python
}

/// Runs a script beside this file to its end; panics with its output when it fails.
fn run_python(script: &str, arguments: &[&Path]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch");
    let output = Command::new(python()).arg(folder.join(script)).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} failed:\n{said}{failed}");
    said
}
