//! The messages of `onnx.proto` (ONNX 1.23.2) that a model is made of, as far as
//! [`write`](super::write) fills them.
//!
//! All are in the format since IR version 8 and before. `onnx.proto` is proto2, so lists of numbers
//! are not packed, and each field that is set is on the wire even when it is zero or empty.

use prost::{Message, Oneof};

/// `ModelProto`: the file.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// Version of these messages, of enum `Version`.
    #[prost(int64, optional, tag = "1")]
    pub ir_version: Option<i64>,
    /// The program that wrote it.
    #[prost(string, optional, tag = "2")]
    pub producer_name: Option<String>,
    /// Its version.
    #[prost(string, optional, tag = "3")]
    pub producer_version: Option<String>,
    /// The computation.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// Which operators `op_type` means.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetId>,
}

/// `OperatorSetIdProto`: a version of a set of operators.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetId {
    /// The set; empty for ONNX's own.
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    /// Its version.
    #[prost(int64, optional, tag = "2")]
    pub version: Option<i64>,
}

/// `GraphProto`: inputs, parameters, and what is computed from them.
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    /// In an order in which they can be computed.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    /// Name of the graph.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    /// The parameters.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    /// What is to be given.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    /// What comes out.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
}

/// `NodeProto`: an operator applied.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// Names of values.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of values.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// What messages call it.
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    /// The operator.
    #[prost(string, optional, tag = "4")]
    pub op_type: Option<String>,
    /// Its settings; those left out have the operator's defaults.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
}

/// `AttributeProto`: a setting of an operator.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// The setting.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// The value of the type [`FLOAT`].
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    /// The value of the type [`INT`].
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    /// The value of the type [`INTS`].
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// Which of the three it is, of enum `AttributeType`.
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
    /// Name of the value.
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
    /// Its type.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<Type>,
}

/// `TypeProto`, which here is always a tensor.
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
    /// The shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    /// The dimensions.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`.
#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    /// Its size, or a name for any size.
    #[prost(oneof = "Size", tags = "1, 2")]
    pub value: Option<Size>,
}

/// The `oneof value` of `TensorShapeProto.Dimension`.
#[derive(Clone, PartialEq, Oneof)]
pub enum Size {
    /// `dim_value`: this size.
    #[prost(int64, tag = "1")]
    Value(i64),
    /// `dim_param`: any size, the same wherever the name stands.
    #[prost(string, tag = "2")]
    Param(String),
}
