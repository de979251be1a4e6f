//! Writes an imported data set as IDX files. If that is interrupted, no folder is left that would be read.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{ImportError, Imported};
use crate::idx::{images_file_header, labels_file_header};
use crate::source::{CLASSES_FILE, Content, OFFICIAL, is_data_file};

/// Checks that [`write()`] may write to `folder`: it does not exist, or is empty, or `replace` and its files of a data set are
/// those that are replaced. Other files in it stay.
///
/// # Errors
/// [`ImportError::Occupied`], [`ImportError::Foreign`], [`ImportError::Read`].
pub fn check(folder: &Path, replace: bool) -> Result<(), ImportError> {
    if !folder.try_exists().map_err(|error| ImportError::Read(folder.into(), error))? {
        return Ok(());
    }
    let read = |error| ImportError::Read(folder.into(), error);
    for entry in fs::read_dir(folder).map_err(read)? {
        let name = entry.map_err(read)?.file_name().to_string_lossy().into_owned();
        if !replace {
            return Err(ImportError::Occupied(folder.into()));
        }
        if is_data_file(&name) && !replaced().contains(&name) {
            return Err(ImportError::Foreign(folder.into(), name));
        }
    }
    Ok(())
}

/// Names of all files that an import may have written, and of those that would be read in their place.
fn replaced() -> Vec<String> {
    let names =
        OFFICIAL.iter().flat_map(|file| [file.name.to_owned(), file.name.replace("idx3", "idx4")]);
    names.flat_map(|name| [format!("{name}.gz"), name]).chain([CLASSES_FILE.into()]).collect()
}

/// Writes the four files and, if there are class names, `classes.txt`; creates the folder if it does not exist. Returns the
/// paths of the files. The files are written under temporary names, flushed to disk, and renamed: the folder as a whole if it
/// is new. In an existing folder, the old files are removed first and the labels come last: if it is interrupted in between, the
/// labels are missing, and the folder is refused. The same data set gives the same bytes.
///
/// # Errors
/// Those of [`check`]; [`ImportError::Write`].
pub fn write(
    imported: &Imported,
    folder: &Path,
    replace: bool,
) -> Result<Vec<PathBuf>, ImportError> {
    check(folder, replace)?;
    let failed = |error| ImportError::Write(folder.into(), error);
    let is_new = !folder.exists();
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let beside = if is_new { parent.unwrap_or(Path::new(".")) } else { folder };
    fs::create_dir_all(beside).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let temporary = builder.prefix(".stitch-import-").tempdir_in(beside).map_err(failed)?;
    let names = files(imported, temporary.path()).map_err(failed)?;
    if is_new {
        sync(temporary.path())
            .and_then(|()| fs::rename(temporary.path(), folder))
            .map_err(failed)?;
        // It was renamed, so there is nothing to remove.
        let _ = temporary.keep();
    } else {
        for old in replaced() {
            match fs::remove_file(folder.join(old)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        let (labels, others): (Vec<_>, Vec<_>) =
            names.iter().partition(|name| name.contains("labels"));
        for name in others.into_iter().chain(labels) {
            fs::rename(temporary.path().join(name), folder.join(name)).map_err(failed)?;
        }
    }
    sync(beside).map_err(failed)?;
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

/// Writes the files to `folder`; returns their names.
fn files(imported: &Imported, folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut file = |name: String, parts: [&[u8]; 2]| {
        let mut file = File::create_new(folder.join(&name))?;
        parts.into_iter().try_for_each(|part| file.write_all(part))?;
        names.push(name);
        file.sync_all()
    };
    for official in &OFFICIAL {
        let half = &imported.halves[official.half as usize];
        // It fits: images are counted while they are read.
        let count = half.labels.len() as u32;
        match (official.content, imported.shape.channels) {
            (Content::Labels, _) => {
                file(official.name.into(), [&labels_file_header(count), &half.labels])?
            }
            (Content::Images, channels) => {
                let name = if channels == 1 {
                    official.name.into()
                } else {
                    official.name.replace("idx3", "idx4")
                };
                file(name, [&images_file_header(count, imported.shape), &half.pixels])?;
            }
        }
    }
    if let Some(classes) = &imported.classes {
        file(CLASSES_FILE.into(), [classes.names().join("\n").as_bytes(), b"\n"])?;
    }
    Ok(names)
}

/// Flushes the directory entries of a folder to disk (`fsync`).
fn sync(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    // Other systems cannot open a folder.
    let _ = folder;
    Ok(())
}
