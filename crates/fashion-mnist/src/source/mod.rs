//! The four files of the data set: [`find()`] looks for them, [`load`] reads and checks them, [`Fetcher`] downloads
//! them.

mod fetch;
mod find;
mod verify;

use std::path::PathBuf;

pub use fetch::{FetchError, Fetcher, PUBLISHER, Progress};
#[cfg(feature = "import")]
pub(crate) use find::is_data_file;
pub use find::{DEFAULT_DIRECTORY, ENVIRONMENT_VARIABLE, FindError, Found, Places, find, named};
pub use verify::{CLASSES_FILE, FileContent, FileError, load, load_file, load_test, unpack};

/// The half of the data set that a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The training half: 60,000 images in the official files.
    Train,
    /// The test half: 10,000 images in the official files.
    Test,
}

/// The content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Images ([`crate::idx::IMAGES_MAGIC`], [`crate::idx::CHANNELS_MAGIC`]).
    Images,
    /// Labels ([`crate::idx::LABELS_MAGIC`]).
    Labels,
}

/// One of the four official files.
#[derive(Debug, PartialEq, Eq)]
pub struct OfficialFile {
    /// File name without `.gz`.
    pub name: &'static str,
    /// Training or test half.
    pub half: Half,
    /// Images or labels.
    pub content: Content,
    /// Number of images or labels.
    pub count: usize,
    /// Size in bytes, unpacked.
    pub bytes: u64,
    /// SHA-256 sum of the unpacked file, in lower-case hexadecimal digits. (The `.gz` files of different
    /// distributors differ.)
    pub sha256: &'static str,
}

/// The four files as Zalando Research published them in 2017: training images and labels, test images and labels.
pub const OFFICIAL: [OfficialFile; 4] = [
    OfficialFile {
        name: "train-images-idx3-ubyte",
        half: Half::Train,
        content: Content::Images,
        count: 60_000,
        bytes: 47_040_016,
        sha256: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    },
    OfficialFile {
        name: "train-labels-idx1-ubyte",
        half: Half::Train,
        content: Content::Labels,
        count: 60_000,
        bytes: 60_008,
        sha256: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    },
    OfficialFile {
        name: "t10k-images-idx3-ubyte",
        half: Half::Test,
        content: Content::Images,
        count: 10_000,
        bytes: 7_840_016,
        sha256: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    },
    OfficialFile {
        name: "t10k-labels-idx1-ubyte",
        half: Half::Test,
        content: Content::Labels,
        count: 10_000,
        bytes: 10_008,
        sha256: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
];

/// A well-formed file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOrigin {
    /// The official file's name without `.gz`.
    pub name: &'static str,
    /// Path of the file that was read.
    pub path: PathBuf,
    /// Number of images or labels in it.
    pub count: usize,
    /// SHA-256 sum of the unpacked file, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Whether that is the sum of the official file.
    pub official: bool,
}

/// The folder and the files that a data set was read from, in the order of [`OFFICIAL`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The folder, and who named it.
    pub found: Found,
    /// The files that were read: all four, or the test half.
    pub files: Vec<FileOrigin>,
}

/// How the files that were read compare with the official ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Every file is the official one.
    Official,
    /// No file is: another data set in the same format.
    Another,
    /// Some files are: most likely, one is damaged.
    Mixed,
}

impl Origin {
    /// Compares the SHA-256 sums of the files with the official ones.
    pub fn identity(&self) -> Identity {
        match self.files.iter().filter(|file| file.official).count() {
            n if n == self.files.len() => Identity::Official,
            0 => Identity::Another,
            _ => Identity::Mixed,
        }
    }
}
