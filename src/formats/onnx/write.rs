//! Writes ONNX files. The messages follow `onnx.proto`.

use prost::Message;
use tensor_files::{Dtype, NamedTensor};

use super::{Attribute, Graph, INPUT, Node, OUTPUT, Value, proto};

/// IR version 8 (`IR_VERSION_2021_7_30`). It belongs to operator set 17 (ONNX 1.12 of 2022); all later readers support
/// both.
const IR_VERSION: i64 = 8;
/// Version of the operator set.
const OPSET: i64 = 17;
/// Name of the first dimension of input and output, which may have any size.
const BATCH: &str = "N";

/// Writes the file of a graph with this name and these parameters. The same input gives the same bytes.
pub fn write(name: &str, graph: &Graph, parameters: &[NamedTensor]) -> Vec<u8> {
    // Evaluation does not read buffers such as num_batches_tracked.
    let read =
        |tensor: &&NamedTensor| graph.nodes.iter().any(|node| node.inputs.contains(&tensor.name));
    let graph = proto::Graph {
        name: Some(name.into()),
        node: graph.nodes.iter().map(node).collect(),
        initializer: parameters.iter().filter(read).chain(&graph.constants).map(tensor).collect(),
        input: vec![batch(INPUT, graph.dtype, &graph.input)],
        output: vec![batch(OUTPUT, graph.dtype, &graph.output)],
    };
    let operators = proto::OperatorSetId { domain: Some(String::new()), version: Some(OPSET) };
    let model = proto::Model {
        ir_version: Some(IR_VERSION),
        producer_name: Some(env!("CARGO_PKG_NAME").into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        graph: Some(graph),
        opset_import: vec![operators],
    };
    model.encode_to_vec()
}

fn node(node: &Node) -> proto::Node {
    proto::Node {
        input: node.inputs.clone(),
        output: vec![node.output.clone()],
        // Each node has one output, so the name of the output is unique among nodes, too.
        name: Some(node.output.clone()),
        op_type: Some(node.operator.into()),
        attribute: node.attributes.iter().map(attribute).collect(),
    }
}

fn attribute((name, value): &Attribute) -> proto::Attribute {
    let (mut i, mut f, mut ints) = (None, None, Vec::new());
    let r#type = match value {
        Value::Int(value) => {
            i = Some(*value);
            proto::INT
        }
        Value::Ints(values) => {
            ints.clone_from(values);
            proto::INTS
        }
        Value::Float(value) => {
            f = Some(*value);
            proto::FLOAT
        }
    };
    proto::Attribute { name: Some((*name).into()), f, i, ints, r#type: Some(r#type) }
}

fn tensor(tensor: &NamedTensor) -> proto::Tensor {
    proto::Tensor {
        dims: tensor.shape.iter().map(|&size| size as i64).collect(),
        data_type: Some(data_type(tensor.dtype)),
        name: Some(tensor.name.clone()),
        raw_data: Some(tensor.data.clone()),
    }
}

/// An input or output: `(N, sizes…)`.
fn batch(name: &str, dtype: Dtype, sizes: &[i64]) -> proto::ValueInfo {
    let any = proto::Size::Param(BATCH.into());
    let sizes = sizes.iter().map(|&size| proto::Size::Value(size));
    let dim = std::iter::once(any).chain(sizes);
    let dim = dim.map(|value| proto::Dimension { value: Some(value) }).collect();
    let shape = Some(proto::Shape { dim });
    let tensor_type = Some(proto::TensorType { elem_type: Some(data_type(dtype)), shape });
    proto::ValueInfo { name: Some(name.into()), r#type: Some(proto::Type { tensor_type }) }
}

/// The value of `TensorProto.DataType`.
fn data_type(dtype: Dtype) -> i32 {
    match dtype {
        Dtype::F32 => 1,
        Dtype::U8 => 2,
        Dtype::I8 => 3,
        Dtype::I16 => 5,
        Dtype::I32 => 6,
        Dtype::I64 => 7,
        Dtype::Bool => 9,
        Dtype::F16 => 10,
        Dtype::F64 => 11,
        Dtype::BF16 => 16,
        Dtype::U16 => 4,
        Dtype::U32 => 12,
        Dtype::U64 => 13,
        Dtype::C64 => 14,
        Dtype::C128 => 15,
        Dtype::F8_E4M3FN => 17,
        Dtype::F8_E4M3FNUZ => 18,
        Dtype::F8_E5M2 => 19,
        Dtype::F8_E5M2FNUZ => 20,
        Dtype::F8_E8M0FNU => 24,
        // ONNX does not have this type: 0 is UNDEFINED, which readers reject.
        Dtype::C32 => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaled() -> Graph {
        let node = |operator, inputs: &[&str], output: &str| Node {
            operator,
            inputs: inputs.iter().map(|&name| name.into()).collect(),
            output: output.into(),
            attributes: Vec::new(),
        };
        let nodes = vec![node("Mul", &["x", "scale"], "x1"), node("Relu", &["x1"], "logits")];
        let (input, output, constants) = (vec![3], vec![3], Vec::new());
        Graph { dtype: Dtype::F64, input, output, nodes, constants }
    }

    fn scale() -> NamedTensor {
        let data = (0..24).collect();
        NamedTensor { name: "scale".into(), dtype: Dtype::F64, shape: vec![3], data }
    }

    #[test]
    fn writing_twice_gives_identical_bytes() {
        assert_eq!(write("G", &scaled(), &[scale()]), write("G", &scaled(), &[scale()]));
    }

    #[test]
    fn the_file_has_the_elements_of_parameters_but_no_unread_tensors() {
        let unread = NamedTensor { name: "num_batches_tracked".into(), ..scale() };
        let file = write("G", &scaled(), &[scale(), unread]);
        assert!(file.windows(24).any(|window| window == scale().data));
        assert!(!file.windows(19).any(|window| window == b"num_batches_tracked"));
    }

    #[test]
    fn each_number_of_a_list_is_a_field_as_in_proto2() {
        let pads = attribute(&("pads", Value::Ints(vec![0, 2]))).encode_to_vec();
        // Field 1 (length 4), field 8 twice, field 20.
        assert_eq!(pads, b"\x0a\x04pads\x40\x00\x40\x02\xa0\x01\x07");
    }
}
