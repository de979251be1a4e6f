//! Files as PyTorch, safetensors and NumPy write and read them.

mod archive;
mod formats;
mod mutants;
mod written;

use std::path::Path;

use crate::common;

/// Runs a script beside this file to its end; panics with its output when it fails.
fn run_python(script: &str, arguments: &[&Path]) -> String {
    let arguments: Vec<&str> = arguments.iter().map(|path| path.to_str().unwrap()).collect();
    common::run_python(&format!("library/formats/pytorch/{script}"), &arguments)
}
