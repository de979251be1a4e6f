//! `stitch export --format onnx`, opened by onnx and onnxruntime.

use std::fs;
use std::path::Path;

use stitch::nn::bytes_of;
use stitch::tensor_files::{Dtype, NamedTensor, read_weights, state_dict};
use tch::{Kind, Tensor};

use super::{common, values};

fn export(folder: &Path, file: &str, format: &str, output: &str) {
    let flags = ["export", file, "--format", format, "--output", output];
    common::stitch(folder).args(flags).assert().success();
}

/// A run of `model`, one epoch on a few images, in `folder`.
fn train(folder: &Path, model: &str) {
    common::small_dataset(&folder.join("data"), 300, 100);
    let flags = ["train", model, "--epochs", "1", "--data", "data", "--out", "run"];
    common::stitch(folder).args(flags).assert().success();
}

#[test]
fn onnxruntime_computes_the_logits_of_libtorch() {
    for model in ["mlp", "lenet5"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        train(path, model);
        export(path, "run/state_dict.pt", "onnx", "model.onnx");
        let files = ["run/state_dict.pt", "model.onnx", "data/train-images-idx3-ubyte"];
        let [weights, file, images] = files.map(|file| path.join(file).display().to_string());
        let version = env!("CARGO_PKG_VERSION");
        let said = common::run_python(
            "library/parity/onnx/reference.py",
            &[model, &weights, &file, &images, version],
        );
        assert!(said.starts_with(&format!("{model}: greatest relative difference")), "{said}");
    }
}

#[test]
fn the_same_weights_give_the_same_bytes_whatever_file_they_come_from() {
    for model in ["mlp", "lenet5"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        train(path, model);
        export(path, "run/state_dict.pt", "onnx", "first.onnx");
        export(path, "run/weights.safetensors", "onnx", "second.onnx");
        let [first, second] =
            ["first.onnx", "second.onnx"].map(|file| fs::read(path.join(file)).unwrap());
        assert!(first == second, "{model}");
    }
}

#[test]
fn half_precision_weights_become_the_models_own_type_as_in_other_formats() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    train(path, "lenet5");
    let tensors = read_weights(&fs::read(path.join("run/state_dict.pt")).unwrap()).unwrap();
    let halved = |tensor: NamedTensor| {
        let halves = Tensor::from_slice(&values(&tensor)).to_kind(Kind::Half);
        NamedTensor { dtype: Dtype::F16, data: bytes_of(&halves), ..tensor }
    };
    let halves: Vec<NamedTensor> = tensors.into_iter().map(halved).collect();
    fs::write(path.join("halves.pt"), state_dict::write(&halves).unwrap()).unwrap();
    export(path, "halves.pt", "onnx", "direct.onnx");
    export(path, "halves.pt", "state-dict", "whole.pt");
    export(path, "whole.pt", "onnx", "indirect.onnx");
    let [direct, indirect] =
        ["direct.onnx", "indirect.onnx"].map(|file| fs::read(path.join(file)).unwrap());
    assert!(direct == indirect);
}

#[test]
fn an_onnx_file_is_no_weights_file_and_the_sentence_says_what_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    train(path, "mlp");
    export(path, "run/state_dict.pt", "onnx", "mlp.onnx");
    let flags = ["export", "mlp.onnx", "--format", "npz", "--output", "mlp.npz"];
    let assert = common::stitch(path).args(flags).assert().code(2);
    let said = String::from_utf8_lossy(&assert.get_output().stderr);
    assert!(said.contains("mlp.onnx: not a file of tensors that can be read"), "{said}");
}
