//! The SHA-256 and the number of NaN of an item, verified against its elements.

use std::fmt;
use std::io::Read;
use std::thread;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use stitch_trace::{BLOCK, Digest, Hashes, block_hash};
use tensor_files::Dtype;

use crate::element::for_each_element;
use crate::error::SideError;
use crate::layout::byte_count;
use crate::pair::ItemPair;
use crate::side::{ElementSource, Item, Side};
use crate::stream::for_each_chunk;

/// Bytes that are read at a time.
const PART: u64 = 1 << 18;

/// SHA-256 sums and number of NaN of the elements of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits {
    /// SHA-256 of the elements, row-major, little-endian.
    pub hashes: Hashes,
    /// Number of NaN, if it is known.
    pub nan: Option<usize>,
}

impl fmt::Display for Bits {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        write!(to, "the SHA-256 {}", self.hashes.sha256)?;
        self.nan.map_or(Ok(()), |nan| write!(to, " and {nan} NaN"))
    }
}

/// Whether the elements of an item are kept and its dtype is known.
pub(crate) fn is_kept(item: &Item) -> bool {
    !matches!(item.source, ElementSource::Nowhere) && Dtype::from_name(&item.dtype).is_some()
}

/// How the SHA-256 of a tensor is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hashing {
    /// Of the blocks, if there are several, and of their sums.
    Blocks,
    /// Of the whole: what a trace without blocks may record of a large tensor.
    Whole,
}

/// How the SHA-256 of an item is computed in its trace.
pub(crate) fn hashing(item: &Item) -> Hashing {
    let dtype = Dtype::from_name(&item.dtype);
    let bytes = dtype.and_then(|dtype| byte_count(&item.shape, dtype));
    let is_large = bytes.is_none_or(|bytes| bytes > BLOCK);
    match item.recorded.as_ref().is_some_and(|bits| bits.hashes.blocks.is_none()) && is_large {
        true => Hashing::Whole,
        false => Hashing::Blocks,
    }
}

/// Computes the SHA-256 of a tensor.
enum Hasher {
    Blocks(Digest),
    Whole(Sha256),
}

impl Hasher {
    fn new(hashing: Hashing) -> Self {
        match hashing {
            Hashing::Blocks => Self::Blocks(Digest::default()),
            Hashing::Whole => Self::Whole(Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blocks(digest) => digest.update(bytes),
            Self::Whole(hash) => hash.update(bytes),
        }
    }

    fn finish(self) -> Hashes {
        match self {
            Self::Blocks(digest) => digest.finish(),
            Self::Whole(hash) => Hashes { sha256: HEXLOWER.encode(&hash.finalize()), blocks: None },
        }
    }
}

/// Reads the elements of an item and verifies what its trace records of them; without elements, returns what
/// the trace records. `None` where there is neither.
///
/// # Errors
/// [`SideError::Contradiction`] when the elements do not have the recorded SHA-256; otherwise when they
/// cannot be read.
pub(crate) fn bits(side: &mut Side, item: &Item) -> Result<Option<Bits>, SideError> {
    if !is_kept(item) {
        return Ok(item.recorded.clone());
    }
    let Some(found) = computed(side, item, hashing(item))? else { return Ok(None) };
    check(side, item, &found)?;
    Ok(Some(found))
}

/// The SHA-256 by which tensors of any two sides can be compared, verified if the elements are kept; `None` if it is not
/// known.
///
/// # Errors
/// As [`bits`].
pub(crate) fn comparable(side: &mut Side, item: &Item) -> Result<Option<String>, SideError> {
    let bits = match (bits(side, item)?, hashing(item)) {
        (bits, Hashing::Blocks) => bits,
        (_, Hashing::Whole) if is_kept(item) => computed(side, item, Hashing::Blocks)?,
        (_, Hashing::Whole) => None,
    };
    Ok(bits.map(|bits| bits.hashes.sha256))
}

/// Fails if the elements of an item are not those of its record.
fn check(side: &Side, item: &Item, found: &Bits) -> Result<(), SideError> {
    let Some(recorded) = &item.recorded else { return Ok(()) };
    let nan_fits = recorded.nan.is_none() || recorded.nan == found.nan;
    if recorded.hashes.sha256 == found.hashes.sha256 && nan_fits {
        return Ok(());
    }
    let (path, key) = (side.file_of(item).to_owned(), side.key_of(item));
    let [found, recorded] = [found, recorded].map(|bits| Box::new(bits.clone()));
    Err(SideError::Contradiction { path, key, found, recorded })
}

/// Computed from the elements of an item; `None` where there are none.
pub(crate) fn computed(
    side: &mut Side,
    item: &Item,
    hashing: Hashing,
) -> Result<Option<Bits>, SideError> {
    let (mut hasher, mut nan) = (Hasher::new(hashing), 0);
    let read = for_each_part(side, item, |dtype, part| {
        hasher.update(part);
        nan += dtype.count_nan(part);
    })?;
    Ok(read.then(|| Bits { hashes: hasher.finish(), nan: Some(nan) }))
}

/// Whether all bytes of a pair are equal, and the number of NaN in the reference; both sides are verified.
///
/// # Errors
/// As [`bits`].
pub(crate) fn both(pair: &mut ItemPair, dtype: Dtype) -> Result<(bool, usize), SideError> {
    let items = [pair.expected, pair.actual];
    let hashings = items.map(hashing);
    let (equal, found) = match hashings {
        [Hashing::Blocks, Hashing::Blocks] => in_blocks(pair, dtype)?,
        _ => as_recorded(pair, dtype, hashings)?,
    };
    for (side, (item, found)) in
        [&*pair.reference, &*pair.candidate].into_iter().zip(items.into_iter().zip(&found))
    {
        check(side, item, found)?;
    }
    Ok((equal, found[0].nan.unwrap_or(0)))
}

/// What a lane has found in its blocks.
#[derive(Default)]
struct Lane {
    differ: bool,
    /// Of both sides.
    blocks: Vec<[[u8; 32]; 2]>,
    nan: [usize; 2],
}

impl Lane {
    /// Adds whole blocks, of which the last may be shorter.
    fn add(&mut self, dtype: Dtype, expected: &[u8], actual: &[u8]) {
        for (expected, actual) in expected.chunks(BLOCK).zip(actual.chunks(BLOCK)) {
            let equal = expected == actual;
            self.differ |= !equal;
            let (hash, nan) = (block_hash(expected), dtype.count_nan(expected));
            // Equal bytes need to be hashed once.
            let (other_hash, other_nan) = match equal {
                true => (hash, nan),
                false => (block_hash(actual), dtype.count_nan(actual)),
            };
            self.blocks.push([hash, other_hash]);
            self.nan = [self.nan[0] + nan, self.nan[1] + other_nan];
        }
    }

    fn append(&mut self, other: Self) {
        self.differ |= other.differ;
        self.blocks.extend(other.blocks);
        self.nan = [self.nan[0] + other.nan[0], self.nan[1] + other.nan[1]];
    }
}

/// Whether the bytes are equal, and what both sides are found to be, in blocks that the lanes share.
fn in_blocks(pair: &mut ItemPair, dtype: Dtype) -> Result<(bool, [Bits; 2]), SideError> {
    let mut all = Lane::default();
    for_each_chunk(pair, |expected, actual| {
        let mut lanes = [Lane::default(), Lane::default()];
        // The first half of the blocks for one lane, the second for the other.
        let middle = (expected.len() / 2).next_multiple_of(BLOCK).min(expected.len());
        thread::scope(|scope| {
            let [one, two] = &mut lanes;
            if middle < expected.len() {
                scope.spawn(|| two.add(dtype, &expected[middle..], &actual[middle..]));
            }
            one.add(dtype, &expected[..middle], &actual[..middle]);
        });
        lanes.into_iter().for_each(|lane| all.append(lane));
    })?;
    let found = [0, 1].map(|side| {
        let hashes: Vec<[u8; 32]> = all.blocks.iter().map(|both| both[side]).collect();
        let hashes =
            if hashes.is_empty() { Digest::default().finish() } else { Hashes::of_blocks(&hashes) };
        Bits { hashes, nan: Some(all.nan[side]) }
    });
    Ok((!all.differ, found))
}

/// The same, hashed as each side has recorded it.
fn as_recorded(
    pair: &mut ItemPair,
    dtype: Dtype,
    hashings: [Hashing; 2],
) -> Result<(bool, [Bits; 2]), SideError> {
    let mut equal = true;
    let mut sides = hashings.map(|hashing| (Hasher::new(hashing), 0));
    for_each_chunk(pair, |expected, actual| {
        equal &= expected == actual;
        thread::scope(|scope| {
            for ((hasher, nan), bytes) in sides.iter_mut().zip([expected, actual]) {
                scope.spawn(move || {
                    hasher.update(bytes);
                    *nan += dtype.count_nan(bytes);
                });
            }
        });
    })?;
    Ok((equal, sides.map(|(hasher, nan)| Bits { hashes: hasher.finish(), nan: Some(nan) })))
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
