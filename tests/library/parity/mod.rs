//! The port against the Python original, run beside it, in causal order: the first red test is the
//! cause. Each case is a folder: `reference.py` computes the expected values with the real numpy,
//! scikit-learn and PyTorch, `mod.rs` compares.

// In causal order; the test runner lists them by name.
mod data;
mod export;
mod files;
mod init;
mod lenet5_steps;
mod metrics;
mod mlp_steps;
mod numpy_draws;
mod onnx;
mod optimizers;
mod torch_draws;
mod training;
mod transforms;

use std::collections::BTreeMap;
use std::fs;
use std::sync::MutexGuard;

use stitch::tensor_files::{Dtype, NamedTensor, read_weights};
use tch::{Kind, Tensor};

use crate::common;

/// Threads of libtorch in this process and in the reference scripts: bits depend on it.
const THREADS: i32 = 1;

/// Runs `tests/library/parity/<case>/reference.py OUT`; returns the tensors that it leaves in OUT, and
/// libtorch for as long as they are compared.
fn reference(case: &str) -> (MutexGuard<'static, ()>, BTreeMap<String, NamedTensor>) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("expected.safetensors");
    common::run_python(&format!("library/parity/{case}/reference.py"), &[out.to_str().unwrap()]);
    let tensors = read_weights(&fs::read(&out).unwrap()).unwrap();
    assert!(!tensors.is_empty(), "the reference of {case} gave nothing to compare");
    let tensors = tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    (common::libtorch(THREADS), tensors)
}

/// The numbers in a name such as `shuffle seed=7 n=100`, in the order of `keys`.
fn arguments<const N: usize>(name: &str, keys: [&str; N]) -> [u64; N] {
    keys.map(|key| {
        let value = name.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{key} in {name:?}"))
    })
}

/// The elements of a tensor as float64 (exact for every type that is compared here but int64,
/// which are small).
fn values(tensor: &NamedTensor) -> Vec<f64> {
    let kind = match tensor.dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::I64 => Kind::Int64,
        dtype => panic!("{}: {dtype} is not compared here", tensor.name),
    };
    let shape: Vec<i64> = tensor.shape.iter().map(|&n| n as i64).collect();
    let tensor = Tensor::from_data_size(&tensor.data, &shape, kind);
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// A tensor of the port as float64.
fn values_of(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).contiguous().flatten(0, -1)).unwrap()
}

/// Fails unless every element is equal bit for bit; says how many differ and shows the first.
fn assert_equal(name: &str, expected: &[f64], actual: &[f64]) {
    assert_within(name, expected, actual, 0.0);
}

/// Fails unless every element is within `tolerance` (0: equal bits, so -0.0 differs from 0.0).
fn assert_within(name: &str, expected: &[f64], actual: &[f64], tolerance: f64) {
    assert_eq!(expected.len(), actual.len(), "{name}: number of elements");
    let differs = |(e, a): (&f64, &f64)| {
        if tolerance == 0.0 {
            e.to_bits() != a.to_bits()
        } else {
            // Written so that a NaN differs.
            !matches!((e - a).abs().partial_cmp(&tolerance), Some(order) if order.is_le())
        }
    };
    let different: Vec<usize> =
        (0..expected.len()).filter(|&i| differs((&expected[i], &actual[i]))).collect();
    if let Some(&i) = different.first() {
        let (e, a) = (expected[i], actual[i]);
        panic!(
            "{name}: {} of {} elements differ by more than {tolerance:e}; the first, at {i}: \
             expected {e:e} ({:#018x}), got {a:e} ({:#018x})",
            different.len(),
            expected.len(),
            e.to_bits(),
            a.to_bits()
        );
    }
}
