//! What the command line says of itself: help, version, completions, mistyped words.

use predicates::prelude::*;
use predicates::str::contains;

use crate::{refused, stdout_of, stitch, temporary_folder};

#[test]
fn without_a_command_it_shows_its_help_and_counts_that_as_wrong_usage() {
    let folder = temporary_folder();
    let assert = stitch(folder.path()).assert().code(2).stdout("");
    ["Usage: stitch", "train", "evaluate", "data", "reproduce", "--quiet"]
        .into_iter()
        .fold(assert, |assert, word| assert.stderr(contains(word)));
}

#[test]
fn help_that_was_asked_for_is_a_result() {
    let folder = temporary_folder();
    let help = stitch(folder.path()).arg("--help").assert().code(0).stderr("");
    help.stdout(contains("Usage: stitch").and(contains("Exit codes")));
}

#[test]
fn the_version_is_the_crates() {
    let folder = temporary_folder();
    let version = format!("stitch {}\n", env!("CARGO_PKG_VERSION"));
    stitch(folder.path()).arg("--version").assert().code(0).stdout(version);
}

#[test]
fn a_mistyped_command_is_refused_with_the_one_that_was_meant() {
    let folder = temporary_folder();
    refused(stitch(folder.path()).arg("trian"), 2, &["'trian'", "'train'"]);
    refused(stitch(folder.path()).args(["data", "verfy"]), 2, &["'verfy'", "'verify'"]);
}

#[test]
fn a_mistyped_flag_is_refused_with_the_one_that_was_meant() {
    let folder = temporary_folder();
    let mut command = stitch(folder.path());
    refused(command.args(["train", "mlp", "--epoch", "1"]), 2, &["'--epoch'", "'--epochs'"]);
}

#[test]
fn every_shell_gets_completions_that_know_the_commands() {
    let folder = temporary_folder();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let assert = stitch(folder.path()).args(["completions", shell]).assert().code(0).stderr("");
        for word in ["stitch", "evaluate", "batch-size", "lenet5"] {
            // elvish and PowerShell scripts name no values of arguments.
            let values = !["powershell", "elvish"].contains(&shell);
            if word != "lenet5" || values {
                assert!(stdout_of(&assert).contains(word), "{shell}: {word}");
            }
        }
    }
}

#[test]
fn an_unknown_shell_is_refused_with_the_known_ones() {
    let folder = temporary_folder();
    let parts = ["'cmd'", "bash", "zsh", "fish", "powershell"];
    refused(stitch(folder.path()).args(["completions", "cmd"]), 2, &parts);
}
