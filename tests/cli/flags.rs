//! Flags that are not understood, and arguments that are missing. src/cli/tests.rs has every flag.

use predicates::prelude::*;
use predicates::str::contains;

use crate::{refused, stitch, temporary_folder};

#[test]
fn numbers_and_flags_that_are_not_understood_are_explained() {
    let folder = temporary_folder();
    for (line, part) in [
        ("train mlp --epochs abc", "'abc' for '--epochs <N>': expected an integer of at least 1"),
        ("train mlp --threads 0", "expected an integer from 1 to 4096"),
        ("train mlp --lr -1", "--lr is -1"),
        ("train lenet5 --dropout 1.5", "--dropout is 1.5: it must be a number from 0 to 1"),
        (
            "study plan --model mlp -o s --seeds 1.5",
            "--seeds: seeds \"1.5\": expected a number, or N..M",
        ),
        (
            "study plan --model mlp -o s --seeds -1",
            "--seeds: seeds \"-1\": expected a number, or N..M",
        ),
        ("train lenet5 --learning-rate 1", "tip: use '--lr'"),
        ("help study rn", "'run'"),
    ] {
        refused(stitch(folder.path()).args(line.split(' ')), 2, &[part]);
    }
    let mut stitch = stitch(folder.path());
    let assert = stitch.args(["train", "mlp", "--learning-rate=1", "--json"]).assert().code(2);
    assert.stderr(contains("use '--lr'")).stdout(contains("use '--lr'"));
}

#[test]
fn a_missing_argument_is_named_with_the_usage() {
    let folder = temporary_folder();
    for (line, parts) in [
        ("train", &["<MODEL", "Usage: stitch train"][..]),
        ("evaluate", &["<FILE>", "Usage: stitch evaluate"]),
        ("predict", &["<IMAGE>", "Usage: stitch predict"]),
        ("export a.pt", &["--output", "Usage: stitch export"]),
        ("parity a", &["<CANDIDATE>", "Usage: stitch parity"]),
        ("report", &["<RUN>", "Usage: stitch report"]),
        ("study plan --model mlp", &["--seeds", "--output", "Usage: stitch study plan"]),
        ("study run", &["<STUDY>", "Usage: stitch study run"]),
        ("data import", &["<FROM>", "--output", "Usage: stitch data import"]),
        ("completions", &["<SHELL>", "Usage: stitch completions"]),
    ] {
        refused(stitch(folder.path()).args(line.split(' ')), 2, parts);
    }
    let assert = stitch(folder.path()).arg("study").assert().code(2);
    assert.stderr(contains("Usage: stitch study").and(contains("collect")));
}

#[test]
fn help_calls_the_program_stitch_wherever_it_is() {
    let folder = temporary_folder();
    let other = folder.path().join("other-name");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_stitch"), &other).unwrap();
    for line in [&["--help"][..], &["train", "--help"], &["study", "plan", "--help"]] {
        let assert = assert_cmd::Command::new(&other).args(line).assert().code(0);
        let help = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        assert!(help.contains("Usage: stitch ") && help.contains("\n  stitch "), "{help}");
        assert!(!help.contains("other-name"), "{help}");
    }
}
