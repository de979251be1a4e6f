//! A network's forward pass as TorchScript, in the form that `torch.jit.save` writes.

use super::Model;
use super::graph::{Graph, Operand};
use tensor_files::ReadError;
use tensor_files::torchscript::{self, Program};

impl Model {
    /// The bytes of a TorchScript archive with the model's weights and forward pass, for `torch.jit.load`.
    ///
    /// # Errors
    /// When a tensor does not fit its shape; the model's own do.
    pub fn torchscript(&self) -> Result<Vec<u8>, ReadError> {
        torchscript::write(&self.graph().torchscript(self.class()), &self.state_dict())
    }
}

impl Graph {
    /// The module as TorchScript: class, `forward`, layers and buffers.
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

/// The attribute of this path of `self`. A name such as `0` is no identifier.
fn attribute(path: &str) -> String {
    path.split('.').filter(|name| !name.is_empty()).fold("self".into(), |of, name| {
        match name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            true => format!("{of}.{name}"),
            false => format!("getattr({of}, \"{name}\")"),
        }
    })
}

/// The lines of one operation in `forward`.
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

    /// An input of the operation, as an expression.
    pub fn input(&self, index: usize) -> String {
        self.inputs[index].clone()
    }

    /// An input that there may be, or `None`.
    pub fn optional_input(&self, index: usize) -> String {
        self.inputs.get(index).cloned().unwrap_or_else(|| "None".into())
    }

    /// The layer's flag `training`, as an expression.
    pub fn training(&self) -> String {
        self.training.clone()
    }

    /// A variable of this operation alone.
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

    /// `True` or `False`.
    pub fn bool(value: bool) -> &'static str {
        if value { "True" } else { "False" }
    }
}
