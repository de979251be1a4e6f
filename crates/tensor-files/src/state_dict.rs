//! `.pt` files of `torch.save(model.state_dict(), path)`: a zip archive without compression, of a pickle and one record
//! per storage. TorchScript archives are read in the same way: their pickle holds a module instead of a dict.

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::archive::{self, Archive};
use super::locate::{self, Found};
use super::location::{Index, Location, Storage, View};
use super::pickle::{self, Pickle, Pickler, Rebuilt, Stored, Value};
use super::stream::has_sign;
use super::{Dtype, LONGEST_NAME, NamedTensor, ReadError, TensorSpec};

/// Folder inside the archive. `torch.save` uses the stem of the file's name; readers accept any.
const ROOT: &str = "state_dict";

/// Returns the bytes of a `.pt` file with an `OrderedDict` of `tensors` in the order given, which
/// `torch.load(weights_only=True)` reads. The same tensors give the same bytes.
///
/// # Errors
/// [`ReadError::Length`]; [`ReadError::Name`] for a name of more than [`LONGEST_NAME`] bytes; [`ReadError::Zip`] when the
/// archive cannot be built (a tensor of 4 GiB or more).
pub fn write(tensors: &[NamedTensor]) -> Result<Vec<u8>, ReadError> {
    tensors.iter().try_for_each(NamedTensor::check_length)?;
    tensors.iter().try_for_each(check_name)?;
    let mut out = Pickler::new();
    out.ordered_dict();
    out.raw(b"(");
    for (i, tensor) in tensors.iter().enumerate() {
        out.string(&tensor.name);
        out.tensor_of_any_type(i, tensor);
    }
    out.raw(b"u");
    let pickle = out.finish();
    let mut records = vec![("data.pkl".to_string(), &pickle[..])];
    records.extend(tensors.iter().enumerate().map(|(i, t)| (format!("data/{i}"), &t.data[..])));
    archive::write(ROOT, &records)
}

/// Refuses a name that is too long for the reader.
fn check_name(tensor: &NamedTensor) -> Result<(), ReadError> {
    let (name, length) = (&tensor.name, tensor.name.len());
    match length <= LONGEST_NAME {
        true => Ok(()),
        false => Err(ReadError::Name {
            name: name.clone(),
            format: "a .pt file",
            why: format!("it has {length} bytes, where at most {LONGEST_NAME} are read"),
        }),
    }
}

/// Bytes of memory that the values of a pickle and the names of tensors may take; the size of the file, if that is
/// more. Weights are far larger than their description.
const MEMORY: u64 = 32 << 20;

/// Memory for the pickle of a file of `length` bytes.
pub(super) fn memory_for(length: u64) -> usize {
    usize::try_from(length.max(MEMORY)).unwrap_or(usize::MAX)
}

/// Lists the tensors of an archive of `length` bytes: those under `key`, the items of its only dict of tensors, or the
/// parameters and buffers of its module.
pub(super) fn index(
    reader: &mut (impl Read + Seek),
    length: u64,
    key: Option<&str>,
) -> Result<Index, ReadError> {
    let mut archive = Archive::open(reader)?;
    let big_endian = archive.is_big_endian()?;
    let bytes = archive.pickle()?;
    let pickle = whole(pickle::read(&bytes, memory_for(length))?, &bytes)?;
    drop(bytes);
    let found = locate::find(&pickle, key)?;
    views(&pickle, found, |key| {
        archive.record(&format!("data/{key}")).map(|storage| Storage { big_endian, ..storage })
    })
}

/// Refuses a pickle that ends before `bytes` do.
pub(super) fn whole(pickle: Pickle, bytes: &[u8]) -> Result<Pickle, ReadError> {
    match bytes.len().saturating_sub(pickle.length) {
        0 => Ok(pickle),
        more => Err(ReadError::Unsupported(format!(
            "its pickle ends after {} bytes, and {more} more follow",
            pickle.length
        ))),
    }
}

/// Locates the tensors that were found, as views of their storages. `storage` locates the storage with a key.
pub(super) fn views(
    pickle: &Pickle,
    found: Found,
    mut storage: impl FnMut(&str) -> Result<Storage, ReadError>,
) -> Result<Index, ReadError> {
    let (mut tensors, mut storages) = (Vec::new(), Vec::new());
    let (mut known, mut dtypes) = (HashMap::new(), HashMap::new());
    for (name, tensor) in found.tensors {
        let Value::Tensor(rebuilt) = &pickle.arena[tensor] else { continue };
        let &Rebuilt { dtype, negative, conjugate, .. } = &**rebuilt;
        let Value::Str(key) = &pickle.arena[rebuilt.storage.key] else { continue };
        let storage = storage(key)?;
        check_storage(key, rebuilt.storage, &storage, &mut dtypes)?;
        let view = view(rebuilt);
        let elements = (storage.bytes / dtype.size() as u64) as usize;
        let count = view.as_ref().and_then(|view| view.len_within(elements));
        let (Some(view), Some(count)) = (view, count) else {
            let name = name.escape_debug();
            let error = format!("{name} reaches beyond its storage {}", key.escape_debug());
            return Err(ReadError::Unsupported(error));
        };
        if (negative && !has_sign(dtype)) || (conjugate && dtype.part().is_none()) {
            let what = if negative { "negative" } else { "conjugate" };
            let name = name.escape_debug();
            let error = format!("{name} is the {what} of {dtype}, which has none");
            return Err(ReadError::Unsupported(error));
        }
        let spec = TensorSpec { name, dtype, shape: view.shape.clone() };
        let is_whole = view.is_contiguous() && count as u64 * dtype.size() as u64 == storage.bytes;
        let location = if is_whole && !negative && !conjugate {
            Location::Whole(storage)
        } else {
            let storage = *known.entry(key).or_insert_with(|| {
                storages.push(storage);
                storages.len() - 1
            });
            Location::View { storage, view, negative, conjugate }
        };
        tensors.push((spec, location));
    }
    let Found { kind, key, skipped, .. } = found;
    Ok(Index { storages, key, skipped, ..Index::new(kind, tensors) })
}

/// Refuses a storage whose length or type is not always the same: readers differ in whether they use the length of the
/// record or of the pickle, and the first type or each.
pub(super) fn check_storage<'a>(
    key: &'a str,
    said: Stored,
    storage: &Storage,
    dtypes: &mut HashMap<&'a str, Dtype>,
) -> Result<(), ReadError> {
    let bytes = u64::try_from(said.count).ok();
    let bytes = bytes.and_then(|count| count.checked_mul(said.dtype.size() as u64));
    if bytes != Some(storage.bytes) {
        let error = format!(
            "its storage {} has {} bytes, where the pickle says {} elements of {}",
            key.escape_debug(),
            storage.bytes,
            said.count,
            said.dtype
        );
        return Err(ReadError::Unsupported(error));
    }
    let first = *dtypes.entry(key).or_insert(said.dtype);
    if first != said.dtype {
        let (key, other) = (key.escape_debug(), said.dtype);
        let error = format!("its storage {key} is of the type {first} and of the type {other}");
        return Err(ReadError::Unsupported(error));
    }
    Ok(())
}

/// The view that a pickle describes, unless a number in it is negative.
pub(super) fn view(rebuilt: &Rebuilt) -> Option<View> {
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
    use crate::read_weights as read;

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
    fn written_tensors_are_read_back_in_order() {
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
    fn data_of_another_length_than_the_shape_are_not_written() {
        for (shape, expected) in [(vec![2], 8), (vec![usize::MAX, 2], usize::MAX)] {
            let tensor =
                NamedTensor { name: "w".into(), dtype: Dtype::F32, shape, data: vec![0; 12] };
            let tensors = [tensor];
            let program = crate::torchscript::Program::default();
            for written in [
                write(&tensors),
                crate::npz::write(&tensors),
                crate::torchscript::write(&program, &tensors),
                crate::safetensors::write(&tensors, &crate::Metadata::new()),
            ] {
                let error = written.unwrap_err().to_string();
                let said =
                    format!("w has 12 bytes of data, where its shape and type need {expected}");
                assert_eq!(error, said);
            }
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
