//! `.pt` files of `torch.jit.save`: parameters, buffers and the source text of `forward` in one archive.
//!
//! Layout after `torch/csrc/jit/serialization/export_module.cpp` of PyTorch 2.13: `data.pkl` holds
//! the module as an object, `code/__torch__.py` its classes, `constants.pkl` an empty tuple.

mod archive;
mod values;

pub use self::archive::{Archive, Id, Object, Value};
use super::pickle::Pickler;
use super::{NamedTensor, ReadError};

/// Folder inside the archive. `torch.jit.save` uses the stem of the file's name; readers accept any.
const ROOT: &str = "torchscript";

/// A module without its tensors: its class, its layers, and the code of its forward pass.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Name of the module's class, such as `Net`.
    pub class: String,
    /// The body of `forward(self, x: Tensor) -> Tensor` in TorchScript's serialized form, each line indented by four
    /// spaces.
    pub forward: String,
    /// Paths of the submodules in order, such as `conv1` or `block.0`. Those that have tensors need not be listed.
    pub layers: Vec<String>,
    /// Names of the tensors that are buffers; all others are parameters.
    pub buffers: Vec<String>,
}

/// Returns the bytes of a `.pt` file that `torch.jit.load` reads as a module in evaluation mode. The names of `tensors` are
/// paths, such as `conv1.weight`; each part but the last becomes a submodule. The same input gives the same bytes.
///
/// # Errors
/// [`ReadError::Length`]; [`ReadError::Zip`] when the archive cannot be built.
pub fn write(program: &Program, tensors: &[NamedTensor]) -> Result<Vec<u8>, ReadError> {
    tensors.iter().try_for_each(NamedTensor::check_length)?;
    let root = Module::tree(program, tensors);
    let mut code = String::new();
    root.write_classes(program, &mut code);
    let mut pickle = Pickler::new();
    root.write_object(&mut pickle);
    let pickle = pickle.finish();
    let mut records = vec![("data.pkl".to_string(), &pickle[..])];
    for (i, tensor) in tensors.iter().enumerate() {
        records.push((format!("data/{i}"), &tensor.data));
    }
    records.push(("code/__torch__.py".into(), code.as_bytes()));
    // PROTO 2, an empty tuple, STOP.
    records.push(("constants.pkl".into(), b"\x80\x02)."));
    super::archive::write(ROOT, &records)
}

/// A module with its tensors and submodules.
struct Module<'a> {
    name: &'a str,
    class: String,
    tensors: Vec<Attribute<'a>>,
    submodules: Vec<Module<'a>>,
}

/// A tensor of a module.
struct Attribute<'a> {
    name: &'a str,
    record: usize,
    tensor: &'a NamedTensor,
    is_buffer: bool,
}

impl<'a> Module<'a> {
    fn tree(program: &'a Program, tensors: &'a [NamedTensor]) -> Self {
        let class = program.class.clone();
        let mut root = Self { name: "", class, tensors: Vec::new(), submodules: Vec::new() };
        let mut modules = 0;
        for path in &program.layers {
            root.submodule(path, &mut modules);
        }
        for (record, tensor) in tensors.iter().enumerate() {
            let is_buffer = program.buffers.contains(&tensor.name);
            let (path, name) = tensor.name.rsplit_once('.').unwrap_or(("", &tensor.name));
            let module = root.submodule(path, &mut modules);
            module.tensors.push(Attribute { name, record, tensor, is_buffer });
        }
        root
    }

    /// The submodule of this path, which is created where it does not exist yet.
    fn submodule(&mut self, path: &'a str, modules: &mut usize) -> &mut Self {
        let mut module = self;
        for name in path.split('.').filter(|name| !name.is_empty()) {
            let at = module.submodules.iter().position(|submodule| submodule.name == name);
            let at = at.unwrap_or_else(|| {
                *modules += 1;
                let readable: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
                let class = format!("Layer{modules}_{readable}");
                let (tensors, submodules) = (Vec::new(), Vec::new());
                module.submodules.push(Self { name, class, tensors, submodules });
                module.submodules.len() - 1
            });
            module = &mut module.submodules[at];
        }
        module
    }

    /// The classes as source text, submodules first.
    fn write_classes(&self, program: &Program, text: &mut String) {
        for submodule in &self.submodules {
            submodule.write_classes(program, text);
        }
        let names = |buffers: bool| -> String {
            let named = self.tensors.iter().filter(|attribute| attribute.is_buffer == buffers);
            named.map(|attribute| format!("\"{}\", ", attribute.name)).collect()
        };
        *text += &format!("class {}(Module):\n", self.class);
        *text += &format!("  __parameters__ = [{}]\n", names(false));
        *text += &format!("  __buffers__ = [{}]\n", names(true));
        for Attribute { name, .. } in &self.tensors {
            *text += &format!("  {name} : Tensor\n");
        }
        *text += "  training : bool\n";
        for Module { name, class, .. } in &self.submodules {
            // A name such as `0` is not an identifier.
            *text += &format!("  __annotations__[\"{name}\"] = __torch__.{class}\n");
        }
        if self.name.is_empty() {
            let Program { class, forward, .. } = program;
            *text +=
                &format!("  def forward(self: __torch__.{class},\n    x: Tensor) -> Tensor:\n");
            *text += forward;
        }
    }

    /// Writes the module as an object with the flag `training`, as after `eval()`, its tensors and submodules.
    fn write_object(&self, out: &mut Pickler) {
        out.global("__torch__", &self.class);
        out.raw(b")\x81}(");
        out.string("training");
        out.bool(false);
        for &Attribute { name, record, tensor, is_buffer } in &self.tensors {
            out.string(name);
            out.tensor(record, tensor, !is_buffer);
        }
        for submodule in &self.submodules {
            out.string(submodule.name);
            submodule.write_object(out);
        }
        out.raw(b"ub");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dtype, read_weights};

    #[test]
    fn tensors_whose_names_become_the_same_are_refused() {
        let tensor = |name: &str| NamedTensor {
            name: name.into(),
            dtype: Dtype::U8,
            shape: vec![1],
            data: vec![7],
        };
        let file = write(&Program::default(), &[tensor("fc|weight"), tensor("fc.weight")]).unwrap();
        let error = read_weights(&file).unwrap_err().to_string();
        assert_eq!(error, "two of its tensors have the same name");
    }
}
