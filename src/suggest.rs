//! Suggests the closest existing path for one that does not exist.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Error, anyhow};
use stitch::closest::{did_you_mean, most_similar};

/// The error about `path`, with a suggestion if `path` does not exist and a similar path does.
pub fn hinted(path: &Path, error: impl Into<Error>) -> Error {
    let error = error.into();
    match closest_path(path) {
        Some(closest) => anyhow!("{error:#}{}", did_you_mean(Some(closest.display()))),
        None => error,
    }
}

/// The existing path closest to `path`, which does not exist: each missing component is replaced by the closest match
/// in its folder.
fn closest_path(path: &Path) -> Option<PathBuf> {
    if path.symlink_metadata().is_ok() {
        return None;
    }
    let mut found = PathBuf::new();
    for part in path.components() {
        let next = found.join(part);
        found = match part {
            Component::Normal(name) if next.symlink_metadata().is_err() => {
                found.join(closest_entry(&found, name.to_str()?)?)
            }
            _ => next,
        };
    }
    Some(found)
}

/// The closest match to `name` among the entries of `folder`. The measure is stricter than for flags, since files of
/// the same kind share an extension.
fn closest_entry(folder: &Path, name: &str) -> Option<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries =
        fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = entries.filter(|entry| !entry.starts_with('.')).collect();
    // The order of directory entries is unspecified.
    names.sort();
    let similarity = |entry: &str| strsim::normalized_damerau_levenshtein(name, entry);
    most_similar(names.iter().map(String::as_str), similarity, 0.7).map(str::to_owned)
}
