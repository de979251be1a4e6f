//! `torch.layer_norm` and `torch.group_norm`.

#[cfg(feature = "libtorch")]
use tch::Tensor;

use super::{OnnxNodes, Operation, ScriptLines, ShapeError};

/// The elements that are normalized together.
#[derive(Debug)]
pub(crate) enum Together {
    /// The last dimensions, which have these sizes.
    Last(Vec<i64>),
    /// The channels of a group; there are so many groups.
    Groups(i64),
}

/// Layer normalization or group normalization. Inputs: x; weight, if there is one; bias, if there is one.
#[derive(Debug)]
pub(crate) struct NormOp {
    pub together: Together,
    pub eps: f64,
}

impl Operation for NormOp {
    fn name(&self) -> &'static str {
        match self.together {
            Together::Last(_) => "layer_norm",
            Together::Groups(_) => "group_norm",
        }
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        let input = inputs[0];
        let (fits, expected) = match &self.together {
            Together::Last(sizes) => (
                input.len() > sizes.len() && input.ends_with(sizes) && !sizes.is_empty(),
                format!("normalized_shape is {sizes:?}"),
            ),
            Together::Groups(groups) => (
                input.len() > 1 && *groups > 0 && input[1] % groups == 0,
                format!("num_groups is {groups}"),
            ),
        };
        let parameter = match &self.together {
            Together::Last(sizes) => sizes,
            Together::Groups(_) => input.get(1..2).unwrap_or_default(),
        };
        if !fits || inputs[1..].iter().any(|it| *it != parameter) {
            return Err(ShapeError::Input { input: input.to_vec(), problem: expected });
        }
        Ok(input.to_vec())
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        let [weight, bias] = [1, 2].map(|index| inputs.get(index).copied());
        // The last argument is torch.backends.cudnn.enabled.
        match &self.together {
            Together::Last(sizes) => inputs[0].layer_norm(&sizes[..], weight, bias, self.eps, true),
            Together::Groups(groups) => inputs[0].group_norm(*groups, weight, bias, self.eps, true),
        }
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let together = match &self.together {
            Together::Last(sizes) => format!("{sizes:?}"),
            Together::Groups(groups) => groups.to_string(),
        };
        let [weight, bias] = [1, 2].map(|index| lines.optional_input(index));
        let (name, input, eps) = (self.name(), lines.input(0), self.eps);
        lines.assign(&format!("torch.{name}({input}, {together}, {weight}, {bias}, {eps:?})"));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        let epsilon = ("epsilon", self.eps.into());
        let mut inputs = nodes.inputs();
        let groups = match &self.together {
            Together::Last(sizes) => {
                if inputs.len() == 1 {
                    inputs.push(nodes.constant(sizes, 1.0));
                }
                let axis = ("axis", (-(sizes.len() as i64)).into());
                return nodes.emit("LayerNormalization", &inputs, &[axis, epsilon]);
            }
            Together::Groups(groups) => *groups,
        };
        // Opset 17 normalizes single channels only: each group becomes one.
        let shape = nodes.output_shape().to_vec();
        let channels = [&shape[1..2], &vec![1; shape.len() - 2]].concat();
        let mut operands = vec![reshaped(nodes, &inputs[0], &[0, groups, -1])];
        operands.extend([1.0, 0.0].map(|value| nodes.constant(&[groups], value)));
        let normalized = nodes.emit_intermediate("InstanceNormalization", &operands, &[epsilon]);
        let parameters: Vec<String> =
            inputs[1..].iter().map(|parameter| reshaped(nodes, parameter, &channels)).collect();
        let mut output = reshaped(nodes, &normalized, &shape);
        for (operator, parameter) in ["Mul", "Add"].into_iter().zip(parameters) {
            output = nodes.emit_intermediate(operator, &[output, parameter], &[]);
        }
        nodes.pass(output);
    }
}

fn reshaped(nodes: &mut OnnxNodes, value: &str, shape: &[i64]) -> String {
    let sizes = nodes.sizes(shape);
    nodes.emit_intermediate("Reshape", &[value.into(), sizes], &[])
}
