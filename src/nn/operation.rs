//! The trait of an operation in a network's graph: a function of `torch.nn.functional`.

use std::any::Any;
use std::fmt;

#[cfg(feature = "libtorch")]
use tch::Tensor;

use super::{OnnxNodes, ScriptLines, ShapeError};

/// A function of `torch.nn.functional`, with its arguments other than tensors.
///
/// An implementation defines everything about an operation: its computation, the shape of its output, and its
/// form in TorchScript and ONNX. In shapes, -1 is the batch size.
///
/// A custom operation, and a layer without parameters that applies it:
///
/// ```
/// use stitch::nn::{
///     Graph, Layer, Module, OnnxNodes, Operation, Scope, ScriptLines, ShapeError, Value,
/// };
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
///     fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
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
/// let graph = Graph::trace(&[8], |vs: &Scope| Sigmoid(Layer::new(vs / "act", "Sigmoid")))?;
/// assert_eq!(graph.nodes()[0].operation.name(), "sigmoid");
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
pub trait Operation: fmt::Debug + Any + Send + Sync {
    /// The function's name in PyTorch, such as `conv2d`.
    fn name(&self) -> &'static str;

    /// The shape of the output.
    ///
    /// # Errors
    /// [`ShapeError`] if the operation does not support the shapes of its inputs, or an argument is out of its
    /// range.
    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError>;

    /// Computes the output with libtorch, under autograd. `train` is the module's `training` flag.
    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], train: bool) -> Tensor;

    /// Writes the operation as TorchScript.
    fn torchscript(&self, lines: &mut ScriptLines);

    /// Writes the operation in evaluation mode as ONNX operators.
    fn onnx(&self, nodes: &mut OnnxNodes);

    /// Multiply-adds per image as torchinfo counts them: one per parameter; for a convolution, one per parameter
    /// and position of the output.
    fn multiply_adds(&self, parameters: u64, _output: &[i64]) -> u64 {
        parameters
    }
}

impl dyn Operation {
    /// The operation as type `T`; `None` if it has another type.
    pub fn downcast_ref<T: Operation>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}
