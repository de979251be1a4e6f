//! The messages of `onnx.proto` (ONNX 1.23.2) that [`write`](super::write()) uses, with the fields that it sets.
//!
//! IR version 8 has all of them. `onnx.proto` is proto2, so lists of numbers are not packed, and each field that is
//! set is encoded even if it is zero or empty.

use prost::{Message, Oneof};

/// `ModelProto`: the file.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// Version of these messages, of enum `Version`.
    #[prost(int64, optional, tag = "1")]
    pub ir_version: Option<i64>,
    /// The program that wrote the file.
    #[prost(string, optional, tag = "2")]
    pub producer_name: Option<String>,
    /// Version of that program.
    #[prost(string, optional, tag = "3")]
    pub producer_version: Option<String>,
    /// Nodes, parameters, inputs and outputs.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// The operator sets to which `op_type` refers.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetId>,
}

/// `OperatorSetIdProto`: a version of a set of operators.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetId {
    /// Name of the set; empty for ONNX's own.
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    /// Version of the set.
    #[prost(int64, optional, tag = "2")]
    pub version: Option<i64>,
}

/// `GraphProto`: inputs, parameters, operators and outputs.
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    /// The operators in topological order.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    /// Name of the graph.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    /// Parameters and buffers, by the names that `input` of the nodes uses.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    /// Inputs that the caller passes; parameters are not among them.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    /// Results that the caller gets, by the names that nodes give them.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
}

/// `NodeProto`: one application of an operator.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// Names of the inputs.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of the outputs.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Name of the node in error messages.
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    /// Operator of the operator set, such as `Gemm`.
    #[prost(string, optional, tag = "4")]
    pub op_type: Option<String>,
    /// Attributes that differ from the operator's defaults.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
}

/// `AttributeProto`: an attribute of an operator.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// Name of the attribute.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// The value if the type is [`FLOAT`].
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    /// The value if the type is [`INT`].
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    /// The value if the type is [`INTS`].
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// The type, of enum `AttributeType`.
    #[prost(int32, optional, tag = "20")]
    pub r#type: Option<i32>,
}

/// `AttributeType`'s value for a number in float32.
pub const FLOAT: i32 = 1;
/// `AttributeType`'s value for an integer.
pub const INT: i32 = 2;
/// `AttributeType`'s value for a list of integers.
pub const INTS: i32 = 7;

/// `TensorProto`: a parameter.
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    /// Sizes of the dimensions.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// Element type, of enum `DataType`.
    #[prost(int32, optional, tag = "2")]
    pub data_type: Option<i32>,
    /// Name of the tensor.
    #[prost(string, optional, tag = "8")]
    pub name: Option<String>,
    /// Elements, row-major, little-endian.
    #[prost(bytes = "vec", optional, tag = "9")]
    pub raw_data: Option<Vec<u8>>,
}

/// `ValueInfoProto`: name and type of an input or output.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfo {
    /// Name of the value.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Element type and shape.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<Type>,
}

/// `TypeProto`; always a tensor in these files.
#[derive(Clone, PartialEq, Message)]
pub struct Type {
    /// Element type and shape.
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    /// Element type, of enum `TensorProto.DataType`.
    #[prost(int32, optional, tag = "1")]
    pub elem_type: Option<i32>,
    /// Sizes of the dimensions; `None` if the rank is unknown.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    /// From the outermost dimension to the innermost.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`.
#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    /// A size, or the name of a variable size.
    #[prost(oneof = "Size", tags = "1, 2")]
    pub value: Option<Size>,
}

/// The `oneof value` of `TensorShapeProto.Dimension`.
#[derive(Clone, PartialEq, Oneof)]
pub enum Size {
    /// `dim_value`: a fixed size.
    #[prost(int64, tag = "1")]
    Value(i64),
    /// `dim_param`: the name of a variable size; equal names are equal sizes.
    #[prost(string, tag = "2")]
    Param(String),
}
