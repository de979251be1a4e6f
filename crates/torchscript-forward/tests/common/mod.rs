//! Networks of linear layers, and archives of them.

use std::io::Cursor;

use tensor_files::NamedTensor;
use tensor_files::torchscript::{self, Program};
use torchscript_forward::{Dtype, Expected, ForwardError, ScriptModule, TensorSpec};

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
