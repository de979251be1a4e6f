//! Finds the folder of the data set in the documented places, in the documented order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fmt, fs};

use super::{Content, Half, OFFICIAL};

/// The environment variable that [`find`] reads the folder from.
pub const ENVIRONMENT_VARIABLE: &str = "FASHION_MNIST_DIR";
/// The first of the usual places, relative to the working directory.
pub const DEFAULT_DIRECTORY: &str = "data/fashion-mnist";

/// Folders below a named one that are searched too: those of torchvision's root and of Keras's cache.
const BELOW: [&str; 7] = [
    "FashionMNIST/raw",
    "MNIST/raw",
    "KMNIST/raw",
    "EMNIST/raw",
    "raw",
    "datasets/fashion-mnist",
    "fashion-mnist",
];

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
        "{} contains neither {missing} nor {missing}.gz: it must contain the four files of Fashion-MNIST, or of a data set that `stitch data import` has written",
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
    /// The named folder holds several data sets.
    #[error(
        "{} contains several data sets ({}): give the folder of one, with only its four files",
        subject(rule, directory), sets.join(", ")
    )]
    Ambiguous {
        /// Who named the folder.
        rule: &'static str,
        /// Path of the folder.
        directory: PathBuf,
        /// Folders below it, or what the names of files start with.
        sets: Vec<String>,
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
            Err(Missing::Several(_)) => {
                looked.push((directory, "contains several data sets".into()))
            }
            Err(Missing::File(missing)) => {
                looked.push((directory, format!("{missing} is missing")))
            }
        }
    }
    Err(FindError::Nowhere(Places(looked)))
}

/// Checks that `directory`, or one of torchvision's and Keras's folders below it, holds the four files. Besides the official
/// names, others of the same form are found, such as `emnist-letters-train-images-idx3-ubyte` and
/// `t10k-images.idx3-ubyte`. `rule` says in [`Found`] and in messages who named the folder, such as a flag of the command
/// line.
///
/// # Errors
/// [`FindError::NotADirectory`], [`FindError::Incomplete`] or [`FindError::Ambiguous`].
pub fn named(directory: &Path, rule: &'static str) -> Result<Found, FindError> {
    let directory = directory.to_path_buf();
    if !directory.is_dir() {
        let found = if directory.exists() { "is a file" } else { "does not exist" };
        return Err(FindError::NotADirectory { rule, directory, found });
    }
    let missing = match files_in(&directory) {
        Ok(paths) => return Ok(Found { directory, rule, paths }),
        Err(Missing::Several(sets)) => return Err(FindError::Ambiguous { rule, directory, sets }),
        Err(Missing::File(missing)) => missing,
    };
    let below = BELOW.map(|below| (below, files_in(&directory.join(below))));
    let mut found = below.into_iter().filter_map(|(below, paths)| Some((below, paths.ok()?)));
    match (found.next(), found.next()) {
        (None, _) => Err(FindError::Incomplete { rule, directory, missing }),
        (Some((below, paths)), None) => Ok(Found { directory: directory.join(below), rule, paths }),
        (Some((a, _)), Some((b, _))) => {
            let sets = [a, b].into_iter().chain(found.map(|(below, _)| below));
            Err(FindError::Ambiguous { rule, directory, sets: sets.map(String::from).collect() })
        }
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

/// Why a folder does not hold one data set.
enum Missing {
    /// The first official file that is missing.
    File(&'static str),
    /// What the names of the files of several data sets start with.
    Several(Vec<String>),
}

/// The four files in `directory`. Official names come first. If a file is there packed and unpacked, the `.gz` is taken:
/// it has a checksum, and a download replaces it.
fn files_in(directory: &Path) -> Result<[PathBuf; 4], Missing> {
    let mut paths: [PathBuf; 4] = Default::default();
    let official = |file: &'static str| {
        let names = [format!("{file}.gz"), file.into()].map(|name| directory.join(name));
        names.into_iter().find(|path| path.exists()).ok_or(Missing::File(file))
    };
    let find = |(path, file): (&mut PathBuf, &super::OfficialFile)| {
        *path = official(file.name)?;
        Ok(())
    };
    let missing = match paths.iter_mut().zip(&OFFICIAL).try_for_each(find) {
        Ok(()) => return Ok(paths),
        Err(missing) => missing,
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // The packed file after the unpacked one, so that it is found first from the end.
    files.sort();
    let prefixes: BTreeSet<&str> = files.iter().filter_map(|name| Some(role(name)?.0)).collect();
    let of_prefix = |prefix: &&str| {
        let path = |official: &super::OfficialFile| {
            let wanted = Some((*prefix, official.half, official.content));
            let name = files.iter().rev().find(|name| role(name) == wanted)?;
            Some(directory.join(name))
        };
        let paths: Vec<PathBuf> = OFFICIAL.iter().filter_map(path).collect();
        <[PathBuf; 4]>::try_from(paths).ok()
    };
    let mut sets: Vec<_> =
        prefixes.iter().filter_map(|prefix| Some((*prefix, of_prefix(prefix)?))).collect();
    match sets.len() {
        0 => Err(missing),
        1 => Ok(sets.remove(0).1),
        _ => {
            let name = |prefix: &str| format!("{prefix}train-…");
            Err(Missing::Several(sets.into_iter().map(|(prefix, _)| name(prefix)).collect()))
        }
    }
}

/// Whether [`named`] may take a file of this name for one of a data set.
#[cfg(feature = "import")]
pub(crate) fn is_data_file(name: &str) -> bool {
    role(name).is_some()
}

/// What the name of a file of a data set starts with, its half and its content: `emnist-letters-`, [`Half::Train`] and
/// [`Content::Images`] for `emnist-letters-train-images-idx3-ubyte.gz`.
fn role(name: &str) -> Option<(&str, Half, Content)> {
    const HALVES: [(&str, Half); 3] =
        [("train", Half::Train), ("t10k", Half::Test), ("test", Half::Test)];
    const CONTENTS: [(&str, Content, &[u8]); 2] =
        [("images", Content::Images, b"34"), ("labels", Content::Labels, b"1")];
    let name = name.strip_suffix(".gz").unwrap_or(name).strip_suffix("-ubyte")?;
    CONTENTS.iter().find_map(|&(content_name, content, dimensions)| {
        let (rest, dimension) = name.split_at_checked(name.len().checked_sub(1)?)?;
        if !dimensions.contains(&dimension.as_bytes()[0]) {
            return None;
        }
        let rest = rest.strip_suffix("-idx").or_else(|| rest.strip_suffix(".idx"))?;
        let rest = rest.strip_suffix(content_name)?.strip_suffix('-')?;
        HALVES
            .iter()
            .find_map(|&(half_name, half)| Some((rest.strip_suffix(half_name)?, half, content)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dataset, Split, source::Origin};

    #[test]
    fn files_of_other_names_and_in_folders_below_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let touch = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        let found = || named(folder.path(), "").map(|found| found.paths);
        let four = |of: &dyn Fn(&str) -> String| {
            ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]
                .map(of)
        };
        let raw = |name: &str| format!("FashionMNIST/raw/{name}-ubyte");
        four(&raw).iter().for_each(|path| touch(path));
        assert_eq!(found().unwrap(), four(&raw).map(|path| folder.path().join(path)));
        touch("emnist-letters-train-images-idx3-ubyte.gz");
        touch("emnist-letters-train-labels-idx1-ubyte.gz");
        touch("emnist-letters-test-images-idx3-ubyte.gz");
        assert_eq!(found().unwrap()[0], folder.path().join(raw("train-images-idx3")));
        touch("emnist-letters-test-labels-idx1-ubyte.gz");
        assert!(found().unwrap()[3].ends_with("emnist-letters-test-labels-idx1-ubyte.gz"));
        four(&|name| format!("{}-ubyte", name.replace("-idx", ".idx")))
            .iter()
            .for_each(|path| touch(path));
        let said = named(folder.path(), "").unwrap_err().to_string();
        assert!(said.contains("several data sets (train-…, emnist-letters-train-…)"), "{said}");
        fs::remove_file(folder.path().join("emnist-letters-test-labels-idx1-ubyte.gz")).unwrap();
        assert!(found().unwrap()[0].ends_with("train-images.idx3-ubyte"));
    }

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
        let split = Split::new(vec![0; 2 * crate::PIXELS], vec![1, 2]);
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
