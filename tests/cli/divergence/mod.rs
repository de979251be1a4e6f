//! `stitch parity` proved on divergences made on purpose: an equal pair, one thing changed, and the
//! verdict must name the right first stage, with the right exit code.

mod files;
mod map;
mod messages;
mod metrics;
mod mutations;
mod naive;
mod page;
mod ports;
mod traces;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::assert::Assert;
use predicates::prelude::*;
use stitch::tensor_files::{Dtype, Metadata, NamedTensor, read_weights, safetensors};
use tempfile::TempDir;

use crate::common;

/// Training images of the runs that are compared: 17 batches of 64, the last one short.
pub const IMAGES: usize = 1050;

/// Settings of theirs.
pub const SETTINGS: [&str; 8] =
    ["--epochs", "1", "--batch-size", "64", "--lr", "1e-3", "--threads", "1"];

/// A traced run of the notebook and of the port, equal to each other, and their data.
pub struct Runs {
    folder: TempDir,
}

impl Runs {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The data set of both.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The notebook's run.
    pub fn notebook(&self) -> PathBuf {
        self.path("notebook")
    }

    /// A copy of the notebook's run, for one thing to be changed in it.
    pub fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&self.notebook(), copy.path());
        copy
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// One traced epoch of the notebook's LeNet-5, made once for all tests.
pub static LENET5: LazyLock<Runs> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    common::small_dataset(&folder.path().join("data"), IMAGES, 300);
    let runs = Runs { folder };
    let [data, out] = [runs.data(), runs.notebook()].map(|path| path.display().to_string());
    let flags = [&SETTINGS[..], &["--trace", "--data", &data, "--out", &out]].concat();
    common::run_python("reference/notebook.py", &flags);
    runs
});

/// `stitch parity` with these arguments.
pub fn parity(arguments: &[&Path]) -> assert_cmd::Command {
    let mut command = common::stitch(Path::new("/"));
    command.arg("parity").args(arguments);
    command
}

/// The verdict must be different, and its first divergence start with `first`.
#[track_caller]
pub fn assert_diverges(reference: &Path, port: &Path, first: &str) -> Assert {
    let sentence = format!("\nfirst divergence: {first}");
    parity(&[reference, port])
        .assert()
        .code(1)
        .stdout(predicate::str::contains(sentence))
        .stdout(predicate::str::is_match(r"^PARITY: DIFFERENT \(\d+ of \d+\)\n").unwrap())
}

/// The verdict must be equal, bit for bit.
#[track_caller]
pub fn assert_equal(reference: &Path, port: &Path) {
    parity(&[reference, port])
        .assert()
        .code(0)
        .stdout(predicate::str::starts_with("PARITY: EQUAL (bit for bit)\n"));
}

/// Rewrites a file of tensors after a change.
pub fn change_tensors(path: &Path, change: impl FnOnce(&mut Vec<NamedTensor>)) {
    let mut tensors = read_weights(&fs::read(path).unwrap()).unwrap();
    change(&mut tensors);
    fs::write(path, safetensors::write(&tensors, &Metadata::new()).unwrap()).unwrap();
}

/// The tensor of that name.
pub fn tensor<'a>(tensors: &'a mut [NamedTensor], name: &str) -> &'a mut NamedTensor {
    tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
}

/// Overwrites element `index` of a float32 tensor.
pub fn set_f32(tensor: &mut NamedTensor, index: usize, value: f32) {
    tensor.data[4 * index..4 * index + 4].copy_from_slice(&value.to_le_bytes());
}

/// Element `index` of a float32 tensor.
pub fn get_f32(tensor: &NamedTensor, index: usize) -> f32 {
    f32::from_le_bytes(tensor.data[4 * index..4 * index + 4].try_into().unwrap())
}
