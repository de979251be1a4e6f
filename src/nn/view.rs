//! `torch.Tensor.view`.

#[cfg(feature = "libtorch")]
use tch::Tensor;

use super::{OnnxNodes, Operation, ScriptLines, ShapeError, Value};

impl Value {
    /// `x.view(shape)`. The first size must be -1, the batch; the others must be positive.
    ///
    /// ```
    /// # use stitch::nn::Graph;
    /// let graph = Graph::trace_function(&[16, 5, 5], |x| x.view(&[-1, 16 * 5 * 5]))?;
    /// assert_eq!(graph.output(), [400]);
    /// # Ok::<(), stitch::nn::TraceError>(())
    /// ```
    pub fn view(self, shape: &[i64]) -> Value {
        self.apply(ViewOp { shape: shape.to_vec() }, &[])
    }
}

/// `input.view(shape)`.
#[derive(Debug)]
pub(crate) struct ViewOp {
    pub shape: Vec<i64>,
}

impl Operation for ViewOp {
    fn name(&self) -> &'static str {
        "view"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        let (input, view) = (inputs[0], &self.shape);
        let elements: i64 = input.iter().skip(1).product();
        let is_valid = input.first() == Some(&-1)
            && view.first() == Some(&-1)
            && view[1..].iter().all(|&size| size > 0)
            && view[1..].iter().try_fold(1i64, |all, &size| all.checked_mul(size))
                == Some(elements);
        match is_valid {
            true => Ok(view.clone()),
            // Any other view would mix the elements of several images.
            false => Err(ShapeError::Input {
                input: input.to_vec(),
                problem: format!(
                    "it cannot be viewed as {view:?}: -1 and then sizes with a product of {elements} are expected"
                ),
            }),
        }
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        inputs[0].view(&self.shape[..])
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        lines.assign(&format!("torch.view({}, {:?})", lines.input(0), self.shape));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        nodes.emit_reshape();
    }
}
