//! `torch.add`: the sum of two values, such as a residual connection.

use std::ops::Add;

use tch::Tensor;

use super::{OnnxNodes, Operation, ScriptLines, ShapeError, Value};

impl Add for Value {
    type Output = Value;

    /// `self + other`, of equal shapes.
    ///
    /// ```
    /// # use stitch::nn::{Graph, relu};
    /// let graph = Graph::trace_function(&[8], |x| x.clone() + relu(x))?;
    /// assert_eq!(graph.output(), [8]);
    /// # Ok::<(), stitch::nn::TraceError>(())
    /// ```
    fn add(self, other: Value) -> Value {
        self.apply(AddOp, &[&other])
    }
}

/// `input + other`.
#[derive(Debug)]
pub(crate) struct AddOp;

impl Operation for AddOp {
    fn name(&self) -> &'static str {
        "add"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        let (a, b) = (inputs[0], inputs[1]);
        match a == b {
            true => Ok(a.to_vec()),
            false => Err(ShapeError::Input {
                input: a.to_vec(),
                problem: format!("the other addend has {b:?}; equal shapes are expected"),
            }),
        }
    }

    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        inputs[0] + inputs[1]
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        lines.assign(&format!("torch.add({}, {})", lines.input(0), lines.input(1)));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        nodes.emit("Add", &nodes.inputs(), &[]);
    }
}
