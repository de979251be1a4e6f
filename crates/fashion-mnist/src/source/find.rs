//! Finds the folder of the data set in the documented places, in the documented order.

use std::path::{Path, PathBuf};
use std::{env, fmt};

use super::OFFICIAL;

/// The environment variable that [`find`] reads the folder from.
pub const ENVIRONMENT_VARIABLE: &str = "FASHION_MNIST_DIR";
/// The first of the usual places, relative to the working directory.
pub const DEFAULT_DIRECTORY: &str = "data/fashion-mnist";

/// A folder that holds the four files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Path of the folder.
    pub directory: PathBuf,
    /// Who named the folder, or which of the usual places it is: `$FASHION_MNIST_DIR`, `Keras's cache`.
    pub rule: &'static str,
    /// Paths of the four files in the order of [`OFFICIAL`], each `.gz` or unpacked.
    pub paths: [PathBuf; 4],
}

/// The subject of a message: the folder, and who named it if that was not the caller.
fn subject(rule: &str, directory: &Path) -> String {
    match rule {
        "" => directory.display().to_string(),
        rule if rule.starts_with('$') => format!("{rule} ({})", directory.display()),
        rule => format!("{rule} {}", directory.display()),
    }
}

/// No folder with the four files.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The named folder lacks a file.
    #[error(
        "{} contains neither {missing} nor {missing}.gz: it must contain the four files of Fashion-MNIST",
        subject(rule, directory)
    )]
    Incomplete {
        /// Who named the folder.
        rule: &'static str,
        /// Path of the folder.
        directory: PathBuf,
        /// Name of the first file that is missing, without `.gz`.
        missing: &'static str,
    },
    /// The named folder does not exist or is not a folder.
    #[error(
        "{} {found}: it must be a folder with the four files of Fashion-MNIST",
        subject(rule, directory)
    )]
    NotADirectory {
        /// Who named the folder.
        rule: &'static str,
        /// Path that was given for the folder.
        directory: PathBuf,
        /// `does not exist` or `is a file`.
        found: &'static str,
    },
    /// No folder was named, and none of the usual places has the four files.
    #[error(
        "Fashion-MNIST was not found. Looked in:\n{0}Download it, set ${ENVIRONMENT_VARIABLE} to its folder, or \
         `apt-get install dataset-fashion-mnist`"
    )]
    Nowhere(Places),
}

/// The usual places where [`find`] looked, each with the reason why it is not the data set.
#[derive(Debug)]
pub struct Places(Vec<(PathBuf, String)>);

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(place, why)| writeln!(f, "  {}: {why}", place.display()))
    }
}

/// Finds the folder of the data set: `directory`, else `$FASHION_MNIST_DIR`, else the first of the usual places
/// that has all four files: `data/fashion-mnist`, Debian's package `dataset-fashion-mnist`, Keras's cache,
/// torchvision's `data/FashionMNIST/raw`.
///
/// # Errors
/// See [`FindError`].
pub fn find(directory: Option<&Path>) -> Result<Found, FindError> {
    if let Some(directory) = directory {
        return named(directory, "");
    }
    if let Some(directory) = env::var_os(ENVIRONMENT_VARIABLE).filter(|value| !value.is_empty()) {
        return named(Path::new(&directory), "$FASHION_MNIST_DIR");
    }
    let mut looked = Vec::new();
    for (directory, rule) in usual_places() {
        match files_in(&directory) {
            Ok(paths) => return Ok(Found { directory, rule, paths }),
            Err(_) if !directory.is_dir() => looked.push((directory, "does not exist".into())),
            Err(missing) => looked.push((directory, format!("{missing} is missing"))),
        }
    }
    Err(FindError::Nowhere(Places(looked)))
}

/// Checks that `directory` holds the four files. `rule` says in [`Found`] and in messages who named the folder,
/// such as a flag of the command line.
///
/// # Errors
/// [`FindError::NotADirectory`] or [`FindError::Incomplete`].
pub fn named(directory: &Path, rule: &'static str) -> Result<Found, FindError> {
    let directory = directory.to_path_buf();
    if !directory.is_dir() {
        let found = if directory.exists() { "is a file" } else { "does not exist" };
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
    // torchvision has no cache of its own: the caller names its root, by convention `data`.
    places.push((PathBuf::from("data/FashionMNIST/raw"), "torchvision's folder"));
    places
}

/// The four files in `directory`, or the name of the first that is missing. If a file is there packed and
/// unpacked, the `.gz` is taken: it has a checksum, and a download replaces it.
fn files_in(directory: &Path) -> Result<[PathBuf; 4], &'static str> {
    let mut paths: [PathBuf; 4] = Default::default();
    for (path, file) in paths.iter_mut().zip(&OFFICIAL) {
        let unpacked = directory.join(file.name);
        let packed = directory.join(format!("{}.gz", file.name));
        *path = [packed, unpacked].into_iter().find(|path| path.exists()).ok_or(file.name)?;
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, Split, source::Origin};

    #[test]
    fn messages_name_whoever_named_the_folder_and_no_flags_of_a_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("data");
        let said = find(Some(&missing)).unwrap_err().to_string();
        assert!(said.contains("data does not exist: it must be a folder"), "{said}");
        let said = named(folder.path(), "--data").unwrap_err().to_string();
        let expected = format!("--data {} contains neither ", folder.path().display());
        assert!(said.starts_with(&expected), "{said}");
        let places = Places(vec![(missing, "does not exist".into())]);
        let said = FindError::Nowhere(places).to_string();
        assert!(
            said.contains("data: does not exist\n") && said.contains("$FASHION_MNIST_DIR"),
            "{said}"
        );
        assert!(!said.contains("--"), "{said}");
    }

    #[test]
    fn at_least_one_training_image_is_left() {
        let split = Split { images: vec![0; 2 * crate::PIXELS].into(), labels: vec![1, 2] };
        let found = Found { directory: PathBuf::new(), rule: "a test", paths: Default::default() };
        let origin = Origin { found, files: Vec::new() };
        let mut dataset = Dataset { train: split.clone(), validation: None, test: split, origin };
        let said = dataset.hold_out(2).unwrap_err().to_string();
        let expected =
            "2 of 2 training images cannot be held out: at least one must be left to train on";
        assert_eq!(said, expected);
        dataset.hold_out(1).unwrap();
        assert_eq!((dataset.train.labels, dataset.validation.unwrap().labels), (vec![1], vec![2]));
    }
}
