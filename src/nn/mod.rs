//! `torch.nn` of PyTorch 2.13: layers with PyTorch's names, arguments, defaults and initial values, and
//! networks that consist of them.
//!
//! A network implements [`Module`]: its layers are fields, and `forward` has the same lines as the Python
//! class. `forward` is traced once, as by `torch.fx.symbolic_trace`, into a [`Graph`] of operations. Everything else is derived from that graph: the computation on tensors
//! ([`Model::forward`]), TorchScript, ONNX, the summary, the names of the parameters and buffers, the
//! plan of an engine, and the reference for the forward pass of a TorchScript file
//! ([`Graph::compare_forward`]).
//!
//! The [crate's example](crate) defines such a network and trains it.

mod arithmetic;
mod avg_pool2d;
mod batch_norm2d;
mod cat;
mod conv2d;
#[cfg(feature = "libtorch")]
mod cross_entropy;
mod dropout;
mod dropout2d;
mod elementwise;
#[cfg(feature = "libtorch")]
mod flat_parameters;
mod flatten;
mod graph;
mod init;
mod linear;
mod max_pool2d;
mod mean;
#[cfg(feature = "libtorch")]
mod model;
mod norm;
mod onnx;
mod operation;
mod pair;
mod permute;
mod relu;
mod script;
#[cfg(feature = "libtorch")]
mod script_graph;
#[cfg(feature = "libtorch")]
mod script_network;
mod sequential;
mod shape_error;
mod softmax;
#[cfg(feature = "libtorch")]
mod state_dict;
mod summary;
mod tanh;
mod torchscript;
mod trace;
mod view;
mod window;

#[cfg(feature = "libtorch")]
pub use crate::libtorch::{bytes_of, dtype_of};
#[cfg(feature = "libtorch")]
pub(crate) use avg_pool2d::AvgPool2dOp;
pub use avg_pool2d::{AvgPool2d, AvgPool2dConfig, avg_pool2d};
#[cfg(feature = "libtorch")]
pub(crate) use batch_norm2d::BatchNormOp;
pub use batch_norm2d::{BatchNorm2d, BatchNorm2dConfig};
#[cfg(feature = "libtorch")]
pub(crate) use conv2d::Conv2dOp;
pub use conv2d::{Conv2d, Conv2dConfig};
#[cfg(feature = "libtorch")]
pub use cross_entropy::{cross_entropy, smoothed_cross_entropy};
#[cfg(feature = "libtorch")]
pub(crate) use dropout::DropoutOp;
pub use dropout::{Dropout, dropout};
pub use dropout2d::{Dropout2d, dropout2d};
#[cfg(feature = "libtorch")]
pub use flat_parameters::FlatParameters;
#[cfg(feature = "libtorch")]
pub(crate) use flatten::FlattenOp;
pub use flatten::{Flatten, flatten};
pub use graph::{
    BufferKind, BufferSpec, Graph, LayerSpec, Node, Operand, ParameterSpec, StateSpec,
};
pub use init::Init;
#[cfg(feature = "libtorch")]
pub(crate) use linear::LinearOp;
pub use linear::{Linear, LinearConfig};
#[cfg(feature = "libtorch")]
pub(crate) use max_pool2d::MaxPool2dOp;
pub use max_pool2d::{MaxPool2d, MaxPool2dConfig, max_pool2d};
#[cfg(feature = "libtorch")]
pub use model::Model;
pub use onnx::OnnxNodes;
pub use operation::Operation;
pub use pair::IntoPair;
#[cfg(feature = "libtorch")]
pub(crate) use relu::ReluOp;
pub use relu::{ReLU, relu};
#[cfg(feature = "libtorch")]
pub use script_graph::ConvertError;
#[cfg(feature = "libtorch")]
pub use script_network::{ForwardFailed, ScriptError, catch_forward};
pub use sequential::Sequential;
pub use shape_error::ShapeError;
#[cfg(feature = "libtorch")]
pub(crate) use state_dict::to_named;
#[cfg(feature = "libtorch")]
pub use state_dict::{StateDictError, to_tensor};
pub use summary::{LayerSummary, Summary};
pub use tanh::{Tanh, tanh};
pub use torchscript::ScriptLines;
pub use torchscript_forward::{ForwardError, ScriptModule};
pub use trace::{Layer, Module, Scope, TraceError, Value};
#[cfg(feature = "libtorch")]
pub(crate) use view::ViewOp;
