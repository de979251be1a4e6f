//! `torch.jit.save`: named parameters and the source text of `forward` in one archive.
//!
//! Layout after `torch/csrc/jit/serialization/export_module.cpp` of PyTorch 2.13: `data.pkl` holds
//! the module as an object, `code/__torch__.py` its classes, `constants.pkl` nothing.

use super::pickle::Pickler;
use super::{NamedTensor, ReadError, archive};

/// Folder inside the archive. `torch.jit.save` takes the file's stem; readers take any.
const ROOT: &str = "torchscript";

/// The file for a module of layers.
///
/// `class` is the module's name, `forward` the body of `forward(self, x: Tensor) -> Tensor` in
/// TorchScript's serialised form, each line indented by four blanks. The names of `tensors` are
/// `layer.parameter`; every layer becomes a submodule, in the order of its first tensor. The same
/// input gives the same bytes.
///
/// # Errors
/// [`ReadError::NotTensors`] for a name without a dot, [`ReadError::Zip`] when the archive cannot
/// be built.
pub fn write(class: &str, forward: &str, tensors: &[NamedTensor]) -> Result<Vec<u8>, ReadError> {
    let layers = layers(tensors)?;
    let code = code(class, forward, &layers);
    let pickle = pickle(class, &layers);
    let mut records = vec![("data.pkl".to_string(), &pickle[..])];
    for (i, tensor) in tensors.iter().enumerate() {
        records.push((format!("data/{i}"), &tensor.data));
    }
    records.push(("code/__torch__.py".into(), code.as_bytes()));
    // PROTO 2, an empty tuple, STOP: there are no constants.
    records.push(("constants.pkl".into(), b"\x80\x02)."));
    archive::write(ROOT, &records)
}

/// A submodule: its name, and its parameters with their record numbers.
struct Layer<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, usize, &'a NamedTensor)>,
}

fn layers(tensors: &[NamedTensor]) -> Result<Vec<Layer<'_>>, ReadError> {
    let mut layers: Vec<Layer> = Vec::new();
    for (record, tensor) in tensors.iter().enumerate() {
        let Some((name, parameter)) = tensor.name.rsplit_once('.') else {
            let error = format!("{} has no layer: names are layer.parameter", tensor.name);
            return Err(ReadError::NotTensors(error));
        };
        let parameter = (parameter, record, tensor);
        match layers.iter_mut().find(|layer| layer.name == name) {
            Some(layer) => layer.parameters.push(parameter),
            None => layers.push(Layer { name, parameters: vec![parameter] }),
        }
    }
    Ok(layers)
}

/// The classes as source text: one a layer, then the module.
fn code(class: &str, forward: &str, layers: &[Layer]) -> String {
    let mut text = String::new();
    for layer in layers {
        let names: Vec<String> =
            layer.parameters.iter().map(|(name, ..)| format!("\"{name}\", ")).collect();
        text += &format!("class {}(Module):\n", layer_class(layer.name));
        text += &format!("  __parameters__ = [{}]\n  __buffers__ = []\n", names.concat());
        for (name, ..) in &layer.parameters {
            text += &format!("  {name} : Tensor\n");
        }
        text += "  training : bool\n";
    }
    text += &format!("class {class}(Module):\n  __parameters__ = []\n  __buffers__ = []\n");
    text += "  training : bool\n";
    for layer in layers {
        let (name, of) = (layer.name, layer_class(layer.name));
        // A name such as `0` is no identifier.
        text += &format!("  __annotations__[\"{name}\"] = __torch__.{of}\n");
    }
    text += &format!("  def forward(self: __torch__.{class},\n    x: Tensor) -> Tensor:\n");
    text + forward
}

fn layer_class(name: &str) -> String {
    format!("Layer_{name}")
}

/// The module as an object: its flag and its layers, each with its flag and parameters.
fn pickle(class: &str, layers: &[Layer]) -> Vec<u8> {
    let mut out = Pickler::new();
    object(&mut out, class);
    for layer in layers {
        out.string(layer.name);
        object(&mut out, &layer_class(layer.name));
        for &(name, record, tensor) in &layer.parameters {
            out.string(name);
            out.tensor(record, tensor, true);
        }
        out.raw(b"ub");
    }
    out.raw(b"ub");
    out.finish()
}

/// A new object of `class` and the beginning of its attributes: `training`, as after `eval()`.
fn object(out: &mut Pickler, class: &str) {
    out.global("__torch__", class);
    out.raw(b")\x81}(");
    out.string("training");
    out.bool(false);
}
