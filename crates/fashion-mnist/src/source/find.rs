//! Looks for the data set in the documented places, in the documented order.

use std::path::{Path, PathBuf};
use std::{env, fmt};

use super::OFFICIAL;

/// The variable that names the folder when `--data` is not given.
pub const ENVIRONMENT_VARIABLE: &str = "FASHION_MNIST_DIR";
/// Where `stitch data fetch` puts the files.
pub const DEFAULT_DIRECTORY: &str = "data/fashion-mnist";

/// A folder that holds the four files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The folder.
    pub directory: PathBuf,
    /// Which rule found it, as a user would say it: `--data`, `$FASHION_MNIST_DIR`, …
    pub rule: &'static str,
    /// The four files in the order of [`OFFICIAL`], each `.gz` or unpacked.
    pub paths: [PathBuf; 4],
}

/// No folder with the four files.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The folder that the user named lacks a file.
    #[error("{rule} names {}, which holds neither {missing} nor {missing}.gz: it must hold the four files of Fashion-MNIST", .directory.display())]
    Incomplete {
        /// `--data` or `$FASHION_MNIST_DIR`.
        rule: &'static str,
        /// The folder.
        directory: PathBuf,
        /// The first file that is not there.
        missing: &'static str,
    },
    /// The folder that the user named is none.
    #[error("{rule} names {}, which is {found}: it must be a folder with the four files of Fashion-MNIST", .directory.display())]
    NotADirectory {
        /// `--data` or `$FASHION_MNIST_DIR`.
        rule: &'static str,
        /// The path.
        directory: PathBuf,
        /// `not there` or `a file`.
        found: &'static str,
    },
    /// No documented place has them.
    #[error(
        "Fashion-MNIST was not found. Looked in:\n{0}Get it with `stitch data fetch`, or with `apt-get install dataset-fashion-mnist`, or name its folder with --data"
    )]
    Nowhere(Places),
}

/// The places that were looked at, each with what is missing there.
#[derive(Debug)]
pub struct Places(Vec<(PathBuf, String)>);

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(place, why)| writeln!(f, "  {}: {why}", place.display()))
    }
}

/// Finds the folder to use: `data` (the flag `--data`), then `$FASHION_MNIST_DIR`, then the usual
/// places. A folder that the user named must do; a usual place is passed over unless it has all
/// four files.
///
/// # Errors
/// See [`FindError`].
pub fn find(data: Option<&Path>) -> Result<Found, FindError> {
    if let Some(directory) = data {
        return named(directory, "--data");
    }
    if let Some(directory) = env::var_os(ENVIRONMENT_VARIABLE).filter(|value| !value.is_empty()) {
        return named(Path::new(&directory), "$FASHION_MNIST_DIR");
    }
    let mut looked = Vec::new();
    for (directory, rule) in usual_places() {
        match files_in(&directory) {
            Ok(paths) => return Ok(Found { directory, rule, paths }),
            Err(_) if !directory.is_dir() => looked.push((directory, "not there".into())),
            Err(missing) => looked.push((directory, format!("{missing} is missing"))),
        }
    }
    Err(FindError::Nowhere(Places(looked)))
}

/// A folder that the user named by `rule`.
fn named(directory: &Path, rule: &'static str) -> Result<Found, FindError> {
    let directory = directory.to_path_buf();
    if !directory.is_dir() {
        let found = if directory.exists() { "a file" } else { "not there" };
        return Err(FindError::NotADirectory { rule, directory, found });
    }
    match files_in(&directory) {
        Ok(paths) => Ok(Found { directory, rule, paths }),
        Err(missing) => Err(FindError::Incomplete { rule, directory, missing }),
    }
}

fn usual_places() -> Vec<(PathBuf, &'static str)> {
    let mut places = vec![
        (PathBuf::from(DEFAULT_DIRECTORY), "the project's data folder"),
        (
            PathBuf::from("/usr/share/datasets/fashion-mnist"),
            "Debian's package dataset-fashion-mnist",
        ),
    ];
    if let Some(home) = env::home_dir() {
        places.push((home.join(".keras/datasets/fashion-mnist"), "Keras's cache"));
    }
    // torchvision has no cache of its own: its root is the caller's, by custom `data`.
    places.push((PathBuf::from("data/FashionMNIST/raw"), "torchvision's folder"));
    places
}

/// The four files in `directory`, or the name of the first that is missing. Where there is a
/// choice the `.gz` is taken: it carries a checksum, and it is what a fetch replaces.
fn files_in(directory: &Path) -> Result<[PathBuf; 4], &'static str> {
    let mut paths: [PathBuf; 4] = Default::default();
    for (path, file) in paths.iter_mut().zip(&OFFICIAL) {
        let unpacked = directory.join(file.name);
        let packed = directory.join(format!("{}.gz", file.name));
        *path = [packed, unpacked].into_iter().find(|path| path.exists()).ok_or(file.name)?;
    }
    Ok(paths)
}
