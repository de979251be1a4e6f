//! The two classifiers of the notebook, and what they have in common.
//!
//! A model knows its parameters, how bytes become its input, and its forward pass. It knows no
//! files, no data set folder and no optimizer.

mod flat;
pub mod init;
mod lenet5;
mod mlp;
pub mod shipped;
pub mod weights;

use std::fmt;

pub use flat::Flat;
pub use lenet5::{Activations, Lenet5};
pub use mlp::Mlp;
use tch::{Device, Kind, Tensor};

use crate::formats::onnx::{Attribute, Graph, Value};

/// The kinds of model; what the command line calls `mlp` and `lenet5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// One hidden layer of 64, float64: scikit-learn's `MLPClassifier`.
    Mlp,
    /// LeNet-5, float32: the notebook's PyTorch class.
    Lenet5,
}

/// What makes ONNX's `Gemm` torch's `linear`: weights are (out, in).
const LINEAR: [Attribute; 1] = [("transB", Value::Int(1))];

/// Name and shape of a parameter; the name is its key in a state_dict.
pub type ParameterSpec = (&'static str, &'static [i64]);

impl Architecture {
    /// Both, in the order in which the notebook trains them.
    pub const ALL: [Architecture; 2] = [Architecture::Mlp, Architecture::Lenet5];

    /// The name on the command line and in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Mlp => "mlp",
            Architecture::Lenet5 => "lenet5",
        }
    }

    /// The model of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    /// The parameters in definition order: the order of `named_parameters()` in Python.
    pub fn parameters(self) -> &'static [ParameterSpec] {
        match self {
            Architecture::Mlp => &mlp::PARAMETERS,
            Architecture::Lenet5 => &lenet5::PARAMETERS,
        }
    }

    /// Element type of the parameters, the input and the logits.
    pub fn kind(self) -> Kind {
        match self {
            Architecture::Mlp => Kind::Double,
            Architecture::Lenet5 => Kind::Float,
        }
    }

    /// The class's name in the notebook, or, for the MLP, of what it would be in PyTorch.
    pub fn class(self) -> &'static str {
        match self {
            Architecture::Mlp => "MLP",
            Architecture::Lenet5 => "LeNet5",
        }
    }

    /// The forward pass as TorchScript: the body of `forward(self, x: Tensor) -> Tensor`.
    pub fn torchscript(self) -> &'static str {
        match self {
            Architecture::Mlp => mlp::TORCHSCRIPT,
            Architecture::Lenet5 => lenet5::TORCHSCRIPT,
        }
    }

    /// The forward pass as operators of ONNX.
    pub fn onnx(self) -> &'static Graph {
        match self {
            Architecture::Mlp => &mlp::ONNX,
            Architecture::Lenet5 => &lenet5::ONNX,
        }
    }

    /// An empty model of this kind: all parameters zero.
    pub fn build(self, device: Device) -> Box<dyn Model> {
        match self {
            Architecture::Mlp => Box::new(Mlp::zeros(device)),
            Architecture::Lenet5 => Box::new(Lenet5::zeros(device)),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A classifier of 28x28 grey images into ten classes.
pub trait Model {
    /// Which of the two it is.
    fn architecture(&self) -> Architecture;

    /// The parameters in the order of [`Architecture::parameters`]; shallow copies that share
    /// their memory with the model.
    fn parameters(&self) -> Vec<Tensor>;

    /// The normalised input for `pixels` (N x 784 bytes): each byte divided by 255 in float64,
    /// then cast to [`Architecture::kind`], in the shape that [`Model::forward`] takes.
    fn input(&self, pixels: &[u8]) -> Tensor;

    /// Logits (N, 10) of an input made by [`Model::input`].
    fn forward(&self, xs: &Tensor) -> Tensor;
}

/// Overwrites the parameters of `model` by `values`, in definition order.
///
/// # Errors
/// When there are more or fewer values than parameters, or a shape differs.
pub fn assign(model: &dyn Model, values: &[Tensor]) -> Result<(), AssignError> {
    let specs = model.architecture().parameters();
    if specs.len() != values.len() {
        return Err(AssignError::Number { wanted: specs.len(), found: values.len() });
    }
    for (&(name, shape), value) in specs.iter().zip(values) {
        if value.size() != shape {
            return Err(AssignError::Shape { name, wanted: shape, found: value.size() });
        }
    }
    tch::no_grad(|| {
        for (mut parameter, value) in model.parameters().into_iter().zip(values) {
            parameter.copy_(value);
        }
    });
    Ok(())
}

/// Values that do not fit a model.
#[derive(Debug, thiserror::Error)]
pub enum AssignError {
    /// More or fewer tensors than parameters.
    #[error("{found} tensors for a model of {wanted} parameters")]
    Number {
        /// Parameters of the model.
        wanted: usize,
        /// Tensors given.
        found: usize,
    },
    /// A tensor of another shape.
    #[error("{name} has the shape {found:?}, not {wanted:?}")]
    Shape {
        /// The parameter.
        name: &'static str,
        /// Its shape.
        wanted: &'static [i64],
        /// The tensor's.
        found: Vec<i64>,
    },
}
