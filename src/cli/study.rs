//! The command line of `stitch study`.

use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use stitch::models::ModelEntry;

use super::values::parse_indices;
use super::{DataArgs, EngineArgs, models};

/// `stitch study`
#[derive(Debug, Args)]
#[command(after_long_help = "\
A study is a folder: plan.csv has a row a run, results/ what each came to. The rows know nothing of each \
other, so any number of processes, on any number of machines, may work on them.

Examples:
  stitch study plan --model mlp,lenet5 --seeds 0..3 -o study
  stitch study run study
  stitch study report study")]
pub struct StudyCommand {
    /// What to do
    #[command(subcommand)]
    pub action: StudyAction,
}

/// What is done with a study.
#[derive(Debug, Subcommand)]
pub enum StudyAction {
    /// Write the grid of runs, a row a run, to DIR/plan.csv
    Plan(StudyPlanArgs),
    /// Run what is not done yet
    Run(StudyRunArgs),
    /// Merge the results of one or several studies into one table
    Collect(StudyCollectArgs),
    /// Tell how sure the accuracies are: a page, a figure, a table
    Report(StudyReportArgs),
}

/// `stitch study plan`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Every combination of the values is a run. A list is separated by commas; seeds are numbers or N..M (M \
not included). What is not given is the model's own, as in `stitch train`.

A TOML file says the same, in one grid or several:
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
    /// The grid as a TOML file, in place of the flags
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["model", "seeds", "batch_size", "lr", "epochs", "threads", "engine", "fast"])]
    pub file: Option<PathBuf>,
    /// The models
    #[arg(long, value_delimiter = ',', required_unless_present = "file", value_parser = models::parser())]
    pub model: Vec<&'static ModelEntry>,
    /// Seeds: 0,1,2 or 0..50 (50 not included)
    #[arg(long, value_name = "N", value_delimiter = ',', required_unless_present = "file")]
    pub seeds: Vec<String>,
    /// Images a step
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub batch_size: Vec<usize>,
    /// Learning rates of Adam
    #[arg(long, value_name = "F", value_delimiter = ',')]
    pub lr: Vec<f64>,
    /// Passes over the training images
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub epochs: Vec<usize>,
    /// Threads of each run; 1 and 2 give different bits
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: u32,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Folder of the study
    #[arg(long, short, value_name = "DIR", value_parser = super::values::written_path())]
    pub output: PathBuf,
    /// Replace the plan in the folder; results of rows that the new one has too are kept
    #[arg(long)]
    pub force: bool,
}

/// `stitch study run`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Started again after it was killed, it runs only what is missing; an interrupted run resumes from its \
checkpoint. A run that fails is recorded with its error and does not stop the others.

--row is the unit that any engine for clusters can spread: it runs one row, in this process, and its \
result is written whole or not at all. Exit codes: 0 done (now or before), 1 the run failed and that is \
recorded, 2 it could not be run.

Examples:
  stitch study run study --jobs 2 --rows 0..2
  stitch study run study --row 2
  stitch study run study")]
pub struct StudyRunArgs {
    /// Folder of the study
    pub study: PathBuf,
    /// Runs at the same time [default: as many as the threads of a run fit on the cores]
    #[arg(long, value_name = "N", conflicts_with = "row", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub jobs: Option<u32>,
    /// Only the rows N, or N..M (M not included)
    #[arg(long, value_name = "I..J", value_parser = parse_indices, conflicts_with = "row")]
    pub rows: Option<Range<usize>>,
    /// One row, in this process
    #[arg(long, value_name = "K")]
    pub row: Option<usize>,
    /// Run again what has failed
    #[arg(long)]
    pub retry_failed: bool,
    /// Keep the run folder of each row, in DIR/runs
    #[arg(long)]
    pub keep_runs: bool,
    /// End when the process that started this one does: stdin is its sign of life
    #[arg(long, hide = true, requires = "row")]
    pub worker: bool,
    /// The data set, where the process that started this one has put it
    #[arg(long, hide = true, requires = "row", value_name = "PATH")]
    pub shared_data: Option<PathBuf>,
    #[command(flatten)]
    pub data: DataArgs,
}

/// `stitch study collect`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Of one run that several studies have done, the bits must be equal. Exit code 1 when they are not.

Examples:
  stitch study collect study
  stitch study collect study larger -o all.csv")]
pub struct StudyCollectArgs {
    /// Folders of studies, or tables that were collected before
    #[arg(required = true)]
    pub studies: Vec<PathBuf>,
    /// The table to write [default: results.csv in the one study]
    #[arg(long, short, value_name = "FILE", value_parser = super::values::written_path())]
    pub output: Option<PathBuf>,
}

/// `stitch study report`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Writes report.html, accuracies.svg and summary.csv.

Examples:
  stitch study report study
  stitch study report docs/study/results.csv -o report")]
pub struct StudyReportArgs {
    /// Folders of studies, or tables that were collected
    #[arg(required = true)]
    pub studies: Vec<PathBuf>,
    /// Folder to write to [default: the one study]
    #[arg(long, short, value_name = "DIR", value_parser = super::values::written_path())]
    pub output: Option<PathBuf>,
}
