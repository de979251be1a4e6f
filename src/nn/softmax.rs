//! `torch.softmax` and `torch.log_softmax`.

#[cfg(feature = "libtorch")]
use tch::Tensor;

use super::{OnnxNodes, Operation, ScriptLines, ShapeError};

/// `torch.softmax(input, dim)`, or its logarithm.
#[derive(Debug)]
pub(crate) struct SoftmaxOp {
    pub dim: i64,
    pub log: bool,
}

impl Operation for SoftmaxOp {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        Ok(inputs[0].to_vec())
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        match self.log {
            true => inputs[0].log_softmax(self.dim, None),
            false => inputs[0].softmax(self.dim, None),
        }
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        lines.assign(&format!("torch.{}({}, {})", self.name(), lines.input(0), self.dim));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        let operator = if self.log { "LogSoftmax" } else { "Softmax" };
        nodes.emit(operator, &nodes.inputs(), &[("axis", self.dim.into())]);
    }
}
