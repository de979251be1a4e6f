//! `tests/reference/notebook.py` as a module: its classes, without a run.

use std::process::Command;

use crate::{common, temporary_folder};

#[test]
fn importing_the_notebook_defines_its_classes_and_does_nothing_else() {
    let folder = temporary_folder();
    let mut command = Command::new(common::python());
    // Flags of another program, which the notebook must not read.
    command.arg(common::root().join("tests/cli/reference.py")).arg("--epochs=none");
    let output = command.current_dir(folder.path()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, "lenet5 61706 [2, 10]\ndeepcnn 98666 [2, 10]\n", "{complaint}");
    let left: Vec<_> = folder.path().read_dir().unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
