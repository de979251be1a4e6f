//! What the command line says of itself: help, version, completions, mistyped words.

use std::fs;
use std::process::Command;

use predicates::prelude::*;
use predicates::str::contains;

use crate::{common, finished_run, model_names, put, refused, stdout_of, stitch, temporary_folder};

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
    common::small_dataset(&folder.path().join("fashion"), 20, 10);
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
    let picture = stitch(folder.path()).args(["predict", "shoo.png"]).assert().code(2);
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

#[test]
fn help_and_everything_else_that_stdout_does_not_take_is_an_error() {
    let folder = temporary_folder();
    put(finished_run("mlp"), &folder.path().join("run"));
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["--version"],
        &["help", "train"],
        &["train", "--help"],
        &["completions", "bash"],
        &["man", "pages"],
        &["models"],
        &["export", "run/state_dict.pt", "--format", "npz", "-o", "-"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stitch"));
        let output = command.current_dir(folder.path()).args(arguments).stdout(full).output();
        let output = output.unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains("error: ") && told.contains("stdout"), "{arguments:?}: {told}");
    }
}

#[test]
fn export_writes_to_stdout_when_asked_and_no_other_command_makes_a_file_of_that_name() {
    let folder = temporary_folder();
    put(finished_run("mlp"), &folder.path().join("run"));
    let export = ["export", "run/state_dict.pt", "--format", "safetensors", "-o"];
    stitch(folder.path()).args(export).arg("file.safetensors").assert().code(0);
    let assert = stitch(folder.path()).args(export).arg("-").assert().code(0).stderr("");
    let file = fs::read(folder.path().join("file.safetensors")).unwrap();
    assert!(assert.get_output().stdout == file, "other bytes on stdout");
    let json = stitch(folder.path()).args(export).args(["-", "--json"]).assert().code(2);
    json.stderr(contains("--json: with --output -"));
    for arguments in [
        &["train", "mlp", "--out", "-"][..],
        &["reproduce", "--out", "-"],
        &["evaluate", "run/state_dict.pt", "--out", "-"],
        &["predict", "a.png", "--save-input", "-"],
        &["report", "run", "-o", "-"],
        &["data", "fetch", "--to", "-"],
        &["man", "-"],
        &["study", "plan", "--model", "mlp", "--seeds", "0", "-o", "-"],
        &["study", "collect", "study", "-o", "-"],
        &["study", "report", "study", "-o", "-"],
    ] {
        refused(stitch(folder.path()).args(arguments), 2, &["'-'", "stdout"]);
    }
    assert!(!folder.path().join("-").exists());
}

#[test]
fn a_format_that_the_extension_contradicts_is_refused() {
    let folder = temporary_folder();
    put(finished_run("mlp"), &folder.path().join("run"));
    let export = |format: &str, output: &str| {
        let mut command = stitch(folder.path());
        command.args(["export", "run/state_dict.pt", "--format", format, "-o", output]);
        command
    };
    for (format, output, meant) in [
        ("torchscript", "y.onnx", "onnx"),
        ("onnx", "y.pt", "state-dict or torchscript"),
        ("npz", "y.PTH", "state-dict or torchscript"),
        ("state-dict", "y.npz", "npz"),
        ("state-dict", "y.safetensors", "safetensors"),
    ] {
        refused(
            &mut export(format, output),
            2,
            &["--output", output, meant, "--format is", format],
        );
        assert!(!folder.path().join(output).exists());
    }
    for (format, output) in [("onnx", "y.bin"), ("npz", "y"), ("torchscript", "y.pt")] {
        export(format, output).assert().code(0);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_removed_working_directory_is_said_by_every_command() {
    let folder = temporary_folder();
    let line = "mkdir gone && cd gone && rmdir ../gone && exec \"$0\" \"$@\"";
    for arguments in [&["train", "mlp"][..], &["data"], &["models", "--json"]] {
        let mut command = Command::new("sh");
        command.current_dir(folder.path()).args(["-c", line, env!("CARGO_BIN_EXE_stitch")]);
        let output = command.args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains("error: the working directory was removed"), "{arguments:?}: {told}");
        if arguments.contains(&"--json") {
            let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(document["exit_code"], 2);
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_in_a_folder_whose_name_is_not_utf8_works() {
    use std::os::unix::ffi::OsStrExt;
    let folder = temporary_folder();
    let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"b\xff"));
    fs::create_dir(&odd).unwrap();
    let program = odd.join("stitch");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_stitch"), &program).unwrap();
    let output = Command::new(&program).arg("--help").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("  stitch predict"));
}

#[test]
fn fewer_threads_than_asked_for_by_openmps_variables_are_no_hang() {
    let folder = temporary_folder();
    common::small_dataset(&folder.path().join("data"), 60, 20);
    let train = |name: &str, value: &str, threads: Option<&str>| {
        let mut command = stitch(folder.path());
        command.args(["train", "lenet5", "--data", "data", "--epochs", "1", "--force"]);
        command.args(["--out", "run"]).args(threads.into_iter().flat_map(|n| ["--threads", n]));
        command.env(name, value);
        command
    };
    for (name, value) in
        [("OMP_THREAD_LIMIT", "1"), ("OMP_MAX_ACTIVE_LEVELS", "0"), ("OMP_DYNAMIC", "true")]
    {
        refused(&mut train(name, value, Some("2")), 2, &[name, "2 threads", "--threads", "use 1"]);
        train(name, value, Some("1")).assert().code(0);
    }
    train("OMP_THREAD_LIMIT", "1", None).assert().code(0);
    let config = fs::read_to_string(folder.path().join("run/config.json")).unwrap();
    assert!(config.contains("\"threads\": 1,"), "{config}");
    train("OMP_DYNAMIC", "false", Some("2")).assert().code(0);
}
