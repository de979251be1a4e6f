//! The SHA-256 and the number of NaN of an item, verified against its elements.

use std::fmt;
use std::io::Read;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tensor_files::Dtype;

use crate::element::for_each_element;
use crate::error::SideError;
use crate::side::{ElementSource, Item, Side};

/// Bytes that are read at a time.
const PART: u64 = 1 << 18;

/// SHA-256 and number of NaN of the elements of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits {
    /// SHA-256 of the elements, row-major, little-endian, in lower-case hex.
    pub sha256: String,
    /// Number of NaN, if it is known.
    pub nan: Option<usize>,
}

impl fmt::Display for Bits {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "the SHA-256 {}", self.sha256)?;
        self.nan.map_or(Ok(()), |nan| write!(to, " and {nan} NaN"))
    }
}

/// Whether the elements of an item are kept and its dtype is known.
pub(crate) fn is_kept(item: &Item) -> bool {
    !matches!(item.source, ElementSource::Nowhere) && Dtype::from_name(&item.dtype).is_some()
}

/// Reads the elements of an item and verifies what its trace records of them; without elements, returns what
/// the trace records. `None` where there is neither.
///
/// # Errors
/// [`SideError::Contradiction`] when the elements do not have the recorded SHA-256; otherwise when they
/// cannot be read.
pub(crate) fn bits(side: &mut Side, item: &Item) -> Result<Option<Bits>, SideError> {
    let recorded = item.sha256.clone().map(|sha256| Bits { sha256, nan: item.nan });
    if !is_kept(item) {
        return Ok(recorded);
    }
    let Some(found) = read(side, item)? else { return Ok(recorded) };
    if let Some(recorded) = recorded {
        let nan_fits = recorded.nan.is_none() || recorded.nan == found.nan;
        if recorded.sha256 != found.sha256 || !nan_fits {
            let (path, key) = (side.file_of(item).to_owned(), side.key_of(item));
            let [found, recorded] = [found, recorded].map(Box::new);
            return Err(SideError::Contradiction { path, key, found, recorded });
        }
    }
    Ok(Some(found))
}

fn read(side: &mut Side, item: &Item) -> Result<Option<Bits>, SideError> {
    let (mut hash, mut nan) = (Sha256::new(), 0);
    let read = for_each_part(side, item, |dtype, part| {
        hash.update(part);
        nan += dtype.count_nan(part);
    })?;
    Ok(read.then(|| Bits { sha256: HEXLOWER.encode(&hash.finalize()), nan: Some(nan) }))
}

/// The largest magnitude of the elements that are not NaN; 0 without any.
pub(crate) fn largest(side: &mut Side, item: &Item) -> Result<f64, SideError> {
    let mut largest = 0.0f64;
    for_each_part(side, item, |dtype, part| {
        for_each_element(dtype, part, part, |values| largest = largest.max(values.values.0.abs()));
    })?;
    Ok(largest)
}

/// Reads the elements of an item in parts of whole elements; false where there are none.
fn for_each_part(
    side: &mut Side,
    item: &Item,
    mut each: impl FnMut(Dtype, &[u8]),
) -> Result<bool, SideError> {
    let Some(dtype) = Dtype::from_name(&item.dtype) else { return Ok(false) };
    let Some(mut stream) = side.stream(&item.source)? else { return Ok(false) };
    // A multiple of every element's size.
    let mut part = Vec::with_capacity(PART as usize);
    loop {
        part.clear();
        (&mut stream).take(PART).read_to_end(&mut part)?;
        if part.is_empty() {
            return Ok(true);
        }
        each(dtype, &part);
    }
}
