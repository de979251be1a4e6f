//! Adds the names of flags to what [`stitch_parity`] reports.

use std::collections::BTreeMap;

use stitch_parity::{
    AppliedTolerance, Comparison, Dtype, Outcome, Pattern, Report, TensorResult, Tolerance, stage,
};

use crate::commands::shell::quoted;

/// What is wrong with a truncated trace.
pub const TRUNCATED: &str = "no end marker: was finish() called, or was the program stopped?";

/// Where and how a tensor differs, as one line.
pub fn message(tensor: &TensorResult) -> String {
    match tensor.outcome {
        Outcome::Nan { .. } => format!("{tensor} (see --equal-nan)"),
        _ => tensor.to_string(),
    }
}

/// The tolerance that was applied, as the flags that set it.
pub fn applied(tolerance: &AppliedTolerance) -> String {
    match tolerance {
        AppliedTolerance::Named { name, atol, rtol } => format!("--tol {name}={atol:e},{rtol:e}"),
        AppliedTolerance::Torch { dtype, atol, rtol } => {
            format!("--tolerance torch: atol {atol:e}, rtol {rtol:e} for {dtype}")
        }
        AppliedTolerance::All { atol, rtol, ulp } => {
            format!("--atol {atol:e} --rtol {rtol:e} --ulp {ulp}")
        }
        AppliedTolerance::Exception { .. } => tolerance.to_string(),
    }
}

/// The tolerances that were applied, each with its number of tensors.
pub fn tolerances(report: &Report) -> BTreeMap<String, usize> {
    let mut used = BTreeMap::new();
    for tolerance in report.tensors.iter().filter_map(|tensor| tensor.tolerance.as_ref()) {
        *used.entry(applied(tolerance)).or_default() += 1;
    }
    used
}

/// The smallest tolerances with which a tensor passes, without those that no comparison should use: a difference of that
/// size is no rounding, and one of classes has no size.
pub fn sensible(tensor: &TensorResult, c: &Comparison) -> Vec<Tolerance> {
    if !has_size(tensor) {
        return Vec::new();
    }
    // The greatest relative difference, and the number of values between two powers of 2.
    let (most, values) = match c.dtype {
        Dtype::F16 => (0.05, 1u64 << 10),
        Dtype::BF16 => (0.05, 1 << 7),
        Dtype::F32 | Dtype::C64 => (0.01, 1 << 23),
        Dtype::F64 | Dtype::C128 => (0.01, 1 << 52),
        _ => (0.5, 1 << 3),
    };
    let is_sensible = |tolerance: &Tolerance| match *tolerance {
        _ if c.dtype.is_integer() => true,
        Tolerance::Bits => true,
        Tolerance::Within { rtol, .. } if rtol > 0.0 => rtol <= most,
        Tolerance::Within { ulp, .. } if ulp > 0 => ulp as f64 <= most * values as f64,
        // An error of a tensor of zeros has no size relative to it.
        Tolerance::Within { .. } => c.error() <= most || !c.error().is_finite(),
    };
    c.sufficient().into_iter().filter(is_sensible).collect()
}

/// Whether a difference of its elements has a size: one of classes has none.
pub fn has_size(tensor: &TensorResult) -> bool {
    tensor.stage != stage::PREDICTIONS
}

/// The flag that sets a tolerance for this tensor. Those for all tensors do not apply to integers.
pub fn flag(tolerance: &Tolerance, tensor: &TensorResult, c: &Comparison) -> String {
    match *tolerance {
        Tolerance::Bits => String::new(),
        Tolerance::Within { atol, rtol, .. } if c.dtype.is_integer() => {
            let name = Pattern::of_name(&tensor.name);
            let value = match rtol > 0.0 {
                true => format!("{name}=0,{rtol:e}"),
                false => format!("{name}={atol:e}"),
            };
            format!("--tol {}", quoted(value.as_ref()))
        }
        Tolerance::Within { rtol, .. } if rtol > 0.0 => format!("--rtol {rtol:e}"),
        Tolerance::Within { ulp, .. } if ulp > 0 => format!("--ulp {ulp}"),
        Tolerance::Within { atol, .. } => format!("--atol {atol:e}"),
    }
}
