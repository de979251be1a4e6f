//! Tolerances. Every bit must be equal unless the caller or a line of [`EXCEPTIONS`] allows a difference.

use std::fmt;

use serde::{Serialize, Serializer};
use stitch_trace::stage;
use tensor_files::Dtype;

use crate::glob::Pattern;

/// The differences that are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// None: every bit must be equal, so -0.0 differs from 0.0.
    Bits,
    /// Differences of at most `atol + rtol * |expected|`, or of at most `ulp` units in the last
    /// place.
    Within {
        /// Absolute tolerance.
        atol: f64,
        /// Tolerance relative to the expected value.
        rtol: f64,
        /// Tolerance in units in the last place; floating-point types only.
        ulp: u64,
    },
}

impl Tolerance {
    /// Whether an absolute difference of two numbers is allowed; `ulp` is `None` for integers.
    pub(crate) fn allows(&self, difference: f64, expected: f64, ulp: Option<u64>) -> bool {
        match *self {
            Tolerance::Bits => false,
            Tolerance::Within { .. } if !difference.is_finite() => false,
            Tolerance::Within { atol, rtol, ulp: most } => {
                difference <= atol + rtol * expected.abs() || ulp.is_some_and(|ulp| ulp <= most)
            }
        }
    }
}

/// The settings of a training with which its rounding errors grow.
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

/// Largest factor that a tolerance grows by, apart from the magnitude: from 1e-12 to a relative 1e-6. A tolerance
/// as large as the values would allow everything.
const MOST_GROWTH: f64 = 1e6;

/// An exception to bit equality: differences that are allowed without the caller asking for it.
#[derive(Debug, Clone, Copy)]
pub struct Exception {
    /// Name of the model in its trace or `config.json`.
    pub model: &'static str,
    /// Dtype of the tensors.
    pub dtype: Dtype,
    /// First and last stage, in causal order.
    pub stages: [&'static str; 2],
    /// Absolute tolerance at the settings `measured`, and at those with fewer or smaller updates. With more or
    /// larger updates it grows in proportion to the number of updates, the learning rate, and the largest
    /// magnitude of the tensor.
    pub atol: f64,
    /// The settings of the measurement.
    pub measured: Training,
    /// Cause of the differences, and the differences that were measured.
    pub cause: &'static str,
}

impl Exception {
    /// Factor by which rounding errors are larger than at the settings `measured`: an update that is off by a
    /// rounding error moves a parameter by that error times the learning rate, once for each update.
    fn growth(&self, training: Option<&Training>) -> f64 {
        let Some(training) = training else { return 1.0 };
        let rate = (training.lr / self.measured.lr).max(1.0);
        let updates = (training.updates() / self.measured.updates()).max(1.0);
        (rate * updates).min(MOST_GROWTH)
    }

    /// The absolute tolerance for a tensor whose largest magnitude is `largest`. Beyond the settings
    /// `measured`, errors of what is computed from parameters are in proportion to its magnitude.
    fn bound(&self, growth: f64, largest: f64) -> f64 {
        let grown = self.atol * growth * largest.max(1.0);
        if growth > 1.0 && grown.is_finite() { grown } else { self.atol }
    }
}

/// All exceptions to bit equality. [`Overrides`] of the caller replace them, and they do not apply with
/// [`Options::same_program`](crate::Options::same_program).
pub const EXCEPTIONS: &[Exception] = &[Exception {
    model: "mlp",
    dtype: Dtype::F64,
    stages: [stage::LOGITS, stage::TEST_LOGITS],
    atol: 1e-12,
    measured: Training { lr: 1e-3, epochs: 20, batch_size: 200 },
    cause: "scikit-learn multiplies matrices with OpenBLAS, stitch with gemm-f64 or libtorch's MKL, which \
            sum in another order: up to 2.7e-15 measured in the weights after 6,000 steps; with lr 1 \
            and 30 epochs 1.2e-9 in weights of up to 2.3",
}];

/// Tolerances of the caller. If `atol`, `rtol` or `ulp` is given, it applies to all tensors but integers, the
/// others being 0: a difference of at most `atol + rtol * |expected|` or at most `ulp` is allowed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Absolute tolerance.
    pub atol: Option<f64>,
    /// Tolerance relative to the expected value.
    pub rtol: Option<f64>,
    /// Tolerance in units in the last place.
    pub ulp: Option<u64>,
    /// Whether tensors without another tolerance have that of their dtype in `torch.testing.assert_close`.
    pub torch: bool,
    /// Tolerances for tensors, layers or stages, integers included: pattern, `atol` and `rtol`. They replace those
    /// above; of several for one tensor the first applies.
    pub by_name: Vec<(Pattern, f64, f64)>,
}

/// The tolerance that was applied to a tensor, and where it comes from. `Display` writes it in words; serialized,
/// it is that text.
#[derive(Debug, Clone, PartialEq)]
pub enum AppliedTolerance {
    /// One of [`Overrides::by_name`].
    Named {
        /// The pattern.
        name: String,
        /// Absolute tolerance.
        atol: f64,
        /// Tolerance relative to the expected value.
        rtol: f64,
    },
    /// That of the dtype in `torch.testing.assert_close`.
    Torch {
        /// Dtype of the tensor.
        dtype: Dtype,
        /// Absolute tolerance.
        atol: f64,
        /// Tolerance relative to the expected value.
        rtol: f64,
    },
    /// That of [`Overrides`] for all tensors but integers.
    All {
        /// Absolute tolerance.
        atol: f64,
        /// Tolerance relative to the expected value.
        rtol: f64,
        /// Tolerance in units in the last place.
        ulp: u64,
    },
    /// One of [`EXCEPTIONS`].
    Exception {
        /// [`Exception::model`].
        model: &'static str,
        /// [`Exception::atol`].
        atol: f64,
        /// Factor by which it has grown with the settings of the training, apart from the largest magnitude of
        /// each tensor; 1 if it has not.
        growth: f64,
        /// [`Exception::cause`].
        cause: &'static str,
    },
}

impl fmt::Display for AppliedTolerance {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Named { name, atol, rtol } => {
                write!(to, "atol {atol:e}, rtol {rtol:e} for {name}")
            }
            Self::Torch { dtype, atol, rtol } => {
                write!(
                    to,
                    "atol {atol:e}, rtol {rtol:e} for {dtype}, as in torch.testing.assert_close"
                )
            }
            Self::All { atol, rtol, ulp } => write!(to, "atol {atol:e}, rtol {rtol:e}, ulp {ulp}"),
            Self::Exception { model, atol, growth, cause } => {
                write!(to, "{model} within {atol:e}")?;
                if *growth > 1.0 {
                    write!(
                        to,
                        " times {growth:.1e} for learning rate and updates, times the largest magnitude of \
                         each tensor"
                    )?;
                }
                write!(to, ": {cause}")
            }
        }
    }
}

impl Serialize for AppliedTolerance {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A tolerance and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resolved {
    /// The differences that are allowed.
    pub tolerance: Tolerance,
    /// Where it comes from; `None` if every bit must be equal.
    pub applied: Option<AppliedTolerance>,
}

/// The tensor that a tolerance is resolved for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of<'a> {
    pub model: Option<&'a str>,
    pub stage: &'a str,
    pub name: &'a str,
    pub dtype: Dtype,
}

/// `atol` and `rtol` of a dtype in `torch.testing.assert_close` (PyTorch 2.9); `None` if it is compared exactly.
fn of_torch(dtype: Dtype) -> Option<[f64; 2]> {
    match dtype {
        Dtype::F16 | Dtype::C32 => Some([1e-5, 1e-3]),
        Dtype::BF16 => Some([1e-5, 1.6e-2]),
        Dtype::F32 | Dtype::C64 => Some([1e-5, 1.3e-6]),
        Dtype::F64 | Dtype::C128 => Some([1e-7, 1e-7]),
        _ => None,
    }
}

/// The tolerance for a tensor: the caller's for this name, PyTorch's, the caller's for all, that of an exception, or bit
/// equality. Integers are compared bit for bit unless they are named.
/// `largest` finds the largest magnitude of the expected values, where it is needed.
pub(crate) fn resolve<E>(
    of: Of,
    overrides: &Overrides,
    training: Option<&Training>,
    largest: impl FnOnce() -> Result<f64, E>,
) -> Result<Resolved, E> {
    let Of { dtype, name, stage, .. } = of;
    let named = overrides.by_name.iter().find(|(pattern, ..)| pattern.matches(stage, name));
    if let Some((pattern, atol, rtol)) = named {
        let (name, atol, rtol) = (pattern.to_string(), *atol, *rtol);
        return Ok(Resolved {
            tolerance: Tolerance::Within { atol, rtol, ulp: 0 },
            applied: Some(AppliedTolerance::Named { name, atol, rtol }),
        });
    }
    if overrides.torch {
        let Some([atol, rtol]) = of_torch(dtype) else {
            return Ok(Resolved { tolerance: Tolerance::Bits, applied: None });
        };
        let applied = Some(AppliedTolerance::Torch { dtype, atol, rtol });
        return Ok(Resolved { tolerance: Tolerance::Within { atol, rtol, ulp: 0 }, applied });
    }
    let &Overrides { atol, rtol, ulp, .. } = overrides;
    if !dtype.is_integer() && (atol.is_some() || rtol.is_some() || ulp.is_some()) {
        let [atol, rtol] = [atol, rtol].map(|given| given.unwrap_or(0.0));
        let ulp = ulp.unwrap_or(0);
        let applied = Some(AppliedTolerance::All { atol, rtol, ulp });
        return Ok(Resolved { tolerance: Tolerance::Within { atol, rtol, ulp }, applied });
    }
    let Some(exception) = exception(of) else {
        return Ok(Resolved { tolerance: Tolerance::Bits, applied: None });
    };
    let &Exception { model, atol, cause, .. } = exception;
    let growth = exception.growth(training);
    let applied = Some(AppliedTolerance::Exception { model, atol, growth, cause });
    let atol = if growth > 1.0 { exception.bound(growth, largest()?) } else { atol };
    Ok(Resolved { tolerance: Tolerance::Within { atol, rtol: 0.0, ulp: 0 }, applied })
}

/// The exception for a tensor, if there is one.
fn exception(of: Of) -> Option<&'static Exception> {
    let is_in = |[first, last]: [&str; 2]| {
        let [first, last] = [first, last].map(stage::causal_order);
        (first..=last).contains(&stage::causal_order(of.stage))
    };
    EXCEPTIONS
        .iter()
        .find(|line| Some(line.model) == of.model && line.dtype == of.dtype && is_in(line.stages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_grows_with_rate_updates_and_magnitude_beyond_the_measured_settings_only() {
        let line = EXCEPTIONS[0];
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
    fn the_first_pattern_that_matches_stage_or_name_applies_then_those_of_torch() {
        let pattern = |text: &str| Pattern::parse(text).unwrap();
        let by_name = ["gradient:*", "w", "conv1.*"].map(pattern).into_iter();
        let by_name = (1..).zip(by_name).map(|(i, pattern)| (pattern, f64::from(i), 0.5)).collect();
        let overrides = Overrides { by_name, torch: true, ..Overrides::default() };
        let of = |stage, name, dtype| {
            let of = Of { model: None, stage, name, dtype };
            resolve(of, &overrides, None, || Ok::<_, ()>(0.0)).unwrap().tolerance
        };
        let within = |atol, rtol| Tolerance::Within { atol, rtol, ulp: 0 };
        assert_eq!(of(stage::FINAL, "w", Dtype::I64), within(2.0, 0.5));
        assert_eq!(of(stage::GRADIENT, "w", Dtype::F32), within(1.0, 0.5));
        assert_eq!(of(stage::FINAL, "conv1.bias", Dtype::F8_E5M2), within(3.0, 0.5));
        assert_eq!(of(stage::FINAL, "conv10.bias", Dtype::BF16), within(1e-5, 1.6e-2));
        assert_eq!(of(stage::FINAL, "x", Dtype::I64), Tolerance::Bits);
        // Without a colon, a pattern is for names alone.
        let pattern = Pattern::parse("p*").unwrap();
        assert!(!pattern.matches(stage::PARAMETER, "w") && pattern.matches(stage::FINAL, "pool"));
    }
}
