//! `.npz` of `numpy.savez` and `numpy.savez_compressed`: a zip archive of `.npy` files.

use std::collections::HashSet;
use std::io::{Cursor, Read, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::archive::{self, damaged};
use super::location::{Index, Storage};
use super::npy::{self, Array, NpyError};
use super::tensor_file::FileKind;
use super::{NamedTensor, ReadError};

/// Returns the bytes of an `.npz` file with `tensors`: one array in C order per tensor, stored without compression,
/// in the order given. The same tensors give the same bytes.
///
/// # Errors
/// [`ReadError::Length`]; [`ReadError::Name`] for names that `numpy.load` does not find; [`ReadError::NoType`] for bfloat16, complex32 and the 8-bit floats, which NumPy does not have; [`ReadError::Zip`]
/// when the archive cannot be built.
pub fn write(tensors: &[NamedTensor]) -> Result<Vec<u8>, ReadError> {
    tensors.iter().try_for_each(NamedTensor::check_length)?;
    check_names(tensors)?;
    let bytes: usize = tensors.iter().map(|t| t.data.len() + 3 * t.name.len() + 512).sum();
    let mut zip = ZipWriter::new(Cursor::new(Vec::with_capacity(bytes + 1024)));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default());
    for tensor in tensors {
        zip.start_file(format!("{}.npy", tensor.name), options).map_err(damaged)?;
        let header = npy::header(tensor)?;
        zip.write_all(&header).and_then(|()| zip.write_all(&tensor.data))?;
    }
    Ok(zip.finish().map_err(damaged)?.into_inner())
}

/// Refuses names that `numpy.load` does not find. Python's zipfile cuts names at NUL, and `numpy.load(path)["x.npy"]` is the
/// record `x.npy`, that of the array `x`.
fn check_names(tensors: &[NamedTensor]) -> Result<(), ReadError> {
    let names: HashSet<&str> = tensors.iter().map(|tensor| &*tensor.name).collect();
    let why = |name: &str| {
        let before = name.strip_suffix(".npy").filter(|before| names.contains(before));
        match before {
            _ if name.contains('\0') => Some("numpy.load cuts names at NUL".to_owned()),
            Some(before) => {
                Some(format!("numpy.load returns the tensor {} for it", before.escape_debug()))
            }
            None => None,
        }
    };
    let wrong = tensors.iter().find_map(|tensor| Some((&tensor.name, why(&tensor.name)?)));
    match wrong {
        None => Ok(()),
        Some((name, why)) => {
            Err(ReadError::Name { name: name.clone(), format: "an .npz file", why })
        }
    }
}

/// Whether an archive is an `.npz` file: it has entries, and the names of all end in `.npy`.
pub(super) fn is_npz(reader: &mut (impl Read + Seek)) -> Result<bool, ReadError> {
    let zip = archive::open(reader)?;
    Ok(!zip.is_empty()
        && zip.file_names().all(|name| name.is_ok_and(|name| name.ends_with(".npy"))))
}

/// Lists the arrays of an archive. Those of text, objects or structs are skipped, if there are others.
pub(super) fn index(reader: &mut (impl Read + Seek)) -> Result<Index, ReadError> {
    let mut zip = archive::open(reader)?;
    let mut index = Index::new(FileKind::Npz, Vec::new());
    let mut skipped = None;
    for i in 0..zip.len() {
        let mut file = zip.by_index(i).map_err(damaged)?;
        let name = file.name().map_err(damaged)?;
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
        let wrong = |error| ReadError::Npz { name: name.clone(), error };
        let (bytes, packed, crc) = (file.size(), file.compressed_size(), file.crc32());
        let at = file.data_start().ok_or_else(|| damaged(format!("{name} has no data")))?;
        let packed = match file.compression() {
            CompressionMethod::Stored => None,
            CompressionMethod::Deflated => Some(packed),
            other => return Err(wrong(NpyError::Compression(other.to_string()))),
        };
        let array = match Array::read(&mut file) {
            Err(NpyError::Dtype(descr)) => {
                index.skipped.push(&name, &format!("an array of the type {descr}"));
                skipped.get_or_insert(wrong(NpyError::Dtype(descr)));
                continue;
            }
            array => array.map_err(wrong)?,
        };
        if array.bytes() != Some(bytes) {
            return Err(wrong(NpyError::Length(bytes)));
        }
        let storage = Storage { packed, crc: Some(crc), ..Storage::plain(at, bytes) };
        array.add(name, storage, &mut index);
    }
    match skipped {
        Some(error) if index.tensors.is_empty() => Err(error),
        _ => Ok(index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dtype, LONGEST_NAME, Metadata, TensorFile, read_weights, safetensors, state_dict};

    fn named(name: &str) -> NamedTensor {
        NamedTensor { name: name.into(), dtype: Dtype::U8, shape: vec![1], data: vec![7] }
    }

    /// An archive of records with these names and bytes.
    fn archive(records: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in records {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    /// An array of two elements of 4 bytes.
    fn array(descr: &str) -> Vec<u8> {
        let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2,), }}\n");
        let length = (dict.len() as u16).to_le_bytes();
        [npy::MAGIC, &[1, 0], &length, dict.as_bytes(), &[1; 8]].concat()
    }

    #[test]
    fn names_that_a_reader_does_not_find_are_not_written() {
        let refused = |names: &[&str], write: fn(&[NamedTensor]) -> Result<Vec<u8>, ReadError>| {
            let tensors: Vec<_> = names.iter().map(|name| named(name)).collect();
            write(&tensors).unwrap_err().to_string()
        };
        let nul =
            "a\\0b cannot be the name of a tensor in an .npz file: numpy.load cuts names at NUL";
        assert_eq!(refused(&["a\0b"], write), nul);
        assert_eq!(
            refused(&["x.npy", "x"], write),
            "x.npy cannot be the name of a tensor in an .npz file: numpy.load returns the tensor x for it"
        );
        assert_eq!(read_weights(&write(&[named("x.npy")]).unwrap()).unwrap(), [named("x.npy")]);
        let found = refused(&["a", "__metadata__"], |tensors| {
            safetensors::write(tensors, &Metadata::new())
        });
        assert!(found.ends_with("the format uses it for the metadata"), "{found}");
        let found = refused(&[&"n".repeat(LONGEST_NAME + 1)], state_dict::write);
        assert!(found.ends_with("it has 1025 bytes, where at most 1024 are read"), "{found}");
        assert!(found.len() < 200, "{found}");
        let longest = [named(&"n".repeat(LONGEST_NAME))];
        assert_eq!(read_weights(&state_dict::write(&longest).unwrap()).unwrap(), longest);
        let with_nul = [named("a\0b")];
        assert_eq!(read_weights(&state_dict::write(&with_nul).unwrap()).unwrap(), with_nul);
    }

    #[test]
    fn arrays_that_are_no_numbers_are_skipped_beside_others() {
        let text = || ("text.npy", array("<U1"));
        let file = archive(&[text(), ("w.npy", array("<f4"))]);
        let opened = TensorFile::open(Cursor::new(&file)).unwrap();
        assert_eq!(opened.specs().iter().map(|spec| &*spec.name).collect::<Vec<_>>(), ["w"]);
        let [skipped] = opened.skipped() else { panic!("{:?}", opened.skipped()) };
        assert_eq!((&*skipped.path, &*skipped.what), ("text", "an array of the type '<U1'"));
        let error = read_weights(&archive(&[text()])).unwrap_err().to_string();
        assert!(error.ends_with("text: of the type '<U1', which is not read"), "{error}");
        // A damaged array is an error all the same.
        assert!(read_weights(&archive(&[text(), ("w.npy", array("<f8"))])).is_err());
    }

    #[test]
    fn an_error_about_an_array_is_said_once() {
        let mut file = array("|O");
        let error = read_weights(&file).unwrap_err();
        assert!(std::error::Error::source(&error).is_none(), "{error}");
        for (major, minor) in [(0, 0), (4, 0), (1, 1), (9, 0)] {
            file[6..8].copy_from_slice(&[major, minor]);
            let error = read_weights(&file).unwrap_err().to_string();
            let expected = format!("version {major}.{minor} of the format, where 1.0, 2.0 and 3.0");
            assert!(error.contains(&expected), "{error}");
        }
    }

    #[test]
    fn any_byte_of_bool_but_0_is_read_as_1() {
        let mut file = npy::write(&NamedTensor {
            dtype: Dtype::Bool,
            shape: vec![4],
            data: vec![0; 4],
            ..named("tensor")
        })
        .unwrap();
        let at = file.len() - 4;
        file[at..].copy_from_slice(&[0, 1, 2, 255]);
        assert_eq!(read_weights(&file).unwrap()[0].data, [0, 1, 1, 1]);
    }
}
