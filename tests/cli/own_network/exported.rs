//! `stitch export --format onnx` of networks of TorchScript files, and what it refuses.

use std::fs;
use std::io::Cursor;

use stitch::nn::{Model, ScriptModule};
use stitch::tensor_files::read_weights;
use tch::{Device, Tensor};

use super::refusals::network;
use super::{NETWORKS, folder_with, python, run_script};
use crate::{common, refused, stitch, temporary_folder};

/// Networks of `exported.py` besides those of `networks.py`.
const OTHERS: [&str; 5] = ["activations", "double", "mixed", "perceptron", "traced"];

/// Networks that are not exported, and what the error names.
const REFUSED: [(&str, &str); 3] = [
    ("attention", "it compares the identity of objects"),
    ("patches", "torch.im2col has no ONNX form here; supported are add, avg_pool2d, "),
    ("recurrent", "it computes torch.zeros"),
];

#[test]
fn onnxruntime_computes_the_logits_of_the_file() {
    let folder = temporary_folder();
    let script = common::root().join("tests/cli/own_network/exported.py");
    let script = script.to_str().unwrap();
    python(folder.path(), &["-W", "ignore", script, "save"]);
    let mut exported = Vec::new();
    for name in NETWORKS.into_iter().chain(OTHERS) {
        let [file, onnx] = ["pt", "onnx"].map(|extension| format!("{name}.{extension}"));
        let export = ["export", &file, "--format", "onnx", "-o", &onnx];
        let mut command = stitch(folder.path());
        command.args(export);
        let image = if name == "mixed" { [3, 32, 32] } else { [1, 28, 28] };
        if name == "mixed" {
            let advice = "--image-size: HEIGHTxWIDTH for gray, HEIGHTxWIDTHx3 for color";
            let parts = ["mixed.pt", "torch.conv2d", "[1, 28, 28]", "in_channels is 3", advice];
            refused(stitch(folder.path()).args(export), 2, &parts);
            command.args(["--image-size", "32x32x3"]);
        }
        if let Some((_, part)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            refused(&mut command, 2, &[&file, part, "Export its weights", "safetensors"]);
            continue;
        }
        command.assert().code(0);
        exported.push(name);
        assert_same_logits(&fs::read(folder.path().join(file)).unwrap(), &image, name);
    }
    exported.sort_unstable();
    python(folder.path(), &["-W", "ignore", script, "check", &exported.join(" ")]);
}

/// Panics unless the operations that are exported compute the logits of the file's own forward pass. `adaptive_avg_pool2d`
/// sums in another order than `avg_pool2d`.
fn assert_same_logits(file: &[u8], image: &[i64], name: &str) {
    let module = ScriptModule::read(Cursor::new(file)).unwrap();
    let converted = Model::converted(&module, &read_weights(file).unwrap(), image).unwrap();
    let own = Model::of_torchscript(file, image, Device::Cpu).unwrap();
    let images = Tensor::rand([&[5], image].concat(), (own.kind(), Device::Cpu));
    let [found, expected] =
        [&converted, &own].map(|model| tch::no_grad(|| model.forward(&images, false)));
    let difference = (found - &expected).abs().max() / expected.abs().max();
    assert!(difference.double_value(&[]) <= 1e-6, "{name}: {difference:?}");
}

#[test]
fn what_has_no_onnx_form_is_named() {
    for (body, parts) in [
        (
            "return self.fc(F.gelu(x.flatten(1), approximate='tanh'))",
            &["torch.gelu with these arguments"][..],
        ),
        (
            "return self.fc(torch.cumsum(x, 3).view(x.size(0), -1))",
            &["torch.cumsum has no ONNX form"],
        ),
        ("return self.fc((x - x.mean()).flatten(1))", &["torch.mean with these arguments"]),
        ("return self.fc(x.flatten(1)) * self.count", &["torch.mul reads count", "float32"]),
        ("return self.fc(x.flatten(1)) * self.x1", &["its x1 has a name", "rename it"]),
        ("return self.x1", &["a row per image"]),
        (
            "y = [x]; y.append(2 * x); return self.fc(y[0].flatten(1))",
            &["changes a list by torch.append"],
        ),
        (
            "return self.fc(F.avg_pool2d(x, 1, divisor_override=2).flatten(1))",
            &["divisor_override"],
        ),
        (
            "return self.fc(x)",
            &["its operation 1, torch.linear", "[1, 28, 28]", "in_features is 784", "--image-size"],
        ),
    ] {
        let folder = folder_with(&network(body));
        let export = ["export", "model.pt", "--format", "onnx", "-o", "model.onnx"];
        refused(stitch(folder.path()).args(export), 2, &[&["model.pt"], parts].concat());
        assert!(!folder.path().join("model.onnx").exists());
    }
}

#[test]
fn nothing_of_the_file_runs_and_flags_without_effect_are_refused() {
    let body = "torch.save([x], 'written.bin'); return self.fc(x.flatten(1))";
    let folder = folder_with(&network(body));
    let export = ["export", "model.pt", "--format", "onnx", "-o", "model.onnx"];
    stitch(folder.path()).args(export).assert().code(0);
    assert!(!folder.path().join("written.bin").exists());
    for (format, output) in [("npz", "model.npz"), ("torchscript", "other.pt")] {
        let export = ["export", "model.pt", "--format", format, "-o", output];
        let size = ["--image-size", "28x28"];
        let parts = ["--image-size", "--format onnx"];
        refused(stitch(folder.path()).args(export).args(size), 2, &parts);
    }
    let frozen = network("return self.fc(x.flatten(1))")
        + "torch.jit.freeze(net.eval()).save('frozen.pt')\n";
    run_script(folder.path(), &frozen);
    let export = ["export", "frozen.pt", "--format", "onnx", "-o", "frozen.onnx"];
    refused(stitch(folder.path()).args(export), 2, &["frozen.pt", "torch.jit.freeze"]);
}
