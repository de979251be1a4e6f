//! The 28x28 pictures that the model saw, as PNG files in a folder.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use stitch::dataset::PIXELS;
use stitch::dataset::picture;
use stitch::run_folder::write_whole;

use super::sources::Name;

/// The folder, and what this run has put into it.
pub struct SavedInputs<'a> {
    folder: &'a Path,
    /// File names, in small letters: some systems tell no others apart.
    names: HashSet<String>,
}

impl<'a> SavedInputs<'a> {
    /// Makes sure that the folder can be written, before the work starts.
    pub fn claim(folder: &'a Path) -> Result<Self> {
        fs::create_dir_all(folder)
            .and_then(|()| tempfile::tempfile_in(folder))
            .with_context(|| format!("--save-input {}: it cannot be written", folder.display()))?;
        Ok(Self { folder, names: HashSet::new() })
    }

    /// Writes a picture, whole or not at all. What is there already is left as it is: the same
    /// picture of an earlier run is right, another one is an error.
    pub fn save(&mut self, name: &Name, pixels: &[u8; PIXELS]) -> Result<()> {
        let path = self.folder.join(self.file_name(name));
        let png = picture::to_png(pixels)?;
        let failed = || format!("{} cannot be written", path.display());
        if path.exists() {
            let shown = path.display();
            let same = fs::read(&path).with_context(failed)? == png;
            ensure!(same, "{shown} is there already and is another picture: name another folder");
            return Ok(());
        }
        write_whole(&path, &png).with_context(failed)
    }

    /// `shoe.png` for `photos/shoe.jpg`, `shoe-2.png` for the second one of that name,
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
