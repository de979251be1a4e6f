//! Files of tensors.

use std::io::{Cursor, Read};

use tensor_files::{Dtype, Metadata, NamedTensor, npz};

/// A tensor of this type and shape, whose bytes count up from 0.
pub fn tensor(name: &str, dtype: Dtype, shape: &[usize]) -> NamedTensor {
    let bytes = shape.iter().product::<usize>() * dtype.size();
    let data = (0..bytes).map(|byte| byte as u8).collect();
    NamedTensor { name: name.into(), dtype, shape: shape.to_vec(), data }
}

/// The tensors of the files below: a matrix in float32, a vector in float64.
pub fn tensors() -> Vec<NamedTensor> {
    vec![tensor("fc.weight", Dtype::F32, &[2, 3]), tensor("fc.bias", Dtype::F64, &[2])]
}

/// A `.pt` file of a state_dict.
pub fn state_dict() -> Vec<u8> {
    tensor_files::state_dict::write(&tensors()).unwrap()
}

/// A class `M` whose `forward` returns its input.
pub fn program() -> tensor_files::torchscript::Program {
    let (class, forward) = ("M".into(), "    return x\n".into());
    tensor_files::torchscript::Program { class, forward, ..Default::default() }
}

/// A TorchScript archive of [`program`].
pub fn torchscript() -> Vec<u8> {
    tensor_files::torchscript::write(&program(), &tensors()).unwrap()
}

/// A safetensors file without metadata.
pub fn safetensors() -> Vec<u8> {
    tensor_files::safetensors::write(&tensors(), &Metadata::new()).unwrap()
}

/// An `.npz` archive.
pub fn npz() -> Vec<u8> {
    npz::write(&tensors()).unwrap()
}

/// An `.npy` array: the matrix.
pub fn npy() -> Vec<u8> {
    record(&npz(), "fc.weight.npy")
}

/// [`npy`] said to be in Fortran order and big-endian.
pub fn big_endian_npy() -> Vec<u8> {
    let array = npy();
    let header = String::from_utf8_lossy(&array[10..]).replace("False", "True ").replace('<', ">");
    let length = header.find('\n').unwrap() + 1;
    [&array[..10], &header.as_bytes()[..length], &array[10 + length..]].concat()
}

/// A `.pt` file of the format before PyTorch 1.6, with one tensor.
pub fn legacy() -> Vec<u8> {
    let pickle = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((\
                   X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04NtQ\
                   K\x00K\x04\x85K\x01\x85\x89NtRs.";
    legacy_of(pickle, &[1; 16])
}

/// A `.pt` file of the format before PyTorch 1.6, of this pickle and the float32 storage `0`.
pub fn legacy_of(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
    let (version, machine) = (b"\x80\x02M\xe9\x03.", b"\x80\x02}.");
    let (keys, count) = (b"\x80\x02](X\x01\0\0\x000e.", (storage.len() as u64 / 4).to_le_bytes());
    [magic, &version[..], machine, pickle, keys, &count, storage].concat()
}

/// The content of a file in a zip archive.
pub fn record(archive: &[u8], name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}
