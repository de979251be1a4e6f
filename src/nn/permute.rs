//! `torch.permute`: the dimensions of each image in another order.

#[cfg(feature = "libtorch")]
use tch::Tensor;

use super::{OnnxNodes, Operation, ScriptLines, ShapeError};

/// `torch.permute(input, dims)`; `dims` has each dimension once.
#[derive(Debug)]
pub(crate) struct PermuteOp {
    pub dims: Vec<i64>,
}

impl Operation for PermuteOp {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        let sizes = self.dims.iter().map(|&dim| inputs[0].get(dim as usize).copied());
        sizes.collect::<Option<_>>().ok_or_else(|| ShapeError::Input {
            input: inputs[0].to_vec(),
            problem: format!("dims is {:?}", self.dims),
        })
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        // A view of it may follow.
        inputs[0].permute(&self.dims[..]).contiguous()
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        lines.assign(&format!("torch.permute({}, {:?})", lines.input(0), self.dims));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        nodes.emit("Transpose", &nodes.inputs(), &[("perm", self.dims.clone().into())]);
    }
}
