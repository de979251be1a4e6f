//! `torch.save(model.state_dict(), path)` and `torch.load(path)`: a zip archive, stored not
//! deflated, of a pickle and one record a storage. TorchScript archives are read too: their pickle
//! holds a module instead of a dict.
//!
//! Layout after `torch/serialization.py` and `caffe2/serialize/inline_container.cc` of PyTorch
//! 2.13: `<name>/data.pkl`, `<name>/byteorder`, `<name>/data/0…`, `<name>/version`, tensor bytes
//! aligned to 64 so that `mmap=True` works.

use std::io::{Cursor, Read, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::pickle::{self, Id, Value};
use super::tensor_file::{FileKind, Index, Location, View};
use super::{Dtype, NamedTensor, ReadError, TensorSpec};

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
        int(&mut out, tensor.shape.iter().product());
        out.extend(b"tQ");
        int(&mut out, 0);
        ints(&mut out, &tensor.shape);
        ints(&mut out, &View::contiguous_stride(&tensor.shape));
        // requires_grad=False, no backward hooks.
        out.push(0x89);
        ordered_dict(&mut out);
        out.extend(b"tR");
    }
    out.extend(b"u.");
    out
}

pub(super) fn storage_class(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "BoolStorage",
        Dtype::U8 => "ByteStorage",
        Dtype::I8 => "CharStorage",
        Dtype::I16 => "ShortStorage",
        Dtype::I32 => "IntStorage",
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

/// The tensors of an archive: the items of its dict, or the parameters and buffers of its module.
pub(super) fn index(reader: &mut (impl Read + Seek)) -> Result<Index, ReadError> {
    let mut archive = Archive::open(reader)?;
    let (arena, top) = pickle::read(&archive.pickle()?)?;
    let kind = match &arena[top] {
        Value::Dict(_) => FileKind::StateDict,
        Value::Object(_) => FileKind::TorchScript,
        _ => return Err(ReadError::NotTensors("the archive holds no dict and no module".into())),
    };
    let mut index = Vec::new();
    for (name, tensor) in named_tensors(&arena, top, kind)? {
        let Value::Tensor { storage, offset, shape, stride } = &arena[tensor] else { continue };
        // Machine::tensor has made sure that it is a storage.
        let Value::Storage { dtype, key, .. } = &arena[*storage] else { continue };
        let (at, bytes, crc) = archive.record(&format!("data/{key}"))?;
        let view = view(*offset, shape, stride);
        let elements = (bytes / dtype.size() as u64) as usize;
        let count = view.as_ref().and_then(|view| view.len_within(elements));
        let (Some(view), Some(count)) = (view, count) else {
            let error = format!("{name} reaches beyond its storage data/{key}");
            return Err(ReadError::NotTensors(error));
        };
        let size = dtype.size() as u64;
        let spec = TensorSpec { name, dtype: *dtype, shape: view.shape.clone() };
        let location = if view.is_contiguous() {
            // The checksum is that of the whole record.
            let crc = (count as u64 * size == bytes).then_some(crc);
            Location::Plain { at: at + view.offset as u64 * size, crc }
        } else {
            Location::Strided { at, storage: bytes, view }
        };
        index.push((spec, location));
    }
    Ok((kind, index))
}

/// Deepest nesting of modules in modules that is followed.
const DEPTH: usize = 64;

/// Names and places of the tensors below `top`. In a TorchScript module the names of submodules
/// are joined by dots; what is no tensor (flags, hooks, strides) is passed over. In a state_dict
/// everything must be a tensor.
fn named_tensors(arena: &[Value], top: Id, kind: FileKind) -> Result<Vec<(String, Id)>, ReadError> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), top, 0)];
    while let Some((prefix, id, depth)) = open.pop() {
        let mut inner = Vec::new();
        for &(key, value) in items(arena, id) {
            let Value::Str(key) = &arena[key] else {
                return Err(ReadError::NotTensors("a key is no string".into()));
            };
            // tch's VarStore writes `fc1|weight`, since TorchScript names hold no dots.
            let name = format!("{prefix}{}", key.replace('|', "."));
            match &arena[value] {
                Value::Tensor { .. } => found.push((name, value)),
                Value::Object(_) if kind == FileKind::TorchScript && depth < DEPTH => {
                    inner.push((format!("{name}."), value, depth + 1));
                }
                _ if kind == FileKind::TorchScript => {}
                _ => return Err(ReadError::NotTensors(format!("{name} is no tensor"))),
            }
        }
        open.extend(inner.into_iter().rev());
        // A module that contains itself, or one many times over, would go on without an end.
        if open.len() + found.len() > arena.len() {
            return Err(ReadError::NotTensors("its modules contain each other".into()));
        }
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
fn view(offset: i64, shape: &[i64], stride: &[i64]) -> Option<View> {
    let sizes = |numbers: &[i64]| -> Option<Vec<usize>> {
        numbers.iter().map(|&n| usize::try_from(n).ok()).collect()
    };
    let view = View {
        offset: usize::try_from(offset).ok()?,
        shape: sizes(shape)?,
        stride: sizes(stride)?,
    };
    (view.shape.len() == view.stride.len()).then_some(view)
}

/// A `.pt` archive, with the name of its one top folder.
struct Archive<R> {
    zip: ZipArchive<R>,
    root: String,
}

impl<R: Read + Seek> Archive<R> {
    fn open(reader: R) -> Result<Self, ReadError> {
        let zip = ZipArchive::new(reader).map_err(damaged)?;
        let pickle = zip.file_names().flatten().find_map(|name| {
            name.strip_suffix("/data.pkl").filter(|root| !root.contains('/')).map(str::to_owned)
        });
        match pickle {
            Some(root) => Ok(Self { zip, root }),
            None => Err(ReadError::NotTensors("the archive holds no data.pkl".into())),
        }
    }

    /// The pickle, which must be stored: so it is never larger than the file.
    fn pickle(&mut self) -> Result<Vec<u8>, ReadError> {
        self.record("data.pkl")?;
        let mut file = self.zip.by_name(&format!("{}/data.pkl", self.root)).map_err(damaged)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(damaged)?;
        Ok(bytes)
    }

    /// Place, length and CRC-32 of a record.
    fn record(&mut self, name: &str) -> Result<(u64, u64, u32), ReadError> {
        let path = format!("{}/{name}", self.root);
        let file = self.zip.by_name(&path).map_err(|e| damaged(format!("{path}: {e}")))?;
        if file.compression() != CompressionMethod::Stored {
            let error = format!("{path} is compressed, which torch.save never does");
            return Err(ReadError::Zip(error));
        }
        match file.data_start() {
            Some(at) => Ok((at, file.size(), file.crc32())),
            None => Err(ReadError::Zip(format!("{path} has no place in it"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::read_weights as read;

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
        let error = pickle::read(b"cos\nsystem\n(X\x02\x00\x00\x00lstR.").unwrap_err();
        assert!(error.to_string().starts_with("refused: global os.system"), "{error}");
    }
}
