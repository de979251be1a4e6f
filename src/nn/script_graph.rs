//! The network of a TorchScript file as a graph of its operations, in evaluation mode. Nothing of the file is executed.

use std::sync::Arc;

use tch::{Device, Kind};
use tensor_files::{Dtype, NamedTensor, TensorSpec};
use torchscript_forward::{
    Argument, ForwardError, NotFollowed, Operation as Followed, ScriptModule,
};

use super::arithmetic::{Arithmetic, ArithmeticOp};
use super::cat::CatOp;
use super::elementwise::ElementwiseOp;
use super::graph::{Node, StateEntry};
use super::mean::MeanOp;
use super::norm::{NormOp, Together};
use super::permute::PermuteOp;
use super::softmax::SoftmaxOp;
use super::tanh::TanhOp;
use super::{
    AvgPool2dConfig, AvgPool2dOp, BatchNorm2dConfig, BatchNormOp, Conv2dConfig, Conv2dOp, Graph,
    Init, LinearOp, MaxPool2dConfig, MaxPool2dOp, Model, Operand, Operation, ParameterSpec, ReluOp,
    ShapeError, ViewOp,
};
use crate::formats::onnx::{INPUT, OUTPUT};

/// A TorchScript file whose forward pass cannot be converted to a graph of operations.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// An operation, or its arguments, are not supported: the name, and ` with these arguments` in the latter case.
    #[error("torch.{0}{1} has no ONNX form here; supported are {names}", names = supported())]
    Operation(String, &'static str),
    /// An operation does not fit the shape of its input.
    #[error(
        "its operation {position}, torch.{name}, does not suit images of the shape {image:?}: {error}"
    )]
    Shape {
        /// Position of the operation in the forward pass, from 1.
        position: usize,
        /// Its name.
        name: String,
        /// Shape of an image: channels, height, width.
        image: Vec<i64>,
        /// What does not fit.
        error: ShapeError,
    },
    /// An operation reads a tensor with another type than the network.
    #[error("torch.{0} reads {1}, which is not of the type of the parameters, {2}")]
    State(String, String, Dtype),
    /// A tensor has a name that values of the ONNX graph have.
    #[error("its {0} has a name that the ONNX graph uses for a value of its own: rename it")]
    Name(String),
    /// There is no float32 or float64 tensor.
    #[error(
        "it has no parameters of the type float32 or float64 (torch.jit.freeze turns parameters into constants)"
    )]
    NoParameters,
    /// The result does not have a row per image.
    #[error("it does not return a tensor with a row per image")]
    Result,
    /// The forward pass cannot be followed, or differs from its converted form.
    #[error("its forward pass cannot be followed: {0}")]
    Forward(#[from] ForwardError),
}

/// What computes an operation with these arguments; `None` if the arguments are not supported.
type Form = fn(&Followed) -> Option<Arc<dyn Operation>>;

/// The operations, by their names in the canonical form of [`ScriptModule::follow`].
const FORMS: [(&str, Form); 28] = [
    ("add", |it| arithmetic(Arithmetic::Add, it)),
    ("avg_pool2d", avg_pool2d),
    ("batch_norm", batch_norm),
    ("cat", |it| some(CatOp { dim: usize::try_from(it.int("dim")?).ok()? })),
    ("conv2d", conv2d),
    ("div", |it| arithmetic(Arithmetic::Div, it)),
    ("elu", elu),
    ("gelu", |_| some(ElementwiseOp::Gelu)),
    ("group_norm", |it| norm(Together::Groups(it.int("num_groups")?), it)),
    ("hardsigmoid", |_| some(ElementwiseOp::Hardsigmoid)),
    ("hardswish", |_| some(ElementwiseOp::Hardswish)),
    ("hardtanh", |it| some(ElementwiseOp::Hardtanh([it.float("min_val")?, it.float("max_val")?]))),
    ("layer_norm", |it| norm(Together::Last(it.ints("normalized_shape")?), it)),
    ("leaky_relu", |it| some(ElementwiseOp::LeakyRelu(it.float("negative_slope")?))),
    ("linear", |_| some(LinearOp)),
    ("log_softmax", |it| some(SoftmaxOp { dim: it.int("dim")?, log: true })),
    ("max_pool2d", max_pool2d),
    ("mean", |it| some(MeanOp { dims: it.ints("dim")?, keepdim: it.bool("keepdim")? })),
    ("mul", |it| arithmetic(Arithmetic::Mul, it)),
    ("neg", |_| some(ElementwiseOp::Neg)),
    ("permute", |it| some(PermuteOp { dims: it.ints("dims")? })),
    ("relu", |_| some(ReluOp)),
    ("reshape", |it| some(ViewOp { shape: it.ints("shape")? })),
    ("sigmoid", |_| some(ElementwiseOp::Sigmoid)),
    ("silu", |_| some(ElementwiseOp::Silu)),
    ("softmax", |it| some(SoftmaxOp { dim: it.int("dim")?, log: false })),
    ("sub", |it| arithmetic(Arithmetic::Sub, it)),
    ("tanh", |_| some(TanhOp)),
];

/// The names of the supported operations.
fn supported() -> String {
    FORMS.map(|(name, _)| name).join(", ")
}

impl Model {
    /// The network of a TorchScript file for images of this shape (channels, height, width), as operations in evaluation mode,
    /// with the file's `tensors`. It is made to be exported; training mode is not that of the file.
    ///
    /// # Errors
    /// [`ConvertError`], which names the first operation that is not supported.
    pub fn converted(
        module: &ScriptModule,
        tensors: &[NamedTensor],
        image: &[i64],
    ) -> Result<Self, ConvertError> {
        let is_kind = |it: &&NamedTensor| matches!(it.dtype, Dtype::F32 | Dtype::F64);
        let dtype = tensors.iter().find(is_kind).ok_or(ConvertError::NoParameters)?.dtype;
        let of_kind = || tensors.iter().filter(|it| it.dtype == dtype);
        let mut graph = Graph::new(image);
        graph.parameters = of_kind().map(parameter).collect();
        graph.state = (0..graph.parameters.len()).map(StateEntry::Parameter).collect();
        let sizes: Vec<usize> = image.iter().map(|&size| size as usize).collect();
        let specs: Vec<TensorSpec> = tensors.iter().map(NamedTensor::spec).collect();
        let pass = module.follow(&sizes, dtype, &specs);
        let pass = pass.map_err(|NotFollowed { operations, error }| {
            // An operation that is not supported is the likely cause.
            match operations.iter().try_for_each(|it| graph.append(it, dtype)) {
                Err(unsupported) => unsupported,
                Ok(()) => error.into(),
            }
        })?;
        pass.operations.iter().try_for_each(|it| graph.append(it, dtype))?;
        let result = graph.operand(&pass.result).ok_or(ConvertError::Result)?;
        let graph = graph.with_output(result);
        if graph.shape_of(result).first() != Some(&-1) {
            return Err(ConvertError::Result);
        }
        let kind = if dtype == Dtype::F64 { Kind::Double } else { Kind::Float };
        // The file's code and the converted form are followed in the same way, and must be equal.
        graph.compare_forward(module, dtype)?;
        let model = Self::zeros(module.class_name(), Arc::new(graph), kind, Device::Cpu);
        let tensors: Vec<NamedTensor> = of_kind().cloned().collect();
        model.load_state_dict(&tensors).expect("the state of the same tensors");
        Ok(model)
    }
}

fn parameter(tensor: &NamedTensor) -> ParameterSpec {
    ParameterSpec {
        name: tensor.name.clone(),
        shape: tensor.shape.iter().map(|&size| size as i64).collect(),
        init: Init::Constant(0.0),
        requires_grad: false,
    }
}

impl Graph {
    /// Adds a node that computes an operation, whose parameters have the type `dtype`.
    fn append(&mut self, operation: &Followed, dtype: Dtype) -> Result<(), ConvertError> {
        let name = || operation.name.clone();
        let form = FORMS.iter().find(|(known, _)| *known == operation.name);
        let (_, form) = form.ok_or_else(|| ConvertError::Operation(name(), ""))?;
        let fits = dtype != Dtype::F32
            || operation.floats().all(|it| !it.is_finite() || (it as f32).is_finite());
        let converted = if operation.is_canonical && fits { form(operation) } else { None };
        let unsupported = || ConvertError::Operation(name(), " with these arguments");
        let converted = converted.ok_or_else(unsupported)?;
        let mut inputs = Vec::new();
        for tensor in operation.tensors() {
            inputs.push(match (self.operand(tensor), tensor) {
                (_, Argument::State(state)) if is_reserved(state) => {
                    return Err(ConvertError::Name(state.clone()));
                }
                (None, Argument::State(state)) => {
                    return Err(ConvertError::State(name(), state.clone(), dtype));
                }
                (operand, _) => operand.ok_or_else(unsupported)?,
            });
        }
        let shapes: Vec<&[i64]> = inputs.iter().map(|&input| self.shape_of(input)).collect();
        let shape = converted.shape(&shapes).map_err(|error| ConvertError::Shape {
            position: self.nodes.len() + 1,
            name: name(),
            image: self.input().to_vec(),
            error,
        })?;
        self.nodes.push(Node { operation: converted, inputs, layer: None, shape });
        Ok(())
    }

    fn operand(&self, argument: &Argument) -> Option<Operand> {
        match argument {
            Argument::Input => Some(Operand::Input),
            Argument::State(name) => {
                let position = self.parameters.iter().position(|spec| spec.name == *name);
                position.map(Operand::Parameter)
            }
            Argument::Operation(index) => Some(Operand::Node(*index)),
            _ => None,
        }
    }
}

/// Whether a tensor's name may be that of another value of the ONNX graph.
fn is_reserved(name: &str) -> bool {
    // `x`, `x1`, `x1_2`, `constant0`
    let is_number = |rest: &str| rest.chars().all(|it| it.is_ascii_digit() || it == '_');
    name == OUTPUT
        || [INPUT, "constant"].iter().any(|it| name.strip_prefix(it).is_some_and(is_number))
}

fn some(operation: impl Operation) -> Option<Arc<dyn Operation>> {
    Some(Arc::new(operation))
}

fn elu(operation: &Followed) -> Option<Arc<dyn Operation>> {
    let scales = ["alpha", "scale", "input_scale"].map(|name| operation.float(name));
    if scales == [Some(1.0); 3] { some(ElementwiseOp::Elu) } else { None }
}

fn arithmetic(function: Arithmetic, operation: &Followed) -> Option<Arc<dyn Operation>> {
    let number = match operation.argument("other")? {
        Argument::Float(number) => Some(*number),
        _ => None,
    };
    some(ArithmeticOp { function, number })
}

fn norm(together: Together, operation: &Followed) -> Option<Arc<dyn Operation>> {
    // A bias is the input after the weight.
    let fits = operation.has("weight") || !operation.has("bias");
    let eps = operation.float("eps")?;
    if fits { some(NormOp { together, eps }) } else { None }
}

fn batch_norm(operation: &Followed) -> Option<Arc<dyn Operation>> {
    let [weight, bias, mean, variance] =
        ["weight", "bias", "running_mean", "running_var"].map(|name| operation.has(name));
    if weight != bias || mean != variance || operation.bool("training")? {
        return None;
    }
    let eps = operation.float("eps")?;
    let config =
        BatchNorm2dConfig { eps, momentum: None, affine: weight, track_running_stats: mean };
    some(BatchNormOp { config, dimensions: 2..=4 })
}

fn conv2d(operation: &Followed) -> Option<Arc<dyn Operation>> {
    some(Conv2dOp(Conv2dConfig {
        stride: pair(operation, "stride")?,
        padding: pair(operation, "padding")?,
        dilation: pair(operation, "dilation")?,
        groups: operation.int("groups")?,
        bias: operation.has("bias"),
    }))
}

fn avg_pool2d(operation: &Followed) -> Option<Arc<dyn Operation>> {
    let config = AvgPool2dConfig {
        stride: Some(pair(operation, "stride")?),
        padding: pair(operation, "padding")?,
        ceil_mode: operation.bool("ceil_mode")?,
        count_include_pad: operation.bool("count_include_pad")?,
        divisor_override: operation.int("divisor_override"),
    };
    some(AvgPool2dOp { kernel_size: pair(operation, "kernel_size")?, config })
}

fn max_pool2d(operation: &Followed) -> Option<Arc<dyn Operation>> {
    let config = MaxPool2dConfig {
        stride: Some(pair(operation, "stride")?),
        padding: pair(operation, "padding")?,
        dilation: pair(operation, "dilation")?,
        ceil_mode: operation.bool("ceil_mode")?,
    };
    some(MaxPool2dOp { kernel_size: pair(operation, "kernel_size")?, config })
}

fn pair(operation: &Followed, name: &str) -> Option<[i64; 2]> {
    operation.ints(name)?.try_into().ok()
}
