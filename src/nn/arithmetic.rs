//! `torch.add`, `sub`, `mul` and `div`: of two values, such as a residual connection, or of a value and a number.

use std::ops::Add;

#[cfg(feature = "libtorch")]
use tch::Tensor;
use torchscript_forward::shapes;

use super::{OnnxNodes, Operation, ScriptLines, ShapeError, Value};

impl Add for Value {
    type Output = Value;

    /// `self + other`. Along dimensions of size 1, a value is repeated.
    ///
    /// ```
    /// # use stitch::nn::{Graph, relu};
    /// let graph = Graph::trace_function(&[8], |x| x.clone() + relu(x))?;
    /// assert_eq!(graph.output(), [8]);
    /// # Ok::<(), stitch::nn::TraceError>(())
    /// ```
    fn add(self, other: Value) -> Value {
        self.apply(ArithmeticOp { function: Arithmetic::Add, number: None }, &[&other])
    }
}

/// A function of two numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

/// The function of the elements of both inputs, or of those of the only input and `number`.
#[derive(Debug)]
pub(crate) struct ArithmeticOp {
    pub function: Arithmetic,
    pub number: Option<f64>,
}

impl Operation for ArithmeticOp {
    fn name(&self) -> &'static str {
        match self.function {
            Arithmetic::Add => "add",
            Arithmetic::Sub => "sub",
            Arithmetic::Mul => "mul",
            Arithmetic::Div => "div",
        }
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        match self.number {
            None => Ok(shapes::broadcast(inputs[0], inputs[1])?),
            Some(_) => Ok(inputs[0].to_vec()),
        }
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        let number = self.number.map(|it| Tensor::from(it).to_kind(inputs[0].kind()));
        let (a, b) = (inputs[0], number.as_ref().unwrap_or_else(|| inputs[1]));
        match self.function {
            Arithmetic::Add => a + b,
            Arithmetic::Sub => a - b,
            Arithmetic::Mul => a * b,
            Arithmetic::Div => a / b,
        }
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let other = self.number.map_or_else(|| lines.input(1), |number| format!("{number:?}"));
        lines.assign(&format!("torch.{}({}, {other})", self.name(), lines.input(0)));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        let mut inputs = nodes.inputs();
        inputs.extend(self.number.map(|number| nodes.constant(&[], number)));
        let operator = match self.function {
            Arithmetic::Add => "Add",
            Arithmetic::Sub => "Sub",
            Arithmetic::Mul => "Mul",
            Arithmetic::Div => "Div",
        };
        nodes.emit(operator, &inputs, &[]);
    }
}
