//! Compares the same tensor of two sides.

use std::io::{self, Read};

use stitch_trace::{BLOCK, Hashes};
use tensor_files::Dtype;

use crate::elements;
use crate::error::SideError;
use crate::layout::byte_count;
use crate::result::{Blocks, Outcome, TensorResult};
use crate::side::{Item, Key, Side};
use crate::sides::Options;
use crate::stream::Pair;
use crate::tolerance::{self, Of};
use crate::verify::{self, Bits, is_kept};

/// The result for an item.
pub(crate) fn result(item: &Item, outcome: Outcome) -> TensorResult {
    let Key { stage, epoch, step, name, file } = item.key.clone();
    let shape = item.shape.clone();
    let class = item.class.clone();
    TensorResult {
        stage,
        name,
        class,
        epoch,
        step,
        file,
        shape,
        outcome,
        tolerance: None,
        by_hash: false,
        nan_unknown: false,
        inherited: false,
        closest: None,
    }
}

/// The same tensor of both sides.
pub(crate) struct ItemPair<'a> {
    pub reference: &'a mut Side,
    pub candidate: &'a mut Side,
    pub expected: &'a Item,
    pub actual: &'a Item,
    /// The elements of both if they are few, so that they are read once.
    loaded: Option<[Vec<u8>; 2]>,
}

impl<'a> ItemPair<'a> {
    pub fn new(
        [reference, candidate]: [&'a mut Side; 2],
        [expected, actual]: [&'a Item; 2],
    ) -> Self {
        Self { reference, candidate, expected, actual, loaded: None }
    }

    /// How the tensor compares; without `quantiles`, its median and quantiles are NaN.
    pub fn compare(
        &mut self,
        model: Option<&str>,
        options: &Options,
        quantiles: bool,
    ) -> Result<TensorResult, SideError> {
        let (expected, actual) = (self.expected, self.actual);
        if expected.shape != actual.shape || expected.dtype != actual.dtype {
            verify::bits(self.reference, expected)?;
            verify::bits(self.candidate, actual)?;
        }
        if expected.shape != actual.shape {
            let [expected_shape, actual_shape] = [expected, actual].map(|item| item.shape.clone());
            let outcome = Outcome::Shape { expected: expected_shape, actual: actual_shape };
            return Ok(result(expected, outcome));
        }
        if expected.dtype != actual.dtype {
            let [expected_type, actual_type] = [expected, actual].map(|item| item.dtype.clone());
            let outcome = Outcome::Dtype { expected: expected_type, actual: actual_type };
            return Ok(result(expected, outcome));
        }
        let dtype = Dtype::from_name(&expected.dtype);
        let Some(dtype) = dtype.filter(|_| is_kept(expected) && is_kept(actual)) else {
            return self.compare_hashes(options);
        };
        let bytes = byte_count(&expected.shape, dtype);
        if bytes.is_some_and(|bytes| bytes <= BLOCK) {
            let one = self.reference.load(&expected.source)?.unwrap_or_default();
            self.loaded = Some([one, self.candidate.load(&actual.source)?.unwrap_or_default()]);
        }
        // The SHA-256 in a trace is verified, whatever the elements are compared with.
        if expected.recorded.is_some() || actual.recorded.is_some() {
            let (equal, nan) = verify::both(self, dtype)?;
            if equal && (nan == 0 || options.equal_nan) {
                return Ok(result(expected, Outcome::Equal));
            }
        }
        let Key { stage, name, .. } = &expected.key;
        let of = Of { model, stage, name, dtype };
        let largest = || verify::largest(self.reference, expected);
        let resolved =
            tolerance::resolve(of, &options.overrides, options.training.as_ref(), largest)?;
        let (tolerance, equal_nan) = (&resolved.tolerance, options.equal_nan);
        let comparison = elements::compare(self, dtype, tolerance, equal_nan, quantiles)?;
        let outcome = if comparison.is_bit_equal() {
            Outcome::Equal
        } else if comparison.passes() {
            Outcome::Within(comparison)
        } else {
            Outcome::Different(comparison)
        };
        Ok(TensorResult { tolerance: resolved.applied, ..result(expected, outcome) })
    }

    /// Compares the SHA-256 sums, where not both sides have the elements.
    fn compare_hashes(&mut self, options: &Options) -> Result<TensorResult, SideError> {
        let Some((one, other)) = self.bits()? else {
            return Ok(result(self.expected, Outcome::Unknown));
        };
        // Two records of the same bits that disagree: at least one of them counted a NaN.
        let nan = one.nan.max(other.nan);
        let may_be_nan =
            Dtype::from_name(&self.expected.dtype).is_none_or(|dtype| !dtype.is_integer());
        let outcome = match nan {
            _ if one.hashes.sha256 != other.hashes.sha256 => {
                self.hashes_differ(&one.hashes, &other.hashes)
            }
            Some(elements) if elements > 0 && !options.equal_nan => Outcome::Nan { elements },
            _ => Outcome::Equal,
        };
        let nan_unknown = outcome == Outcome::Equal && nan.is_none() && may_be_nan;
        Ok(TensorResult { by_hash: true, nan_unknown, ..result(self.expected, outcome) })
    }

    /// SHA-256 and number of NaN of both, verified where the elements are kept; `None` if they cannot be compared.
    fn bits(&mut self) -> Result<Option<(Bits, Bits)>, SideError> {
        let (expected, actual) = (self.expected, self.actual);
        let mut one = verify::bits(self.reference, expected)?;
        let mut other = verify::bits(self.candidate, actual)?;
        // Only sums of one kind can be compared, and only elements have those of both kinds.
        let [hashing, other_hashing] = [expected, actual].map(verify::hashing);
        if hashing != other_hashing {
            if is_kept(expected) {
                one = verify::computed(self.reference, expected, other_hashing)?;
            } else if is_kept(actual) {
                other = verify::computed(self.candidate, actual, hashing)?;
            } else {
                return Ok(None);
            }
        }
        Ok(one.zip(other))
    }

    fn hashes_differ(&self, expected: &Hashes, actual: &Hashes) -> Outcome {
        let blocks = expected.blocks.as_ref().zip(actual.blocks.as_ref());
        let size = Dtype::from_name(&self.expected.dtype).map(Dtype::size);
        let blocks = blocks.zip(size).and_then(|((expected, actual), size)| {
            let mut differing =
                (0..).zip(expected.iter().zip(actual)).filter(|(_, (one, other))| one != other);
            let (first, _) = differing.next()?;
            let elements = BLOCK / size;
            let of = expected.len();
            let differing = 1 + differing.count();
            Some(Blocks { differing, of, first: first * elements, elements })
        });
        let statistics = self.expected.statistics.zip(self.actual.statistics).map(<[_; 2]>::from);
        Outcome::HashDiffers { blocks, statistics }
    }
}

impl Pair for ItemPair<'_> {
    type Error = SideError;

    fn streams(&mut self) -> Result<(Box<dyn Read + '_>, Box<dyn Read + '_>), SideError> {
        if let Some([expected, actual]) = &self.loaded {
            return Ok((Box::new(&expected[..]), Box::new(&actual[..])));
        }
        // `compare` has made sure that both are kept.
        let nothing = || Box::new(io::empty()) as Box<dyn Read>;
        let expected = self.reference.stream(&self.expected.source)?.unwrap_or_else(nothing);
        let actual = self.candidate.stream(&self.actual.source)?.unwrap_or_else(nothing);
        Ok((expected, actual))
    }
}
