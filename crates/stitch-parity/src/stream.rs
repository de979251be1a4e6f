//! Two tensors as streams, read in chunks that two threads share.

use std::io::{self, Read};
use std::{mem, thread};

use stitch_trace::BLOCK;
use tensor_files::Dtype;

/// Bytes that are read at a time: whole blocks of a trace, enough for a thread to be worth it.
pub(super) const CHUNK: usize = 2 * BLOCK;

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

/// A chunk of both streams.
#[derive(Default)]
struct Chunk {
    expected: Vec<u8>,
    actual: Vec<u8>,
}

impl Chunk {
    /// Reads the next chunk in place of this one.
    fn read(&mut self, expected: &mut impl Read, actual: &mut impl Read) -> io::Result<()> {
        self.expected.clear();
        expected.take(CHUNK as u64).read_to_end(&mut self.expected)?;
        self.actual.clear();
        actual.take(CHUNK as u64).read_to_end(&mut self.actual)?;
        if self.expected.len() == self.actual.len() {
            return Ok(());
        }
        let error = "one of two tensors of one shape ends before the other";
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, error))
    }
}

/// Reads both streams to their end, in chunks of one length. The next chunk is read while `each` works on one.
pub(super) fn for_each_chunk<P: Pair>(
    pair: &mut P,
    mut each: impl FnMut(&[u8], &[u8]) + Send,
) -> Result<(), P::Error> {
    let (mut expected, mut actual) = pair.streams()?;
    let (mut chunk, mut next) = (Chunk::default(), Chunk::default());
    chunk.read(&mut expected, &mut actual)?;
    while chunk.expected.len() == CHUNK {
        thread::scope(|scope| {
            scope.spawn(|| each(&chunk.expected, &chunk.actual));
            next.read(&mut expected, &mut actual)
        })?;
        mem::swap(&mut chunk, &mut next);
    }
    if !chunk.expected.is_empty() {
        each(&chunk.expected, &chunk.actual);
    }
    Ok(())
}

/// Bytes that are not worth a second thread.
const SMALL: usize = 1 << 17;
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
