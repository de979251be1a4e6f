//! `torch.save(model.state_dict(), path)` and `torch.load(path)`: a zip archive, stored not
//! deflated, of a pickle and one record a storage.
//!
//! Layout after `torch/serialization.py` and `caffe2/serialize/inline_container.cc` of PyTorch
//! 2.13: `<name>/data.pkl`, `<name>/byteorder`, `<name>/data/0…`, `<name>/version`, tensor bytes
//! aligned to 64 so that `mmap=True` works.

use std::collections::HashMap;
use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::pickle::{self, Value};
use super::{Dtype, NamedTensor, ReadError};

/// Folder inside the archive. `torch.save` takes the file's stem; readers take any.
const ROOT: &str = "state_dict";
/// `kProducedFileFormatVersion`'s lowest value that torch.load of any version since 1.6 reads.
const VERSION: &str = "3\n";
const ALIGNMENT: u16 = 64;

/// The file for `tensors`: an OrderedDict in the order given. The same tensors give the same
/// bytes.
///
/// # Errors
/// [`ReadError::Zip`] when the archive cannot be built (more than 4 GiB, a name too long).
pub fn write(tensors: &[NamedTensor]) -> Result<Vec<u8>, ReadError> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut record = |name: &str, bytes: &[u8]| {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .with_alignment(ALIGNMENT);
        zip.start_file(format!("{ROOT}/{name}"), options)?;
        zip.write_all(bytes).map_err(zip::result::ZipError::from)
    };
    let mut records = || {
        record("data.pkl", &pickle_of(tensors))?;
        record("byteorder", b"little")?;
        for (i, tensor) in tensors.iter().enumerate() {
            record(&format!("data/{i}"), &tensor.data)?;
        }
        record("version", VERSION.as_bytes())
    };
    records().map_err(damaged)?;
    Ok(zip.finish().map_err(damaged)?.into_inner())
}

fn damaged(error: impl std::fmt::Display) -> ReadError {
    ReadError::Zip(error.to_string())
}

/// The pickle (protocol 2) of an OrderedDict of tensors, tensor `i` in record `data/i`.
fn pickle_of(tensors: &[NamedTensor]) -> Vec<u8> {
    let mut out = vec![0x80, 2];
    ordered_dict(&mut out);
    out.push(b'(');
    for (i, tensor) in tensors.iter().enumerate() {
        string(&mut out, &tensor.name);
        global(&mut out, "torch._utils", "_rebuild_tensor_v2");
        out.push(b'(');
        out.push(b'(');
        string(&mut out, "storage");
        global(&mut out, "torch", storage_class(tensor.dtype));
        string(&mut out, &i.to_string());
        string(&mut out, "cpu");
        int(&mut out, tensor.len());
        out.extend(b"tQ");
        int(&mut out, 0);
        ints(&mut out, &tensor.shape);
        ints(&mut out, &contiguous_stride(&tensor.shape));
        // requires_grad=False, no backward hooks.
        out.push(0x89);
        ordered_dict(&mut out);
        out.extend(b"tR");
    }
    out.extend(b"u.");
    out
}

fn storage_class(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F16 => "HalfStorage",
        Dtype::BF16 => "BFloat16Storage",
        Dtype::F32 => "FloatStorage",
        Dtype::F64 => "DoubleStorage",
        Dtype::I64 => "LongStorage",
    }
}

fn global(out: &mut Vec<u8>, module: &str, name: &str) {
    out.extend(format!("c{module}\n{name}\n").bytes());
}

/// `OrderedDict()`: the class, an empty tuple, a call.
fn ordered_dict(out: &mut Vec<u8>) {
    global(out, "collections", "OrderedDict");
    out.extend(b")R");
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.bytes());
}

/// BININT where it fits, else LONG1.
fn int(out: &mut Vec<u8>, value: usize) {
    match i32::try_from(value) {
        Ok(value) => {
            out.push(b'J');
            out.extend(value.to_le_bytes());
        }
        Err(_) => {
            out.extend([0x8a, 8]);
            out.extend((value as i64).to_le_bytes());
        }
    }
}

fn ints(out: &mut Vec<u8>, values: &[usize]) {
    out.push(b'(');
    values.iter().for_each(|&value| int(out, value));
    out.push(b't');
}

/// Elements to step over for each dimension of a row-major tensor.
fn contiguous_stride(shape: &[usize]) -> Vec<usize> {
    let mut stride = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        stride[i - 1] = stride[i] * shape[i];
    }
    stride
}

/// The tensors of a state_dict file, in its order.
///
/// # Errors
/// Any but [`ReadError::Safetensors`]: a damaged archive, a pickle with anything but tensors in
/// it, a tensor that reaches beyond its storage.
pub fn read(bytes: &[u8]) -> Result<Vec<NamedTensor>, ReadError> {
    let mut archive = Archive::open(bytes)?;
    let (arena, top) = pickle::read(&archive.record("data.pkl")?)?;
    let Value::Dict(items) = &arena[top] else {
        return Err(ReadError::NotAStateDict("the file holds no dict".into()));
    };
    let mut storages: HashMap<&str, Vec<u8>> = HashMap::new();
    let mut tensors = Vec::new();
    for &(key, value) in items {
        let Value::Str(name) = &arena[key] else {
            return Err(ReadError::NotAStateDict("a key is no string".into()));
        };
        let Value::Tensor { storage, offset, shape, stride } = &arena[value] else {
            return Err(ReadError::NotAStateDict(format!("{name} is no tensor")));
        };
        // Machine::tensor has made sure that it is a storage.
        let Value::Storage { dtype, key, .. } = &arena[*storage] else { continue };
        if !storages.contains_key(key.as_str()) {
            storages.insert(key, archive.record(&format!("data/{key}"))?);
        }
        let data = gather(&storages[key.as_str()], dtype.size(), *offset, shape, stride)
            .ok_or_else(|| {
                ReadError::NotAStateDict(format!("{name} reaches beyond its storage data/{key}"))
            })?;
        let shape = shape.iter().map(|&size| size as usize).collect();
        tensors.push(NamedTensor { name: name.clone(), dtype: *dtype, shape, data });
    }
    Ok(tensors)
}

/// A `.pt` archive, with the name of its one top folder.
struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    root: String,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
        let pickle = zip.file_names().flatten().find_map(|name| {
            name.strip_suffix("/data.pkl").filter(|root| !root.contains('/')).map(str::to_owned)
        });
        match pickle {
            Some(root) => Ok(Self { zip, root }),
            None => Err(ReadError::NotAStateDict("the archive holds no data.pkl".into())),
        }
    }

    /// The bytes of a record, which must be stored: so it is never larger than the file.
    fn record(&mut self, name: &str) -> Result<Vec<u8>, ReadError> {
        let path = format!("{}/{name}", self.root);
        let mut file = self.zip.by_name(&path).map_err(damaged)?;
        if file.compression() != CompressionMethod::Stored {
            return Err(ReadError::Zip(format!(
                "{path} is compressed, which torch.save never does"
            )));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(damaged)?;
        Ok(bytes)
    }
}

/// The elements of a strided view, row-major; `None` when it reaches beyond the storage or would
/// be larger than it.
fn gather(
    storage: &[u8],
    size: usize,
    offset: i64,
    shape: &[i64],
    stride: &[i64],
) -> Option<Vec<u8>> {
    if shape.len() != stride.len() {
        return None;
    }
    let sizes = shape.iter().map(|&n| usize::try_from(n).ok());
    let sizes = sizes.collect::<Option<Vec<_>>>()?;
    let strides = stride.iter().map(|&n| usize::try_from(n).ok());
    let strides = strides.collect::<Option<Vec<_>>>()?;
    let count = sizes.iter().try_fold(1usize, |count, &n| count.checked_mul(n))?;
    let offset = usize::try_from(offset).ok()?;
    let elements = storage.len() / size;
    if count > elements {
        return None;
    }
    if count == 0 {
        return Some(Vec::new());
    }
    let reach = sizes
        .iter()
        .zip(&strides)
        .try_fold(offset, |reach, (&n, &stride)| reach.checked_add((n - 1).checked_mul(stride)?))?;
    if reach >= elements {
        return None;
    }
    if strides == contiguous_stride(&sizes) {
        return Some(storage[offset * size..(offset + count) * size].to_vec());
    }
    let mut out = Vec::with_capacity(count * size);
    let mut index = vec![0; sizes.len()];
    for _ in 0..count {
        let at = offset + index.iter().zip(&strides).map(|(&i, &stride)| i * stride).sum::<usize>();
        out.extend_from_slice(&storage[at * size..(at + 1) * size]);
        for (i, &n) in index.iter_mut().zip(&sizes).rev() {
            *i += 1;
            if *i < n {
                break;
            }
            *i = 0;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_transposed_view_is_read_row_major() {
        let storage: Vec<u8> = (0..6).collect();
        assert_eq!(gather(&storage, 1, 0, &[3, 2], &[1, 3]).unwrap(), [0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn a_view_beyond_its_storage_is_refused() {
        assert!(gather(&[0; 8], 4, 1, &[2], &[1]).is_none());
        assert!(gather(&[0; 8], 4, 0, &[1 << 40], &[0]).is_none());
        assert!(gather(&[0; 8], 4, 0, &[2], &[-1]).is_none());
        assert!(gather(&[0; 8], 4, i64::MAX, &[2, 2], &[i64::MAX, 1]).is_none());
    }

    #[test]
    fn a_pickle_that_calls_the_system_is_refused_by_name() {
        let error = pickle::read(b"cos\nsystem\n(X\x02\x00\x00\x00lstR.").unwrap_err();
        assert!(error.to_string().starts_with("refused: global os.system"), "{error}");
    }
}
