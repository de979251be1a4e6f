//! The safetensors format, on top of its authors' crate.

use std::io::Read;

use safetensors::tensor::{self, Dtype as FileDtype, TensorView, serialize};

use super::location::{Index, Location, Storage};
use super::tensor_file::FileKind;
use super::{DIMENSIONS, Dtype, Metadata, NamedTensor, ReadError, TensorSpec};

/// Returns the bytes of a safetensors file with `tensors`, sorted by element size and name as the format requires, and
/// `metadata`, to which `format: pt` is added if it has no `format`. The same input gives the same bytes.
///
/// # Errors
/// [`ReadError::Length`]; [`ReadError::Name`] for `__metadata__`; [`ReadError::NoType`] for complex32 and complex128; [`ReadError::Safetensors`] when the file
/// cannot be built.
pub fn write<'a>(
    tensors: impl IntoIterator<Item = &'a NamedTensor>,
    metadata: &Metadata,
) -> Result<Vec<u8>, ReadError> {
    let damaged = |error: safetensors::SafeTensorError| ReadError::Safetensors(error.to_string());
    let views = tensors.into_iter().map(|tensor| {
        tensor.check_length()?;
        check_name(tensor)?;
        let NamedTensor { name, dtype, shape, data } = tensor;
        let dtype = file_dtype(*dtype).ok_or(ReadError::NoType {
            name: name.clone(),
            dtype: *dtype,
            format: "safetensors",
        })?;
        let view = TensorView::new(dtype, shape.clone(), data).map_err(damaged)?;
        Ok((name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>, ReadError>>()?;
    with_metadata(serialize(views, None).map_err(damaged)?, metadata)
}

/// Refuses the name under which the header has the metadata.
fn check_name(tensor: &NamedTensor) -> Result<(), ReadError> {
    match &tensor.name[..] {
        "__metadata__" => Err(ReadError::Name {
            name: tensor.name.clone(),
            format: "a .safetensors file",
            why: "the format uses it for the metadata".into(),
        }),
        _ => Ok(()),
    }
}

/// Inserts the metadata into the header of a file. The crate takes a hash map and writes it in any order.
fn with_metadata(mut file: Vec<u8>, metadata: &Metadata) -> Result<Vec<u8>, ReadError> {
    let wrong = || ReadError::Safetensors("its header is not where it should be".into());
    // Hugging Face's loaders need the framework that wrote the file; `pt` is the convention for PyTorch's names.
    let mut all = metadata.clone();
    all.entry("format".into()).or_insert_with(|| "pt".into());
    let json = serde_json::to_string(&all).map_err(|_| wrong())?;
    let (size, rest) = file.split_first_chunk().ok_or_else(wrong)?;
    let size = usize::try_from(u64::from_le_bytes(*size)).map_err(|_| wrong())?;
    let header = rest.get(..size).ok_or_else(wrong)?;
    let header = str::from_utf8(header).map_err(|_| wrong())?.trim_end();
    let tensors = header.strip_prefix('{').ok_or_else(wrong)?;
    let comma = if tensors == "}" { "" } else { "," };
    let mut header = format!("{{\"__metadata__\":{json}{comma}{tensors}");
    // The data begin at a multiple of 8 bytes.
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    // In place: the data may be gigabytes.
    let length = (header.len() as u64).to_le_bytes();
    file.reserve_exact(header.len() - size);
    file.splice(..8 + size, length.into_iter().chain(header.into_bytes()));
    Ok(file)
}

/// Longest header that is read, in bytes (about 10,000 tensors); a sixteenth of the file, if that is more. Parsed, it
/// takes several times as much memory.
const LONGEST_HEADER: u64 = 1 << 20;

/// Lists the tensors of a file of `length` bytes, in the order of their data.
pub(super) fn index(reader: &mut impl Read, length: u64) -> Result<Index, ReadError> {
    let damaged = |what: &str| ReadError::Safetensors(what.into());
    let mut size = [0; 8];
    reader.read_exact(&mut size)?;
    let size = u64::from_le_bytes(size);
    if size > length.saturating_sub(8) {
        return Err(damaged("its header is longer than the file"));
    }
    let longest = LONGEST_HEADER.max(length / 16);
    if size > longest {
        return Err(damaged(&format!("a header of {size} bytes, where {longest} are read")));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    reader.take(size).read_to_end(&mut bytes)?;
    let header: tensor::Metadata = serde_json::from_slice(&bytes).map_err(|error| {
        unknown_type(&bytes).unwrap_or_else(|| ReadError::Safetensors(error.to_string()))
    })?;
    // The parsed header takes memory, too.
    drop(bytes);
    let mut tensors: Vec<_> = header.tensors().into_iter().collect();
    tensors.sort_by(|(a, x), (b, y)| (x.data_offsets, a).cmp(&(y.data_offsets, b)));
    let mut end = 0;
    let mut index = Vec::new();
    for (name, info) in tensors {
        let dtype = Dtype::ALL.into_iter().find(|&dtype| file_dtype(dtype) == Some(info.dtype));
        let Some(dtype) = dtype else {
            let name = name.escape_debug();
            let error = format!("{name} is of the type {:?}, which is not read", info.dtype);
            return Err(ReadError::Unsupported(error));
        };
        let spec = TensorSpec { name, dtype, shape: info.shape.clone() };
        let bytes = spec.checked_len().and_then(|n| n.checked_mul(dtype.size()));
        let (from, to) = info.data_offsets;
        if info.shape.len() > DIMENSIONS {
            let (name, count) = (spec.name.escape_debug(), info.shape.len());
            let error =
                format!("{name} has {count} dimensions, where at most {DIMENSIONS} are read");
            return Err(ReadError::Unsupported(error));
        }
        if from != end || to.checked_sub(from) != bytes || to as u64 > length {
            let name = spec.name.escape_debug();
            return Err(damaged(&format!("{name} does not lie where its shape and type require")));
        }
        end = to;
        let storage = Storage::plain(8 + size + from as u64, (to - from) as u64);
        index.push((spec, Location::Whole(storage)));
    }
    if (8 + size).checked_add(end as u64) != Some(length) {
        let expected = 8 + size + end as u64;
        return Err(damaged(&format!("{length} bytes, where its header requires {expected}")));
    }
    let metadata = header.metadata().iter().flatten();
    let metadata = metadata.map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok(Index { metadata, ..Index::new(FileKind::Safetensors, index) })
}

/// The error for a header with a tensor of an unknown type, which may be newer than this reader.
fn unknown_type(header: &[u8]) -> Option<ReadError> {
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(header).ok()?;
    header.into_iter().find_map(|(name, tensor)| {
        let dtype = tensor.get("dtype")?.as_str().filter(|_| name != "__metadata__")?;
        let known = serde_json::from_value::<FileDtype>(dtype.into()).is_ok();
        let (name, dtype) = (name.escape_debug(), dtype.escape_debug());
        let error = || format!("{name} is of the type {dtype}, which is not read");
        (!known).then(|| ReadError::Unsupported(error()))
    })
}

/// The format's element type; `None` if it has no such type.
fn file_dtype(dtype: Dtype) -> Option<FileDtype> {
    Some(match dtype {
        Dtype::Bool => FileDtype::BOOL,
        Dtype::U8 => FileDtype::U8,
        Dtype::I8 => FileDtype::I8,
        Dtype::U16 => FileDtype::U16,
        Dtype::I16 => FileDtype::I16,
        Dtype::U32 => FileDtype::U32,
        Dtype::I32 => FileDtype::I32,
        Dtype::U64 => FileDtype::U64,
        Dtype::I64 => FileDtype::I64,
        Dtype::F8_E4M3FN => FileDtype::F8_E4M3,
        Dtype::F8_E4M3FNUZ => FileDtype::F8_E4M3FNUZ,
        Dtype::F8_E5M2 => FileDtype::F8_E5M2,
        Dtype::F8_E5M2FNUZ => FileDtype::F8_E5M2FNUZ,
        Dtype::F8_E8M0FNU => FileDtype::F8_E8M0,
        Dtype::F16 => FileDtype::F16,
        Dtype::BF16 => FileDtype::BF16,
        Dtype::F32 => FileDtype::F32,
        Dtype::F64 => FileDtype::F64,
        Dtype::C64 => FileDtype::C64,
        Dtype::C32 | Dtype::C128 => return None,
    })
}
