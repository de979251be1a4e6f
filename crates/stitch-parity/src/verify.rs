//! The SHA-256 and the number of NaN of an item, checked against its elements.

use std::io::Read;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tensor_files::Dtype;

use crate::element::for_each_element;
use crate::side::{ElementSource, Item, Side, SideError};

/// Bytes that are read at a time.
const PART: u64 = 1 << 18;

/// What is known of an item's bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bits {
    /// SHA-256 of the elements, in hex.
    pub sha256: String,
    /// Number of NaN, where it is known.
    pub nan: Option<usize>,
}

/// Whether the elements of an item are there, with a type that is known.
pub(crate) fn is_kept(item: &Item) -> bool {
    !matches!(item.source, ElementSource::Nowhere) && Dtype::from_name(&item.dtype).is_some()
}

/// Reads the elements of an item and checks what a trace says of them; without elements, what the trace
/// says. `None` where there is neither.
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
            let said = |Bits { sha256, nan }: &Bits| match nan {
                Some(nan) => format!("the SHA-256 {sha256} and {nan} NaN"),
                None => format!("the SHA-256 {sha256}"),
            };
            let what = format!(
                "the elements of {} contradict their record: they have {}, the record says {}; the trace was \
                 changed or damaged after the run, or its recorder is wrong",
                side.key_of(item),
                said(&found),
                said(&recorded),
            );
            let path = side.file_of(item).to_owned();
            return Err(SideError::Contradiction { path, what });
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

/// The greatest magnitude of the elements that are numbers; 0 without any.
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
