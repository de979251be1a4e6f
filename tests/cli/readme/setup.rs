//! Commands of the README that install something: what they need is checked, since running them would take minutes, or
//! change the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Reader;
use crate::{common, recipes};

/// How a command that installs something is checked, or needs the reader's Python; `None` if the shell is to run it.
pub fn check_of(command: &str) -> Option<fn(&Reader, &str)> {
    match command.split_whitespace().next()? {
        "make" => Some(check_make),
        "cargo" => Some(check_cargo_install),
        "pip" => Some(pip_install),
        "python" => Some(run_python_file),
        _ => None,
    }
}

/// The words of a command, without its comment.
fn words(command: &str) -> Vec<&str> {
    command.split('#').next().unwrap().split_whitespace().collect()
}

fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// The target exists, and would run something.
fn check_make(_: &Reader, command: &str) {
    let [_, target] = words(command)[..] else { panic!("{command}: expected one target") };
    let recipe = output_of(Command::new("make").args(["-n", target]).current_dir(common::root()));
    let expected = if target == "run" { "stitch reproduce" } else { "cargo test" };
    assert!(recipe.contains(expected), "make {target} does not run {expected:?}:\n{recipe}");
}

/// Cargo knows package and features, and links libtorch if and only if it is a default feature.
fn check_cargo_install(_: &Reader, command: &str) {
    let words = words(command);
    let ["cargo", "install", "--path", ".", features @ ..] = words.as_slice() else {
        panic!("{command}: this test knows `cargo install --path .` only")
    };
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--offline", "--locked", "--package", "stitch", "--edges", "normal,build"]);
    let packages =
        output_of(tree.args(["--prefix", "none"]).args(features).current_dir(common::root()));
    let links = packages.lines().any(|package| package.starts_with("torch-sys "));
    assert_eq!(links, !features.contains(&"--no-default-features"), "{command}:\n{packages}");
}

/// Runs a file with the reader's Python.
fn run_python_file(reader: &Reader, command: &str) {
    let [_, file] = words(command)[..] else { panic!("{command}: expected one file") };
    output_of(reader.command(common::python()).args(["-W", "ignore", file]));
}

/// Installs a folder of the repository, without a network, to where the reader's Python finds it.
fn pip_install(reader: &Reader, command: &str) {
    let [_, "install", package] = words(command)[..] else {
        panic!("{command}: expected one package")
    };
    let mut pip = reader.command(common::python());
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-build-isolation",
        "--no-deps",
        "--target",
    ]);
    output_of(pip.arg(reader.packages()).arg(package));
    assert!(reader.packages().join("stitch_trace/__init__.py").exists());
}

/// Compiles the statements of a block as a program that depends on `stitch-trace`.
pub fn compile(folder: &Path, statements: &str) -> PathBuf {
    let trace = common::root().join("crates/stitch-trace");
    let manifest = format!(
        "[package]\nname = \"readme_port\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\nstitch-trace = {{ path = {trace:?} }}\n"
    );
    let main = format!(
        "fn main() -> Result<(), Box<dyn std::error::Error>> {{\n{statements}\nOk(())\n}}\n"
    );
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.join("src/main.rs"), main).unwrap();
    fs::copy(common::root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    recipes::build_crate(folder).join("readme_port")
}
