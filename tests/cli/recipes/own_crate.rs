//! `examples/own_model.rs` as a crate of a user's own, beside its twin in Python.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use stitch::dataset::Split;
use stitch::nn::Model;
use stitch::tensor_files::{NamedTensor, read_weights};
use stitch::train::{Engine, Progress, TrainConfig, Trainer, fit};
use tch::Kind;
use tempfile::TempDir;

use super::{common, libtorch, own_model};

/// Training images: neither batch size divides them.
const TRAIN: usize = 150;
/// Seed, batch size, threads.
const SETTINGS: [[usize; 3]; 5] = [[0, 7, 1], [0, 33, 2], [1, 7, 2], [1, 33, 1], [1, 1, 1]];

fn example(name: &str) -> PathBuf {
    common::root().join("examples").join(name)
}

/// The file that the example's header shows below its name.
fn shown(source: &str, name: &str) -> String {
    let header = source.lines().map_while(|line| line.strip_prefix("//!"));
    let lines = header.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let below = lines.skip_while(|line| !line.starts_with(name)).skip(2);
    below.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect()
}

/// Builds the crate in `folder` with what is built for this one: the folder of its programs.
pub fn build_crate(folder: &Path) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    // What Cargo says of this package to its tests: build scripts, such as ring's, would run again for it.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_MANIFEST_", "CARGO_PKG_", "OUT_DIR"]
            .iter()
            .any(|of| name.to_string_lossy().starts_with(of))
        {
            cargo.env_remove(name);
        }
    }
    let output = cargo
        .args(["build", "--release", "--offline", "--quiet", "--target-dir"])
        .arg(target)
        .current_dir(folder)
        // The same as in the build of this test, or torch-sys would be built again.
        .env("LIBTORCH", std::env::var_os("LIBTORCH").unwrap_or_else(|| libtorch().into()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("release")
}

/// The crate that the example's header describes, elsewhere than this one, built: its program.
fn built(folder: &Path) -> PathBuf {
    let source = fs::read_to_string(example("own_model.rs")).unwrap();
    let manifest = shown(&source, "Cargo.toml");
    assert!(manifest.contains("\"../stitch\""), "{manifest}");
    let manifest = manifest.replace("../stitch", common::root().to_str().unwrap());
    // This project's profiles, so that what it has built is not built again, and its versions.
    let own = fs::read_to_string(common::root().join("Cargo.toml")).unwrap();
    let profiles = own.split("\n[").filter(|section| section.starts_with("profile."));
    let profile: String = profiles.map(|section| format!("[{section}\n")).collect();
    let write = |name: &str, content: &str| fs::write(folder.join(name), content).unwrap();
    write("Cargo.toml", &format!("{manifest}\n{profile}"));
    write("build.rs", &shown(&source, "build.rs"));
    fs::create_dir(folder.join("src")).unwrap();
    write("src/main.rs", &source);
    fs::copy(common::root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    fs::create_dir(folder.join(".cargo")).unwrap();
    write(".cargo/config.toml", &shown(&source, ".cargo/config.toml"));
    build_crate(folder).join("own_model")
}

/// Runs the program or its twin: what it prints. The program finds libtorch by its build.rs alone.
fn train(
    mut command: Command,
    data: &Path,
    [seed, batch, threads]: [usize; 3],
    out: &Path,
) -> String {
    let numbers = [("--seed", seed), ("--batch-size", batch), ("--threads", threads)];
    command.args(numbers.iter().flat_map(|(flag, n)| [flag.to_string(), n.to_string()]));
    command.args(["--epochs", "2", "--data"]).arg(data).arg("--out").arg(out);
    let output = command.env_remove("LD_LIBRARY_PATH").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn weights(file: &Path) -> Vec<NamedTensor> {
    read_weights(&fs::read(file).unwrap()).unwrap()
}

/// The network of the example, trained by [`fit`].
fn fitted(data: &Split, engine: Engine, [seed, batch, threads]: [usize; 3]) -> Vec<NamedTensor> {
    let _libtorch = common::libtorch(threads as i32);
    tch::manual_seed(seed as i64);
    let model = Model::new("Net", &[1, 28, 28], Kind::Float, own_model::Net::new).unwrap();
    let config = TrainConfig { engine: Some(engine), ..TrainConfig::new("Net", 2, batch, 1e-3) };
    let mut trainer = Trainer::pytorch(model, &config, data).unwrap();
    let progress = Progress::default();
    fit(
        &mut trainer,
        &config,
        data,
        None,
        progress,
        &mut |_, _, _| ControlFlow::Continue(()),
        None,
    )
    .unwrap();
    trainer.into_model().state_dict()
}

fn folder_with_data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    common::small_dataset(&folder.path().join("data"), TRAIN, 40);
    folder
}

#[test]
fn a_crate_of_ones_own_has_the_bits_of_its_python_twin() {
    let (folder, sources) = (folder_with_data(), tempfile::tempdir().unwrap());
    let path = folder.path();
    let (data, program) = (path.join("data"), built(sources.path()));
    let train_split = common::first(&common::dataset().train, TRAIN);
    for settings in SETTINGS {
        let [own, twin] = ["own.pt", "twin.pt"].map(|name| path.join(name));
        let mut python = Command::new(common::python());
        python.arg(example("own_model.py"));
        let expected = train(python, &data, settings, &twin);
        assert_eq!(train(Command::new(&program), &data, settings, &own), expected, "{settings:?}");
        let mut parity = common::stitch(path);
        let assert = parity.args(["parity", "twin.pt", "own.pt"]).assert().code(0);
        let said = String::from_utf8_lossy(&assert.get_output().stdout);
        assert!(said.starts_with("PARITY: EQUAL (bit for bit)\n"), "{settings:?}\n{said}");
        // What the example says of `fit`.
        for engine in [Engine::Eager, Engine::Exact] {
            let fitted = fitted(&train_split, engine, settings);
            assert!(fitted == weights(&own), "{} {settings:?}", engine.name());
        }
    }
    // It is not the comparison that finds everything equal.
    let other = train(Command::new(&program), &data, [2, 33, 1], &path.join("own.pt"));
    assert!(other.contains("test accuracy"));
    let mut parity = common::stitch(path);
    parity.args(["parity", "twin.pt", "own.pt"]).assert().code(1);
}

#[test]
fn a_flag_that_cannot_be_used_is_named() {
    let error = |words: &[&str]| {
        let words = words.iter().map(ToString::to_string);
        own_model::parse(words).err().unwrap()
    };
    let known = "the flags are --data, --epochs, --batch-size, --seed, --threads and --out";
    assert_eq!(error(&["--epoch", "1"]), format!("--epoch is unknown: {known}"));
    assert_eq!(error(&["--epochs"]), "--epochs: its value is missing");
    let expected = "a whole number of at least 1 is expected";
    assert_eq!(error(&["--epochs", "0"]), format!("--epochs is 0: {expected}"));
    assert_eq!(error(&["--batch-size", "many"]), format!("--batch-size is many: {expected}"));
}
