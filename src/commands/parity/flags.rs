//! Adds the names of flags to what [`stitch_parity`] reports.

use std::collections::BTreeMap;

use stitch_parity::{
    AppliedTolerance, Comparison, Outcome, Pattern, Report, TensorResult, Tolerance,
};

use crate::commands::shell::quoted;

/// What is wrong with a truncated trace.
pub const TRUNCATED: &str = "no end marker: the run did not end, or the file was truncated";

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
