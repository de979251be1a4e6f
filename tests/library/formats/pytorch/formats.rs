//! Every format, element type and layout, as PyTorch, safetensors and NumPy write it: read as they
//! read it, or refused by what it is.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use tensor_files::{Dtype, NamedTensor, ReadError, TensorFile, npz, safetensors, state_dict};

use super::run_python;

/// The files of a folder that have their lines beside them.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = paths.filter(|path| lines_of(path).exists()).collect();
    files.sort();
    files
}

fn lines_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap().to_str().unwrap();
    path.with_file_name(format!("{name}.lines"))
}

/// The tensors as the script prints them, sorted.
fn lines(tensors: &[NamedTensor]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let line = |tensor: &NamedTensor| {
        let NamedTensor { name, dtype, shape, data } = tensor;
        format!("{name}\t{dtype}\t{shape:?}\t{}\n", hex(data))
    };
    let mut lines: Vec<String> = tensors.iter().map(line).collect();
    lines.sort();
    lines.concat()
}

/// What is read of a file, in the words of an error otherwise.
fn read(path: &Path, key: Option<&str>) -> Result<(Option<String>, Vec<NamedTensor>), String> {
    let said = |error: ReadError| format!("{error}");
    let reader = Cursor::new(fs::read(path).unwrap());
    let mut file = TensorFile::open_key(reader, key).map_err(said)?;
    let tensors = file.load_all().map_err(said)?;
    Ok((file.key().map(str::to_owned), tensors))
}

#[track_caller]
fn is_read(path: &Path, asked: Option<&str>, wanted_key: Option<&str>) {
    let (key, tensors) = match read(path, asked) {
        Ok(read) => read,
        Err(error) => panic!("{}: {error}", path.display()),
    };
    assert_eq!(key.as_deref(), wanted_key, "{}", path.display());
    let wanted = fs::read_to_string(lines_of(path)).unwrap();
    assert!(lines(&tensors) == wanted, "{}:\n{}\nand\n{wanted}", path.display(), lines(&tensors));
}

#[test]
fn every_format_type_and_layout_is_read_or_refused_by_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    run_python("formats.py", &[folder.path()]);
    let plain = files(&folder.path().join("read"));
    plain.iter().for_each(|path| is_read(path, None, None));
    let mut keyed = 0;
    for part in ["found", "keyed"] {
        for key in fs::read_dir(folder.path().join(part)).unwrap() {
            let key = key.unwrap().file_name().into_string().unwrap();
            // `ema` holds nothing but `ema.shadow`.
            let whole = if key == "ema" { "ema.shadow" } else { &key };
            for path in files(&folder.path().join(part).join(&key)) {
                is_read(&path, (part == "keyed").then_some(&key), Some(whole));
                let missing = read(&path, Some("no such key")).unwrap_err();
                assert!(missing.contains(&format!("under {whole}")) || missing.contains(", "));
                keyed += 1;
            }
        }
    }
    let refused = files(&folder.path().join("refused"));
    for path in &refused {
        let wanted = fs::read_to_string(lines_of(path)).unwrap();
        match read(path, None) {
            Ok(read) => panic!("{}: {read:?}", path.display()),
            Err(error) => assert!(error.contains(&wanted), "{}: {error:?}", path.display()),
        }
    }
    assert!(plain.len() > 100 && keyed > 20 && refused.len() > 20);
}

/// Tensors of every type.
fn tensors() -> Vec<NamedTensor> {
    let tensor = |(i, dtype): (usize, Dtype)| {
        let shape = vec![2, i];
        // No NaN: its bits may change in arithmetic, not in files; any other bytes will do.
        let data = (0..2 * i * dtype.size()).map(|byte| byte as u8 & 1).collect();
        NamedTensor { name: format!("layer.{dtype}"), dtype, shape, data }
    };
    Dtype::ALL.into_iter().enumerate().map(tensor).collect()
}

#[test]
fn what_is_written_of_every_type_is_read_by_pytorch_safetensors_and_numpy() {
    let folder = tempfile::tempdir().unwrap();
    let (mut safe, mut numpy) = (tensors(), tensors());
    safe.retain(|tensor| {
        let alone = std::slice::from_ref(tensor);
        safetensors::write(alone, &Default::default()).is_ok()
            // Known to the format; safetensors of Python gives no such tensor.
            && tensor.dtype != Dtype::F8_E8M0FNU
    });
    numpy.retain(|tensor| npz::write(std::slice::from_ref(tensor)).is_ok());
    let files = [
        ("w.pt", state_dict::write(&tensors()).unwrap(), tensors()),
        ("w.safetensors", safetensors::write(&safe, &Default::default()).unwrap(), safe),
        ("w.npz", npz::write(&numpy).unwrap(), numpy),
    ];
    for (name, bytes, _) in &files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let said = run_python("oracle.py", &[folder.path()]);
    let hex = |name: &str| name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    for (name, _, tensors) in files {
        let part = said.split("= ").find(|part| part.starts_with(name)).unwrap();
        let renamed =
            |tensor: &NamedTensor| NamedTensor { name: hex(&tensor.name), ..tensor.clone() };
        let wanted = lines(&tensors.iter().map(renamed).collect::<Vec<_>>());
        let mut readings = part.split("+\n").skip(1).peekable();
        assert!(readings.peek().is_some(), "{name} is not read: {part}");
        readings.for_each(|reading| assert_eq!(reading, wanted, "{name}"));
    }
}
