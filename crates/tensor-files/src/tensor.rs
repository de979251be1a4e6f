//! Tensors of libtorch as the bytes that files store (feature `tch`).

use tch::{Device, Kind, Tensor};

use super::Dtype;

/// tch's element type as that of a file; a quantized one as that of its integers.
pub fn dtype_of(kind: Kind) -> Dtype {
    match kind {
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        Kind::Half => Dtype::F16,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Int64 => Dtype::I64,
        Kind::Int | Kind::QInt32 => Dtype::I32,
        Kind::Int16 => Dtype::I16,
        Kind::Int8 | Kind::QInt8 => Dtype::I8,
        Kind::Uint8 | Kind::QUInt8 => Dtype::U8,
        Kind::Bool => Dtype::Bool,
        Kind::Float8e4m3fn => Dtype::F8_E4M3FN,
        Kind::Float8e4m3fnuz => Dtype::F8_E4M3FNUZ,
        Kind::Float8e5m2 => Dtype::F8_E5M2,
        Kind::Float8e5m2fnuz => Dtype::F8_E5M2FNUZ,
        Kind::ComplexHalf => Dtype::C32,
        Kind::ComplexFloat => Dtype::C64,
        Kind::ComplexDouble => Dtype::C128,
    }
}

/// Copies the elements of a tensor to bytes, row-major and little-endian.
pub fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    copy_bytes(tensor, &mut bytes);
    bytes
}

/// Like [`bytes_of`], but copies into an existing buffer, which must have the length of the elements.
pub fn copy_bytes(tensor: &Tensor, bytes: &mut [u8]) {
    let tensor = tensor.detach().to_device(Device::Cpu).resolve_conj().resolve_neg().contiguous();
    tensor.copy_data_u8(bytes, tensor.numel());
}
