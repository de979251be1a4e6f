//! The command lines of `stitch parity` and `stitch report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use stitch_parity::Pattern;

use super::values::{integer, parse_named_tolerance, parse_tolerance, written_path};
use super::{ComputeArgs, DataArgs, FigureArgs};

/// `stitch parity`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Each side is a run folder, a trace, or a file: weights (.pt, .safetensors, .npz, .npy), predictions.csv \
or confusion_matrix.csv. By default every bit must be equal, except for scikit-learn's float64 models, which \
may differ by 1e-12. Exit codes: 0 equal, 1 different, 2 usage or I/O error.

Examples (the first two commands create the runs):
  stitch train lenet5 --epochs 1 --trace --out runs/a
  stitch train lenet5 --epochs 1 --trace --out runs/b
  stitch parity runs/a runs/b
  stitch parity runs/a/state_dict.pt runs/b/weights.safetensors --ulp 2
  stitch parity runs/a runs/b --html parity.html
  stitch parity runs/a runs/b --tol fc1.weight=1e-6 --tol 'gradient:*=1e-7,1e-5' --json
  stitch parity runs/a runs/b --tolerance torch
  stitch parity runs/a/weights.safetensors runs/b/weights.safetensors --suggest-map")]
pub struct ParityArgs {
    /// Reference run, trace or weights file
    pub reference: PathBuf,
    /// Run, trace or file to check against it
    pub candidate: PathBuf,
    /// Show everything: the numbers of all tensors that differ, tables of stages and layers, predictions
    #[arg(long, short)]
    pub verbose: bool,
    /// Show a histogram of the differences by size
    #[arg(long)]
    pub histogram: bool,
    /// Also write the result as JUnit XML, a test case per tensor; an earlier one is replaced
    #[arg(long, value_name = "FILE", value_parser = written_path())]
    pub junit: Option<PathBuf>,
    /// Also write the result as an HTML page; an earlier one is replaced
    ///
    /// Layers by steps, the first divergence with its causes, charts and histograms, in one file without scripts.
    #[arg(long, value_name = "FILE", value_parser = written_path())]
    pub html: Option<PathBuf>,
    /// Also print the verdict as an annotation of GitHub Actions (github)
    #[arg(long, value_name = "text|github", default_value = "text", hide_default_value = true)]
    pub format: ParityFormat,
    /// Allow floating-point differences up to ATOL + RTOL * |expected|
    #[arg(long, value_name = "ATOL", allow_negative_numbers = true, value_parser = parse_tolerance)]
    pub atol: Option<f64>,
    /// Relative tolerance, see --atol
    #[arg(long, value_name = "RTOL", allow_negative_numbers = true, value_parser = parse_tolerance)]
    pub rtol: Option<f64>,
    /// Allow floating-point differences up to N units in the last place
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = integer::<u64>(0..=u64::MAX))]
    pub ulp: Option<u64>,
    /// Set the tolerance of a tensor, a layer (conv1.*) or a stage (gradient:*); may be repeated
    #[arg(long, value_name = "NAME=ATOL[,RTOL]", allow_negative_numbers = true, value_parser = parse_named_tolerance)]
    pub tol: Vec<(Pattern, f64, f64)>,
    /// Allow the differences of torch.testing.assert_close, by dtype (torch)
    #[arg(long, value_name = "torch", conflicts_with_all = ["atol", "rtol", "ulp"])]
    pub tolerance: Option<NamedTolerances>,
    /// Key of the dict to compare in a checkpoint; required if there are several
    #[arg(long, value_name = "NAME")]
    pub key: Option<String>,
    /// Treat NaN as equal to NaN
    #[arg(long)]
    pub equal_nan: bool,
    /// Rename the candidate's tensors and change their layout by the rules of this TOML file
    ///
    /// docs/parity-map.md describes the rules.
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
    /// Print a map for --map, proposed from shapes, contents and names, instead of comparing
    #[arg(
        long,
        conflicts_with_all = ["map", "strict_stages", "verbose", "histogram", "junit", "html", "format", "atol", "rtol", "ulp", "tol", "tolerance", "equal_nan"]
    )]
    pub suggest_map: bool,
    /// Report a stage that only one side records as different [default: list it as not compared]
    #[arg(long)]
    pub strict_stages: bool,
}

/// Tolerances by dtype.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NamedTolerances {
    /// Those of `torch.testing.assert_close`.
    Torch,
}

/// The output of `stitch parity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ParityFormat {
    /// Text.
    Text,
    /// Text, and a line with which GitHub Actions annotates a run.
    Github,
}

/// `stitch report`
#[derive(Debug, Args)]
#[command(after_long_help = "\
The report is one self-contained HTML file. Its images need the run's weights and its test images; \
without them the report is written without images and says so.

Examples:
  stitch report runs/lenet5
  stitch report runs/reproduce
  stitch report runs/lenet5 runs/mlp --normalize -o both.html
  stitch report runs/reproduce --study study")]
pub struct ReportArgs {
    /// Run folders of stitch or notebook.py, or folders of run folders
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// Report the uncertainty of the accuracies from this study: its folder, or a table of `stitch study collect`
    #[arg(long, value_name = "STUDY")]
    pub study: Vec<PathBuf>,
    /// File to write; required with several RUNs [default: RUN/report.html, which is replaced]
    #[arg(long, short, value_name = "FILE", value_parser = written_path())]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub figures: FigureArgs,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Replace FILE if it exists
    #[arg(long)]
    pub force: bool,
}
