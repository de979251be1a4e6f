//! How a cell shows the outcome of a tensor: a class of `parity.css`, and a sign that says the same without color.

use stitch_parity::{Comparison, Dtype, Outcome, TensorResult};

/// A cell's class and sign.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shade {
    pub class: &'static str,
    pub sign: String,
}

/// The class of tensors that are not compared element by element; their signs say why.
pub const OTHER: &str = "o";

/// The signs of the scale with their meanings, for the legend. The sign of a difference is its exponent of ten.
pub const LEGEND: [(&str, &str, &str); 14] = [
    ("e", "=", "equal bits"),
    ("w", "≈", "within tolerance"),
    ("d1", "−7", "rounding: up to 16 times the precision of the dtype"),
    ("d2", "−5", "below 1e-4"),
    ("d3", "−3", "below 1e-2"),
    ("d4", "−1", "below 1"),
    ("d5", "2", "1 and above, infinite, NaN"),
    (OTHER, "#", "SHA-256 differs, elements not kept"),
    (OTHER, "NaN", "bits equal, some elements NaN"),
    (OTHER, "?", "not comparable"),
    (OTHER, "∅", "missing in the candidate"),
    (OTHER, "+", "only in the candidate"),
    (OTHER, "[ ]", "another shape"),
    (OTHER, "type", "another dtype"),
];

/// The class and sign of a tensor.
pub fn shade(tensor: &TensorResult) -> Shade {
    let other = |sign: &str| Shade { class: OTHER, sign: sign.into() };
    match &tensor.outcome {
        Outcome::Equal => Shade { class: "e", sign: "=".into() },
        Outcome::Within(_) => Shade { class: "w", sign: "≈".into() },
        Outcome::Different(c) => Shade { class: level(c), sign: sign(c) },
        Outcome::HashDiffers { .. } => other("#"),
        Outcome::Nan { .. } => other("NaN"),
        Outcome::Unknown => other("?"),
        Outcome::Missing => other("∅"),
        Outcome::Unexpected => other("+"),
        Outcome::Shape { .. } => other("[ ]"),
        Outcome::Dtype { .. } => other("type"),
    }
}

/// The relative error: the norm of the difference relative to that of the expected values. Infinite where these are 0 or a NaN differs.
pub fn relative(c: &Comparison) -> f64 {
    let is_zero = c.abs.is_some_and(|abs| abs.value == 0.0);
    match c.error() {
        error if c.nan_failing == 0 && error.is_finite() => error,
        // Zeros of another sign, where all values are 0.
        _ if c.nan_failing == 0 && is_zero => 0.0,
        _ => f64::INFINITY,
    }
}

fn level(c: &Comparison) -> &'static str {
    match relative(c) {
        size if size <= 16.0 * precision(c.dtype) => "d1",
        size if size < 1e-4 => "d2",
        size if size < 1e-2 => "d3",
        size if size < 1.0 => "d4",
        _ => "d5",
    }
}

/// The exponent of ten of the difference, as `−7`.
fn sign(c: &Comparison) -> String {
    match relative(c) {
        _ if c.nan_failing > 0 => "NaN".into(),
        // Zeros of another sign.
        0.0 => "±0".into(),
        size if size.is_finite() => format!("{}", size.log10().floor()).replace('-', "−"),
        _ => "∞".into(),
    }
}

/// The distance from 1 to the next number, of a complex type of its parts; 0 of integers.
fn precision(dtype: Dtype) -> f64 {
    match dtype.part().unwrap_or(dtype) {
        Dtype::F8_E4M3FN | Dtype::F8_E4M3FNUZ => 2f64.powi(-3),
        Dtype::F8_E5M2 | Dtype::F8_E5M2FNUZ => 2f64.powi(-2),
        Dtype::F16 => 2f64.powi(-10),
        Dtype::BF16 => 2f64.powi(-7),
        Dtype::F32 => 2f64.powi(-23),
        Dtype::F64 => 2f64.powi(-52),
        _ => 0.0,
    }
}
