//! The recipes of docs/formats.md for using the weights elsewhere, run as they stand there; and the example of a
//! network of one's own.

mod own_crate;
// Its network and its flags; its `main` is for people.
#[allow(dead_code)]
#[path = "../../../examples/own_model.rs"]
mod own_model;
// docs/formats.md shows a part of it. Its `main` is for people.
#[allow(dead_code)]
#[path = "../../../examples/predict.rs"]
mod predict;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use stitch::dataset::loader::images;
use stitch::models::Classifier;
use stitch::tensor_files::read_weights;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

pub use own_crate::build_crate;

use crate::common;

/// The recipes, by the beginning of the paragraph above each.
const EXPORT: &str = "Every run leaves its weights";
const RULES: &str = "The extension of the output";
const STATE_DICT: &str = "Python, the state_dict";
const TORCHSCRIPT: &str = "Python, TorchScript";
const ONNX: &str = "ONNX, in Python";
const CPP: &str = "C++, TorchScript";
const PICTURE: &str = "It prints class and logits";
const CPP_BUILD: &str = "To build it";
const RUST: &str = "Rust, TorchScript";
const SKLEARN: &str = "scikit-learn,";
const ALL: [&str; 10] =
    [EXPORT, RULES, STATE_DICT, TORCHSCRIPT, ONNX, CPP, PICTURE, CPP_BUILD, RUST, SKLEARN];

/// Paragraph and indented block below it, of each recipe on the page.
fn recipes() -> Vec<(String, String)> {
    let page = fs::read_to_string(common::root().join("docs/formats.md")).unwrap();
    let parts: Vec<&str> = page.trim().split("\n\n").collect();
    let pairs = parts.windows(2).filter(|pair| pair[1].starts_with("    "));
    pairs.map(|pair| (pair[0].into(), unindented(pair[1]))).collect()
}

fn unindented(block: &str) -> String {
    block.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap())).collect()
}

fn recipe(name: &str) -> String {
    let found = recipes().into_iter().find(|(paragraph, _)| paragraph.starts_with(name));
    found.unwrap_or_else(|| panic!("docs/formats.md has no recipe {name:?}")).1
}

/// A folder as the page's reader has it: the binary, libtorch, the examples, the notebook, a finished
/// `stitch reproduce` on a few images, in `data`.
fn readers_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for name in ["docs", "examples", "models", "tests"] {
        symlink(common::root().join(name), path.join(name)).unwrap();
    }
    symlink(libtorch(), path.join(".libtorch")).unwrap();
    common::small_dataset(&path.join("data"), 300, 100);
    let flags = ["reproduce", "--data", "data", "--threads", "1", "--quiet"];
    common::stitch(path).args(flags).assert().success();
    folder
}

/// The libtorch that this test is linked with: Cargo sets the variable (.cargo/config.toml).
pub fn libtorch() -> PathBuf {
    let found = std::env::var_os("LIBTORCH").map(PathBuf::from);
    fs::canonicalize(found.unwrap_or_else(|| common::root().join(".libtorch"))).unwrap()
}

/// Runs commands of the documentation in `folder`; panics with their output when one fails.
pub fn shell(folder: &Path, commands: &str) -> String {
    let mut command = Command::new("sh");
    // A thread, as on the other side of the comparison.
    command.args(["-ec", commands]).current_dir(folder).env("OMP_NUM_THREADS", "1");
    command.env("PATH", common::search_path());
    let output = command.output().unwrap();
    let [said, complaint] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{commands}failed:\n{said}{complaint}");
    said.into()
}

#[test]
fn every_recipe_of_the_page_is_run_here() {
    let found: Vec<String> = recipes().into_iter().map(|(paragraph, _)| paragraph).collect();
    assert_eq!(found.len(), ALL.len(), "{found:#?}");
    for (paragraph, name) in found.iter().zip(ALL) {
        assert!(paragraph.starts_with(name), "{name:?} is not run: {paragraph}");
    }
}

#[test]
fn python_recipes_give_the_numbers_of_the_run() {
    let folder = readers_folder();
    let path = folder.path();
    shell(path, &format!("{}{}", recipe(EXPORT), recipe(RULES)));
    let recipes = [
        ("state_dict.py", STATE_DICT),
        ("torchscript.py", TORCHSCRIPT),
        ("onnx.py", ONNX),
        ("picture.py", PICTURE),
        ("sklearn.py", SKLEARN),
    ];
    for (file, name) in recipes {
        fs::write(path.join(file), recipe(name)).unwrap();
    }
    let said = common::run_python("cli/recipes/run.py", &[path.to_str().unwrap()]);
    assert_eq!(said.trim(), "every recipe works");
}

#[test]
fn cpp_and_rust_recipes_give_the_logits_of_the_model_bit_for_bit() {
    let shown = |name: &str, file: &str| {
        let source = fs::read_to_string(common::root().join("examples").join(file)).unwrap();
        let same = source.replace("\n    ", "\n").contains(&recipe(name));
        assert!(same, "docs/formats.md does not show what stands in examples/{file}");
    };
    shown(CPP, "predict.cpp");
    shown(RUST, "predict.rs");
    let folder = readers_folder();
    let path = folder.path();
    let _libtorch = common::libtorch(1);
    let pixels = common::dataset().test.images[..784].to_vec();
    fs::write(path.join("picture.pgm"), [b"P5\n28 28\n255\n", &pixels[..]].concat()).unwrap();
    let said = shell(path, &recipe(CPP_BUILD));
    assert_cpp(&said, &logits(path, "lenet5", &pixels));
    let said = shell(path, "./predict runs/reproduce/mlp/torchscript.pt picture.pgm");
    assert_cpp(&said, &logits(path, "mlp", &pixels));
    refuse_what_is_no_picture(path);
    for model in ["lenet5", "mlp"] {
        let module = path.join("runs/reproduce").join(model).join("torchscript.pt");
        let picture = predict::read_pixels(path.join("picture.pgm").to_str().unwrap()).unwrap();
        let actual = predict::predict(module.to_str().unwrap(), &picture).unwrap();
        assert_eq!(numbers(&actual), logits(path, model, &pixels), "{model}");
    }
}

/// Checks the messages of both programs about a missing file and about one of another kind.
fn refuse_what_is_no_picture(folder: &Path) {
    fs::write(folder.join("other.pgm"), [&b"P5\n28 29\n255\n"[..], &[0; 784]].concat()).unwrap();
    let module = "runs/reproduce/lenet5/torchscript.pt";
    for (name, expected) in [
        ("missing.pgm", "cannot open missing.pgm: No such file or directory"),
        ("other.pgm", "other.pgm: expected a binary PGM of 28x28 pixels"),
    ] {
        let said = shell(folder, &format!("! ./predict {module} {name} 2>&1"));
        assert_eq!(said.trim(), expected);
        let path = folder.join(name);
        let said = predict::read_pixels(path.to_str().unwrap()).unwrap_err().to_string();
        let (what, why) = expected.split_once(name).unwrap();
        assert!(said.starts_with(&format!("{what}{}{why}", path.display())), "{said}");
    }
}

/// The logits of an image by the port's own forward pass.
fn logits(folder: &Path, model: &str, pixels: &[u8]) -> Vec<f64> {
    let file = folder.join("runs/reproduce").join(model).join("state_dict.pt");
    let tensors = read_weights(&fs::read(file).unwrap()).unwrap();
    let model = Classifier::from_named(&tensors, None, Device::Cpu).unwrap().model;
    let xs = images(pixels, model.graph().input(), model.kind(), Device::Cpu);
    numbers(&tch::no_grad(|| model.forward(&xs, false)))
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// What the C++ program printed: 17 digits give a float64 back to the bit.
fn assert_cpp(said: &str, expected: &[f64]) {
    let (class, logits) = said.trim().split_once("\nlogits ").unwrap();
    let logits: Vec<f64> = logits.split(' ').map(|number| number.parse().unwrap()).collect();
    assert_eq!(logits, expected);
    let best = (0..expected.len()).max_by(|&a, &b| expected[a].total_cmp(&expected[b])).unwrap();
    assert_eq!(class, format!("class {best}"));
}
