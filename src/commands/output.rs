//! The files that commands write at the path of `--output`.

use std::path::Path;

use anyhow::{Result, bail, ensure};

/// Checks that the output path can be written, and does not exist unless `force`.
pub fn check_output(path: &Path, force: bool) -> Result<()> {
    let output = path.display();
    ensure!(!path.is_dir(), "--output {output} is a folder: give the path of a file");
    // `symlink_metadata` finds a dangling link too.
    if let Ok(existing) = path.symlink_metadata() {
        ensure!(force, "--output {output} exists. Give another path, or --force to replace it");
        ensure!(existing.is_file(), "--output {output} is not a regular file. Give another path");
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!("--output {output}: the folder {} does not exist; create it first", folder.display());
    }
    Ok(())
}
