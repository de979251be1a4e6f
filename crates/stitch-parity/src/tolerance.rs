//! The one home of every tolerance. Bit equality is the rule; each exception is a line of
//! [`TABLE`], with its measured cause.

use stitch_trace::stage;
use tensor_files::Dtype;

use crate::element::is_number;

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

/// The settings of a training by which its rounding errors grow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Training {
    /// Learning rate.
    pub lr: f64,
    /// Passes over the training data.
    pub epochs: usize,
    /// Samples per step.
    pub batch_size: usize,
}

impl Training {
    /// Number of updates for each sample.
    fn updates(&self) -> f64 {
        self.epochs as f64 / self.batch_size as f64
    }
}

/// Most that a tolerance grows by, the magnitude apart: one of 1e-12 to a relative 1e-6. A tolerance as large as
/// the values would excuse everything.
const MOST_GROWTH: f64 = 1e6;

/// An exception to bit equality.
#[derive(Debug, Clone, Copy)]
pub struct Exception {
    /// The model's name, as in `config.json` and in a trace, which know no more of it.
    pub model: &'static str,
    /// The element type.
    pub dtype: Dtype,
    /// The stages from this one to the other, in causal order.
    pub stages: [&'static str; 2],
    /// Absolute tolerance at the settings of `measured`, and at those with fewer or smaller updates.
    pub atol: f64,
    /// The settings that it was measured at.
    pub measured: Training,
    /// Why, and what was measured.
    pub cause: &'static str,
}

impl Exception {
    /// How much more than at the settings of `measured` rounding errors grow: an update that is off by a
    /// rounding error moves a parameter by that error times the learning rate, once for each update.
    fn growth(&self, training: Option<&Training>) -> f64 {
        let Some(training) = training else { return 1.0 };
        let rate = (training.lr / self.measured.lr).max(1.0);
        let updates = (training.updates() / self.measured.updates()).max(1.0);
        (rate * updates).min(MOST_GROWTH)
    }

    /// The absolute tolerance for a tensor whose greatest magnitude is `largest`. Beyond the settings of
    /// `measured`, what is computed from parameters is off in proportion to its magnitude.
    fn bound(&self, growth: f64, largest: f64) -> f64 {
        let grown = self.atol * growth * largest.max(1.0);
        if growth > 1.0 && grown.is_finite() { grown } else { self.atol }
    }
}

/// Every exception.
pub const TABLE: [Exception; 1] = [Exception {
    model: "mlp",
    dtype: Dtype::F64,
    stages: [stage::LOGITS, stage::TEST_LOGITS],
    atol: 1e-12,
    measured: Training { lr: 1e-3, epochs: 20, batch_size: 200 },
    cause: "scikit-learn multiplies matrices with OpenBLAS, libtorch with MKL, which sum in another \
            order: 2.7e-15 measured in the weights after 6,000 steps; with lr 1 and 30 epochs 1.2e-9 \
            in weights of up to 2.3",
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

/// The tensor that a tolerance is wanted for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of<'a> {
    pub model: Option<&'a str>,
    pub stage: &'a str,
    pub name: &'a str,
    pub dtype: Dtype,
}

/// The tolerance for a tensor: the user's for this name, the user's for all, the table's, or bits.
/// Integers are compared bit for bit unless they are named, 8-bit floats and complex numbers always. `largest` finds the greatest magnitude of the
/// expected values, where it is needed.
pub(crate) fn resolve<E>(
    of: Of,
    overrides: &Overrides,
    training: Option<&Training>,
    largest: impl FnOnce() -> Result<f64, E>,
) -> Result<Used, E> {
    let Of { model, stage, name, dtype } = of;
    if let Some((_, atol, rtol)) = overrides.by_name.iter().find(|(named, ..)| named == name) {
        let given = format!("--tol {name}={atol:e},{rtol:e}");
        return Ok(match is_number(dtype) {
            true => {
                let tolerance = Tolerance::Within { atol: *atol, rtol: *rtol, ulp: 0 };
                Used { tolerance, reason: Some(given) }
            }
            false => {
                let reason = format!("{given} is not applied to {dtype}: every bit must be equal");
                Used { tolerance: Tolerance::Bits, reason: Some(reason) }
            }
        });
    }
    let Overrides { atol, rtol, ulp, .. } = overrides;
    if dtype.is_float() && (atol.is_some() || rtol.is_some() || ulp.is_some()) {
        let [atol, rtol] = [atol, rtol].map(|given| given.unwrap_or(0.0));
        let ulp = ulp.unwrap_or(0);
        let reason = Some(format!("--atol {atol:e} --rtol {rtol:e} --ulp {ulp}"));
        return Ok(Used { tolerance: Tolerance::Within { atol, rtol, ulp }, reason });
    }
    let exception = TABLE.iter().find(|line| {
        let [first, last] = line.stages.map(stage::causal_order);
        let is_in = (first..=last).contains(&stage::causal_order(stage));
        Some(line.model) == model && line.dtype == dtype && is_in
    });
    let Some(line) = exception else {
        return Ok(Used { tolerance: Tolerance::Bits, reason: None });
    };
    let growth = line.growth(training);
    let atol = if growth > 1.0 { line.bound(growth, largest()?) } else { line.atol };
    let scaled = match growth > 1.0 {
        true => format!(
            " times {growth:.1e} for learning rate and updates, times the largest magnitude of each tensor"
        ),
        false => String::new(),
    };
    let tolerance = Tolerance::Within { atol, rtol: 0.0, ulp: 0 };
    let reason = Some(format!("{} within {:e}{scaled}: {}", line.model, line.atol, line.cause));
    Ok(Used { tolerance, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_grows_with_rate_updates_and_magnitude_beyond_the_measured_settings_only() {
        let [line] = TABLE;
        let bound =
            |training: Option<&Training>, largest| line.bound(line.growth(training), largest);
        let with = |lr, epochs, batch_size| Training { lr, epochs, batch_size };
        for training in [with(1e-3, 20, 200), with(1e-4, 20, 200), with(1e-3, 5, 200)] {
            assert_eq!(bound(Some(&training), 40.0), 1e-12, "{training:?}");
        }
        assert_eq!(bound(None, 40.0), 1e-12);
        let close = |bound: f64, expected: f64| (bound / expected - 1.0).abs() < 1e-9;
        assert!(close(bound(Some(&with(1.0, 30, 200)), 2.3), 1e-12 * 1e3 * 1.5 * 2.3));
        assert!(close(bound(Some(&with(1e-3, 20, 50)), 0.5), 4e-12));
        assert_eq!(bound(Some(&with(1.0, 30, 200)), f64::INFINITY), 1e-12);
        assert!(close(bound(Some(&with(1e300, 30, 200)), 2.0), 2e-6));
    }

    #[test]
    fn a_tolerance_of_a_name_is_for_numbers_only() {
        let overrides = Overrides { by_name: vec![("w".into(), 1.0, 0.5)], ..Overrides::default() };
        let of = |dtype| {
            let of = Of { model: None, stage: stage::FINAL, name: "w", dtype };
            resolve(of, &overrides, None, || Ok::<_, ()>(0.0)).unwrap()
        };
        assert_eq!(of(Dtype::I64).tolerance, Tolerance::Within { atol: 1.0, rtol: 0.5, ulp: 0 });
        let complex = of(Dtype::C64);
        assert_eq!(complex.tolerance, Tolerance::Bits);
        assert!(complex.reason.unwrap().contains("is not applied to complex64"));
    }
}
