//! The command line, as types of clap.

mod data;
mod engines;
mod inspect;
mod models;
pub mod other_flags;
mod results;
mod shared;
mod study;
#[cfg(test)]
mod tests;
mod train;
mod values;
mod weights;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{
    Args, ColorChoice, Command as ClapCommand, CommandFactory, FromArgMatches, Parser, Subcommand,
};
use clap_complete::Shell;
pub use data::DataCommand;
#[cfg(all(feature = "import", not(feature = "libtorch")))]
pub use data::ImportArgs;
#[cfg(not(feature = "libtorch"))]
pub use data::{DataAction, FetchArgs};
pub use inspect::InspectArgs;
#[cfg(not(feature = "libtorch"))]
pub use results::ParityFormat;
pub use results::{ParityArgs, ReportArgs};
pub use shared::{
    CheckpointArgs, ComputeArgs, DataArgs, EngineArgs, FigureArgs, InputArgs, KeyArgs,
};
#[cfg(feature = "libtorch")]
pub use study::StudyRunArgs;
pub use study::{StudyAction, StudyCommand};
#[cfg(not(feature = "libtorch"))]
pub use study::{StudyCollectArgs, StudyPlanArgs, StudyReportArgs};
pub use train::{ReproduceArgs, TrainArgs};
pub use weights::{EvaluateArgs, ExportArgs, ModelsArgs, PredictArgs};

#[cfg(not(feature = "libtorch"))]
pub use values::number;
use values::written_path;

/// Train and evaluate the notebook's two Fashion-MNIST classifiers, bit for bit like the Python original.
///
/// Results go to stdout, progress and warnings to stderr. Exit codes: 0 success; 1 check failed (parity difference,
/// corrupt data, diverged training); 2 usage or I/O error, or out of memory; 130 interrupted (Ctrl-C); 143 terminated
/// (SIGTERM).
#[derive(Debug, Parser)]
#[command(
    name = "stitch",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_long_help = "\
Examples (each `stitch COMMAND --help` has more):
  stitch reproduce --out runs/first
  stitch predict docs/pictures
  stitch inspect models/lenet5/state_dict.pt
  stitch evaluate models/lenet5/state_dict.pt --json
  stitch --version --verbose"
)]
pub struct Cli {
    /// Print no progress and no warnings
    #[arg(long, short, global = true, display_order = 1000)]
    pub quiet: bool,
    /// Print one JSON document instead of text; on failure {"error": …, "exit_code": …}
    ///
    /// docs/json.md describes the documents. Progress, warnings and error messages still go to stderr.
    #[arg(long, global = true, display_order = 1000)]
    pub json: bool,
    /// Color the output: auto, always or never
    ///
    /// auto: on a terminal, unless $NO_COLOR is set and not empty or $TERM is dumb; everywhere if $CLICOLOR_FORCE is set.
    #[arg(
        long,
        global = true,
        display_order = 1000,
        value_name = "WHEN",
        default_value_t,
        hide_possible_values = true
    )]
    pub color: ColorChoice,
    /// The command
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train the paper's two models as the notebook does and compare them with the paper
    Reproduce(ReproduceArgs),
    /// Train one model and write a run folder
    Train(Box<TrainArgs>),
    /// List the models, or show a model's layers
    Models(ModelsArgs),
    /// Evaluate a weights file on the test images
    Evaluate(EvaluateArgs),
    /// Classify your own images
    Predict(PredictArgs),
    /// Show what is in files of tensors, traces, run folders and IDX files
    Inspect(InspectArgs),
    /// Convert a file of tensors to another format
    Export(ExportArgs),
    /// Compare two runs, traces or files; report the first difference
    Parity(ParityArgs),
    /// Write the report of one or more runs from their run folders
    Report(ReportArgs),
    /// Show, verify, download or import a data set
    Data(DataCommand),
    /// Train many runs over seeds and settings, on one or more machines
    Study(StudyCommand),
    /// Check libtorch, CPU, threads, data set, reference environment, GPU and terminal
    ///
    /// Each line is ok, a note (only some commands need what is missing) or a PROBLEM, with what to do about it.
    #[command(after_long_help = "\
Exit codes: 0 no problem, 1 something is wrong.

Examples:
  stitch doctor
  stitch doctor --json")]
    Doctor,
    /// Print shell completions
    Completions(CompletionsArgs),
    /// Write the manual pages
    #[command(hide = true)]
    Man(ManArgs),
}

/// `stitch completions`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Each shell reads completions from its own folder; the example shows that of bash-completion.

Examples:
  stitch completions zsh
  mkdir -p ~/.local/share/bash-completion/completions
  stitch completions bash > ~/.local/share/bash-completion/completions/stitch")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// `stitch man`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Folder to write to; created if it does not exist
    #[arg(value_name = "DIR", value_parser = written_path())]
    pub folder: PathBuf,
}

/// Parses the command line.
///
/// # Errors
/// The message of clap, and whether `--json` was given.
pub fn parse() -> Result<Cli, (clap::Error, bool)> {
    parse_words(&env::args_os().collect::<Vec<_>>())
}

/// Parses the words of a command line, the first of which is the program.
fn parse_words(words: &[OsString]) -> Result<Cli, (clap::Error, bool)> {
    let mut command = command();
    let parsed = command.try_get_matches_from_mut(words);
    let parsed = parsed.and_then(|matches| {
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    });
    parsed.map_err(|error| {
        let words: Vec<&str> = words.iter().skip(1).filter_map(|word| word.to_str()).collect();
        (other_flags::with_hint(error, &command, &words), words.contains(&"--json"))
    })
}

/// The command line. Usage and examples call the program `stitch`, wherever it is.
fn command() -> ClapCommand {
    with_unbroken_examples(Cli::command().bin_name("stitch"))
}

/// Whether the command line is `stitch --version --verbose`, which clap would end at `--version`; with whether `--json` was
/// given.
pub fn asks_for_versions() -> Option<bool> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let is = |names: &[&str]| arguments.iter().any(|it| names.iter().any(|name| it == name));
    // Flags, and the values of --color; not a command.
    let is_flag = |it: &OsString| {
        it.to_str().is_some_and(|it| it.starts_with('-') || ColorChoice::from_str(it).is_ok())
    };
    let asks =
        is(&["--version", "-V"]) && is(&["--verbose", "-v"]) && arguments.iter().all(is_flag);
    asks.then(|| is(&["--json"]))
}

/// The space within examples: clap wraps lines at other spaces, and a wrapped line cannot be pasted into a shell.
pub const UNBROKEN: char = '\u{a0}';

/// Replaces the spaces in the examples of a command and its subcommands.
fn with_unbroken_examples(command: ClapCommand) -> ClapCommand {
    let help = command.get_after_long_help().map(ToString::to_string);
    let line = |line: &str| match line.starts_with("  ") {
        true => line.replace(' ', &UNBROKEN.to_string()),
        false => line.into(),
    };
    let command = match help {
        Some(help) => {
            command.after_long_help(help.lines().map(line).collect::<Vec<String>>().join("\n"))
        }
        None => command,
    };
    command.mut_subcommands(with_unbroken_examples)
}
