//! A network's forward pass in evaluation mode as a graph of ONNX operators.

use super::graph::{Graph, Operand};
#[cfg(feature = "libtorch")]
use super::{Model, TraceError};
#[cfg(feature = "libtorch")]
use crate::formats::onnx::{self, OUTPUT};
use crate::formats::onnx::{Attribute, INPUT, Node};
#[cfg(feature = "libtorch")]
use crate::libtorch::dtype_of;
use tensor_files::{Dtype, NamedTensor};

#[cfg(feature = "libtorch")]
impl Model {
    /// The forward pass in evaluation mode as a graph of ONNX operators.
    ///
    /// ```
    /// # use stitch::nn::{Linear, Model};
    /// # use tch::Kind;
    /// let model = Model::new("Net", &[784], Kind::Float, |vs| Linear::new(vs / "fc", 784, 10))?;
    /// let graph = model.onnx()?;
    /// assert_eq!((graph.nodes.len(), graph.nodes[0].operator), (1, "Gemm"));
    /// # Ok::<(), stitch::nn::TraceError>(())
    /// ```
    ///
    /// # Errors
    /// [`TraceError`] if ONNX has no operator for an operation.
    pub fn onnx(&self) -> Result<onnx::Graph, TraceError> {
        let graph = self.graph();
        let dtype = dtype_of(self.kind());
        let mut nodes = OnnxNodes {
            graph,
            dtype,
            index: 0,
            names: Vec::new(),
            nodes: Vec::new(),
            constants: Vec::new(),
            error: None,
        };
        for (index, node) in graph.nodes().iter().enumerate() {
            nodes.index = index;
            nodes.names.push(String::new());
            node.operation.onnx(&mut nodes);
        }
        if let Some(reason) = nodes.error {
            return Err(TraceError { place: "ONNX".into(), reason });
        }
        let result = nodes.name(graph.result());
        match nodes.nodes.iter_mut().find(|node| node.output == result) {
            // The output of the graph has a fixed name.
            Some(_) => rename_output(&mut nodes.nodes, &result),
            None => nodes.nodes.push(Node {
                operator: "Identity",
                inputs: vec![result],
                output: OUTPUT.into(),
                attributes: Vec::new(),
            }),
        }
        Ok(onnx::Graph {
            dtype,
            input: graph.input().to_vec(),
            output: graph.output().to_vec(),
            nodes: nodes.nodes,
            constants: nodes.constants,
        })
    }
}

#[cfg(feature = "libtorch")]
/// Renames a value to the name of the graph's output.
fn rename_output(nodes: &mut [Node], value: &str) {
    for node in nodes {
        let names = node.inputs.iter_mut().chain([&mut node.output]);
        names.filter(|name| *name == value).for_each(|name| *name = OUTPUT.into());
    }
}

/// Collects the ONNX operators of a graph; [`Operation::onnx`](super::Operation::onnx) adds those of one
/// operation.
#[derive(Debug)]
pub struct OnnxNodes<'a> {
    graph: &'a Graph,
    dtype: Dtype,
    index: usize,
    /// The name of each operation's output so far.
    names: Vec<String>,
    nodes: Vec<Node>,
    constants: Vec<NamedTensor>,
    error: Option<String>,
}

impl OnnxNodes<'_> {
    /// The names of the operation's inputs.
    pub fn inputs(&self) -> Vec<String> {
        let inputs = &self.graph.nodes()[self.index].inputs;
        inputs.iter().map(|&input| self.name(input)).collect()
    }

    /// The shape of an input of the operation; -1 is the batch size.
    pub fn shape(&self, input: usize) -> &[i64] {
        self.graph.shape_of(self.graph.nodes()[self.index].inputs[input])
    }

    /// The shape of the operation's output; -1 is the batch size.
    pub fn output_shape(&self) -> &[i64] {
        &self.graph.nodes()[self.index].shape
    }

    /// Adds the operator that computes the operation's output.
    pub fn emit(&mut self, operator: &'static str, inputs: &[String], attributes: &[Attribute]) {
        let output = format!("x{}", self.index + 1);
        self.names[self.index].clone_from(&output);
        self.push(operator, inputs, attributes, output);
    }

    /// Adds an operator whose output later operators of the same operation read; returns the name of that output.
    pub fn emit_intermediate(
        &mut self,
        operator: &'static str,
        inputs: &[String],
        attributes: &[Attribute],
    ) -> String {
        let output = format!("x{}_{}", self.index + 1, self.nodes.len());
        self.push(operator, inputs, attributes, output.clone());
        output
    }

    /// Makes the operation's input its output, without an operator.
    pub fn pass_through(&mut self) {
        let input = self.inputs().swap_remove(0);
        self.pass(input);
    }

    /// Makes the output of an operator the operation's output.
    pub fn pass(&mut self, value: String) {
        self.names[self.index] = value;
    }

    /// Adds the operator that reshapes the operation's input to the shape of its output.
    pub fn emit_reshape(&mut self) {
        let inputs = self.inputs();
        let shape = self.output_shape().to_vec();
        if shape.len() == 2 {
            return self.emit("Flatten", &inputs, &[]);
        }
        let sizes = self.sizes(&shape);
        self.emit("Reshape", &[inputs[0].clone(), sizes], &[]);
    }

    /// Adds a constant tensor of the network's element type, filled with `value`; returns its name.
    pub fn constant(&mut self, shape: &[i64], value: f64) -> String {
        let name = format!("constant{}", self.constants.len());
        let bytes = match self.dtype {
            Dtype::F64 => value.to_le_bytes().to_vec(),
            // Networks are float32 or float64.
            _ => (value as f32).to_le_bytes().to_vec(),
        };
        let shape: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
        let data = bytes.repeat(shape.iter().product());
        self.constants.push(NamedTensor { name: name.clone(), dtype: self.dtype, shape, data });
        name
    }

    /// Adds a constant list of sizes; returns its name.
    pub fn sizes(&mut self, sizes: &[i64]) -> String {
        let name = format!("constant{}", self.constants.len());
        let data = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        let (dtype, shape) = (Dtype::I64, vec![sizes.len()]);
        self.constants.push(NamedTensor { name: name.clone(), dtype, shape, data });
        name
    }

    /// Reports that ONNX has no operator for the operation; the export fails with the first such reason.
    pub fn fail(&mut self, reason: &str) {
        self.error.get_or_insert_with(|| reason.into());
    }

    fn push(
        &mut self,
        operator: &'static str,
        inputs: &[String],
        attributes: &[Attribute],
        output: String,
    ) {
        let (inputs, attributes) = (inputs.to_vec(), attributes.to_vec());
        self.nodes.push(Node { operator, inputs, output, attributes });
    }

    fn name(&self, operand: Operand) -> String {
        match operand {
            Operand::Input => INPUT.into(),
            Operand::Node(i) => self.names[i].clone(),
            Operand::Parameter(i) => self.graph.parameters()[i].name.clone(),
            Operand::Buffer(i) => self.graph.buffers()[i].name.clone(),
        }
    }
}
