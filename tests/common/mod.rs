//! What the tests share: the binary, the real data set cut to a size, the Python reference.

// Each test binary uses a part of this.
#![allow(dead_code)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use stitch::dataset::idx::{IMAGES_MAGIC, LABELS_MAGIC};
use stitch::dataset::source::{self, CLASSES_FILE, OFFICIAL};
use stitch::dataset::{Dataset, PIXELS, SIDE, Split};

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Variables of whoever runs the tests that the binary would heed.
pub const SETTINGS: [&str; 7] =
    ["CI", "CLICOLOR", "CLICOLOR_FORCE", "COLORTERM", "COLUMNS", "FASHION_MNIST_DIR", "NO_COLOR"];

/// The binary under test, in an empty working folder of its own (so that no data set is found by
/// chance) and with the variables that steer it unset.
pub fn stitch(folder: &Path) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_stitch"));
    command.current_dir(folder);
    SETTINGS.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
}

/// A `PATH` on which the binary under test is `stitch`.
pub fn search_path() -> OsString {
    let folder = Path::new(env!("CARGO_BIN_EXE_stitch")).parent().unwrap();
    let inherited = std::env::var_os("PATH").unwrap();
    let folders = [folder.to_owned()].into_iter().chain(std::env::split_paths(&inherited));
    std::env::join_paths(folders).unwrap()
}

/// The real data set, from where the set-up put it; read once.
pub fn dataset() -> &'static Dataset {
    static REAL: OnceLock<Dataset> = OnceLock::new();
    REAL.get_or_init(|| {
        // Tests run in the project's root, where `data/fashion-mnist` is looked for.
        let found = source::find(None).expect("the data set is missing: run `make data` first");
        source::load(found).expect("the data set is damaged: run `stitch data verify`")
    })
}

/// The first `n` images of a split.
pub fn first(split: &Split, n: usize) -> Split {
    split.first(n)
}

/// Writes the four files, unpacked, of a data set with these halves, and the names of its classes.
pub fn write_dataset(folder: &Path, train: &Split, test: &Split) {
    fs::create_dir_all(folder).unwrap();
    for (file, split) in OFFICIAL.iter().zip([train, train, test, test]) {
        let bytes = match file.content {
            source::Content::Images => images_file(&split.images),
            source::Content::Labels => labels_file(&split.labels),
        };
        fs::write(folder.join(file.name), bytes).unwrap();
    }
    fs::write(folder.join(CLASSES_FILE), train.classes.names().join("\n")).unwrap();
}

/// The first `train` and `test` images of the real data set as a data set in `folder`.
pub fn small_dataset(folder: &Path, train: usize, test: usize) {
    let real = dataset();
    write_dataset(folder, &first(&real.train, train), &first(&real.test, test));
}

/// An IDX file of 28x28 images.
pub fn images_file(pixels: &[u8]) -> Vec<u8> {
    let numbers = [IMAGES_MAGIC as usize, pixels.len() / PIXELS, SIDE, SIDE];
    let header = numbers.iter().flat_map(|&number| (number as u32).to_be_bytes());
    header.chain(pixels.iter().copied()).collect()
}

/// An IDX file of labels.
pub fn labels_file(labels: &[u8]) -> Vec<u8> {
    let numbers = [LABELS_MAGIC, labels.len() as u32];
    let header = numbers.iter().flat_map(|number| number.to_be_bytes());
    header.chain(labels.iter().copied()).collect()
}

/// The interpreter that the set-up made. Without it a test fails: it is not skipped.
pub fn python() -> PathBuf {
    let python = root().join(".venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make venv` first", python.display());
    python
}

/// Runs a Python script of `tests/` to its end; panics with its output when it fails.
pub fn run_python(script: &str, arguments: &[&str]) -> String {
    let output = Command::new(python())
        .arg(root().join("tests").join(script))
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{script} {arguments:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Waits for the other tests of this process that compute with libtorch, and sets its number of threads. This number
/// and the global generator belong to the whole process, and bits depend on both.
pub fn libtorch(threads: i32) -> MutexGuard<'static, ()> {
    static LIBTORCH: Mutex<()> = Mutex::new(());
    let guard = LIBTORCH.lock().unwrap_or_else(PoisonError::into_inner);
    tch::set_num_threads(threads);
    guard
}
