//! The package in `python/`, which records training loops: its own tests.

use std::process::Command;

use crate::common;

#[test]
fn the_tests_of_the_package_pass() {
    let output = Command::new(common::python())
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "python/tests"])
        .env("PYTHONPATH", common::root().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("STITCH", env!("CARGO_BIN_EXE_stitch"))
        .current_dir(common::root())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
