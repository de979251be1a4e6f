//! The interface of an operation of a network's graph: a function of `torch.nn.functional`.

use std::any::Any;
use std::fmt;

use tch::Tensor;

use super::{OnnxNodes, ScriptLines};

/// A function of `torch.nn.functional`, with its arguments other than tensors.
///
/// Everything that is known of an operation is written here, once: what it computes, the shape of its
/// output, and how it is written in TorchScript and in ONNX. In shapes, -1 stands for the batch.
///
/// An operation of your own, as a layer without parameters:
///
/// ```
/// use stitch::nn::{Graph, Layer, Module, OnnxNodes, Operation, Scope, ScriptLines, Value};
/// use tch::Tensor;
///
/// /// `F.sigmoid`.
/// #[derive(Debug)]
/// struct SigmoidOp;
///
/// impl Operation for SigmoidOp {
///     fn name(&self) -> &'static str {
///         "sigmoid"
///     }
///
///     fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, String> {
///         Ok(inputs[0].to_vec())
///     }
///
///     fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
///         inputs[0].sigmoid()
///     }
///
///     fn torchscript(&self, lines: &mut ScriptLines) {
///         lines.assign(&format!("torch.sigmoid({})", lines.input(0)));
///     }
///
///     fn onnx(&self, nodes: &mut OnnxNodes) {
///         nodes.emit("Sigmoid", &nodes.inputs(), &[]);
///     }
/// }
///
/// /// `nn.Sigmoid()`.
/// struct Sigmoid(Layer);
///
/// impl Module for Sigmoid {
///     fn forward(&self, x: Value) -> Value {
///         self.0.apply(SigmoidOp, &[&x])
///     }
/// }
/// let graph = Graph::trace(&[8], |vs: &Scope| Sigmoid(Layer::new(vs / "gate", "Sigmoid")))?;
/// assert_eq!(graph.nodes()[0].operation.name(), "sigmoid");
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
pub trait Operation: fmt::Debug + Any + Send + Sync {
    /// The function's name in PyTorch, such as `conv2d`.
    fn name(&self) -> &'static str;

    /// The shape of the output.
    ///
    /// # Errors
    /// What is wrong with the shapes of the inputs.
    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, String>;

    /// Computes the output with libtorch's operation, which autograd differentiates. `train` is the
    /// module's `training`.
    fn forward(&self, inputs: &[&Tensor], train: bool) -> Tensor;

    /// Writes the operation as TorchScript.
    fn torchscript(&self, lines: &mut ScriptLines);

    /// Writes the operation, in evaluation mode, as operators of ONNX.
    fn onnx(&self, nodes: &mut OnnxNodes);

    /// Multiply-adds per image as torchinfo counts them: each parameter of the operation once, and
    /// those of a convolution once per position of the output.
    fn multiply_adds(&self, parameters: u64, _output: &[i64]) -> u64 {
        parameters
    }
}

impl dyn Operation {
    /// The operation, if it is of this type.
    pub fn downcast_ref<T: Operation>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}
