//! `torch.save(model.state_dict(), path)` and `torch.load(path)`: a zip archive, stored not
//! deflated, of a pickle and one record a storage. TorchScript archives are read too: their pickle
//! holds a module instead of a dict.

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::archive::{self, Archive};
use super::location::{FileKind, Index, Location, View};
use super::pickle::{self, Id, Pickler, Rebuilt, Value};
use super::{DIMENSIONS, Metadata, NamedTensor, ReadError, TensorSpec};

/// Folder inside the archive. `torch.save` takes the file's stem; readers take any.
const ROOT: &str = "state_dict";

/// The file for `tensors`: an OrderedDict in the order given. The same tensors give the same
/// bytes.
///
/// # Errors
/// [`ReadError::Zip`] when the archive cannot be built (more than 4 GiB, a name too long).
pub fn write(tensors: &[NamedTensor]) -> Result<Vec<u8>, ReadError> {
    let mut out = Pickler::new();
    out.ordered_dict();
    out.raw(b"(");
    for (i, tensor) in tensors.iter().enumerate() {
        out.string(&tensor.name);
        out.tensor(i, tensor, false);
    }
    out.raw(b"u");
    let pickle = out.finish();
    let mut records = vec![("data.pkl".to_string(), &pickle[..])];
    records.extend(tensors.iter().enumerate().map(|(i, t)| (format!("data/{i}"), &t.data[..])));
    archive::write(ROOT, &records)
}

/// Memory that the values of a pickle and the names of tensors may take; as much as the file is
/// long, if that is more. Weights are far longer than what is said of them.
const MEMORY: u64 = 32 << 20;

/// The tensors of an archive of `length` bytes: the items of its dict, or the parameters and
/// buffers of its module.
pub(super) fn index(reader: &mut (impl Read + Seek), length: u64) -> Result<Index, ReadError> {
    let mut archive = Archive::open(reader)?;
    archive.check_byte_order()?;
    let memory = usize::try_from(length.max(MEMORY)).unwrap_or(usize::MAX);
    let bytes = archive.pickle()?;
    let pickle = pickle::read(&bytes, memory)?;
    if pickle.length < bytes.len() {
        let error = format!(
            "its pickle ends after {} bytes, and {} more follow",
            pickle.length,
            bytes.len() - pickle.length
        );
        return Err(ReadError::NotTensors(error));
    }
    drop(bytes);
    let pickle::Pickle { arena, top, memory, .. } = pickle;
    let (kind, top) = match &arena[top] {
        Value::Dict(items) => (FileKind::StateDict, unwrapped(&arena, items).unwrap_or(top)),
        Value::Object(_) => (FileKind::TorchScript, top),
        _ => return Err(ReadError::NotTensors("the archive holds no dict and no module".into())),
    };
    let (mut tensors, mut storages) = (Vec::new(), Vec::new());
    let mut known = HashMap::new();
    for (name, tensor) in named_tensors(&arena, top, kind, memory)? {
        let Value::Tensor(rebuilt) = &arena[tensor] else { continue };
        let dtype = &rebuilt.dtype;
        let Value::Str(key) = &arena[rebuilt.storage.key] else { continue };
        let storage = archive.record(&format!("data/{key}"))?;
        let view = view(rebuilt);
        let elements = (storage.bytes / dtype.size() as u64) as usize;
        let count = view.as_ref().and_then(|view| view.len_within(elements));
        let (Some(view), Some(count)) = (view, count) else {
            let error = format!("{name} reaches beyond its storage data/{key}");
            return Err(ReadError::NotTensors(error));
        };
        let size = dtype.size() as u64;
        let spec = TensorSpec { name, dtype: *dtype, shape: view.shape.clone() };
        let location = if view.is_contiguous() && count as u64 * size == storage.bytes {
            Location::Plain { at: storage.at, skip: 0, crc: Some(storage.crc) }
        } else {
            let storage = *known.entry(key).or_insert_with(|| {
                storages.push(storage);
                storages.len() - 1
            });
            Location::View { storage, view }
        };
        tensors.push((spec, location));
    }
    Ok(Index { kind, tensors, storages, metadata: Metadata::new() })
}

/// What checkpoints call the state_dict among the other things that they hold.
const STATE_DICTS: [&str; 3] = ["state_dict", "model", "model_state_dict"];

/// The state_dict in a dict of several things, if there is one.
fn unwrapped(arena: &[Value], items: &[(Id, Id)]) -> Option<Id> {
    let inner = |wanted: &str| {
        let is = |&&(key, value): &&(Id, Id)| {
            matches!(&arena[key], Value::Str(key) if **key == *wanted)
                && matches!(&arena[value], Value::Dict(_))
        };
        items.iter().find(is).map(|&(_, value)| value)
    };
    STATE_DICTS.into_iter().find_map(inner)
}

/// Longest name of a tensor, in bytes. A pickle may name one long string many times over.
const LONGEST_NAME: usize = 1024;
/// What each tensor takes besides its name: where it is in the pickle and in the file, its shape.
const EACH: usize =
    size_of::<(String, Id)>() + size_of::<(TensorSpec, Location)>() + 3 * DIMENSIONS * 8;
/// Deepest nesting of modules in modules that is followed.
const DEPTH: usize = 64;

/// Names and places of the tensors below `top`. In a TorchScript module the names of submodules
/// are joined by dots; what is no tensor (flags, hooks, strides) is passed over. In a state_dict
/// everything must be a tensor. The names take at most `memory` bytes.
fn named_tensors(
    arena: &[Value],
    top: Id,
    kind: FileKind,
    mut memory: usize,
) -> Result<Vec<(String, Id)>, ReadError> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), top, 0)];
    while let Some((prefix, id, depth)) = open.pop() {
        let mut inner = Vec::new();
        for &(key, value) in items(arena, id) {
            let Value::Str(key) = &arena[key] else {
                return Err(ReadError::NotTensors("a key is no string".into()));
            };
            let length = prefix.len() + key.len();
            let left = memory.checked_sub(3 * (length + EACH));
            memory = match left.filter(|_| length <= LONGEST_NAME) {
                Some(left) => left,
                None => {
                    let error = "its names are too long, or too many";
                    return Err(ReadError::NotTensors(error.into()));
                }
            };
            // tch's VarStore writes `fc1|weight`, since TorchScript names hold no dots.
            let key = match kind {
                FileKind::TorchScript => key.replace('|', "."),
                _ => key.to_string(),
            };
            let name = format!("{prefix}{key}");
            match &arena[value] {
                Value::Tensor(_) => found.push((name, value)),
                Value::Object(_) if kind == FileKind::TorchScript && depth < DEPTH => {
                    inner.push((format!("{name}."), value, depth + 1));
                }
                _ if kind == FileKind::TorchScript => {}
                _ => {
                    let error = format!(
                        "{name} is no tensor; a state_dict is wanted, or a dict that holds one as \
                         {}",
                        STATE_DICTS.join(", ")
                    );
                    return Err(ReadError::NotTensors(error));
                }
            }
        }
        open.extend(inner.into_iter().rev());
    }
    Ok(found)
}

/// Key and value of each item of a dict, or of each attribute of an object.
fn items(arena: &[Value], id: Id) -> &[(Id, Id)] {
    match &arena[id] {
        Value::Dict(items) => items,
        Value::Object(Some(state)) => match &arena[*state] {
            Value::Dict(items) => items,
            _ => &[],
        },
        _ => &[],
    }
}

/// The view that a pickle describes, unless a number in it is negative.
fn view(rebuilt: &Rebuilt) -> Option<View> {
    let sizes = |numbers: &[i64]| -> Option<Vec<usize>> {
        numbers.iter().map(|&n| usize::try_from(n).ok()).collect()
    };
    let view = View {
        offset: usize::try_from(rebuilt.offset).ok()?,
        shape: sizes(&rebuilt.shape)?,
        stride: sizes(&rebuilt.stride)?,
    };
    (view.shape.len() == view.stride.len()).then_some(view)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use zip::ZipArchive;

    use super::*;
    use crate::{Dtype, read_weights as read};

    fn example() -> Vec<NamedTensor> {
        let tensor = |name: &str, dtype: Dtype, shape: &[usize]| {
            let bytes = shape.iter().product::<usize>() * dtype.size();
            let data = (0..bytes).map(|i| i as u8).collect();
            NamedTensor { name: name.into(), dtype, shape: shape.to_vec(), data }
        };
        vec![
            tensor("fc.weight", Dtype::F32, &[3, 4]),
            tensor("fc.bias", Dtype::F64, &[3]),
            tensor("steps", Dtype::I64, &[]),
        ]
    }

    #[test]
    fn what_is_written_is_read_back_in_order() {
        let file = write(&example()).unwrap();
        assert_eq!(read(&file).unwrap(), example());
    }

    #[test]
    fn writing_twice_gives_identical_bytes() {
        assert_eq!(write(&example()).unwrap(), write(&example()).unwrap());
    }

    #[test]
    fn tensor_bytes_lie_at_multiples_of_64() {
        let file = write(&example()).unwrap();
        let mut zip = ZipArchive::new(Cursor::new(&file[..])).unwrap();
        for i in 0..zip.len() {
            let start = zip.by_index(i).unwrap().data_start().unwrap();
            assert!(start.is_multiple_of(64), "record {i} starts at {start}");
        }
    }

    #[test]
    fn a_truncated_file_is_refused_at_every_length() {
        let file = write(&example()).unwrap();
        for length in 0..file.len() {
            assert!(read(&file[..length]).is_err(), "{length} of {} bytes", file.len());
        }
    }

    #[test]
    fn a_pickle_that_calls_the_system_is_refused_by_name() {
        let pickle = pickle::read(b"cos\nsystem\n(X\x02\x00\x00\x00lstR.", 1 << 20).unwrap();
        assert_eq!(pickle.arena[pickle.top], Value::Opaque("os.system".into()));
    }
}
