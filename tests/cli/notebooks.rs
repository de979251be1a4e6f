//! The notebooks of `examples/notebooks`, trained in Python and by `stitch train`: the commands of docs/notebooks.md,
//! run as they stand there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use predicates::str::contains;

use crate::recipes::shell;
use crate::{common, stitch, temporary_folder};

const EQUAL: &str = "PARITY: EQUAL (bit for bit)";

/// The seed and the number of threads that the page gives to both sides.
const PRINTED: &str = "--seed 0 --threads 2";
/// Those of a second run.
const OTHER: &str = "--seed 1 --threads 1";

fn page() -> String {
    fs::read_to_string(common::root().join("docs/notebooks.md")).unwrap()
}

/// The lines of the page's indented blocks below a heading, without their indent.
fn blocks(heading: &str) -> Vec<String> {
    let page = page();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    section.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
}

/// The commands of a section, without their output: a line with a prompt, and those that continue it.
fn commands(heading: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut continues = false;
    for line in blocks(heading) {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push(format!("{command}\n"));
        } else if continues {
            *commands.last_mut().unwrap() += &format!("{line}\n");
        } else {
            continue;
        }
        continues = line.ends_with('\\');
    }
    commands
}

/// A folder as the page's reader has it, with a part of the data set where torchvision looks for it.
fn readers_folder() -> tempfile::TempDir {
    let folder = temporary_folder();
    let path = folder.path();
    for name in [".venv", "examples", "python"] {
        symlink(common::root().join(name), path.join(name)).unwrap();
    }
    fs::create_dir_all(path.join("target/release")).unwrap();
    symlink(env!("CARGO_BIN_EXE_stitch"), path.join("target/release/stitch")).unwrap();
    // Five batches of 64, the last one short.
    common::small_dataset(&path.join("data/FashionMNIST/raw"), 300, 100);
    folder
}

/// The loss of each epoch and, last, the test accuracy, as both sides print them.
fn numbers(printed: &str) -> Vec<&str> {
    let after = |line: &'static str| {
        printed.split(line).skip(1).map(|rest| rest.split([',', '\n']).next().unwrap())
    };
    after("loss ").chain(after("test accuracy ").last()).collect()
}

/// Runs the four commands of a section: both trainings, the comparison of their traces and that of their weights.
fn run(folder: &Path, commands: &[String], settings: &str, epochs: usize) {
    let [python, train, parity, weights] = commands else { panic!("{commands:#?}") };
    for side in [python, train] {
        assert!(side.contains(PRINTED) && side.contains(&format!("--epochs {epochs} ")), "{side}");
    }
    let set = |command: &str| command.trim_end().replace(PRINTED, settings);
    let expected = shell(folder, &set(python));
    let found = shell(folder, &format!("{} --force 2>&1", set(train)));
    assert_eq!(numbers(&expected).len(), epochs + 1, "{expected}");
    assert_eq!(numbers(&found), numbers(&expected), "{settings}:\n{found}\n{expected}");
    for compare in [parity, weights] {
        let report = shell(folder, compare);
        assert!(report.lines().any(|line| line == EQUAL), "{settings}: {compare}{report}");
    }
}

/// Runs a section with both settings; then the trace of one must differ from that of the other.
fn equal_in_every_bit(heading: &str, name: &str, epochs: usize) {
    let (folder, commands) = (readers_folder(), commands(heading));
    let path = folder.path();
    let runs = path.join("runs").join(name);
    run(path, &commands, OTHER, epochs);
    fs::rename(runs.join("stitch"), runs.join("other")).unwrap();
    run(path, &commands, PRINTED, epochs);
    let [trace, other] = [runs.join("python/trace"), runs.join("other")];
    let parity = stitch(path).arg("parity").args([trace, other]).assert().code(1);
    parity.stdout(contains("PARITY: DIFFERENT ("));
}

#[test]
fn the_quickstart_has_the_bits_of_python() {
    equal_in_every_bit("Quickstart", "quickstart", 5);
}

#[test]
fn the_mnist_example_has_the_bits_of_python() {
    equal_in_every_bit("MNIST example", "mnist", 2);
}

#[test]
fn the_lines_that_record_are_those_of_the_page() {
    let shown = blocks("Record");
    assert!(shown.len() > 5, "{shown:#?}");
    for name in ["quickstart", "mnist"] {
        let path = common::root().join(format!("examples/notebooks/{name}.py"));
        let source = fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        let records =
            |line: &&str| line.to_lowercase().contains("trace") && !line.contains("train_epoch(");
        for line in &shown {
            let line = line.trim();
            assert!(line == "…" || lines.contains(&line), "{name}.py has no line {line:?}");
        }
        for line in lines.iter().copied().filter(records) {
            assert!(shown.iter().any(|shown| shown.trim() == line), "the page lacks {line:?}");
        }
    }
}
