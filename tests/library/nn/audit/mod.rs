//! The check of a TorchScript file's code on files that torch.jit has saved.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use stitch::torchscript_forward::{AuditError, CodeFacts, ScriptModule};

use super::python;
use crate::common;

fn checked(path: &Path) -> Result<CodeFacts, AuditError> {
    ScriptModule::read(File::open(path).unwrap()).unwrap().check_operations()
}

/// The `.pt` files of a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|it| it == "pt")).collect();
    files.sort();
    assert!(files.len() > 9, "{} has {} files", folder.display(), files.len());
    files
}

#[test]
fn networks_are_accepted_and_code_that_does_more_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    python("audit", folder.path());
    for path in files(&folder.path().join("networks")) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let facts = checked(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Dicts and named tuples.
        let other = ["googlenet", "inception_v3", "types"].contains(&name);
        let forward = facts.forward.unwrap();
        assert_eq!(forward.maps_tensor_to_tensor(), !other, "{name}: {forward:?}");
        assert_eq!((facts.traced, facts.prints), (name.starts_with("traced_"), None), "{name}");
        let fixed = match name {
            "traced_training" => Some("torch.batch_norm with training=True"),
            "traced_evaluation" => Some("torch.batch_norm with training=False"),
            "traced_rnn" => Some("torch.lstm with train=False"),
            _ => None,
        };
        assert_eq!(facts.fixed_mode.as_ref().map(|(what, _)| &**what), fixed, "{name}");
    }
    for path in files(&folder.path().join("refused")) {
        let refused = fs::read_to_string(path.with_extension("txt")).unwrap();
        let error = checked(&path).expect_err(&path.display().to_string()).to_string();
        assert!(
            error.contains(&refused),
            "{}: {error}, where {refused:?} is expected",
            path.display()
        );
    }
}

#[test]
fn the_list_of_operations_is_that_of_the_installed_pytorch() {
    let script = common::root().join("crates/torchscript-forward/operations.py");
    let output = Command::new(common::python()).arg(script).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
