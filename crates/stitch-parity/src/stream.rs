//! Two tensors as streams, read in chunks that two threads share.

use std::io::{self, Read};
use std::thread;

use tensor_files::Dtype;

/// Bytes that are read at a time; a multiple of every element's size.
const CHUNK: u64 = 1 << 20;

/// Two streams of equal length that can be read from the start as often as needed.
pub(crate) trait Pair {
    /// Why a stream could not be opened or read.
    type Error: From<io::Error>;

    /// The elements of the expected and of the actual tensor, row-major, little-endian.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    #[allow(clippy::type_complexity)] // Two boxed readers, nothing more.
    fn streams(&mut self) -> Result<(Box<dyn Read + '_>, Box<dyn Read + '_>), Self::Error>;
}

/// Reads both streams to their end, in chunks of one length.
pub(super) fn for_each_chunk<P: Pair>(
    pair: &mut P,
    mut each: impl FnMut(&[u8], &[u8]),
) -> Result<(), P::Error> {
    let (mut expected, mut actual) = pair.streams()?;
    let (mut left, mut right) = (Vec::new(), Vec::new());
    loop {
        for (from, buffer) in [(&mut expected, &mut left), (&mut actual, &mut right)] {
            buffer.clear();
            from.take(CHUNK).read_to_end(buffer)?;
        }
        if left.len() != right.len() {
            let error = "one of two tensors of one shape ends before the other";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error).into());
        }
        if left.is_empty() {
            return Ok(());
        }
        each(&left, &right);
    }
}

/// Bytes that are not worth a second thread.
const SMALL: usize = 1 << 15;
/// Parts of a chunk that are worked on at once. A fixed number, so that sums are the same on every
/// machine.
pub(super) const LANES: usize = 2;

/// Shares a chunk between the lanes: each gets its elements and where they begin in the chunk.
pub(super) fn in_lanes<T: Send>(
    lanes: &mut [T; LANES],
    dtype: Dtype,
    expected: &[u8],
    actual: &[u8],
    work: impl Fn(&mut T, usize, &[u8], &[u8]) + Sync,
) {
    let [one, two] = lanes;
    // A thread takes longer to begin than this to end.
    if expected.len() < SMALL {
        return work(one, 0, expected, actual);
    }
    let offset = expected.len() / dtype.size() / 2;
    let (expected, actual) =
        (expected.split_at(offset * dtype.size()), actual.split_at(offset * dtype.size()));
    thread::scope(|scope| {
        scope.spawn(|| work(one, 0, expected.0, actual.0));
        work(two, offset, expected.1, actual.1);
    });
}
