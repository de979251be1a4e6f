//! The command line of `stitch study`.

use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use stitch::models::ModelEntry;

use super::values::{integer, parse_indices, setting, threads};
use super::{DataArgs, EngineArgs, models};

/// `stitch study`
#[derive(Debug, Args)]
#[command(after_long_help = "\
A study is a folder: plan.csv has one row per run, results/ has one file per run. Rows are independent, \
so any number of processes on any number of machines can work on a study.

Examples:
  stitch study plan --model mlp,lenet5 --seeds 0..3 -o study
  stitch study run study
  stitch study report study")]
pub struct StudyCommand {
    /// The subcommand
    #[command(subcommand)]
    pub action: StudyAction,
}

/// The subcommands of `stitch study`.
#[derive(Debug, Subcommand)]
pub enum StudyAction {
    /// Write the plan, one row per run, to DIR/plan.csv
    Plan(StudyPlanArgs),
    /// Run the rows that have no result yet
    Run(StudyRunArgs),
    /// Merge the results of one or more studies into one table
    Collect(StudyCollectArgs),
    /// Report the uncertainty of the accuracies
    Report(StudyReportArgs),
}

/// `stitch study plan`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Every combination of the values is a run. Lists are separated by commas; seeds are numbers or N..M (M \
excluded). Other settings have the model's defaults, as in `stitch train`.

The same as a TOML file, with one or more grids; these take any setting of `stitch train`, such as val, \
patience or device:
  [[grid]]
  model = \"lenet5\"
  seeds = \"0..50\"
  batch_size = [16, 32, 64]
  lr = [1e-3, 2e-3]

Examples:
  stitch study plan --model mlp,lenet5 --seeds 0..3 -o study
  stitch study plan --model lenet5 --seeds 0..50 --batch-size 16,32,64 --lr 1e-3,2e-3 -o larger
  stitch study plan --file docs/study/grid.toml -o largest")]
pub struct StudyPlanArgs {
    /// Read the grids from a TOML file instead of the flags
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["model", "seeds", "batch_size", "lr", "epochs", "threads", "engine", "fast"])]
    pub file: Option<PathBuf>,
    /// The models, or TorchScript files of your own
    #[arg(long, value_delimiter = ',', required_unless_present = "file", value_parser = models::network_parser())]
    pub model: Vec<&'static ModelEntry>,
    /// Seeds: 0,1,2 or 0..50 (50 excluded)
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        allow_negative_numbers = true,
        required_unless_present = "file"
    )]
    pub seeds: Vec<String>,
    /// Images per step
    #[arg(long, value_name = "N", value_delimiter = ',', allow_negative_numbers = true,
          value_parser = setting::<usize>("batch_size"))]
    pub batch_size: Vec<usize>,
    /// Learning rates
    #[arg(long, value_name = "F", value_delimiter = ',', allow_negative_numbers = true,
          value_parser = setting::<f64>("lr"))]
    pub lr: Vec<f64>,
    /// Number of passes over the training images
    #[arg(long, value_name = "N", value_delimiter = ',', allow_negative_numbers = true,
          value_parser = setting::<usize>("epochs"))]
    pub epochs: Vec<usize>,
    /// Threads per run; results depend on it in their low-order bits
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = threads())]
    pub threads: u32,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Folder of the study
    #[arg(long, short, value_name = "DIR", value_parser = super::values::written_path())]
    pub output: PathBuf,
    /// Replace the plan in the folder; results of rows that are in both plans are kept
    #[arg(long)]
    pub force: bool,
}

/// `stitch study run`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Repeat the command after an interruption: it runs only rows without a result, and interrupted runs resume \
from their checkpoints. A failed run is recorded with its error and does not stop the others.

A scheduler can distribute a study by running one --row per task; the result is written atomically. Exit codes of \
--row: 0 done (now or before), 1 the run failed and the failure is recorded, 2 the run could not be started.

Examples:
  stitch study run study --jobs 2 --rows 0..2
  stitch study run study --row 2
  stitch study run study")]
pub struct StudyRunArgs {
    /// Folder of the study
    pub study: PathBuf,
    /// Number of runs at the same time [default: cores divided by threads per run]
    #[arg(long, value_name = "N", conflicts_with = "row", allow_negative_numbers = true,
          value_parser = integer::<u32>(1..=4096))]
    pub jobs: Option<u32>,
    /// Run only row I, or rows I..J (J excluded)
    #[arg(long, value_name = "I..J", allow_negative_numbers = true,
          value_parser = parse_indices, conflicts_with = "row")]
    pub rows: Option<Range<usize>>,
    /// Run one row in this process
    #[arg(long, value_name = "K", allow_negative_numbers = true, value_parser = integer::<usize>(0..=u64::MAX))]
    pub row: Option<usize>,
    /// Run failed rows again
    #[arg(long)]
    pub retry_failed: bool,
    /// Keep the run folder of each row in DIR/runs
    #[arg(long)]
    pub keep_runs: bool,
    /// End when stdin is closed, as it is when the parent process ends
    #[arg(long, hide = true, requires = "row")]
    pub worker: bool,
    /// Read the data set from the shared memory of the parent process
    #[arg(long, hide = true, requires = "row", value_name = "PATH")]
    pub shared_data: Option<PathBuf>,
    #[command(flatten)]
    pub data: DataArgs,
}

/// `stitch study collect`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Fails with exit code 1 if the same run produced different results in two studies.

Examples:
  stitch study collect study
  stitch study collect study larger -o all.csv")]
pub struct StudyCollectArgs {
    /// Study folders, or tables of `stitch study collect`
    #[arg(required = true)]
    pub studies: Vec<PathBuf>,
    /// Table to write; required for several studies [default: STUDY/results.csv]
    #[arg(long, short, value_name = "FILE", value_parser = super::values::written_path())]
    pub output: Option<PathBuf>,
}

/// `stitch study report`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Writes report.html, accuracies.svg and summary.csv, and effects.csv if configurations differ in an option. Prints \
what each option changed, as far as the runs show it.

Examples:
  stitch study report study
  stitch study report docs/study/results.csv -o report")]
pub struct StudyReportArgs {
    /// Study folders, or tables of `stitch study collect`
    #[arg(required = true)]
    pub studies: Vec<PathBuf>,
    /// Folder to write to; required for several studies [default: STUDY]
    #[arg(long, short, value_name = "DIR", value_parser = super::values::written_path())]
    pub output: Option<PathBuf>,
}
