//! Forward passes of TorchScript files, which are compared with a network's without being run.

use std::fs::{self, File};
use std::io::Cursor;

use serde_json::Value;
use stitch::models::named;
use stitch::nn::dtype_of;
use stitch::nn::{Graph, ScriptModule};
use stitch::tensor_files::{FileKind, TensorFile, torchscript};
use tch::{Device, Kind};

use super::networks::{all, network};
use super::{assert_none, libtorch, python};

/// The graph and element type of a network of networks.rs, or of `the model lenet5` and its like.
fn graph_of(name: &str) -> (Graph, Kind) {
    match name.strip_prefix("the model ") {
        Some(model) => {
            let entry = named(model).unwrap();
            (entry.graph(entry.options()), entry.kind())
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
        let compared = graph.compare_forward(&module, dtype_of(kind));
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
        if let Err(error) = model.graph().compare_forward(&module, dtype_of(network.kind)) {
            failures.push(format!("{}: {error}", network.name));
        }
    }
    assert_none(&failures);
}

#[test]
fn what_tch_saves_has_no_forward_pass() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.pt");
    let _guard = libtorch(1);
    let store = tch::nn::VarStore::new(Device::Cpu);
    let _ = tch::nn::linear(store.root() / "fc", 4, 3, Default::default());
    store.save(&path).unwrap();
    let file = TensorFile::open(File::open(&path).unwrap()).unwrap();
    assert_eq!(file.kind(), FileKind::TorchScript);
    let module = ScriptModule::read(File::open(&path).unwrap()).unwrap();
    assert_eq!(module.has_forward(), Ok(false));
}
