//! The result of comparing two tensors element by element.

use serde::Serialize;

use tensor_files::Dtype;

use crate::element::Element;
use crate::json;
use crate::tolerance::Tolerance;

/// The element where a difference is greatest, and that difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Greatest<T> {
    /// The first element with this difference, in row-major order.
    pub at: Element,
    /// The difference there: absolute, relative or in units in the last place.
    pub value: T,
}

/// The differences of two tensors of one dtype and shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Dtype of both.
    #[serde(serialize_with = "dtype_name")]
    pub dtype: Dtype,
    /// Number of elements.
    pub elements: usize,
    /// Number of elements whose bits differ.
    pub unequal: usize,
    /// Number of elements that differ beyond the tolerance.
    pub failing: usize,
    /// Number of elements that are NaN on one side or on both.
    pub nan: usize,
    /// Number of these that count as different: all, or those that are NaN on one side alone.
    pub nan_failing: usize,
    /// The first element that differs beyond the tolerance.
    pub first: Option<Element>,
    /// Greatest absolute difference, of complex numbers their distance.
    #[serde(serialize_with = "greatest")]
    pub abs: Option<Greatest<f64>>,
    /// Greatest difference relative to the expected value.
    #[serde(serialize_with = "greatest")]
    pub rel: Option<Greatest<f64>>,
    /// Greatest distance in units in the last place; floating-point types only.
    pub ulp: Option<Greatest<u64>>,
    /// Mean absolute difference over all elements that are not NaN.
    #[serde(serialize_with = "json::number")]
    pub mean: f64,
    /// Mean difference relative to the expected value, without elements that are 0 in the reference alone.
    #[serde(serialize_with = "json::number")]
    pub mean_rel: f64,
    /// Median absolute difference over all elements that are not NaN (of an even number the lower of the two in
    /// the middle). This and the next two are NaN where
    /// [`Options::quantiles_of_first`](crate::Options::quantiles_of_first) leaves them out.
    #[serde(serialize_with = "json::number")]
    pub median: f64,
    /// Absolute difference that nine of ten elements do not exceed.
    #[serde(serialize_with = "json::number")]
    pub p90: f64,
    /// Absolute difference that 99 of 100 elements do not exceed.
    #[serde(serialize_with = "json::number")]
    pub p99: f64,
    /// Cosine of the angle between both as vectors, without infinities; NaN if one of them is 0 or its squares
    /// are beyond float64.
    #[serde(serialize_with = "json::number")]
    pub cosine: f64,
    /// Signal-to-noise ratio in dB: the squares of the expected values, without infinities, to those of the differences.
    #[serde(serialize_with = "json::number")]
    pub snr: f64,
    /// Number of absolute differences by size: of 0, then one entry per decade of [`DECADES`](crate::DECADES).
    pub histogram: Vec<u64>,
}

fn dtype_name<S: serde::Serializer>(dtype: &Dtype, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(dtype.name())
}

fn greatest<S: serde::Serializer>(of: &Option<Greatest<f64>>, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shown {
        at: Element,
        #[serde(serialize_with = "json::number")]
        value: f64,
    }
    of.map(|Greatest { at, value }| Shown { at, value }).serialize(to)
}

impl Comparison {
    /// The smallest tolerances of each kind with which the tensor passes: absolute, relative, and in units in
    /// the last place. Empty where a NaN or an infinity differs, which no tolerance allows.
    pub fn sufficient(&self) -> Vec<Tolerance> {
        let Some(abs) = self.abs.filter(|abs| self.nan_failing == 0 && abs.value.is_finite())
        else {
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

    /// The norm of the difference relative to that of the expected values.
    pub fn error(&self) -> f64 {
        10f64.powf(-self.snr / 20.0)
    }

    /// Whether every bit is equal.
    pub fn is_bit_equal(&self) -> bool {
        self.unequal == 0 && self.failing == 0
    }

    /// Whether no element differs beyond the tolerance.
    pub fn passes(&self) -> bool {
        self.failing == 0
    }
}
