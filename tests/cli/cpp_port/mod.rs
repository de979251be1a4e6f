//! C++ ports traced with `cpp/stitch_trace.h`: the example of docs/ports.md beside its twin in Python, and the header
//! without libtorch.

use std::fs;
use std::os::unix::fs::symlink;

use predicates::str::{contains, starts_with};

use crate::recipes::{libtorch, shell};
use crate::{common, stitch, temporary_folder};

const EQUAL: &str = "PARITY: EQUAL (bit for bit)\n";

/// The indented block of docs/ports.md that begins with `start`, without its indent.
fn shown(start: &str) -> String {
    let docs = fs::read_to_string(common::root().join("docs/ports.md")).unwrap();
    let block = docs.split("\n\n").find(|block| block.starts_with(&format!("    {start}")));
    let block = block.unwrap_or_else(|| panic!("docs/ports.md has no block {start:?}"));
    block.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap())).collect()
}

#[test]
fn lenet5_in_cpp_differs_by_its_adam_alone() {
    let source = fs::read_to_string(common::root().join("examples/cpp/lenet5.cpp")).unwrap();
    let source: Vec<&str> = source.lines().map(str::trim).collect();
    for line in [shown("trace.record("), shown("state.exp_avg()")].concat().lines() {
        assert!(source.contains(&line), "examples/cpp/lenet5.cpp has no line {line:?}");
    }
    let folder = temporary_folder();
    let path = folder.path();
    for name in ["cpp", "examples"] {
        symlink(common::root().join(name), path.join(name)).unwrap();
    }
    symlink(libtorch(), path.join(".libtorch")).unwrap();
    // Ten batches of 32, the last one short.
    common::small_dataset(&path.join("data"), 300, 1);
    shell(path, &shown("c++ "));
    let python = format!("'{}' examples/cpp/lenet5.py", common::python().display());
    for threads in [1, 2] {
        let flags = format!("--data data --threads {threads} --out");
        let expected = shell(path, &format!("{python} {flags} python"));
        assert_eq!(expected.lines().count(), 10, "{expected}");
        shell(path, &format!("./lenet5 {flags} port"));
        assert_eq!(shell(path, &format!("./lenet5 {flags} fixed --python-adam")), expected);
        let parity = |candidate| stitch(path).args(["parity", "python", candidate]).assert();
        parity("port")
            .code(1)
            .stdout(contains("\nfirst divergence: step 2, first moment of conv1.weight["))
            .stdout(starts_with("PARITY: DIFFERENT ("));
        parity("fixed").code(0).stdout(starts_with(EQUAL));
    }
}

#[test]
fn the_header_writes_the_records_of_python() {
    let folder = temporary_folder();
    let path = folder.path();
    let [header, source] =
        ["cpp", "tests/cli/cpp_port/header.cpp"].map(|name| common::root().join(name));
    let build = "c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -o header";
    shell(path, &format!("{build} -I '{}' '{}'", header.display(), source.display()));
    let errors = [
        "learning_rate/step=1/0 was recorded before",
        "loss/step=1/loss: 7 bytes do not fit float32 [2]",
        "loss/step=1/loss: 8 bytes do not fit float32 [2, 2]",
        "./cpp/trace.jsonl: the trace has its end marker already",
        "cannot create ./cpp/trace.bin: Not a directory",
    ];
    assert_eq!(shell(path, "./header .").lines().collect::<Vec<_>>(), errors);
    common::run_python("cli/cpp_port/header.py", &[path.to_str().unwrap()]);
    let parity = ["parity", "--equal-nan", "python", "cpp"];
    stitch(path).args(parity).assert().code(0).stdout(starts_with(EQUAL));
    let truncated = starts_with("PARITY: INCOMPLETE (");
    stitch(path).args(["parity", "other", "other"]).assert().code(1).stdout(truncated);
}
