//! How two tensors compare: what is told of it.

use serde::Serialize;

use super::element::Element;
use tensor_files::Dtype;

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
    /// Greatest absolute difference.
    pub abs: Option<Greatest<f64>>,
    /// Greatest difference relative to the expected value.
    pub rel: Option<Greatest<f64>>,
    /// Greatest distance in units in the last place; floating-point types only.
    pub ulp: Option<Greatest<u64>>,
    /// Mean absolute difference over all elements that are numbers.
    pub mean: f64,
    /// Median absolute difference over all elements that are numbers.
    pub median: f64,
    /// Number of differences by size: 0, then one entry a decade of [`DECADES`](super::DECADES).
    pub histogram: Vec<u64>,
}

fn dtype_name<S: serde::Serializer>(dtype: &Dtype, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(dtype.name())
}

impl Comparison {
    /// Whether every bit is equal.
    pub fn is_bit_equal(&self) -> bool {
        self.unequal == 0 && self.failing == 0
    }

    /// Whether the tolerance excuses all that differs.
    pub fn passes(&self) -> bool {
        self.failing == 0
    }
}
