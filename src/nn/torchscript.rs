//! A network's forward pass as TorchScript, in the form that `torch.jit.save` writes.

#[cfg(feature = "libtorch")]
use super::Model;
use super::graph::{Graph, Operand};
use tensor_files::torchscript::Program;
#[cfg(feature = "libtorch")]
use tensor_files::{ReadError, torchscript};

#[cfg(feature = "libtorch")]
impl Model {
    /// The bytes of a TorchScript archive with the model's weights and forward pass, for `torch.jit.load`. The network of a
    /// TorchScript file keeps its own code.
    ///
    /// # Errors
    /// [`ReadError`] if the data of a tensor does not match its shape, which a model's state_dict always does.
    pub fn torchscript(&self) -> Result<Vec<u8>, ReadError> {
        if let Some(archive) = self.script_archive() {
            return Ok(archive);
        }
        torchscript::write(&self.graph().torchscript(self.class()), &self.state_dict())
    }
}

impl Graph {
    /// The network as a TorchScript module: class, `forward`, layers and buffers.
    ///
    /// ```
    /// # use stitch::nn::{Graph, Linear};
    /// let graph = Graph::trace(&[784], |vs| Linear::new(vs / "fc", 784, 10))?;
    /// let program = graph.torchscript("Net");
    /// assert_eq!(program.class, "Net");
    /// assert!(program.forward.contains("self.fc.weight"), "{}", program.forward);
    /// # Ok::<(), stitch::nn::TraceError>(())
    /// ```
    pub fn torchscript(&self, class: &str) -> Program {
        let mut forward = String::new();
        for index in 0..self.nodes.len() {
            let mut lines = ScriptLines::new(self, index);
            self.nodes[index].operation.torchscript(&mut lines);
            lines.lines.iter().for_each(|line| forward += &format!("    {line}\n"));
        }
        forward += &format!("    return {}\n", self.expression(self.result()));
        Program {
            class: class.into(),
            forward,
            layers: self.layers.iter().map(|layer| layer.path.clone()).collect(),
            buffers: self.buffers.iter().map(|buffer| buffer.name.clone()).collect(),
        }
    }

    /// A value as an expression of `forward`.
    fn expression(&self, operand: Operand) -> String {
        match operand {
            Operand::Input => "x".into(),
            Operand::Node(i) => format!("x{}", i + 1),
            Operand::Parameter(i) => attribute(&self.parameters[i].name),
            Operand::Buffer(i) => attribute(&self.buffers[i].name),
        }
    }
}

/// An expression for the attribute of `self` with this path. A name such as `0` is not an identifier, so it needs
/// `getattr`.
fn attribute(path: &str) -> String {
    path.split('.').filter(|name| !name.is_empty()).fold("self".into(), |of, name| {
        let is_identifier = !name.starts_with(|first: char| first.is_ascii_digit())
            && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_');
        match is_identifier {
            true => format!("{of}.{name}"),
            false => format!("getattr({of}, \"{name}\")"),
        }
    })
}

/// Collects the lines of one operation in `forward`.
#[derive(Debug)]
pub struct ScriptLines {
    inputs: Vec<String>,
    output: String,
    training: String,
    lines: Vec<String>,
}

impl ScriptLines {
    fn new(graph: &Graph, index: usize) -> Self {
        let node = &graph.nodes[index];
        let layer = node.layer.map_or("", |layer| &graph.layers[layer].path);
        Self {
            inputs: node.inputs.iter().map(|&input| graph.expression(input)).collect(),
            output: graph.expression(Operand::Node(index)),
            training: format!("{}.training", attribute(layer)),
            lines: Vec::new(),
        }
    }

    /// The inputs of the operation, as expressions.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// An input of the operation, as an expression.
    pub fn input(&self, index: usize) -> String {
        self.inputs[index].clone()
    }

    /// An input of the operation as an expression; `None` (Python's) if the operation does not have it.
    pub fn optional_input(&self, index: usize) -> String {
        self.inputs.get(index).cloned().unwrap_or_else(|| "None".into())
    }

    /// The layer's `training` flag, as an expression.
    pub fn training(&self) -> String {
        self.training.clone()
    }

    /// The name of a local variable that no other operation uses.
    pub fn temporary(&self, name: &str) -> String {
        format!("{}_{name}", self.output)
    }

    /// Adds a line.
    pub fn push(&mut self, line: &str) {
        self.lines.push(line.into());
    }

    /// Adds the line that computes the output.
    pub fn assign(&mut self, expression: &str) {
        self.push(&format!("{} = {expression}", self.output));
    }

    /// Python's literal: `True` or `False`.
    pub fn bool(value: bool) -> &'static str {
        if value { "True" } else { "False" }
    }
}
