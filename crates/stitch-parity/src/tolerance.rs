//! The one home of every tolerance. Bit equality is the rule; each exception is a line of
//! [`TABLE`], with its measured cause.

use stitch_trace::stage;
use tensor_files::Dtype;

/// What is excused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Nothing: every bit must be equal, so -0.0 differs from 0.0.
    Bits,
    /// A difference of at most `atol + rtol * |expected|`, or of at most `ulp` units in the last
    /// place.
    Within {
        /// Absolute.
        atol: f64,
        /// Relative to the expected value.
        rtol: f64,
        /// Units in the last place.
        ulp: u64,
    },
}

impl Tolerance {
    /// Whether a difference of two numbers is excused; `ulp` is `None` for integers.
    pub fn excuses(&self, difference: f64, expected: f64, ulp: Option<u64>) -> bool {
        match *self {
            Tolerance::Bits => false,
            Tolerance::Within { .. } if !difference.is_finite() => false,
            Tolerance::Within { atol, rtol, ulp: most } => {
                difference <= atol + rtol * expected.abs() || ulp.is_some_and(|ulp| ulp <= most)
            }
        }
    }
}

/// An exception to bit equality.
#[derive(Debug, Clone, Copy)]
pub struct Exception {
    /// The model's name, as in `config.json` and in a trace, which know no more of it.
    pub model: &'static str,
    /// The element type.
    pub dtype: Dtype,
    /// The stages from this one to the other, in causal order.
    pub stages: [&'static str; 2],
    /// Absolute tolerance.
    pub atol: f64,
    /// Why, and what was measured.
    pub cause: &'static str,
}

/// Every exception.
pub const TABLE: [Exception; 1] = [Exception {
    model: "mlp",
    dtype: Dtype::F64,
    stages: [stage::LOGITS, stage::TEST_LOGITS],
    atol: 1e-12,
    cause: "scikit-learn multiplies matrices with OpenBLAS, libtorch with MKL, which sum in another \
            order: 2.7e-15 measured in the weights after 6,000 steps",
}];

/// What the user asked for instead.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// `--atol`
    pub atol: Option<f64>,
    /// `--rtol`
    pub rtol: Option<f64>,
    /// `--ulp`
    pub ulp: Option<u64>,
    /// `--tol NAME=ATOL[,RTOL]`, by tensor name.
    pub by_name: Vec<(String, f64, f64)>,
}

/// A tolerance and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Used {
    /// What is excused.
    pub tolerance: Tolerance,
    /// Why, for the report; `None` for bit equality.
    pub reason: Option<String>,
}

/// The tolerance for a tensor: the user's for this name, the user's for all, the table's, or bits.
/// Integers are compared bit for bit unless they are named.
pub fn resolve(
    model: Option<&str>,
    stage: &str,
    name: &str,
    dtype: Dtype,
    overrides: &Overrides,
) -> Used {
    if let Some((_, atol, rtol)) = overrides.by_name.iter().find(|(named, ..)| named == name) {
        let tolerance = Tolerance::Within { atol: *atol, rtol: *rtol, ulp: 0 };
        return Used { tolerance, reason: Some(format!("--tol {name}={atol:e},{rtol:e}")) };
    }
    let Overrides { atol, rtol, ulp, .. } = overrides;
    if dtype.is_float() && (atol.is_some() || rtol.is_some() || ulp.is_some()) {
        let [atol, rtol] = [atol, rtol].map(|given| given.unwrap_or(0.0));
        let ulp = ulp.unwrap_or(0);
        let reason = Some(format!("--atol {atol:e} --rtol {rtol:e} --ulp {ulp}"));
        return Used { tolerance: Tolerance::Within { atol, rtol, ulp }, reason };
    }
    let exception = TABLE.iter().find(|line| {
        let [first, last] = line.stages.map(stage::causal_order);
        let is_in = (first..=last).contains(&stage::causal_order(stage));
        Some(line.model) == model && line.dtype == dtype && is_in
    });
    match exception {
        Some(line) => Used {
            tolerance: Tolerance::Within { atol: line.atol, rtol: 0.0, ulp: 0 },
            reason: Some(format!("{} within {:e}: {}", line.model, line.atol, line.cause)),
        },
        None => Used { tolerance: Tolerance::Bits, reason: None },
    }
}
