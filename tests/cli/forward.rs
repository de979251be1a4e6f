//! TorchScript files whose forward pass is, or is not, that of the model with these weights.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;
use stitch::models::named;
use stitch::run_folder::STATE_DICT;
use stitch::tensor_files::{read_weights, torchscript};

use crate::evaluate::{evaluate, folder_with_run};
use crate::{common, finished_run, refused, stdout_of, stitch};

/// LeNet-5's trained weights, with the forward pass that `change` makes of its own.
fn lenet5_that_computes(change: impl FnOnce(String) -> String) -> Vec<u8> {
    let tensors = read_weights(&finished_run("lenet5")[STATE_DICT]).unwrap();
    let lenet5 = named("lenet5").unwrap();
    let program = lenet5.graph(lenet5.options()).torchscript("LeNet5");
    let program = torchscript::Program { forward: change(program.forward), ..program };
    torchscript::write(&program, &tensors).unwrap()
}

/// Max pooling instead of average pooling: names and shapes of the weights are the same.
fn with_max_pooling(forward: String) -> String {
    let arguments =
        ["[2, 2], [2, 2], [0, 0], False, True, None", "[2, 2], [2, 2], [0, 0], [1, 1], False"];
    let changed =
        forward.replace("torch.avg_pool2d", "torch.max_pool2d").replace(arguments[0], arguments[1]);
    assert_ne!(forward, changed);
    changed
}

#[test]
fn a_torchscript_file_with_another_forward_pass_is_not_computed_with_ours() {
    let folder = folder_with_run("lenet5");
    let file = lenet5_that_computes(with_max_pooling);
    fs::write(folder.path().join("max.pt"), file).unwrap();
    let said = [
        "max.pt: the forward pass of this TorchScript file is not that of lenet5",
        "max_pool2d(kernel_size=[2, 2]), where avg_pool2d(kernel_size=[2, 2]) is expected",
        "stitch export max.pt --format state-dict",
    ];
    let of_lenet5 = ["--model", "lenet5"];
    refused(evaluate(folder.path(), "max.pt").args(of_lenet5), 2, &said);
    let picture = common::root().join("docs/pictures/shoe.png");
    let mut predict = stitch(folder.path());
    refused(predict.args(["predict", "max.pt"]).arg(picture).args(of_lenet5), 2, &said);
    for format in ["torchscript", "onnx"] {
        let mut export = stitch(folder.path());
        export.args(["export", "max.pt", "--format", format, "-o", "out"]);
        refused(export.args(of_lenet5), 2, &said);
        assert!(!folder.path().join("out").exists());
    }
    // Without a requested model, it is a custom network, and its own forward pass is computed.
    let [own, lenet5] =
        ["max.pt", "run/state_dict.pt"].map(|file| evaluate(folder.path(), file).assert().code(0));
    assert_ne!(stdout_of(&own), stdout_of(&lenet5));
    own.stderr(contains("note: max.pt: a custom network").and(contains("max_pool2d")));
}

#[test]
fn the_weights_of_a_torchscript_file_with_another_forward_pass_can_be_taken() {
    let folder = folder_with_run("lenet5");
    fs::write(folder.path().join("max.pt"), lenet5_that_computes(with_max_pooling)).unwrap();
    for format in ["state-dict", "safetensors", "npz"] {
        let mut export = stitch(folder.path());
        export
            .args(["export", "max.pt", "--format", format, "-o", "out", "--force"])
            .assert()
            .code(0);
        let expected = evaluate(folder.path(), "run/state_dict.pt").assert().code(0);
        let found = evaluate(folder.path(), "out").assert().code(0);
        assert_eq!(stdout_of(&found), stdout_of(&expected), "{format}");
    }
}

#[test]
fn a_torchscript_file_with_the_same_forward_pass_gives_the_runs_results() {
    let folder = folder_with_run("lenet5");
    let file = lenet5_that_computes(|forward| forward.replace("torch.relu(", "torch.relu_("));
    fs::write(folder.path().join("same.pt"), file).unwrap();
    let expected = evaluate(folder.path(), "run/state_dict.pt").assert().code(0);
    let found = evaluate(folder.path(), "same.pt").assert().code(0);
    assert_eq!(stdout_of(&found), stdout_of(&expected));
}

#[test]
fn a_torchscript_file_whose_forward_pass_cannot_be_followed_is_refused() {
    let folder = folder_with_run("lenet5");
    let file = lenet5_that_computes(|_| "    with x:\n      pass\n    return x\n".into());
    fs::write(folder.path().join("with.pt"), file).unwrap();
    let said = ["with.pt", "cannot be compared with that of lenet5", "`with`", "Omit --model"];
    refused(evaluate(folder.path(), "with.pt").args(["--model", "lenet5"]), 2, &said);
    refused(&mut evaluate(folder.path(), "with.pt"), 2, &["with.pt", "`with`", "code/"]);
}
