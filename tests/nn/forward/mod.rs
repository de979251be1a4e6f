//! Forward passes of TorchScript files, which are compared with a network's without being run.

use std::fs::{self, File};
use std::io::Cursor;

use serde_json::Value;
use stitch::models::named;
use stitch::nn::{ForwardError, Graph, Linear, Model, Scope, ScriptModule, Sequential};
use stitch::tensor_files::torchscript::{self, Program};
use stitch::tensor_files::{FileKind, TensorFile};
use tch::{Device, Kind};

use super::networks::{all, network};
use super::{assert_none, libtorch, python};

/// The graph and element type of a network of networks.rs, or of `the model lenet5` and its like.
fn graph_of(name: &str) -> (Graph, Kind) {
    match name.strip_prefix("the model ") {
        Some(model) => {
            let entry = named(model).unwrap();
            (entry.graph(), entry.kind)
        }
        None => ((**network(name).model(0).graph()).clone(), network(name).kind),
    }
}

#[test]
fn files_of_pytorch_are_equal_exactly_where_their_outputs_are() {
    let _guard = libtorch(1);
    let folder = tempfile::tempdir().unwrap();
    python("forward", folder.path());
    let files = fs::read_to_string(folder.path().join("files.json")).unwrap();
    let files: Vec<Value> = serde_json::from_str(&files).unwrap();
    let mut failures = Vec::new();
    for file in &files {
        let name = file["file"].as_str().unwrap();
        let (graph, kind) = graph_of(file["network"].as_str().unwrap());
        let module = ScriptModule::read(File::open(folder.path().join(name)).unwrap());
        let module = module.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(module.has_forward(), Ok(true));
        let compared = graph.compare_forward(&module, kind);
        if compared.is_ok() != file["equal"].as_bool().unwrap() {
            failures.push(format!("{name}: {compared:?}"));
        }
    }
    assert!(files.len() > 100, "{} files", files.len());
    assert_none(&failures);
}

#[test]
fn every_network_is_equal_to_what_it_is_exported_as() {
    let _guard = libtorch(1);
    let mut failures = Vec::new();
    for network in all() {
        let model = network.model(1);
        let program = model.graph().torchscript("Net");
        let file = torchscript::write(&program, &model.state_dict()).unwrap();
        let module = ScriptModule::read(Cursor::new(file)).unwrap();
        if let Err(error) = model.graph().compare_forward(&module, network.kind) {
            failures.push(format!("{}: {error}", network.name));
        }
    }
    assert_none(&failures);
}

#[test]
fn what_tch_saves_has_no_forward_pass() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.pt");
    let store = tch::nn::VarStore::new(Device::Cpu);
    let _ = tch::nn::linear(store.root() / "fc", 4, 3, Default::default());
    store.save(&path).unwrap();
    let file = TensorFile::open(File::open(&path).unwrap()).unwrap();
    assert_eq!(file.kind(), FileKind::TorchScript);
    let module = ScriptModule::read(File::open(&path).unwrap()).unwrap();
    assert_eq!(module.has_forward(), Ok(false));
}

/// Compares a linear layer `fc` with a module of this body of `forward`.
fn compared(forward: &str) -> Result<(), ForwardError> {
    let model = Model::new("Net", &[4], Kind::Float, |vs| Linear::new(vs / "fc", 4, 3)).unwrap();
    let program = Program {
        class: "Net".into(),
        forward: forward.lines().map(|line| format!("    {line}\n")).collect(),
        layers: vec!["fc".into()],
        buffers: Vec::new(),
    };
    let file = torchscript::write(&program, &model.state_dict()).unwrap();
    model.graph().compare_forward(&ScriptModule::read(Cursor::new(file)).unwrap(), Kind::Float)
}

#[test]
fn layers_of_equal_shapes_are_told_apart_by_their_order() {
    let build = |vs: &Scope| {
        Sequential::new(vs).add(|vs| Linear::new(vs, 4, 4)).add(|vs| Linear::new(vs, 4, 4))
    };
    let model = Model::new("Net", &[4], Kind::Float, build).unwrap();
    let program = model.graph().torchscript("Net");
    let swapped = program.forward.replace("\"0\"", "first").replace("\"1\"", "\"0\"");
    let program = Program { forward: swapped.replace("first", "\"1\""), ..program };
    let file = torchscript::write(&program, &model.state_dict()).unwrap();
    let module = ScriptModule::read(Cursor::new(file)).unwrap();
    let error = model.graph().compare_forward(&module, Kind::Float).unwrap_err().to_string();
    let expected =
        "its operation 1 is linear(1.weight, 1.bias), where linear(0.weight, 0.bias) is expected";
    assert_eq!(error, expected);
}

/// What the error of a forward pass says.
fn said(forward: &str) -> String {
    compared(forward).expect_err(forward).to_string()
}

#[test]
fn an_error_names_the_first_operation_that_differs() {
    let linear = "y = torch.linear(x, self.fc.weight, self.fc.bias)";
    assert_eq!(compared(&format!("{linear}\nreturn y")), Ok(()));
    assert_eq!(
        said("return torch.linear(torch.tanh(x), self.fc.weight, self.fc.bias)"),
        "its operation 1 is tanh, where linear(fc.weight, fc.bias) is expected"
    );
    assert_eq!(
        said(&format!("{linear}\nreturn torch.mul(y, 2)")),
        "it goes on with mul(2), where linear(fc.weight, fc.bias) is the last operation"
    );
    assert_eq!(said("return x"), "it ends before linear(fc.weight, fc.bias)");
}

#[test]
fn what_cannot_be_followed_is_never_equal() {
    let linear = "torch.linear(x, self.fc.weight, self.fc.bias)";
    for (forward, part) in [
        (
            format!("w = torch.mul_(self.fc.weight, 2)\nreturn {linear}"),
            "changes its own fc.weight",
        ),
        (format!("while True:\n  pass\nreturn {linear}"), "too many steps"),
        (
            format!("for i in range(9223372036854775807):\n  pass\nreturn {linear}"),
            "too many steps",
        ),
        (format!("with torch.no_grad():\n  y = {linear}\nreturn y"), "not understood"),
        (
            format!("if torch.gt(torch.sum(x), 0):\n  y = {linear}\nelse:\n  y = x\nreturn y"),
            "depends on a tensor",
        ),
        (
            format!("if torch.gt(torch.size(x, 0), 1):\n  y = {linear}\nelse:\n  y = x\nreturn y"),
            "torch.gt",
        ),
        (
            format!("y = torch.view(x, [1, 4])\nreturn {linear}").replace("linear(x", "linear(y"),
            "one number of images",
        ),
        (
            format!("y = torch.view(x, [-1, 2])\nreturn {linear}").replace("linear(x", "linear(y"),
            "mixes",
        ),
        (format!("self.fc = x\nreturn {linear}"), "changes its own attribute fc"),
        (
            format!("torch.save(x, \"file\")\ny = torch.from_file(\"file\")\nreturn {linear}"),
            "torch.from_file",
        ),
        (format!("y = (self).forward(x)\nreturn {linear}"), "nested too deeply"),
        (format!("return ({linear}, x)"), "returns a tuple"),
        ("return".into(), "returns None"),
        (
            format!("y = [1]\nfor i in range(500000):\n  y = [y]\nreturn {linear}"),
            "nested too deeply",
        ),
        (format!("y = torch.a\nfor i in range(500000):\n  y = y.a\nreturn {linear}"), "too long"),
        (
            "y = torch.matmul(x, torch.transpose(self.fc.weight, 0, 0))\nreturn torch.add(y, self.fc.bias)".into(),
            "transpose(fc.weight, 0, 0)",
        ),
        ("return torch.linear(x, self.fc.weight, self.fc.bias, scale=2)".into(), "linear"),
    ] {
        let error = said(&forward);
        assert!(error.contains(part), "{forward}\n{error}");
    }
}

#[test]
fn code_that_is_damaged_is_never_equal_and_no_panic() {
    let forward = "y = torch.linear(x, self.fc.weight, self.fc.bias)\nif False:\n  z = [1, 2]\nelse:\n  z = y\nreturn z";
    assert_eq!(compared(forward), Ok(()));
    // `y` and `z` may be cut or exchanged where the value stays the same.
    for at in 0..forward.len() {
        let _ = compared(&forward[..at]);
        for replacement in ["(", ")", "\n", "[", "0", ",", "=", "\"", ".", "  "] {
            let _ = compared(&format!("{}{replacement}{}", &forward[..at], &forward[at + 1..]));
        }
    }
}
