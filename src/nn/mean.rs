//! `torch.mean` over dimensions.

#[cfg(feature = "libtorch")]
use tch::{Kind, Tensor};
use torchscript_forward::shapes;

use super::{OnnxNodes, Operation, ScriptLines, ShapeError};

/// `torch.mean(input, dims, keepdim)`.
#[derive(Debug)]
pub(crate) struct MeanOp {
    pub dims: Vec<i64>,
    pub keepdim: bool,
}

impl Operation for MeanOp {
    fn name(&self) -> &'static str {
        "mean"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        Ok(shapes::reduced(inputs[0], &self.dims, self.keepdim))
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        inputs[0].mean_dim(&self.dims[..], self.keepdim, None::<Kind>)
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let (dims, keepdim) = (&self.dims, ScriptLines::bool(self.keepdim));
        lines.assign(&format!("torch.mean({}, {dims:?}, {keepdim})", lines.input(0)));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        let axes = ("axes", self.dims.clone().into());
        let keepdims = ("keepdims", i64::from(self.keepdim).into());
        nodes.emit("ReduceMean", &nodes.inputs(), &[axes, keepdims]);
    }
}
