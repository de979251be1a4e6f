//! The command line of `stitch data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DataArgs;
use super::values::written_path;

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

/// `stitch data fetch`, `stitch data verify`
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
          value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub timeout: u16,
}
