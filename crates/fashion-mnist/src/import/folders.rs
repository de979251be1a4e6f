//! Folders of images by class, as torchvision's `ImageFolder` reads them.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::detect::entries;
use super::halves::Halves;
use super::{ImportError, read_picture};
use crate::classes::MOST_CLASSES;
use crate::picture::is_picture;
use crate::source::Half;

/// File names of images in lower case: the `IMG_EXTENSIONS` of torchvision.
const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp"];

/// Reads both halves, or one that [`Options::test_last`](super::Options) splits. The classes are those of the training half.
pub(super) fn read(
    train: &Path,
    test: Option<&Path>,
    into: &mut Halves,
) -> Result<(), ImportError> {
    if test.is_none() && into.options.test_last.is_none() {
        return Err(ImportError::NoTestFolder(train.into()));
    }
    into.is_by_class = true;
    let names = classes_in(train)?;
    into.name_classes(&train.display(), names.clone())?;
    test.map_or(Ok(()), |test| check_classes(test, train, &names))?;
    // Files that are no images, and images that `ImageFolder` would ignore.
    let (mut ignored, mut unusual) = (Vec::new(), Vec::new());
    let test = test.map(|test| (Half::Test, test));
    for (half, folder) in [(Half::Train, train)].into_iter().chain(test) {
        let mut images = Vec::new();
        for (label, name) in names.iter().enumerate() {
            let class = folder.join(name);
            if !class.is_dir() {
                continue;
            }
            let before = images.len();
            for path in files_below(&class)? {
                let known = has_extension(&path);
                if known || starts_as_picture(&path)? {
                    (!known).then(|| unusual.push(path.clone()));
                    images.push((path, label as u8));
                } else {
                    ignored.push(path);
                }
            }
            if images.len() == before {
                let reason = "it contains no images: add some, or remove the folder";
                return Err(ImportError::at(&class, reason));
            }
        }
        let total = images.len();
        for (path, label) in images {
            match read_picture(&path) {
                Ok(image) => into.add(half, image, label, &path.display(), Some(total))?,
                Err(reason) => into.unreadable(&path.display(), reason),
            }
        }
    }
    let mut note = |paths: Vec<PathBuf>, what: &str| {
        if let [first, ..] = &paths[..] {
            into.notes.push(format!("{what}: {}, such as {}", paths.len(), first.display()));
        }
    };
    note(ignored, "skipped files that are not images");
    note(unusual, "imported images whose extension ImageFolder would skip");
    Ok(())
}

/// Refuses a class of the test half that is not one of the training half's.
fn check_classes(test: &Path, train: &Path, names: &[String]) -> Result<(), ImportError> {
    match classes_in(test)?.into_iter().find(|name| !names.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let same = names.iter().find(|other| other.to_lowercase() == name.to_lowercase());
            let same = same.map_or(String::new(), |same| format!(", but {same}"));
            let reason = format!("{} has no class of this name{same}", train.display());
            Err(ImportError::at(&test.join(name), reason))
        }
    }
}

/// The names of the folders in `folder`, sorted.
fn classes_in(folder: &Path) -> Result<Vec<String>, ImportError> {
    let folders = entries(folder)?.0;
    if !(1..=MOST_CLASSES).contains(&folders.len()) {
        let reason = format!(
            "{} folders, where one per class is expected, 1 to {MOST_CLASSES}",
            folders.len()
        );
        return Err(ImportError::at(folder, reason));
    }
    let name = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        name.ok_or_else(|| {
            ImportError::at(path, "the name of the class is not UTF-8 text: rename it")
        })
    };
    folders.iter().map(name).collect()
}

/// The files in a folder and the folders below it, in the order of `ImageFolder`: by the paths of folders as text, then by
/// name. Links are followed.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let (mut folders, mut left) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = left.pop() {
        let (below, files) = entries(&folder)?;
        for below in below {
            let link = fs::canonicalize(&below);
            let link = link.map_err(|error| ImportError::Read(below.clone(), error))?;
            if folder.canonicalize().is_ok_and(|folder| folder.starts_with(link)) {
                return Err(ImportError::at(
                    &below,
                    "it links to a folder that contains it: remove it",
                ));
            }
            left.push(below);
        }
        folders.push((folder, files));
    }
    // As text, `a-b` comes before `a/b`.
    folders.sort_by(|(a, _), (b, _)| a.as_os_str().cmp(b.as_os_str()));
    Ok(folders.into_iter().flat_map(|(_, files)| files).collect())
}

fn has_extension(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&&*extension))
}

/// Whether the content is that of an image; not if it is no regular file.
fn starts_as_picture(path: &Path) -> Result<bool, ImportError> {
    let mut start = Vec::new();
    if path.is_file() {
        let read = File::open(path).and_then(|file| file.take(12).read_to_end(&mut start));
        read.map_err(|error| ImportError::Read(path.into(), error))?;
    }
    Ok(is_picture(&start))
}
