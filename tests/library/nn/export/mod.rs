//! TorchScript, ONNX and state_dict of every network, opened by the readers that people have.

use std::fs;

use stitch::formats::onnx;
use stitch::nn::Model;
use stitch::optim::{Adam, Optimizer};
use stitch::tensor_files::{state_dict, torchscript};
use tch::{Device, Tensor};

use super::networks::{Network, all};
use super::{libtorch, python};

/// Networks that ONNX has no operators for, in the order of networks.py, and a part of the error message.
const WITHOUT_ONNX: [(&str, &str); 4] = [
    ("avg_pool2d divisor_override", "divisor_override"),
    ("avg_pool2d ceil_mode, a window in the padding of rows", "count_include_pad"),
    ("batch_norm2d without running statistics", "running statistics"),
    ("batch_norm2d without state", "running statistics"),
];

/// The network after two training steps, so that no buffer has its initial value.
fn trained(network: &Network) -> Model {
    let model = network.model(7);
    let mut adam = Adam::new(model.parameters(), 0.01);
    for _ in 0..2 {
        let xs = Tensor::randn([&[5], network.input].concat(), (network.kind, Device::Cpu));
        let loss = model.forward(&xs, true).square().mean(network.kind);
        adam.zero_grad();
        if loss.requires_grad() {
            loss.backward();
        }
        adam.step();
    }
    model
}

#[test]
fn exported_files_compute_what_the_network_computes() {
    let _guard = libtorch(1);
    let folder = tempfile::tempdir().unwrap();
    for network in all() {
        let model = trained(network);
        let write = |extension: &str, bytes: Vec<u8>| {
            fs::write(folder.path().join(format!("{}.{extension}", network.name)), bytes).unwrap();
        };
        let tensors = model.state_dict();
        write("pt", state_dict::write(&tensors).unwrap());
        let program = model.graph().torchscript("Net");
        write("ts", torchscript::write(&program, &tensors).unwrap());
        match model.onnx() {
            Ok(graph) => write("onnx", onnx::write("Net", &graph, &tensors)),
            Err(error) => {
                let expected = WITHOUT_ONNX.iter().find(|(name, _)| *name == network.name);
                let is_expected = expected.is_some_and(|(_, reason)| error.reason.contains(reason));
                assert!(is_expected, "{}: {error}", network.name);
            }
        }
    }
    let said = python("export", folder.path());
    assert_eq!(
        said.trim(),
        format!("without ONNX: {}", WITHOUT_ONNX.map(|(name, _)| name).join("; "))
    );
}
