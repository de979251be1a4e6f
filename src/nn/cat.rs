//! `torch.cat`: values joined along a dimension.

#[cfg(feature = "libtorch")]
use tch::Tensor;
use torchscript_forward::shapes;

use super::{OnnxNodes, Operation, ScriptLines, ShapeError};

/// `torch.cat(inputs, dim)`.
#[derive(Debug)]
pub(crate) struct CatOp {
    pub dim: usize,
}

impl Operation for CatOp {
    fn name(&self) -> &'static str {
        "cat"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        Ok(shapes::joined(inputs, self.dim)?)
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        Tensor::cat(inputs, self.dim as i64)
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        lines.assign(&format!("torch.cat([{}], {})", lines.inputs().join(", "), self.dim));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        nodes.emit("Concat", &nodes.inputs(), &[("axis", (self.dim as i64).into())]);
    }
}
