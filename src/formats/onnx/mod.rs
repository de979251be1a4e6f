//! ONNX files: parameters, and the forward pass as a graph of standard operators. [`crate::nn`] chooses the operators of a
//! model.

#[cfg(feature = "libtorch")]
mod proto;
#[cfg(feature = "libtorch")]
mod write;

use tensor_files::{Dtype, NamedTensor};

#[cfg(feature = "libtorch")]
pub use write::write;

/// Name of the input.
pub(crate) const INPUT: &str = "x";
/// Name of the output.
pub(crate) const OUTPUT: &str = "logits";
/// A forward pass that computes the tensor `logits` from the tensor `x`, for batches of any size.
#[derive(Debug, Clone)]
pub struct Graph {
    /// Element type of `x` and `logits`.
    pub dtype: Dtype,
    /// Shape of `x` without the batch.
    pub input: Vec<i64>,
    /// Shape of `logits` without the batch.
    pub output: Vec<i64>,
    /// The operators in topological order.
    pub nodes: Vec<Node>,
    /// Constant tensors that the operators read in addition to the parameters.
    pub constants: Vec<NamedTensor>,
}

/// One application of an operator: the names of its inputs and of its output.
#[derive(Debug, Clone)]
pub struct Node {
    /// Name of the operator in ONNX.
    pub operator: &'static str,
    /// Names of its inputs: `x`, parameters, constants, and outputs of earlier nodes.
    pub inputs: Vec<String>,
    /// Name of its output.
    pub output: String,
    /// Attributes that differ from the operator's defaults.
    pub attributes: Vec<Attribute>,
}

/// Name and value of an operator's attribute.
pub type Attribute = (&'static str, Value);

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Attribute type `INT`.
    Int(i64),
    /// Attribute type `INTS`.
    Ints(Vec<i64>),
    /// A number, which ONNX stores in float32.
    Float(f32),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<Vec<i64>> for Value {
    fn from(values: Vec<i64>) -> Self {
        Self::Ints(values)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value as f32)
    }
}
