//! `stitch export`: every format, opened by its real readers, and read back.

use std::fs;
use std::path::Path;

use stitch::dataset::loader::images;
use stitch::models::Classifier;
use stitch::tensor_files::read_weights;
use tch::{CModule, Device, Tensor};

use super::{assert_equal, common, values_of};

const FORMATS: [(&str, &str); 4] = [
    ("state-dict", "weights.pt"),
    ("torchscript", "scripted.pt"),
    ("safetensors", "weights.safetensors"),
    ("npz", "weights.npz"),
];

fn export(folder: &Path, file: &str, format: &str, output: &str) -> assert_cmd::assert::Assert {
    let flags = ["export", file, "--format", format, "--output", output];
    common::stitch(folder).args(flags).assert()
}

#[test]
fn every_format_opens_in_python_with_the_same_bits() {
    let data = tempfile::tempdir().unwrap();
    common::small_dataset(data.path(), 300, 100);
    let data = data.path().to_str().unwrap();
    for model in ["mlp", "lenet5"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let flags = ["train", model, "--epochs", "1", "--data", data, "--out", "run"];
        common::stitch(path).args(flags).assert().success();
        for (format, output) in FORMATS {
            export(path, "run/state_dict.pt", format, output).success();
        }
        if model == "mlp" {
            let flags =
                ["export", "run/state_dict.pt", "-f", "npz", "--sklearn", "-o", "sklearn.npz"];
            common::stitch(path).args(flags).assert().success();
        }
        let [run, out] = [path.join("run"), path.into()].map(|path| path.display().to_string());
        let said = common::run_python("library/parity/export/reference.py", &[model, &run, &out]);
        assert_eq!(said.trim(), "every format opened");
        read_back(path);
        scripted_in_rust(path);
    }
}

/// Every format is read, and exported again gives the bytes it came from.
fn read_back(folder: &Path) {
    for (i, (format, output)) in FORMATS.into_iter().enumerate() {
        for (j, (_, source)) in FORMATS.into_iter().enumerate() {
            let again = format!("again-{i}-{j}");
            export(folder, source, format, &again).success();
            let same =
                fs::read(folder.join(&again)).unwrap() == fs::read(folder.join(output)).unwrap();
            assert!(same, "{source} exported as {format}");
        }
    }
}

/// `CModule::load` runs the module, to the bits of the port's own forward pass.
fn scripted_in_rust(folder: &Path) {
    let _libtorch = common::libtorch(super::THREADS);
    let tensors = read_weights(&fs::read(folder.join("weights.pt")).unwrap()).unwrap();
    let model = Classifier::from_named(&tensors, None, Device::Cpu).unwrap().model;
    let module = CModule::load(folder.join("scripted.pt")).unwrap();
    let names: Vec<String> =
        module.named_parameters().unwrap().into_iter().map(|(name, _)| name).collect();
    let specs = model.graph().parameters();
    let wanted: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, wanted);
    let pixels: Vec<u8> = (0..64 * 784).map(|i| (i * 31 % 256) as u8).collect();
    let xs = images(&pixels, model.graph().input(), model.kind(), Device::Cpu);
    let logits: [Tensor; 2] =
        tch::no_grad(|| [model.forward(&xs, false), module.forward_ts(&[&xs]).unwrap()]);
    assert_equal("logits", &values_of(&logits[0]), &values_of(&logits[1]));
}

#[test]
fn what_cannot_be_exported_is_refused_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let data = path.join("data");
    common::small_dataset(&data, 300, 100);
    let flags = ["train", "lenet5", "--epochs", "1", "--data", "data", "--out", "run"];
    common::stitch(path).args(flags).assert().success();
    let said = |assert: assert_cmd::assert::Assert| {
        String::from_utf8(assert.code(2).get_output().stderr.clone()).unwrap()
    };
    let run = "run/state_dict.pt";
    assert!(said(export(path, run, "npz", "run")).contains("--output run is a folder"));
    assert!(said(export(path, run, "state-dict", run)).contains(" exists. Give another path"));
    assert!(
        said(export(path, run, "npz", "no/such/folder.npz"))
            .contains("the folder no/such does not exist")
    );
    assert!(said(export(path, run, "onyx", "x")).contains("possible values: state-dict"));
    assert!(
        said(export(path, "run/history.csv", "npz", "x")).contains("run/history.csv: not a file")
    );
    let flags = ["export", run, "-f", "npz", "--sklearn", "-o", "x.npz"];
    assert!(said(common::stitch(path).args(flags).assert()).contains("--sklearn"));
    assert!(!path.join("x").exists() && !path.join("x.npz").exists());
    let flags = ["export", run, "-f", "state-dict", "-o", run, "--force"];
    common::stitch(path).args(flags).assert().success();
}
