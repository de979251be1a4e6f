//! Errors of [`Operation::shape`](super::Operation::shape).

use torchscript_forward::shapes;

/// Arguments of an operation that are out of their range or do not fit the shapes of its inputs.
///
/// ```
/// use stitch::nn::{Operation, ShapeError};
///
/// let error = ShapeError::Input { input: vec![-1, 3], problem: "a multiple of 2 is expected".into() };
/// assert_eq!(error.to_string(), "the input has the shape [-1, 3]; a multiple of 2 is expected");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A convolution, pooling or linear layer does not fit its input or weight.
    #[error(transparent)]
    Layer(#[from] shapes::ShapeError),
    /// An argument is out of its range.
    #[error("{name} is {found}; {expected} is expected")]
    Argument {
        /// Name of the argument in PyTorch.
        name: &'static str,
        /// The value that was passed, as text.
        found: String,
        /// The values that are allowed.
        expected: &'static str,
    },
    /// The operation does not support the shape of its first input.
    #[error("the input has the shape {input:?}; {problem}")]
    Input {
        /// Shape of the input; -1 is the batch size.
        input: Vec<i64>,
        /// The reason, such as the shape that is expected.
        problem: String,
    },
}
