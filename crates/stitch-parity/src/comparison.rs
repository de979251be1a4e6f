//! The result of comparing two tensors.

use serde::Serialize;

use tensor_files::Dtype;

use crate::element::{Element, is_number};
use crate::number;
use crate::tolerance::Tolerance;

/// An element where something is greatest, and how great.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Greatest<T> {
    /// Where.
    pub at: Element,
    /// How much.
    pub value: T,
}

/// How two tensors compare.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Element type of both.
    #[serde(serialize_with = "dtype_name")]
    pub dtype: Dtype,
    /// Number of elements.
    pub elements: usize,
    /// Elements whose bits differ.
    pub unequal: usize,
    /// Elements that the tolerance does not excuse.
    pub failing: usize,
    /// Elements that are NaN on one side or on both.
    pub nan: usize,
    /// The first element that the tolerance does not excuse.
    pub first: Option<Element>,
    /// Greatest absolute difference; like the numbers below, only of types that are compared as numbers.
    #[serde(serialize_with = "greatest")]
    pub abs: Option<Greatest<f64>>,
    /// Greatest difference relative to the expected value.
    #[serde(serialize_with = "greatest")]
    pub rel: Option<Greatest<f64>>,
    /// Greatest distance in units in the last place; floating-point types only.
    pub ulp: Option<Greatest<u64>>,
    /// Mean absolute difference over all elements that are numbers; NaN if none is compared as a number.
    #[serde(serialize_with = "number::one")]
    pub mean: f64,
    /// Median absolute difference over all elements that are numbers.
    #[serde(serialize_with = "number::one")]
    pub median: f64,
    /// Number of differences by size: 0, then one entry per decade of [`DECADES`](crate::DECADES).
    pub histogram: Vec<u64>,
}

fn dtype_name<S: serde::Serializer>(dtype: &Dtype, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(dtype.name())
}

fn greatest<S: serde::Serializer>(of: &Option<Greatest<f64>>, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shown {
        at: Element,
        #[serde(serialize_with = "number::one")]
        value: f64,
    }
    of.map(|Greatest { at, value }| Shown { at, value }).serialize(to)
}

impl Comparison {
    /// The smallest tolerances of each kind that excuse all that differs: absolute, relative, and units in
    /// the last place. None where a NaN, an infinity or an 8-bit float or complex number differs, which no
    /// tolerance excuses.
    pub fn sufficient(&self) -> Vec<Tolerance> {
        let Some(abs) = self.abs.filter(|abs| self.nan == 0 && abs.value.is_finite()) else {
            return Vec::new();
        };
        let rtol = self.rel.map(|rel| rel.value).filter(|&rtol| rtol > 0.0 && rtol.is_finite());
        let ulp = self.ulp.map(|ulp| ulp.value).filter(|&ulp| ulp > 0 && self.dtype.is_float());
        let within = |atol, rtol, ulp| Tolerance::Within { atol, rtol, ulp };
        let absolute = Some(within(abs.value, 0.0, 0));
        let relative = rtol.map(|rtol| within(0.0, rtol, 0));
        let in_ulp = ulp.map(|ulp| within(0.0, 0.0, ulp));
        [absolute, relative, in_ulp].into_iter().flatten().collect()
    }

    /// Removes the differences as numbers where the elements are only compared as bits.
    pub(crate) fn of_bits(self) -> Self {
        match is_number(self.dtype) {
            true => self,
            false => Self {
                abs: None,
                rel: None,
                mean: f64::NAN,
                median: f64::NAN,
                histogram: Vec::new(),
                ..self
            },
        }
    }

    /// Whether every bit is equal.
    pub fn is_bit_equal(&self) -> bool {
        self.unequal == 0 && self.failing == 0
    }

    /// Whether the tolerance excuses all that differs.
    pub fn passes(&self) -> bool {
        self.failing == 0
    }
}
