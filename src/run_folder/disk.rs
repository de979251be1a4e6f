//! Atomic writes: after a power cut a file is as it was before, or complete.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// Beginning of the names of temporary files.
pub(super) const TEMPORARY: &str = ".stitch-";

/// Held while a temporary file is there.
pub(super) static WRITING: Mutex<()> = Mutex::new(());

/// Waits until no file is being written, but no longer than `longest`. While the returned guard is held,
/// no write begins. For callers that end the process.
pub fn wait_for_writes(longest: Duration) -> Option<MutexGuard<'static, ()>> {
    let start = Instant::now();
    loop {
        match WRITING.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(error)) => return Some(error.into_inner()),
            Err(TryLockError::WouldBlock) if start.elapsed() >= longest => return None,
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Writes a temporary file beside `path`, flushes it to disk (`fsync`), renames it, and flushes the rename.
/// After a power cut `path` is as it was, or complete.
///
/// # Errors
/// The system's; `path` is then as it was, or complete.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = parent_of(path);
    // Made with the permissions of an ordinary file; a temporary file is private otherwise.
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.prefix(TEMPORARY).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    let temporary = file.into_temp_path();
    fs::rename(&temporary, path)?;
    // Its name is another now: there is nothing to remove.
    let _ = temporary.keep();
    sync_folder(folder)
}

/// Creates a folder and its missing parents, and flushes their directory entries to disk.
pub(super) fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    folder.parent().map_or(Ok(()), make_folders)?;
    make_folder(folder)
}

/// Creates a folder if it does not exist, and flushes its directory entry to disk.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(parent_of(folder)),
    }
}

/// The folder that something is in. The parent of a bare name is empty.
pub(super) fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Flushes the directory entries of a folder to disk (`fsync`).
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    // Elsewhere a folder cannot be opened.
    let _ = folder;
    Ok(())
}
