//! Checks the central directory of a zip archive. Readers differ in how they find it and which of its fields they use: an
//! archive that two readers could read differently is refused before anything of it is read.

use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use super::ReadError;

/// Most entries of an archive; torch.save writes one per storage.
const ENTRIES: u64 = 1 << 16;
/// Bytes of the record at the end of an archive, without the comment.
const END: usize = 22;
/// Bytes of the two records that a large archive (zip64) has before that: one of 56 bytes, and a locator of 20.
const LARGE_END: usize = 56 + 20;
/// The longest end of an archive, with the longest comment.
const TAIL: u64 = (END + 65_535 + LARGE_END) as u64;
/// Bytes of an entry of the directory, and of the header before its data, without the names.
const ENTRY: usize = 46;
const HEADER: usize = 30;

/// The value of a 32-bit field whose number does not fit.
const FULL: u64 = u32::MAX as u64;
/// A flag of an entry: its sizes and checksum are after its data, not in its header.
const SIZES_AFTER_DATA: u16 = 1 << 3;
/// Flags that say how to read an entry: encrypted, a UTF-8 name.
const FLAGS: u16 = 1 | 1 << 11;
const ENCRYPTED: u16 = 1;
/// Extra fields: sizes of 64 bits, and another name for readers that look for one.
const SIZES_64: u16 = 1;
const OTHER_NAME: u16 = 0x7075;

fn damaged(error: impl Into<String>) -> ReadError {
    ReadError::Zip(error.into())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |&bytes| u16::from_le_bytes(bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |&bytes| u32::from_le_bytes(bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |&bytes| u64::from_le_bytes(bytes))
}

/// Refuses an archive that two readers could read differently. Returns the number of its entries.
pub(super) fn check(reader: &mut (impl Read + Seek)) -> Result<usize, ReadError> {
    let length = reader.seek(SeekFrom::End(0))?;
    let (count, place) = place(reader, length)?;
    let directory = bytes(reader, place.clone())?;
    let mut rest = &directory[..];
    let mut names = HashSet::new();
    let mut places = Vec::new();
    for _ in 0..count {
        let entry;
        (entry, rest) = Entry::parse(rest)?;
        let shown = entry.shown();
        if !names.insert(entry.name) {
            return Err(damaged(format!("{shown} is in it twice")));
        }
        if entry.name.contains(&0) || entry.flags & ENCRYPTED != 0 {
            return Err(damaged(format!("{shown} is encrypted, or its name is not valid")));
        }
        let what = format!("its directory and the header of {shown} contradict each other");
        places.push(entry.place(reader)?.ok_or_else(|| damaged(what))?);
    }
    if !rest.is_empty() {
        return Err(damaged("its directory has more entries than it says"));
    }
    places.sort_by_key(|place| (place.start, place.end));
    let mut end = 0;
    for (i, next) in places.iter().enumerate() {
        if next.start < end || (i == 0 && next.start != 0) {
            return Err(damaged("its entries overlap, or other bytes precede the first"));
        }
        end = next.end;
    }
    match end <= place.start {
        true => Ok(names.len()),
        false => Err(damaged("its entries overlap its directory")),
    }
}

/// The number of entries, and the range of the directory in the file.
fn place(reader: &mut (impl Read + Seek), length: u64) -> Result<(u64, Range<u64>), ReadError> {
    let start = length.saturating_sub(TAIL);
    let tail = bytes(reader, start..length)?;
    let Some(at) = tail.windows(4).rposition(|window| window == b"PK\x05\x06") else {
        return Err(damaged("its directory was not found; is the file truncated?"));
    };
    let end = &tail[at..];
    if end.len() < END || usize::from(u16_at(end, 20)) != end.len() - END {
        return Err(damaged("its directory does not end at the end of the file"));
    }
    let mut before = at;
    let mut place = [u64::from(u16_at(end, 10)), u32_at(end, 12).into(), u32_at(end, 16).into()];
    if let Some(locator) = at.checked_sub(20).filter(|&at| tail[at..].starts_with(b"PK\x06\x07")) {
        let elsewhere = || damaged("its directory does not lie at the end of the file");
        let record = locator.checked_sub(56).ok_or_else(elsewhere)?;
        let bytes = &tail[record..];
        if !bytes.starts_with(b"PK\x06\x06")
            || u64_at(&tail, locator + 8) != start + record as u64
            || u64_at(bytes, 4) != 44
        {
            return Err(elsewhere());
        }
        let large = [u64_at(bytes, 32), u64_at(bytes, 40), u64_at(bytes, 48)];
        let most = [u64::from(u16::MAX), FULL, FULL];
        // Where a number does not fit, the small record has the largest that does.
        let differ = |i: usize| place[i] != large[i] && place[i] != most[i];
        if u64_at(bytes, 24) != large[0] || (0..3).any(differ) {
            return Err(damaged("its two directory records (zip and zip64) differ"));
        }
        (place, before) = (large, record);
    } else if u16_at(end, 8) != u16_at(end, 10) {
        return Err(damaged("it is a part of an archive"));
    }
    let [entries, size, from] = place;
    if entries > ENTRIES {
        return Err(damaged(format!("{entries} entries, where up to {ENTRIES} are read")));
    }
    let end = start + before as u64;
    match from.checked_add(size) == Some(end) {
        true => Ok((entries, from..end)),
        false => Err(damaged("its directory does not lie at the end of the file")),
    }
}

/// Reads a range of the file.
fn bytes(reader: &mut (impl Read + Seek), place: Range<u64>) -> Result<Vec<u8>, ReadError> {
    reader.seek(SeekFrom::Start(place.start))?;
    let length = place.end.saturating_sub(place.start);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    reader.take(length).read_to_end(&mut bytes)?;
    match bytes.len() as u64 == length {
        true => Ok(bytes),
        false => Err(damaged("it ends too early")),
    }
}

/// An entry of the directory.
struct Entry<'a> {
    flags: u16,
    method: u16,
    crc: u32,
    /// Compressed and uncompressed size in bytes.
    sizes: [u64; 2],
    name: &'a [u8],
    /// Offset of its header in the file.
    at: u64,
}

impl<'a> Entry<'a> {
    /// Parses the first entry; returns it and the bytes after it.
    fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ReadError> {
        let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(bytes, at)));
        let length = ENTRY + name + extra + comment;
        if !bytes.starts_with(b"PK\x01\x02") || bytes.len() < length {
            return Err(damaged("its directory has fewer entries than it says"));
        }
        let [packed, size, at] = [20, 24, 42].map(|at| u32_at(bytes, at));
        let mut numbers = [u64::from(packed), size.into(), at.into()];
        let fields = &bytes[ENTRY + name..ENTRY + name + extra];
        // In this order: uncompressed size, compressed size, offset.
        if !extended(fields, &mut numbers, [1, 0, 2]) {
            return Err(damaged("its directory has fields that contradict each other"));
        }
        let [packed, size, at] = numbers;
        let entry = Self {
            flags: u16_at(bytes, 8),
            method: u16_at(bytes, 10),
            crc: u32_at(bytes, 16),
            sizes: [packed, size],
            name: &bytes[ENTRY..ENTRY + name],
            at,
        };
        Ok((entry, &bytes[length..]))
    }

    /// The name for a message.
    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.name[..self.name.len().min(100)]).into_owned()
    }

    /// The range of header and data in the file; `None` if the header differs from the directory.
    fn place(&self, reader: &mut (impl Read + Seek)) -> Result<Option<Range<u64>>, ReadError> {
        let Some(names) = self.at.checked_add(HEADER as u64) else { return Ok(None) };
        let header = bytes(reader, self.at..names)?;
        let [name, extra] = [26, 28].map(|at| u64::from(u16_at(&header, at)));
        let Some(data) = names.checked_add(name + extra) else { return Ok(None) };
        let after = bytes(reader, names..data)?;
        let (name, fields) = after.split_at(name as usize);
        let [packed, size] = [18, 22].map(|at| u32_at(&header, at));
        let crc = u32_at(&header, 14);
        let mut numbers = [u64::from(packed), size.into(), 0];
        let flags = u16_at(&header, 6);
        let after_data = flags & SIZES_AFTER_DATA != 0;
        let known = extended(fields, &mut numbers, [1, 0, 2]) || after_data;
        let unknown = |number: u64| after_data && (number == 0 || number == FULL);
        let sizes = [0, 1].iter().all(|&i| numbers[i] == self.sizes[i] || unknown(numbers[i]));
        let agrees = header.starts_with(b"PK\x03\x04")
            && name == self.name
            && flags & FLAGS == self.flags & FLAGS
            && u16_at(&header, 8) == self.method
            && known
            && sizes
            && (crc == self.crc || (after_data && crc == 0));
        let end = data.checked_add(self.sizes[0]);
        Ok(end.filter(|_| agrees).map(|end| self.at..end))
    }
}

/// Replaces those of `numbers` that are too large for 32 bits, in this order, by those of 64 bits among
/// the extra `fields`. Returns whether the fields are valid.
fn extended(mut fields: &[u8], numbers: &mut [u64; 3], order: [usize; 3]) -> bool {
    let mut seen = false;
    while fields.len() >= 4 {
        let (id, length) = (u16_at(fields, 0), usize::from(u16_at(fields, 2)));
        let Some(field) = fields.get(4..4 + length) else { return false };
        fields = &fields[4 + length..];
        if id == OTHER_NAME || (id == SIZES_64 && seen) {
            return false;
        }
        if id == SIZES_64 {
            seen = true;
            let mut at = 0;
            for i in order {
                if numbers[i] == FULL && at + 8 <= field.len() {
                    numbers[i] = u64_at(field, at);
                    at += 8;
                }
            }
        }
    }
    true
}
