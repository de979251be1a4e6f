//! A data set in memory that a process shares with its child processes: one copy for all of them. Linux only.
//!
//! The memory is an anonymous file (`memfd_create`) that is sealed: no process can change or shorten it, so a mapping
//! of it stays valid.

#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use memmap2::Mmap;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use serde::{Deserialize, Serialize};

use super::classes::Classes;
use super::source::{FileOrigin, Found, OFFICIAL, Origin};
use super::{Dataset, ImageShape, Split};

/// Seals that the file must have.
const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW);
/// Size of a page in bytes; the images start at a multiple of it.
const PAGE: usize = 4096;

/// A data set in shared memory, which child processes can [`open`] as long as this value lives.
#[derive(Debug)]
pub struct Shared {
    file: File,
}

/// The header before the images and labels: where they were read from.
#[derive(Serialize, Deserialize)]
struct Header {
    directory: PathBuf,
    /// In the order of [`OFFICIAL`], like the next two.
    paths: [PathBuf; 4],
    sha256: [String; 4],
    counts: [usize; 4],
    /// Channels, height and width of the images.
    shape: [usize; 3],
    classes: Vec<String>,
}

impl Shared {
    /// Copies the training and the test half into shared memory.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] when `dataset` was not read from four files; other errors when the system has no
    /// anonymous files or not enough memory.
    pub fn new(dataset: &Dataset) -> io::Result<Self> {
        let Origin { found, files } = &dataset.origin;
        let of_files = |file: usize| files.get(file).ok_or(io::ErrorKind::InvalidInput);
        let [a, b, c, d] = [of_files(0)?, of_files(1)?, of_files(2)?, of_files(3)?];
        let header = Header {
            directory: found.directory.clone(),
            paths: found.paths.clone(),
            sha256: [a, b, c, d].map(|file| file.sha256.clone()),
            counts: [a, b, c, d].map(|file| file.count),
            shape: dataset.train.shape.sizes(),
            classes: dataset.train.classes.names().to_vec(),
        };
        let header = serde_json::to_vec(&header)?;
        // Without close-on-exec: child processes inherit it.
        let file = memfd_create("stitch-data", MemfdFlags::ALLOW_SEALING)?;
        let mut file = File::from(file);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        let start = (8 + header.len()).next_multiple_of(PAGE);
        file.seek(SeekFrom::Start(start as u64))?;
        for split in [&dataset.train, &dataset.test] {
            file.write_all(&split.images)?;
            file.write_all(&split.labels)?;
        }
        fcntl_add_seals(&file, SEALS | SealFlags::SEAL)?;
        Ok(Self { file })
    }

    /// The path for [`open`] in a child process.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }
}

/// Opens the data set that a parent process shares at `path` ([`Shared::path`]).
///
/// # Errors
/// When the file cannot be opened or mapped, is not sealed, or does not have the format of [`Shared`].
pub fn open(path: &Path) -> io::Result<Dataset> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut file = File::open(path)?;
    if !fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SEALS)) {
        return Err(wrong("it is not sealed memory"));
    }
    let mut length = [0; 8];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut length)?;
    let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
    // SAFETY: the file is sealed, so no process can write or shorten it.
    let all = Bytes::from_owner(unsafe { Mmap::map(&file)? });
    let end = length.checked_add(8).filter(|&end| end <= all.len());
    let end = end.ok_or_else(|| wrong("its header is longer than the file"))?;
    let Header { directory, paths, sha256, counts, shape, classes } =
        serde_json::from_slice(&all[8..end])?;
    let [channels, height, width] = shape;
    let shape = ImageShape { channels, height, width };
    let classes = Classes::new(classes).map_err(|error| wrong(&error.to_string()))?;
    let mut at = end.next_multiple_of(PAGE);
    let mut take = |bytes: Option<usize>| {
        let part = bytes.and_then(|bytes| at.checked_add(bytes)).filter(|&to| to <= all.len());
        let part = part.map(|to| all.slice(at..to)).ok_or_else(|| wrong("it is too short"))?;
        at += part.len();
        Ok::<_, io::Error>(part)
    };
    let mut split = |images: usize, labels: usize| {
        if images != labels {
            return Err(wrong("its images and labels differ in number"));
        }
        let images = take(images.checked_mul(shape.bytes()))?;
        let labels = take(Some(labels))?.into();
        Ok(Split { images, labels, shape, classes: classes.clone() })
    };
    let (train, test) = (split(counts[0], counts[1])?, split(counts[2], counts[3])?);
    let origin = |(i, official): (usize, &super::source::OfficialFile)| FileOrigin {
        name: official.name,
        path: paths[i].clone(),
        count: counts[i],
        official: sha256[i] == official.sha256,
        sha256: sha256[i].clone(),
    };
    let files = OFFICIAL.iter().enumerate().map(origin).collect();
    let found = Found { directory, rule: "shared by the process that started this one", paths };
    Ok(Dataset { train, validation: None, test, origin: Origin { found, files } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PIXELS, source};

    #[test]
    fn what_is_shared_is_read_back_and_cannot_be_changed() {
        let folder = tempfile::tempdir().unwrap();
        for (file, count) in source::OFFICIAL.iter().zip([3u32, 3, 2, 2]) {
            let mut bytes = match file.content {
                source::Content::Images => [0x803, count, 28, 28].map(u32::to_be_bytes).concat(),
                source::Content::Labels => [0x801, count].map(u32::to_be_bytes).concat(),
            };
            let size = if bytes.len() == 16 { PIXELS } else { 1 };
            bytes.extend((0..count as usize * size).map(|i| (i % 10) as u8));
            std::fs::write(folder.path().join(file.name), bytes).unwrap();
        }
        let dataset = source::load(source::find(Some(folder.path())).unwrap()).unwrap();
        let shared = Shared::new(&dataset).unwrap();
        let opened = open(&shared.path()).unwrap();
        assert!(opened.train == dataset.train && opened.test == dataset.test);
        assert_eq!(opened.origin.files, dataset.origin.files);
        assert_eq!(opened.origin.identity(), dataset.origin.identity());
        assert!((&shared.file).write_all(b"other").is_err());
        assert!(shared.file.set_len(7).is_err());
    }

    #[test]
    fn a_file_that_somebody_could_change_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let sentence = open(file.path()).unwrap_err().to_string();
        assert!(sentence.contains("not sealed"), "{sentence}");
    }
}
