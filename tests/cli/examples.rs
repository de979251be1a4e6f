//! The examples of every help: each is pasted into a shell, in the order in which one command's files are
//! another one's input.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use stitch::tensor_files::{self, Dtype, NamedTensor};
use tempfile::TempDir;

use crate::{common, name_of, real_paths, stdout_of, stitch, temporary_folder};

/// Every command, the ones first whose files the others read.
const COMMANDS: [&[&str]; 22] = [
    &[],
    &["reproduce"],
    &["train"],
    &["models"],
    &["evaluate"],
    &["predict"],
    &["inspect"],
    &["export"],
    &["parity"],
    &["data"],
    &["data", "fetch"],
    &["data", "verify"],
    &["data", "import"],
    &["study"],
    &["study", "plan"],
    &["study", "run"],
    &["study", "collect"],
    &["study", "report"],
    &["report"],
    &["doctor"],
    &["completions"],
    &["help"],
];

/// The commands that a help lists.
fn listed(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names =
        lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

fn help(command: &[&str]) -> String {
    let folder = temporary_folder();
    let assert = stitch(folder.path()).args(command).arg("--help").assert().code(0).stderr("");
    stdout_of(&assert).to_owned()
}

/// The lines that one pastes.
fn examples(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| !line.starts_with("Examples")).skip(1);
    lines.take_while(|line| line.starts_with("  ")).map(|line| line.trim().to_owned()).collect()
}

/// The project's root as a user has it after `make run`, but for a data set of 300 images, which the
/// variable names.
fn project() -> TempDir {
    let folder = temporary_folder();
    for part in ["docs", "models"] {
        symlink(common::root().join(part), folder.path().join(part)).unwrap();
    }
    fs::create_dir(folder.path().join("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_stitch"), folder.path().join("bin/stitch")).unwrap();
    common::small_dataset(&folder.path().join("small"), 300, 100);
    let data = folder.path().join("data/fashion-mnist");
    fs::create_dir_all(&data).unwrap();
    for path in real_paths() {
        symlink(&path, data.join(name_of(&path))).unwrap();
    }
    files_to_import(folder.path());
    folder
}

/// What the examples of `stitch data import` read.
fn files_to_import(folder: &Path) {
    let halves =
        ["train/a", "train/b", "test/a", "test/b"].map(|class| format!("pictures/{class}"));
    let flat = ["flowers/rose", "flowers/tulip"].map(|class| (class.to_owned(), 10));
    let pictures = fs::read_dir(common::root().join("docs/pictures")).unwrap();
    let pictures = pictures.map(|entry| entry.unwrap().path());
    let picture = pictures
        .filter(|path| path.extension().is_some_and(|it| it == "jpg" || it == "png"))
        .min()
        .unwrap();
    for (class, count) in halves.map(|class| (class, 1)).into_iter().chain(flat) {
        let class = folder.join(class);
        fs::create_dir_all(&class).unwrap();
        (0..count).for_each(|i| symlink(&picture, class.join(format!("{i}.png"))).unwrap());
    }
    let images = [("x_train", 3), ("x_test", 2)].map(|(name, n)| (name, vec![n, 28, 28]));
    let labels = [("y_train", 3), ("y_test", 2)].map(|(name, n)| (name, vec![n]));
    let arrays = images.into_iter().chain(labels).map(|(name, shape)| NamedTensor {
        name: name.into(),
        dtype: Dtype::U8,
        data: vec![0; shape.iter().product()],
        shape,
    });
    let npz = tensor_files::npz::write(&arrays.collect::<Vec<_>>()).unwrap();
    fs::write(folder.join("mnist.npz"), npz).unwrap();
    let rows = "0,1,2,3,4\n".repeat(60);
    fs::write(folder.join("train.csv"), format!("label,pixel0,pixel1,pixel2,pixel3\n{rows}"))
        .unwrap();
}

#[test]
fn every_command_has_examples() {
    let mut known: Vec<String> = listed(&help(&[]));
    for group in ["data", "study"] {
        known.extend(listed(&help(&[group])).into_iter().filter(|name| name != "help"));
    }
    for name in &known {
        let is_here = COMMANDS.iter().any(|command| command.last() == Some(&name.as_str()));
        assert!(is_here, "the examples of {name} are not run");
    }
    for command in COMMANDS.iter().filter(|command| command.first() != Some(&"help")) {
        assert!(!examples(&help(command)).is_empty(), "{command:?} has none");
    }
}

#[test]
fn every_example_of_every_help_works_when_it_is_pasted() {
    let folder = project();
    let debian = "/usr/share/datasets/fashion-mnist";
    for example in
        COMMANDS.iter().filter(|c| c.first() != Some(&"help")).flat_map(|c| examples(&help(c)))
    {
        // The data set is cut, and so is what is held out of it.
        let example = example.replace("--val 5000", "--val 50").replace("last 5000", "last 50");
        // Where Debian's package is not, its files are elsewhere.
        let example = example.replace(debian, "data/fashion-mnist");
        let output = Command::new("sh")
            .args(["-ec", &example])
            .current_dir(folder.path())
            .env("PATH", format!("{}/bin:{}", folder.path().display(), env::var("PATH").unwrap()))
            .env("FASHION_MNIST_DIR", "small")
            .env("OMP_NUM_THREADS", "1")
            .env("HOME", folder.path())
            .output()
            .unwrap();
        let [said, complaint] =
            [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert!(output.status.success(), "{example}\n{said}{complaint}");
    }
}

#[test]
fn the_short_help_is_short_and_names_the_long_one() {
    for command in COMMANDS.iter().filter(|command| command.first() != Some(&"help")) {
        let folder = temporary_folder();
        let assert = stitch(folder.path()).args(*command).arg("-h").assert().code(0);
        let (short, long) = (stdout_of(&assert), help(command));
        assert!(short.lines().count() < long.lines().count(), "{command:?}");
        assert!(short.contains("--help") && !short.contains("Examples"), "{command:?}");
    }
}
