//! Saves the converted images as PNG files.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use stitch::dataset::{ImageShape, picture};
use stitch::run_folder::write_whole;

use super::sources::Name;

/// The folder, and the files that this run has written to it.
pub struct SavedInputs<'a> {
    folder: &'a Path,
    /// Size of the images.
    shape: ImageShape,
    /// File names in lower case, since some file systems ignore case.
    names: HashSet<String>,
}

impl<'a> SavedInputs<'a> {
    /// Creates the folder and checks that it can be written.
    pub fn claim(folder: &'a Path, shape: ImageShape) -> Result<Self> {
        fs::create_dir_all(folder)
            .and_then(|()| tempfile::tempfile_in(folder))
            .with_context(|| format!("--save-input {} cannot be written", folder.display()))?;
        Ok(Self { folder, shape, names: HashSet::new() })
    }

    /// Writes an image atomically. An existing file is not overwritten: one with the same content is kept, another is an
    /// error.
    pub fn save(&mut self, name: &Name, pixels: &[u8]) -> Result<()> {
        let path = self.folder.join(self.file_name(name));
        let png = picture::to_png(pixels, self.shape)?;
        let failed = || format!("{} cannot be written", path.display());
        if path.exists() {
            let shown = path.display();
            let same = fs::read(&path).with_context(failed)? == png;
            ensure!(same, "{shown} exists and is another image: give another folder");
            return Ok(());
        }
        write_whole(&path, &png).with_context(failed)
    }

    /// The file name of an image: `shoe.png` for `photos/shoe.jpg`, `shoe-2.png` for the second one of that name,
    /// `t10k-images-idx3-ubyte-7.png` for an image of an IDX file.
    fn file_name(&mut self, name: &Name) -> String {
        let stem = name.path.file_stem().unwrap_or_default().to_string_lossy();
        let index = name.index.map(|index| format!("-{index}")).unwrap_or_default();
        let numbers = (2..).map(|number: usize| format!("-{number}"));
        let mut names = std::iter::once(String::new())
            .chain(numbers)
            .map(|number| format!("{stem}{index}{number}.png"));
        names.find(|name| self.names.insert(name.to_lowercase())).unwrap_or_default()
    }
}
