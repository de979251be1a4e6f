//! What the command line says of itself: help, version, completions, mistyped words.

use std::fs;
use std::process::Command;

use predicates::prelude::*;
use predicates::str::contains;

use crate::{cut_to, finished_run, model_names, put, refused, stdout_of, stitch, temporary_folder};

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
fn an_unknown_model_is_refused_with_the_known_ones() {
    let folder = temporary_folder();
    let names = model_names();
    let parts = ["'lenet'", &names, "'lenet5'"];
    for arguments in [
        &["train", "lenet"][..],
        &["evaluate", "x.pt", "--model", "lenet"],
        &["predict", "x.png", "--model", "lenet"],
        &["export", "x.pt", "-f", "npz", "-o", "x.npz", "--model", "lenet"],
        &["study", "plan", "--seeds", "0", "-o", "study", "--model", "mlp,lenet"],
    ] {
        refused(stitch(folder.path()).args(arguments), 2, &parts);
    }
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

#[test]
fn every_mistyped_word_is_refused_with_the_one_that_was_meant() {
    let folder = temporary_folder();
    let cases: [(&[&str], &[&str]); 6] = [
        (&["train", "lenet"], &["'lenet'", "'lenet5'"]),
        (&["completions", "bsh"], &["'bsh'", "'bash'"]),
        (&["export", "a.pt", "-o", "b", "--format", "onx"], &["'onx'", "'onnx'"]),
        (&["train", "mlp", "--device", "cdua"], &["'cdua'", "did you mean cuda?"]),
        (&["train", "mlp", "--color", "alway"], &["'alway'", "'always'"]),
        (&["train", "mlp", "--jsno"], &["'--jsno'", "'--json'"]),
    ];
    for (arguments, parts) in cases {
        refused(stitch(folder.path()).args(arguments), 2, parts);
    }
}

#[test]
fn a_path_that_is_not_there_is_refused_with_the_one_that_is() {
    let folder = temporary_folder();
    put(finished_run("lenet5"), &folder.path().join("runs/lenet5"));
    cut_to(&folder.path().join("fashion"), 20, 10);
    fs::write(folder.path().join("shoe.png"), "").unwrap();
    let meant = "did you mean runs/lenet5/state_dict.pt?";
    let cases: [(&[&str], &str); 7] = [
        (&["evaluate", "runs/lenet/state_dict.pt"], meant),
        (&["evaluate", "run/lenet5/statedict.pt"], meant),
        (&["export", "runs/lenet5/state_dic.pt", "-f", "npz", "-o", "a.npz"], meant),
        (&["parity", "runs/lenet", "runs/lenet5"], "did you mean runs/lenet5?"),
        (&["parity", "runs/lenet5", "runs/lenet4"], "did you mean runs/lenet5?"),
        (&["data", "--data", "fashon"], "did you mean fashion?"),
        (&["train", "mlp", "--data", "fashion-"], "did you mean fashion?"),
    ];
    for (arguments, meant) in cases {
        refused(stitch(folder.path()).args(arguments), 2, &[meant]);
    }
    let picture = stitch(folder.path()).args(["predict", "shoo.png"]).assert().code(1);
    picture.stderr(contains("did you mean shoe.png?"));
    // Nothing like it.
    let far = stitch(folder.path()).args(["evaluate", "elsewhere/weights.pt"]).assert().code(2);
    far.stderr(contains("did you mean").not());
}

#[test]
fn a_tensor_that_is_not_there_is_refused_with_the_one_that_is() {
    let folder = temporary_folder();
    put(finished_run("lenet5"), &folder.path().join("run"));
    let mut command = stitch(folder.path());
    command.args(["parity", "run", "run", "--tol", "fc1.wieght=1e-6"]);
    refused(&mut command, 2, &["--tol fc1.wieght", "did you mean fc1.weight?"]);
}

#[test]
fn bash_reads_its_completions() {
    let folder = temporary_folder();
    let assert = stitch(folder.path()).args(["completions", "bash"]).assert().code(0);
    fs::write(folder.path().join("script"), stdout_of(&assert)).unwrap();
    let read = Command::new("bash").arg("-n").arg(folder.path().join("script")).output().unwrap();
    assert!(read.status.success() && read.stderr.is_empty());
}

#[test]
fn bash_completes_commands_and_flags() {
    let folder = temporary_folder();
    let assert = stitch(folder.path()).args(["completions", "bash"]).assert().code(0);
    fs::write(folder.path().join("script"), stdout_of(&assert)).unwrap();
    let ask = |words: &str, count: usize| {
        let script = format!(
            ". ./script; COMP_WORDS=({words}); COMP_CWORD={count}; _stitch stitch \"${{COMP_WORDS[COMP_CWORD]}}\"; echo \"${{COMPREPLY[*]}}\""
        );
        let mut bash = Command::new("bash");
        let output = bash.args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(ask("stitch tra", 1), "train\n");
    assert_eq!(ask("stitch train --ep", 2), "--epochs\n");
    assert_eq!(ask("stitch train len", 2), "lenet5\n");
}
