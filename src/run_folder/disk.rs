//! Atomic writes: after a power failure, a file has its old or its new content.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// Maximum size in bytes of a file of a run that is read whole.
pub const MAX_FILE: u64 = 64 << 20;

/// Prefix of the names of temporary files.
pub(super) const TEMPORARY: &str = ".stitch-";

/// Held while a file is being written.
pub(super) static WRITING: Mutex<()> = Mutex::new(());

/// The temporary file of the write in progress.
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Waits until no file is being written, for at most `timeout`; then removes the temporary file of the write in progress.
/// While the returned guard is held, no write starts. For callers that end the process.
pub fn end_writes(timeout: Duration) -> Option<MutexGuard<'static, ()>> {
    let start = Instant::now();
    loop {
        match WRITING.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(error)) => return Some(error.into_inner()),
            Err(TryLockError::WouldBlock) if start.elapsed() >= timeout => break,
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    if let Some(path) = &*UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner) {
        // Nothing more can be done: the process ends.
        let _ = fs::remove_file(path);
    }
    None
}

/// Writes a temporary file beside `path`, flushes it to disk (`fsync`), renames it, and flushes the rename.
/// After a power failure, `path` has its old or its new content. A file that is replaced keeps its permissions.
///
/// # Errors
/// Those of the file system; `path` then has its old or its new content.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Renaming would replace a device, a pipe or a link by a file.
    let existing = path.symlink_metadata().ok();
    if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
        return Err(io::Error::other("it exists and is not a regular file"));
    }
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = parent_of(path);
    // With the permissions of an ordinary file; temporary files are private by default.
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let (mut file, temporary) = builder.prefix(TEMPORARY).tempfile_in(folder)?.into_parts();
    let unfinished = |path| *UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner) = path;
    unfinished(Some(temporary.to_path_buf()));
    let written = existing
        .map_or(Ok(()), |existing| file.set_permissions(existing.permissions()))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    unfinished(None);
    written?;
    // It was renamed, so there is nothing to remove.
    let _ = temporary.keep();
    sync_folder(folder)
}

/// Reads a regular file of at most `limit` bytes. Opening a pipe would block, and a device may have no end.
///
/// # Errors
/// Those of the file system; a file that is not regular, or larger.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    // One byte more than the limit shows that the file is too long; its metadata may be wrong.
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::Error::other(format!("it is larger than {limit} bytes"))),
        false => Ok(bytes),
    }
}

/// Creates a folder and its missing parents, and flushes their directory entries to disk.
pub(super) fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    folder.parent().map_or(Ok(()), create_folders)?;
    create_folder(folder)
}

/// Creates a folder if it does not exist, and flushes its directory entry to disk.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(parent_of(folder)),
    }
}

/// The parent folder of a path; `.` for a bare name.
pub(super) fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Flushes the directory entries of a folder to disk (`fsync`).
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    // Other systems cannot open a folder.
    let _ = folder;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        write_whole(&file, b"old").unwrap();
        write_whole(&file, b"new").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [&link, &socket] {
            let error = write_whole(path, b"other").unwrap_err();
            assert!(error.to_string().contains("not a regular file"), "{error}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"new");
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        write_whole(&file, b"newer").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(link.is_symlink());
    }

    #[test]
    fn the_temporary_file_of_a_write_that_does_not_end_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let temporary = folder.path().join(format!("{TEMPORARY}x"));
        fs::write(&temporary, "half").unwrap();
        let writing = WRITING.lock().unwrap();
        *UNFINISHED.lock().unwrap() = Some(temporary.clone());
        assert!(end_writes(Duration::ZERO).is_none());
        *UNFINISHED.lock().unwrap() = None;
        assert!(!temporary.exists());
        drop(writing);
    }
}
