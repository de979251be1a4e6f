//! The closest match to a path that does not exist.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Error, anyhow};
use stitch::closest::{did_you_mean, most_similar};

/// The error about `path`; where nothing of that name is there but something of a name like it, says
/// so.
pub fn hinted(path: &Path, error: impl Into<Error>) -> Error {
    let error = error.into();
    match near(path) {
        Some(meant) => anyhow!("{error:#}{}", did_you_mean(Some(meant.display()))),
        None => error,
    }
}

/// What is there and has a name like `path`, which is not there: each part of it that is missing is
/// replaced by what is most like it.
fn near(path: &Path) -> Option<PathBuf> {
    if path.symlink_metadata().is_ok() {
        return None;
    }
    let mut found = PathBuf::new();
    for part in path.components() {
        let next = found.join(part);
        found = match part {
            Component::Normal(name) if next.symlink_metadata().is_err() => {
                found.join(like(&found, name.to_str()?)?)
            }
            _ => next,
        };
    }
    Some(found)
}

/// The name in `folder` that is most like `name`. Closer than flags must be: any two files of a kind
/// share an ending.
fn like(folder: &Path, name: &str) -> Option<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries =
        fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = entries.filter(|entry| !entry.starts_with('.')).collect();
    // The order of a folder is no order.
    names.sort();
    let like = |entry: &str| strsim::normalized_damerau_levenshtein(name, entry);
    most_similar(names.iter().map(String::as_str), like, 0.7).map(str::to_owned)
}
