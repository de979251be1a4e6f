//! IDX files, compressed by gzip or not.

use std::cmp::Ordering;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use stitch::dataset::classes::Classes;
use stitch::fashion_mnist::idx::{
    CHANNELS_MAGIC, IMAGES_MAGIC, IdxError, ImageReader, LABELS_MAGIC,
};
use stitch::fashion_mnist::source::{OFFICIAL, unpack};
use stitch::sha256;
use stitch::stitch_run::counted;
use stitch::tensor_files::Dtype;

use super::contents::{Contents, FileSum, Idx, Label};
use super::sum;
use super::tally::Tally;
use crate::cli::InspectArgs;
use crate::commands::files::open_regular;

/// Bytes at the start of a file that tell its kind: more than the first line of a trace.
pub const START: u64 = 1 << 16;

/// Whether a file of `length` bytes with this start is an IDX file, or compressed by gzip, as no other kind of file is.
pub fn is_idx(start: &[u8], length: u64) -> bool {
    if start.starts_with(&[0x1f, 0x8b]) {
        return true;
    }
    // A safetensors file, with the length of its header first, may start like this, too.
    let header = start.first_chunk().map(|length| u64::from_le_bytes(*length));
    let is_safetensors =
        header.is_some_and(|header| header < length && start.get(8) == Some(&b'{'));
    start.first_chunk().is_some_and(|magic| is_magic(*magic)) && !is_safetensors
}

fn is_magic(magic: [u8; 4]) -> bool {
    [IMAGES_MAGIC, CHANNELS_MAGIC, LABELS_MAGIC].contains(&u32::from_be_bytes(magic))
}

/// The error about an IDX file of numbers that are neither labels nor images: its magic number has their type and the number
/// of dimensions.
pub fn unsupported(start: &[u8]) -> Option<String> {
    let magic @ [0, 0, kind, dimensions @ 1..=16] = *start.first_chunk()? else { return None };
    let kind = match kind {
        0x08 => "uint8",
        0x09 => "int8",
        0x0b => "int16",
        0x0c => "int32",
        0x0d => "float32",
        0x0e => "float64",
        _ => return None,
    };
    // The length of a safetensors header may have these bytes, too; the header follows.
    let is_other = is_magic(magic) || start.get(8) == Some(&b'{');
    (!is_other).then(|| {
        let dimensions = counted(dimensions.into(), "dimension");
        format!(
            "an IDX file of {kind} with {dimensions}, which is not supported: uint8 with 1 dimension (labels) or with 3 or 4 \
             (images) is expected"
        )
    })
}

/// What is in an IDX file.
pub fn contents(file: &Path, args: &InspectArgs) -> Result<Contents> {
    let path = || file.display().to_string();
    let cannot = || format!("{} cannot be read", path());
    let reader = BufReader::with_capacity(1 << 16, open_regular(file)?);
    let (mut unpacked, gzip) = unpack(reader).with_context(cannot)?;
    let mut magic = Vec::new();
    (&mut unpacked).take(4).read_to_end(&mut magic).with_context(cannot)?;
    if let Some(error) = unsupported(&magic) {
        bail!("{}: {error}", path());
    }
    let Some(known) = magic.first_chunk().copied().filter(|magic| is_magic(*magic)) else {
        bail!("{}: compressed by gzip, and not an IDX file: unpack it first", path())
    };
    let is_labels = u32::from_be_bytes(known) == LABELS_MAGIC;
    let from = Cursor::new(magic).chain(unpacked);
    let mut from = Summed { from, bytes: 0, hash: sha256::Sum::default() };
    let mut tally = args.stats.then(|| Tally::new(Dtype::U8));
    let read = match is_labels {
        true => labels(&mut from, tally.as_mut()),
        false => images(&mut from, tally.as_mut()),
    };
    let (count, shape, labels) = read.with_context(path)?;
    let unpacked = FileSum { bytes: from.bytes, sha256: from.hash.finish() };
    let official = OFFICIAL.iter().find(|file| file.sha256 == unpacked.sha256);
    let official = official.map(|file| file.name);
    Ok(Contents::Idx(Box::new(Idx {
        kind: if is_labels { "idx_labels" } else { "idx_images" },
        sum: sum(file)?,
        gzip,
        unpacked,
        official,
        count,
        shape,
        labels: labels.map(|counts| histogram(&counts, official.is_some())),
        statistics: tally.map(|tally| tally.finish()),
    })))
}

/// The number of images or labels, the size of the images, the number of labels of each value.
type Found = (u64, Option<[usize; 3]>, Option<Vec<u64>>);

fn labels(from: &mut impl Read, tally: Option<&mut Tally>) -> Result<Found, IdxError> {
    let mut header = [0; 8];
    from.read_exact(&mut header).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => IdxError::Header(header.len()),
        _ => IdxError::Io(error),
    })?;
    let [.., a, b, c, d] = header;
    let count = u32::from_be_bytes([a, b, c, d]).into();
    if count == 0 {
        return Err(IdxError::Empty("labels"));
    }
    let mut counts = vec![0; 256];
    body(from, "labels", count, tally, |part| {
        part.iter().for_each(|&label| counts[usize::from(label)] += 1);
    })?;
    Ok((count, None, Some(counts)))
}

fn images(from: &mut impl Read, tally: Option<&mut Tally>) -> Result<Found, IdxError> {
    let reader = ImageReader::open(&mut *from)?;
    let (count, shape) = (reader.count() as u64, reader.shape());
    body(from, "images", count * shape.bytes() as u64, tally, |_| {})?;
    Ok((count, Some(shape.sizes()), None))
}

/// Reads the bytes after the header as a stream, of which `expected` are expected. What follows them is not read: a small
/// compressed file may have very many.
fn body(
    from: &mut impl Read,
    what: &'static str,
    expected: u64,
    mut tally: Option<&mut Tally>,
    mut each: impl FnMut(&[u8]),
) -> Result<(), IdxError> {
    let found = sha256::for_each_part(&mut from.take(expected + 1), &mut |part| {
        if let Some(tally) = &mut tally {
            tally.add(part);
        }
        each(part);
    })?;
    match found.cmp(&expected) {
        Ordering::Less => Err(IdxError::Truncated { what, expected, found }),
        Ordering::Greater => Err(IdxError::Trailing { what, expected }),
        Ordering::Equal => Ok(()),
    }
}

/// The labels that occur.
fn histogram(counts: &[u64], is_official: bool) -> Vec<Label> {
    let classes = Classes::fashion_mnist();
    let class = |label: usize| classes.names().get(label).filter(|_| is_official).cloned();
    let occurring = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let label =
        |(label, &count): (usize, &u64)| Label { label: label as u8, class: class(label), count };
    occurring.map(label).collect()
}

/// Computes length and SHA-256 of what is read through it.
struct Summed<R> {
    from: R,
    bytes: u64,
    hash: sha256::Sum,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.bytes += read as u64;
        self.hash.update(&into[..read]);
        Ok(read)
    }
}
