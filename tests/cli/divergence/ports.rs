//! Faults in ports that record less than the reference: the first difference, and a cause that the records prove.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::common;

/// The runs that `ports.py` writes.
static RUNS: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(common::python())
        .args(["-W", "ignore", "tests/cli/divergence/ports.py"])
        .arg(folder.path())
        .env("PYTHONPATH", common::root().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(common::root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
});

/// What parity says of a port; it must exit with `code`.
#[track_caller]
fn said(reference: &str, port: &str, flags: &[&str], code: i32) -> String {
    let sides = [reference, port].map(|run| RUNS.path().join(run).join("trace"));
    let mut command = super::parity(&sides.each_ref().map(PathBuf::as_path));
    let assert = command.args(flags).assert().code(code);
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

/// The rest of the first line that starts so.
fn line<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or("")
}

const TORCH: [&str; 2] = ["--tolerance", "torch"];

/// For each port: its reference, where the first difference is, and the likely cause.
const FOUND: [(&str, &str, &str, &str); 8] = [
    (
        "sgd",
        "dampening",
        "step 2, hidden.weight[0, 0] after the optimizer step",
        "dampening, or the learning rate: ",
    ),
    (
        "sgd",
        "no-schedule",
        "step 10, forward of hidden",
        "there is no record between step 7 and step 10: the cause lies in one of the steps 8 to 10",
    ),
    (
        "sgd",
        "last-batch",
        "step 7, gradient of hidden.weight",
        "the loss of this batch of 8 is divided by 32, the size of other batches: all gradients are 0.25000",
    ),
    (
        "sgd",
        "bias-decay",
        "step 1, hidden.bias[0] after the optimizer step",
        "coupled weight decay (added to the gradient) in the reference alone: ",
    ),
    (
        "sgd",
        "tanh",
        "step 1, gradient of hidden.weight",
        "the gradients of out match, those of hidden differ: the error arises between out and hidden in the backward pass: \
         act (Tanh)",
    ),
    (
        "sgd",
        "renamed",
        "step 1, forward of hidden (Linear): missing in the candidate",
        "another name: fc1 has the same shape (see --suggest-map)",
    ),
    (
        "adam",
        "no-correction",
        "step 1, hidden.weight",
        "the gradients match but the update differs",
    ),
    ("adam", "epsilon", "step 1, hidden.weight", "the gradients match but the update differs"),
];

#[test]
fn a_cause_is_proved_by_what_a_port_records() {
    for (reference, port, place, cause) in FOUND {
        let text = said(reference, port, &TORCH, 1);
        assert!(line(&text, "first divergence: ").starts_with(place), "{port}: {text}");
        assert!(line(&text, "likely cause: ").starts_with(cause), "{port}: {text}");
        assert!(!text.contains("another optimizer"), "{port}: {text}");
        let is_update = place.contains("after the optimizer step") || port == "no-schedule";
        let advice = "note: the candidate records no state of the optimizer (";
        assert!(text.matches(advice).count() == 1 || !is_update, "{port}: {text}");
    }
    let text = said("sgd", "bias-decay", &TORCH, 1);
    let cause = line(&text, "likely cause: ");
    let only = "; of the parameters of this step only the biases differ";
    assert!(cause.ends_with(only), "{text}");
    assert!(cause.contains("0.001000 times the learning rate"), "{text}");
}

#[test]
fn a_trace_without_end_marker_whose_records_are_equal_is_incomplete() {
    let text = said("sgd", "no-finish", &TORCH, 1);
    let mut lines = text.lines();
    let verdict = lines.next().unwrap();
    assert!(verdict.starts_with("PARITY: INCOMPLETE (a trace is truncated; "), "{text}");
    assert!(verdict.ends_with("learning_rate, momentum_buffer"), "{text}");
    let marker = "has no end marker: was finish() called, or was the program stopped?";
    assert!(lines.next().unwrap().ends_with(marker), "{text}");
    assert!(!text.contains("first divergence"), "{text}");
    // A truncated trace that differs says both.
    let text = said("adam", "no-finish", &TORCH, 1);
    assert!(text.starts_with("PARITY: DIFFERENT"), "{text}");
    assert!(text.lines().nth(1).unwrap().ends_with(marker), "{text}");
}

#[test]
fn a_misspelled_stage_is_shown_with_its_closest_match() {
    let text = said("sgd", "misspelled", &TORCH, 0);
    let verdict = "PARITY: EQUAL within tolerance, not compared: permutation, logits, backward, gradient, learning_rate, \
                   momentum_buffer, final, gradients\n";
    assert!(text.starts_with(verdict), "{text}");
    let only = "not compared: recorded by the candidate only: gradients (28 tensors; closest match: gradient)\n";
    assert!(text.contains(only), "{text}");
    assert!(text.contains("recorded by the reference only: permutation (3 tensors), "), "{text}");
    let strict = said("sgd", "misspelled", &["--tolerance", "torch", "--strict-stages"], 1);
    assert!(strict.starts_with("PARITY: DIFFERENT"), "{strict}");
}

#[test]
fn a_difference_that_grew_within_the_tolerance_is_traced_to_where_it_began() {
    let text = said("adam", "beta2", &["--atol", "2e-5"], 1);
    assert!(line(&text, "first divergence: ").starts_with("step 3, forward of hidden"), "{text}");
    let cause = line(&text, "likely cause: ");
    assert!(cause.starts_with("a difference that grew: "), "{text}");
    assert!(cause.ends_with("step 2, hidden.weight after the optimizer step"), "{text}");
    assert!(
        line(&text, "or: ").starts_with("the gradients match but the update differs"),
        "{text}"
    );
}

#[test]
fn a_port_without_a_fault_is_equal_and_names_what_it_did_not_record() {
    let text = said("sgd", "none", &TORCH, 0);
    assert!(
        text.starts_with("PARITY: EQUAL within tolerance, not compared: permutation"),
        "{text}"
    );
}

#[test]
fn losses_within_the_tolerance_are_not_listed_as_different() {
    let page = RUNS.path().join("no-schedule.html");
    let flags = ["--tolerance", "torch", "--html", page.to_str().unwrap()];
    let text = said("sgd", "no-schedule", &flags, 1);
    assert!(!text.contains("loss of epoch 1:") && text.contains("loss of epoch 2:"), "{text}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Losses that differ: 2"), "{page}");
}
