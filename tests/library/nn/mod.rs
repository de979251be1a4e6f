//! `stitch::nn` and the engines against PyTorch, run beside them. A group of tests is a folder:
//! `reference.py` computes the expected values with the real PyTorch, once for the group, and `mod.rs`
//! compares. networks.py and networks.rs hold the networks, under the same names.

mod audit;
mod compare;
mod definition;
mod engines;
mod export;
mod forward;
mod layers;
mod networks;
mod stacks;
mod summary;
mod unusual;

use std::path::Path;
use std::process::Command;

use crate::common::{self, libtorch};

/// Runs `tests/library/nn/<group>/reference.py <path>` to its end; returns what it prints.
fn python(group: &str, path: &Path) -> String {
    let output = Command::new(common::python())
        .arg(common::root().join(format!("tests/library/nn/{group}/reference.py")))
        .arg(path)
        // Threads that wait need not spin: there may be fewer cores than threads.
        .env("OMP_WAIT_POLICY", "PASSIVE")
        .output()
        .unwrap();
    let [said, errors] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "the reference of {group} failed:\n{said}{errors}");
    said.into_owned()
}

/// Panics with the first of the failures, if there are any.
fn assert_none(failures: &[String]) {
    /// So many are shown.
    const SHOWN: usize = 20;
    let shown = failures.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} failures, of which the first:\n{shown}", failures.len());
}
