//! Bits of tensors.

use std::fmt::Display;

use stitch::nn::{bytes_of, to_tensor};
use stitch::tensor_files::{Dtype, NamedTensor};
use tch::{Kind, Tensor};

/// A tensor as files hold it.
pub fn named(name: impl Into<String>, tensor: &Tensor) -> NamedTensor {
    let dtype = match tensor.kind() {
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        Kind::Int64 => Dtype::I64,
        Kind::Uint8 => Dtype::U8,
        kind => panic!("tensors of the type {kind:?} are not compared"),
    };
    let shape = tensor.size().iter().map(|&size| size as usize).collect();
    NamedTensor { name: name.into(), dtype, shape, data: bytes_of(tensor) }
}

/// What differs between two lists of tensors first: the names in their order, then the bits.
pub fn first_difference(expected: &[NamedTensor], actual: &[NamedTensor]) -> Option<String> {
    for (expected, actual) in expected.iter().zip(actual) {
        if expected.name != actual.name {
            return Some(format!("{:?} is expected, got {:?}", expected.name, actual.name));
        }
        if let Some(difference) = difference(expected, actual) {
            return Some(difference);
        }
    }
    let [expected, actual] = [expected, actual].map(<[_]>::len);
    (expected != actual).then(|| format!("{expected} tensors are expected, got {actual}"))
}

/// What differs in type, shape or bits.
fn difference(expected: &NamedTensor, actual: &NamedTensor) -> Option<String> {
    let name = &expected.name;
    if (expected.dtype, &expected.shape) != (actual.dtype, &actual.shape) {
        let [expected, actual] =
            [expected, actual].map(|it| format!("{} {:?}", it.dtype, it.shape));
        return Some(format!("{name}: {expected} is expected, got {actual}"));
    }
    let size = expected.dtype.size();
    let elements = || expected.data.chunks(size).zip(actual.data.chunks(size)).enumerate();
    let mut different = elements().filter(|(_, (expected, actual))| expected != actual);
    let (index, (e, a)) = different.next()?;
    Some(format!(
        "{name}: {} of {} elements differ; the first, at {:?}: expected {}, got {}, {} ULPs",
        1 + different.count(),
        expected.data.len() / size,
        position(index, &expected.shape),
        element(expected.dtype, e),
        element(expected.dtype, a),
        ordinal(e).abs_diff(ordinal(a))
    ))
}

/// The indices of an element, one per dimension.
fn position(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut position: Vec<usize> = Vec::new();
    for size in shape.iter().rev() {
        position.insert(0, index % size);
        index /= size;
    }
    position
}

/// An element in decimal and as bits.
fn element(dtype: Dtype, bytes: &[u8]) -> String {
    fn shown(value: impl Display, bits: u64, digits: usize) -> String {
        format!("{value} ({bits:#0width$x})", width = digits + 2)
    }
    let bits = bits(bytes);
    match dtype {
        Dtype::F32 => shown(format_args!("{:e}", f32::from_bits(bits as u32)), bits, 8),
        Dtype::F64 => shown(format_args!("{:e}", f64::from_bits(bits)), bits, 16),
        Dtype::I64 => shown(bits as i64, bits, 16),
        _ => shown(bits, bits, 2 * bytes.len()),
    }
}

fn bits(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |bits, &byte| bits << 8 | u64::from(byte))
}

/// The place of a floating-point number among all of its type.
fn ordinal(bytes: &[u8]) -> i64 {
    let sign = 1 << (8 * bytes.len() - 1);
    let size = (bits(bytes) & (sign - 1)) as i64;
    if bits(bytes) & sign == 0 { size } else { -size }
}

/// The greatest absolute difference of floating-point tensors of the same names and shapes.
pub fn greatest_difference(expected: &[NamedTensor], actual: &[NamedTensor]) -> f64 {
    assert_eq!(expected.len(), actual.len());
    let difference = |(expected, actual): (&NamedTensor, &NamedTensor)| {
        assert_eq!(expected.spec(), actual.spec());
        (to_tensor(expected).unwrap() - to_tensor(actual).unwrap()).abs().max().double_value(&[])
    };
    expected.iter().zip(actual).map(difference).fold(0.0, f64::max)
}

#[test]
fn a_difference_is_told_with_its_place_and_its_bits() {
    let expected = named("w", &Tensor::from_slice(&[1f32, 2.0, 0.0, 4.0]).view([2, 2]));
    let actual = named("w", &Tensor::from_slice(&[1f32, 2.0, -0.0, 5.0]).view([2, 2]));
    assert_eq!(difference(&expected, &expected), None);
    assert_eq!(
        difference(&expected, &actual).unwrap(),
        "w: 2 of 4 elements differ; the first, at [1, 0]: expected 0e0 (0x00000000), \
         got -0e0 (0x80000000), 0 ULPs"
    );
    let flat = named("w", &Tensor::from_slice(&[1f64, 2.0]));
    assert_eq!(
        difference(&expected, &flat).unwrap(),
        "w: float32 [2, 2] is expected, got float64 [2]"
    );
    assert_eq!(first_difference(&[], &[flat]), Some("0 tensors are expected, got 1".into()));
}
