//! `torch.save` before PyTorch 1.6, and with `_use_new_zipfile_serialization=False` since: five
//! pickles (a magic number, a version, the machine, the object, the keys of its storages), then the
//! storages, each after its number of elements.
//!
//! Layout after `_legacy_save` in `torch/serialization.py` of PyTorch 2.13.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};

use super::location::{Index, Storage};
use super::pickle::{self, Pickle, PickleError, Value};
use super::state_dict::{memory_for, views};
use super::{ReadError, locate};

/// LONG1 of 10 bytes, `0x1950a86a20f9469cfc6c`, and STOP.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// Protocol version of `torch.save`; there was no other.
const VERSION: i64 = 1001;

/// Whether a file with this start is of this format. From protocol 4 on, a frame precedes the magic number.
pub(super) fn is_legacy(start: &[u8]) -> bool {
    // A truncated file may end in the number.
    let begins = |rest: &[u8]| {
        let length = rest.len().min(MAGIC.len());
        length > 1 && rest[..length] == MAGIC[..length]
    };
    start.first() == Some(&0x80) && [2, 11].iter().any(|&at| start.get(at..).is_some_and(begins))
}

/// Lists the tensors of a file of `length` bytes.
pub(super) fn index(
    reader: &mut (impl Read + Seek),
    length: u64,
    key: Option<&str>,
) -> Result<Index, ReadError> {
    let memory = memory_for(length);
    let mut at = 0;
    next_pickle(reader, &mut at)?;
    let version = pickle::read(&next_pickle(reader, &mut at)?, memory)?;
    if version.arena[version.top] != Value::Int(VERSION) {
        let error = format!("a .pt file of before PyTorch 1.6, but not of version {VERSION}");
        return Err(ReadError::Unsupported(error));
    }
    // The machine that wrote the file: storages are little-endian in any case.
    next_pickle(reader, &mut at)?;
    let object = pickle::read(&next_pickle(reader, &mut at)?, memory)?;
    let keys = next_pickle(reader, &mut at)?;
    let keys = pickle::read(&keys, object.memory)?;
    let storages = storages(reader, at, length, (&object, &keys))?;
    let found = locate::find(&object, key)?;
    views(&object, found, |key| {
        let missing = || ReadError::Legacy(format!("it has no storage {}", key.escape_debug()));
        storages.get(key).cloned().ok_or_else(missing)
    })
}

/// Locates the storages by their keys; the first is at `at`.
fn storages<'a>(
    reader: &mut (impl Read + Seek),
    mut at: u64,
    length: u64,
    (object, keys): (&'a Pickle, &'a Pickle),
) -> Result<HashMap<&'a str, Storage>, ReadError> {
    let mut sizes = HashMap::new();
    for value in &object.arena {
        let Value::Storage(stored) = value else { continue };
        let Value::Str(key) = &object.arena[stored.key] else { continue };
        sizes.entry(&**key).or_insert(stored.dtype.size() as u64);
    }
    let damaged = |what: String| Err(ReadError::Legacy(what));
    let Value::List(list) = &keys.arena[keys.top] else {
        return damaged("the list of its storages is not a list".into());
    };
    let mut storages = HashMap::new();
    for &key in list {
        let Value::Str(key) = &keys.arena[key] else {
            return damaged("the key of a storage is not a string".into());
        };
        let Some(size) = sizes.get(&**key) else {
            return damaged(format!(
                "nothing says of which type the storage {} is",
                key.escape_debug()
            ));
        };
        let mut count = [0; 8];
        reader.seek(SeekFrom::Start(at))?;
        let bytes = match reader.read_exact(&mut count) {
            Ok(()) => u64::from_le_bytes(count).checked_mul(*size),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error.into()),
        };
        let end = bytes.and_then(|bytes| (at + 8).checked_add(bytes)).filter(|&end| end <= length);
        let Some(end) = end else {
            return damaged(format!("it ends in its storage {}", key.escape_debug()));
        };
        storages.insert(&**key, Storage::plain(at + 8, end - at - 8));
        at = end;
    }
    if at < length {
        let error = format!("{} bytes follow the storages of its first torch.save", length - at);
        return Err(ReadError::Unsupported(error));
    }
    Ok(storages)
}

/// Reads the pickle at `at` and moves `at` to its end. Nothing after the pickle is read.
fn next_pickle(reader: &mut (impl Read + Seek), at: &mut u64) -> Result<Vec<u8>, ReadError> {
    reader.seek(SeekFrom::Start(*at))?;
    let length = pickle_length(&mut BufReader::new(&mut *reader))?;
    reader.seek(SeekFrom::Start(*at))?;
    let mut bytes = Vec::with_capacity(length as usize);
    reader.take(length).read_to_end(&mut bytes)?;
    *at += length;
    Ok(bytes)
}

/// The argument of an opcode.
enum Argument {
    Bytes(u64),
    /// A length of so many bytes, and as many bytes as it says.
    Counted(u64),
    Lines(usize),
}

/// The argument of an opcode of the protocols 0 to 5.
fn argument(opcode: u8) -> Option<Argument> {
    Some(match opcode {
        b'(' | b')' | b'.' | b'0' | b'1' | b'2' | b'N' | b']' | b'a' | b'b' | b'd' | b'}'
        | b'e' | b'l' | b'o' | b'Q' | b'R' | b's' | b't' | b'u' => Argument::Bytes(0),
        0x81 | 0x85..=0x89 | 0x8f..=0x94 | 0x97 | 0x98 => Argument::Bytes(0),
        b'K' | b'h' | b'q' | 0x80 | 0x82 => Argument::Bytes(1),
        b'M' | 0x83 => Argument::Bytes(2),
        b'J' | b'j' | b'r' | 0x84 => Argument::Bytes(4),
        b'G' | 0x95 => Argument::Bytes(8),
        b'U' | b'C' | 0x8a | 0x8c => Argument::Counted(1),
        b'T' | b'X' | b'B' | 0x8b => Argument::Counted(4),
        0x8d | 0x8e | 0x96 => Argument::Counted(8),
        b'F' | b'I' | b'L' | b'P' | b'S' | b'V' | b'g' | b'p' => Argument::Lines(1),
        b'c' | b'i' => Argument::Lines(2),
        _ => return None,
    })
}

/// The length of a pickle in bytes, including STOP.
fn pickle_length(from: &mut impl BufRead) -> Result<u64, ReadError> {
    let mut length = 0;
    loop {
        let at = length;
        let opcode = number(from, 1, &mut length)? as u8;
        match argument(opcode) {
            _ if opcode == b'.' => return Ok(length),
            Some(Argument::Bytes(count)) => skip(from, count, &mut length)?,
            Some(Argument::Counted(bytes)) => {
                let count = number(from, bytes, &mut length)?;
                skip(from, count, &mut length)?;
            }
            Some(Argument::Lines(lines)) => {
                for _ in 0..lines {
                    let read = from.skip_until(b'\n')?;
                    length += read as u64;
                }
            }
            None => return Err(PickleError::Opcode { opcode, at: at as usize }.into()),
        }
    }
}

fn ends() -> ReadError {
    ReadError::Legacy("it ends in a pickle".into())
}

/// Reads a little-endian number of `bytes` bytes.
fn number(from: &mut impl BufRead, bytes: u64, length: &mut u64) -> Result<u64, ReadError> {
    let mut number = Vec::new();
    from.take(bytes).read_to_end(&mut number)?;
    if (number.len() as u64) < bytes {
        return Err(ends());
    }
    *length += bytes;
    Ok(number.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

fn skip(from: &mut impl BufRead, bytes: u64, length: &mut u64) -> Result<(), ReadError> {
    if io::copy(&mut from.take(bytes), &mut io::sink())? < bytes {
        return Err(ends());
    }
    *length += bytes;
    Ok(())
}
