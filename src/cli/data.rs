//! The command line of `stitch data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DataArgs;
use super::values::{integer, parse_size, written_path};

/// `stitch data`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
Examples:
  stitch data
  stitch data --data /usr/share/datasets/fashion-mnist --json"
)]
pub struct DataCommand {
    #[command(flatten)]
    pub data: DataArgs,
    /// The subcommand; without one, the data set is shown.
    #[command(subcommand)]
    pub action: Option<DataAction>,
}

/// `stitch data fetch`, `stitch data verify`, `stitch data import`
#[derive(Debug, Subcommand)]
pub enum DataAction {
    /// Download the four official files; resumes partial downloads
    #[command(after_long_help = "\
Files that exist and are intact are not downloaded again.

Examples:
  stitch data fetch
  stitch data fetch --to data/fashion-mnist")]
    Fetch(FetchArgs),
    /// Check every file; exit code 1 if one is damaged
    #[command(after_long_help = "\
Examples:
  stitch data verify
  stitch data verify --data data/fashion-mnist")]
    Verify(DataArgs),
    /// Convert class folders of images, CSV, .npz or Parquet to the files that --data reads
    #[command(after_long_help = "\
FROM is recognized by the content of its files:
- folders train and test (or val) with a folder of images per class, as torchvision's ImageFolder reads them; PNG, JPEG, BMP, \
GIF and WebP. Classes are numbered by the sorted names of the folders. Transparency and EXIF orientation are ignored.
- one folder with a folder of images per class, with --test-last
- a folder with train.csv and test.csv, as on Kaggle: a column label, and a column per pixel, 0 to 255
- an .npz file with x_train, y_train, x_test and y_test (Keras), or train_images, train_labels … of type uint8
- a folder, or its folder data, with train-….parquet and test-….parquet, as on the Hugging Face hub: image.bytes and label

Either all files are written or none. Exit code 1 if images cannot be read.

Examples (with files of your own):
  stitch data import pictures -o data/pictures --size 28x28 --channels 1
  stitch data import flowers -o data/flowers --size 32x32 --test-last 10
  stitch data import mnist.npz -o data/mnist
  stitch data import train.csv -o data/digits --test-last 5000")]
    Import(ImportArgs),
}

/// `stitch data import`
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Folder or file to convert
    pub from: PathBuf,
    /// Folder to write to; it must be empty or not exist
    #[arg(long, short, value_name = "DIR", value_parser = written_path())]
    pub output: PathBuf,
    /// Scale images to this size, such as 28x28, as torchvision's Resize; for CSV, the size of a row
    ///
    /// Pillow's bilinear filter, which averages when an image gets smaller. Width and height are scaled independently. Images
    /// of this size are unchanged.
    #[arg(long, value_name = "HEIGHTxWIDTH", allow_negative_numbers = true, value_parser = parse_size)]
    pub size: Option<(usize, usize)>,
    /// 1: convert to grey, 3: to red, green and blue [default: 1 if every image is grey, else 3]
    ///
    /// As Pillow's convert("L") and convert("RGB"): 0.299 R + 0.587 G + 0.114 B.
    #[arg(long, value_name = "1|3", allow_negative_numbers = true,
          value_parser = ["1", "3"], hide_possible_values = true)]
    pub channels: Option<String>,
    /// Column of the labels in CSV or Parquet [default: label]
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Take the last N training images as the test half, if there is none
    ///
    /// Images in class folders are sorted by class: the last of each class are taken, in proportion to its images, N in all.
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = integer::<u32>(1..=u32::MAX.into()))]
    pub test_last: Option<u32>,
    /// Leave out images that cannot be read, and list them
    #[arg(long)]
    pub skip_unreadable: bool,
    /// Replace the data set in DIR; other files in it stay
    #[arg(long)]
    pub force: bool,
}

/// `stitch data fetch`
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Folder to download to [default: data/fashion-mnist]
    #[arg(long, value_name = "DIR", value_parser = written_path())]
    pub to: Option<PathBuf>,
    /// Download from this URL: a folder with the four .gz files
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
    /// Retry a connection that has received no data for this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, allow_negative_numbers = true,
          value_parser = integer::<u16>(1..=3600))]
    pub timeout: u16,
}
