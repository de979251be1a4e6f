//! What `torch.save` and `torch.jit.save` write: read as `torch.load` reads it, or refused.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use tensor_files::{NamedTensor, TensorFile, read_weights};

use super::run_python;

/// The `.pt` files of a folder, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "pt")).collect();
    files.sort();
    files
}

fn sorted(mut tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

#[test]
fn checkpoints_are_read_as_torch_load_reads_them_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    run_python("written.py", &[folder.path()]);
    let read = files(&folder.path().join("read"));
    for path in &read {
        let mut file = match TensorFile::open(Cursor::new(fs::read(path).unwrap())) {
            Ok(file) => file,
            Err(error) => panic!("{}: {error}", path.display()),
        };
        let wanted = read_weights(&fs::read(path.with_extension("safetensors")).unwrap()).unwrap();
        let found = sorted(file.load_all().unwrap());
        for (found, wanted) in found.iter().zip(&sorted(wanted)) {
            assert_eq!(found, wanted, "{}", path.display());
        }
        let wanted = fs::read_to_string(path.with_extension("txt")).unwrap();
        let skipped =
            file.skipped().iter().map(|thing| format!("{}\t{}\n", thing.path, thing.what));
        assert_eq!(skipped.collect::<String>(), wanted, "{}", path.display());
    }
    let refused = files(&folder.path().join("refused"));
    for path in &refused {
        let wanted = fs::read_to_string(path.with_extension("txt")).unwrap();
        match read_weights(&fs::read(path).unwrap()) {
            Ok(tensors) => panic!("{}: {tensors:?}", path.display()),
            Err(error) => {
                assert!(error.to_string().contains(&wanted), "{}: {error}", path.display());
            }
        }
    }
    assert!(read.len() > 25 && refused.len() > 10, "{} and {}", read.len(), refused.len());
}
