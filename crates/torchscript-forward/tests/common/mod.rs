//! Networks of linear layers, and archives of them.

// Each test binary uses a part of this.
#![allow(dead_code)]

use std::io::{Cursor, Read, Write};

use tensor_files::NamedTensor;
use tensor_files::torchscript::{self, Program};
use torchscript_forward::{
    AuditError, CodeFacts, Dtype, Expected, ForwardError, ScriptModule, TensorSpec,
};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Linear layers with these names, one after the other, of four elements each.
pub fn linear(layers: &[&str]) -> Expected {
    let mut forward = String::new();
    let mut state = Vec::new();
    for layer in layers {
        let weight = format!("getattr(self, \"{layer}\").weight");
        let bias = format!("getattr(self, \"{layer}\").bias");
        forward += &format!("    x = torch.linear(x, {weight}, {bias})\n");
        for (name, shape) in [("weight", vec![4, 4]), ("bias", vec![4])] {
            state.push(TensorSpec { name: format!("{layer}.{name}"), dtype: Dtype::F32, shape });
        }
    }
    forward += "    return x\n";
    Expected { forward, input: vec![4], dtype: Dtype::F32, state }
}

/// The file of a module `Net` that has the parameters of a network and this body of `forward`.
pub fn file(expected: &Expected, forward: &str) -> Vec<u8> {
    let tensors: Vec<NamedTensor> = expected
        .state
        .iter()
        .map(|TensorSpec { name, dtype, shape }| {
            let bytes = shape.iter().product::<usize>() * dtype.size();
            let (name, shape) = (name.clone(), shape.clone());
            NamedTensor { name, dtype: *dtype, shape, data: vec![0; bytes] }
        })
        .collect();
    let program = Program { class: "Net".into(), forward: forward.into(), ..Program::default() };
    torchscript::write(&program, &tensors).unwrap()
}

/// Compares a network with the file that has its parameters and this body of `forward`.
pub fn compare(expected: &Expected, forward: &str) -> Result<(), ForwardError> {
    read(&file(expected, forward)).compare(expected)
}

/// The module of a file.
pub fn read(file: &[u8]) -> ScriptModule {
    ScriptModule::read(Cursor::new(file)).unwrap()
}

/// The same archive with other records.
pub fn with_records(file: &[u8], change: impl FnOnce(&mut Vec<(String, Vec<u8>)>)) -> Vec<u8> {
    let mut zip = ZipArchive::new(Cursor::new(file)).unwrap();
    let mut records = Vec::new();
    for i in 0..zip.len() {
        let mut record = zip.by_index(i).unwrap();
        let (name, mut bytes) = (record.name().unwrap().into_owned(), Vec::new());
        record.read_to_end(&mut bytes).unwrap();
        records.push((name, bytes));
    }
    change(&mut records);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in records {
        zip.start_file(name, stored).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The same archive with another text of its only file of code.
pub fn with_code(file: &[u8], change: impl FnOnce(String) -> String) -> Vec<u8> {
    with_records(file, |records| {
        let code = records.iter_mut().find(|(name, _)| name.ends_with("/code/__torch__.py"));
        let (_, bytes) = code.unwrap();
        *bytes = change(String::from_utf8(bytes.clone()).unwrap()).into_bytes();
    })
}

/// Adds lines to the body of a class.
pub fn with_lines(file: &[u8], class: &str, lines: &str) -> Vec<u8> {
    with_code(file, |text| {
        let head = format!("class {class}(Module):\n");
        assert!(text.contains(&head), "{text}");
        text.replace(&head, &format!("{head}{lines}"))
    })
}

/// The body of `forward` of a network of one layer.
pub const PLAIN: &str = "    return torch.linear(x, self.fc.weight, self.fc.bias)\n";

/// The file of a network of one layer.
pub fn plain() -> Vec<u8> {
    file(&linear(&["fc"]), PLAIN)
}

/// The check of a file.
pub fn checked(file: &[u8]) -> Result<CodeFacts, AuditError> {
    read(file).check_operations()
}

/// Panics unless the check fails with an error that contains `part`.
pub fn assert_refused(result: Result<CodeFacts, AuditError>, part: &str, case: &str) {
    match result {
        Ok(_) => panic!("accepted, where {part:?} is expected:\n{case}"),
        Err(error) => {
            let said = error.to_string();
            assert!(said.contains(part), "{said}, where {part:?} is expected:\n{case}");
        }
    }
}
