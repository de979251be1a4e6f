//! Recognizes the form of a data set by the content of its files, and which half a file belongs to by its name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{ImportError, name_of};
use crate::idx::other_kind;
use crate::picture::is_picture;
use crate::source::unpack;

/// The files of a data set by half.
pub(super) enum Source {
    /// Folders of class folders.
    Folders { train: PathBuf, test: Option<PathBuf> },
    /// A table per half.
    Csv { train: PathBuf, test: Option<PathBuf> },
    /// One file with both halves.
    Npz(PathBuf),
    /// Files in the order of their rows; perhaps none of the test half.
    Parquet { train: Vec<PathBuf>, test: Vec<PathBuf> },
}

/// What the name of a file or folder says that it contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Train,
    Test,
    Validation,
}

/// The part that one of the words of a name stands for; `None` if there is none, or several.
fn part_of(name: &str) -> Option<Part> {
    let part = |word: &str| match word {
        "train" | "training" => Some(Part::Train),
        "test" | "testing" | "t10k" => Some(Part::Test),
        "val" | "valid" | "validation" | "dev" => Some(Part::Validation),
        _ => None,
    };
    let name = name.to_lowercase();
    let mut parts = name.split(|c: char| !c.is_alphanumeric()).filter_map(part);
    let first = parts.next()?;
    parts.all(|other| other == first).then_some(first)
}

/// What a file contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Csv,
    Npz,
    Parquet,
    Idx,
    Picture,
    /// A folder or files in one, with an article.
    Archive(&'static str),
    /// Something else, with an article.
    Other(&'static str),
}

/// Recognizes a file by its first bytes, after decompression if it is `.gz`.
fn kind_of(path: &Path) -> io::Result<Kind> {
    let mut start = Vec::new();
    unpack(File::open(path)?)?.0.take(4096).read_to_end(&mut start)?;
    Ok(match &start[..] {
        [b'P', b'A', b'R', b'1', ..] => Kind::Parquet,
        [0, 0, 8, 1 | 3 | 4, ..] => Kind::Idx,
        [b'P', b'K', 3, 4, ..] if first_entry(&start).ends_with(b".npy") => Kind::Npz,
        start if is_picture(start) => Kind::Picture,
        [] => Kind::Other("an empty file"),
        start => match other_kind(start) {
            Some(kind) if kind.contains("archive") => Kind::Archive(kind),
            Some(kind) => Kind::Other(kind),
            None if is_table(start) => Kind::Csv,
            None => Kind::Other("of an unknown form"),
        },
    })
}

/// The name of the first entry of a ZIP archive.
fn first_entry(start: &[u8]) -> &[u8] {
    let length =
        start.get(26..28).map_or(0, |length| usize::from(length[0]) | usize::from(length[1]) << 8);
    start.get(30..30 + length).unwrap_or_default()
}

/// Whether a text starts with a line of cells. One comma may be that of a sentence, unless the next line has one too.
fn is_table(start: &[u8]) -> bool {
    let mut lines =
        start.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty());
    let commas = |line: &[u8]| line.iter().filter(|&&byte| byte == b',').count();
    let first = lines.next().unwrap_or_default();
    let is_text = !first.iter().any(|&byte| byte < b' ' && byte != b'\t');
    is_text && (commas(first) > 1 || commas(first) == 1 && lines.next().map(commas) == Some(1))
}

/// Finds the files of the data set `from`, and what to note about them.
pub(super) fn find(from: &Path) -> Result<(Source, Vec<String>), ImportError> {
    let read = |error| ImportError::Read(from.into(), error);
    let kind = fs::metadata(from).map_err(read)?.file_type();
    if kind.is_dir() {
        return in_folder(from);
    }
    if !kind.is_file() {
        return Err(ImportError::at(from, "it is neither a folder nor a regular file"));
    }
    let found = match kind_of(from).map_err(read)? {
        Kind::Csv => Source::Csv { train: from.into(), test: None },
        Kind::Npz => Source::Npz(from.into()),
        Kind::Parquet => Source::Parquet { train: vec![from.into()], test: Vec::new() },
        Kind::Idx => return Err(ImportError::at(from, "it is an IDX file, which needs no import")),
        Kind::Picture => {
            let reason = "it is one image: a folder of images in class folders is expected";
            return Err(ImportError::at(from, reason));
        }
        Kind::Archive(kind) => {
            return Err(ImportError::at(from, format!("it is {kind}: unpack it first")));
        }
        Kind::Other(kind) => {
            let reason = format!("it is {kind}: CSV, .npz or Parquet is expected");
            return Err(ImportError::at(from, reason));
        }
    };
    Ok((found, Vec::new()))
}

/// The entries of a folder, sorted by name: folders, then files.
pub(super) fn entries(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), ImportError> {
    let read = |error| ImportError::Read(folder.into(), error);
    let paths = fs::read_dir(folder).map_err(read)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<io::Result<_>>().map_err(read)?;
    // By bytes, as Python sorts names.
    paths.sort();
    Ok(paths.into_iter().partition(|path| path.is_dir()))
}

/// Files or folders by what their names say.
#[derive(Default)]
struct Named {
    train: Vec<PathBuf>,
    /// The test half; if there is none, the validation half.
    test: Vec<PathBuf>,
    /// Neither.
    rest: Vec<PathBuf>,
    notes: Vec<String>,
}

impl Named {
    fn new(paths: Vec<PathBuf>) -> Self {
        let (mut named, mut validation) = (Self::default(), Vec::new());
        for path in paths {
            match part_of(&name_of(&path)) {
                Some(Part::Train) => named.train.push(path),
                Some(Part::Test) => named.test.push(path),
                Some(Part::Validation) => validation.push(path),
                None => named.rest.push(path),
            }
        }
        let note = |how: &str| format!("{} {how}", names(&validation));
        match (validation.is_empty(), named.test.is_empty()) {
            (true, _) => {}
            (_, true) => {
                named.notes.push(note("becomes the test half, since there is no other"));
                named.test = validation;
            }
            (_, false) => named.notes.push(note("is not imported: there is a test half")),
        }
        named
    }

    /// Refuses several paths for one half.
    fn one_each(&self, from: &Path) -> Result<(), ImportError> {
        match [&self.train, &self.test].into_iter().find(|half| half.len() > 1) {
            Some(half) => Err(ImportError::at(
                from,
                format!("{} are several files for the same half: keep one of them", names(half)),
            )),
            None => Ok(()),
        }
    }
}

/// The names of some paths: at most four.
fn names(paths: &[PathBuf]) -> String {
    let first: Vec<String> = paths.iter().take(4).map(|path| name_of(path)).collect();
    match paths.len() {
        0..=4 => first.join(", "),
        n => format!("{} and {} more", first.join(", "), n - 4),
    }
}

fn in_folder(from: &Path) -> Result<(Source, Vec<String>), ImportError> {
    let (folders, files) = entries(from)?;
    let named = Named::new(folders.clone());
    if let Some(train) = named.train.first() {
        named.one_each(from)?;
        let test = named.test.first().cloned();
        return Ok((Source::Folders { train: train.clone(), test }, named.notes));
    }
    let mut of_kind = by_kind(&files)?;
    let below = from.join("data");
    if of_kind.is_empty() && below.is_dir() {
        of_kind = by_kind(&entries(&below)?.1)?;
    }
    let mut kinds = of_kind.into_iter();
    let (kind, files) = match (kinds.next(), kinds.next()) {
        (Some(one), None) => one,
        (None, _) if named.test.is_empty() && contain_pictures(&folders)? => {
            return Ok((Source::Folders { train: from.into(), test: None }, Vec::new()));
        }
        (None, _) => return Err(nothing(from, &folders, &files)),
        (Some((_, a)), Some((_, b))) => {
            let reason = format!(
                "it contains files of several forms ({}; {}): give one",
                names(&a),
                names(&b)
            );
            return Err(ImportError::at(from, reason));
        }
    };
    if kind == Kind::Npz {
        let [file] = &files[..] else {
            return Err(ImportError::at(
                from,
                format!("it contains several data sets ({}): give one", names(&files)),
            ));
        };
        return Ok((Source::Npz(file.clone()), Vec::new()));
    }
    let named = Named::new(files);
    if kind == Kind::Csv {
        named.one_each(from)?;
    }
    let Named { train, test, rest, mut notes } = named;
    if !rest.is_empty() {
        notes.push(format!(
            "{} is not imported: its name contains neither train nor test",
            names(&rest)
        ));
    }
    let Some(first) = train.first() else {
        let reason = "no file is named as the training half, such as train.csv or train-00000-of-00001.parquet";
        return Err(ImportError::at(from, reason));
    };
    let source = match kind {
        Kind::Csv => Source::Csv { train: first.clone(), test: test.first().cloned() },
        _ => {
            [&train, &test].into_iter().try_for_each(|files| all_parts(files))?;
            Source::Parquet { train, test }
        }
    };
    Ok((source, notes))
}

/// The files that can be imported, by what they contain.
fn by_kind(files: &[PathBuf]) -> Result<BTreeMap<Kind, Vec<PathBuf>>, ImportError> {
    let mut of_kind: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for path in files.iter().filter(|path| path.is_file()) {
        let kind = kind_of(path).map_err(|error| ImportError::Read(path.clone(), error))?;
        // A text with commas may be no table.
        let may_be_table = kind == Kind::Csv && part_of(&name_of(path)).is_some();
        if may_be_table || matches!(kind, Kind::Npz | Kind::Parquet) {
            of_kind.entry(kind).or_default().push(path.clone());
        }
    }
    Ok(of_kind)
}

/// Whether one of these folders has an image in it.
fn contain_pictures(folders: &[PathBuf]) -> Result<bool, ImportError> {
    for folder in folders {
        for path in entries(folder)?.1.iter().filter(|path| path.is_file()) {
            let kind = kind_of(path).map_err(|error| ImportError::Read(path.clone(), error))?;
            if kind == Kind::Picture {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The error about a folder without anything to import.
fn nothing(from: &Path, folders: &[PathBuf], files: &[PathBuf]) -> ImportError {
    let expected = "a folder of images per class, in folders train and test or not, or CSV, .npz or Parquet files are expected";
    let found: Vec<String> = [("the folders", folders), ("the files", files)]
        .into_iter()
        .filter(|(_, paths)| !paths.is_empty())
        .map(|(what, paths)| format!("{what} {}", names(paths)))
        .collect();
    let found = if found.is_empty() { "nothing".into() } else { found.join(" and ") };
    ImportError::at(from, format!("it contains {found}: {expected}"))
}

/// Refuses `train-00000-of-00002.parquet` without `train-00001-of-00002.parquet`.
fn all_parts(files: &[PathBuf]) -> Result<(), ImportError> {
    for file in files {
        let name = name_of(file);
        let stem = name.split('.').next().unwrap_or_default();
        let Some((start, total)) = stem.rsplit_once("-of-") else { continue };
        let Some((start, _)) = start.rsplit_once('-') else { continue };
        let found = files.iter().filter(|other| {
            let name = name_of(other);
            name.starts_with(&format!("{start}-")) && name.contains(&format!("-of-{total}."))
        });
        let found = found.count();
        if total.parse() != Ok(found) {
            let reason =
                format!("the name says that it is one of {total} files, but {found} are there");
            return Err(ImportError::at(file, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_the_half_that_one_of_its_words_says() {
        let of = |name| part_of(name);
        for name in ["train", "fashion-mnist_train.csv", "train-00000-of-00002.parquet", "Training"]
        {
            assert_eq!(of(name), Some(Part::Train), "{name}");
        }
        assert_eq!([of("mnist_test.csv"), of("t10k.csv")], [Some(Part::Test); 2]);
        assert_eq!(of("VALID"), Some(Part::Validation));
        assert_eq!([of("train_val"), of("trainer"), of("sample_submission.csv")], [None; 3]);
    }

    #[test]
    fn a_missing_part_is_noticed() {
        let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let two = ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"];
        assert!(all_parts(&files(&two)).is_ok() && all_parts(&files(&["train.parquet"])).is_ok());
        let error = all_parts(&files(&two[1..])).unwrap_err().to_string();
        assert!(error.contains("one of 00002 files, but 1 are there"), "{error}");
    }
}
