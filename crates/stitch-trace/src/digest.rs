//! SHA-256 sums and statistics of the elements of a tensor, computed as the elements come.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tensor_files::Dtype;

/// Length in bytes of a block of a large tensor; the last block may be shorter.
pub const BLOCK: usize = 1 << 20;

/// Bytes of a SHA-256.
type Hash = [u8; 32];

/// The SHA-256 of a block.
pub fn block_hash(block: &[u8]) -> Hash {
    Sha256::digest(block).into()
}

/// The SHA-256 sums of a tensor, as a record has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// Of the whole tensor; of one of more than [`BLOCK`] bytes, that of the sums of its blocks, 32 bytes each.
    pub sha256: String,
    /// Of each block; `None` for tensors of at most [`BLOCK`] bytes.
    pub blocks: Option<Vec<String>>,
}

impl Hashes {
    /// Of the blocks of a tensor; without one, it has no elements.
    pub fn of_blocks(blocks: &[Hash]) -> Self {
        let hex = |hash: &[u8]| HEXLOWER.encode(hash);
        match blocks {
            [] => Self { sha256: hex(&block_hash(&[])), blocks: None },
            [one] => Self { sha256: hex(one), blocks: None },
            all => {
                let sha256 = hex(&Sha256::digest(all.as_flattened()));
                Self { sha256, blocks: Some(all.iter().map(|hash| hex(hash)).collect()) }
            }
        }
    }
}

/// Computes the sums of a tensor.
#[derive(Debug, Clone, Default)]
pub struct Digest {
    block: Sha256,
    /// Bytes of the block so far.
    length: usize,
    blocks: Vec<Hash>,
}

impl Digest {
    /// Adds elements.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.length == BLOCK {
                self.blocks.push(self.block.finalize_reset().into());
                self.length = 0;
            }
            let (part, rest) = bytes.split_at(bytes.len().min(BLOCK - self.length));
            self.block.update(part);
            self.length += part.len();
            bytes = rest;
        }
    }

    /// The sums of all elements.
    pub fn finish(mut self) -> Hashes {
        self.blocks.push(self.block.finalize().into());
        Hashes::of_blocks(&self.blocks)
    }
}

/// Statistics of the elements of a tensor, such as one whose elements are not kept. All but `inf` are of the finite
/// elements, in float64, and absent where they are not finite themselves.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Statistics {
    /// Number of infinities.
    pub inf: usize,
    /// The smallest element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Square root of the sum of squares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<f64>,
}

/// Hashes that are kept side by side, which a compiler turns into vectors.
const LANES: usize = 8;

/// Computes [`Statistics`] of the elements of a tensor as they come.
///
/// ```
/// use stitch_trace::{Dtype, StatisticsTally};
///
/// let mut tally = StatisticsTally::new();
/// tally.add(Dtype::F32, &[1.0f32, 4.0, f32::NAN].map(f32::to_le_bytes).concat());
/// let statistics = tally.finish();
/// assert_eq!((statistics.min, statistics.max, statistics.mean), (Some(1.0), Some(4.0), Some(2.5)));
/// ```
#[derive(Debug, Clone)]
pub struct StatisticsTally {
    inf: usize,
    finite: usize,
    min: [f64; LANES],
    max: [f64; LANES],
    sum: [f64; LANES],
    squares: [f64; LANES],
}

impl Default for StatisticsTally {
    fn default() -> Self {
        Self::new()
    }
}

impl StatisticsTally {
    /// Without elements yet.
    pub fn new() -> Self {
        let (min, max) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
        Self { inf: 0, finite: 0, min, max, sum: [0.0; LANES], squares: [0.0; LANES] }
    }

    /// Adds elements of a real type, little-endian. `bytes` must be whole elements.
    pub fn add(&mut self, dtype: Dtype, bytes: &[u8]) {
        match dtype {
            Dtype::F32 => self.typed::<4>(bytes, |x| f32::from_le_bytes(x).into()),
            Dtype::F64 => self.typed::<8>(bytes, f64::from_le_bytes),
            _ => match dtype.size() {
                1 => self.typed::<1>(bytes, |[x]| dtype.number(x.into())),
                2 => self.typed::<2>(bytes, |x| dtype.number(u16::from_le_bytes(x).into())),
                4 => self.typed::<4>(bytes, |x| dtype.number(u32::from_le_bytes(x).into())),
                _ => self.typed::<8>(bytes, |x| dtype.number(u64::from_le_bytes(x))),
            },
        }
    }

    #[inline(always)]
    fn typed<const SIZE: usize>(&mut self, bytes: &[u8], number: impl Fn([u8; SIZE]) -> f64) {
        for chunk in bytes.as_chunks::<SIZE>().0.chunks(LANES) {
            for (lane, &element) in chunk.iter().enumerate() {
                let x = number(element);
                let finite = x.is_finite();
                self.inf += usize::from(x.is_infinite());
                self.finite += usize::from(finite);
                self.min[lane] = if finite { self.min[lane].min(x) } else { self.min[lane] };
                self.max[lane] = if finite { self.max[lane].max(x) } else { self.max[lane] };
                let x = if finite { x } else { 0.0 };
                self.sum[lane] += x;
                self.squares[lane] += x * x;
            }
        }
    }

    /// The statistics of all elements.
    pub fn finish(&self) -> Statistics {
        let finite = |x: f64| Some(x).filter(|x| x.is_finite());
        let sum = |lanes: [f64; LANES]| lanes.iter().sum::<f64>();
        Statistics {
            inf: self.inf,
            min: finite(self.min.iter().copied().fold(f64::INFINITY, f64::min)),
            max: finite(self.max.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            mean: finite(sum(self.sum) / self.finite as f64),
            norm: finite(sum(self.squares).sqrt()).filter(|_| self.finite > 0),
        }
    }
}
