//! The command line: clap types, nothing else.

mod data;
mod engines;
mod models;
mod results;
mod shared;
mod study;
mod train;
mod values;
mod weights;

use std::env;
use std::path::PathBuf;

use clap::{
    Args, ColorChoice, Command as ClapCommand, CommandFactory, FromArgMatches, Parser, Subcommand,
};
use clap_complete::Shell;
pub use data::{DataAction, DataCommand, FetchArgs};
pub use results::{ParityArgs, ReportArgs};
pub use shared::{CheckpointArgs, ComputeArgs, DataArgs, EngineArgs, FigureArgs, KeyArgs};
pub use study::{
    StudyAction, StudyCollectArgs, StudyCommand, StudyPlanArgs, StudyReportArgs, StudyRunArgs,
};
pub use train::{ReproduceArgs, TrainArgs};
pub use weights::{EvaluateArgs, ExportArgs, ModelsArgs, PredictArgs};

pub use values::number;
use values::written_path;

/// The notebook's two Fashion-MNIST classifiers in Rust, equal to the Python original.
///
/// Results go to stdout, progress and warnings to stderr. Exit codes: 0 success, 1 check failed
/// (parity difference, corrupt data, diverged training), 2 usage, unreadable input, output that cannot be written or exhausted memory,
/// 130 and 143 interrupted (Ctrl-C, SIGTERM).
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_long_help = "\
Examples (each `stitch COMMAND --help` has more):
  stitch reproduce --out runs/first
  stitch predict docs/pictures
  stitch evaluate models/lenet5/state_dict.pt --json"
)]
pub struct Cli {
    /// Print no progress and no warnings
    #[arg(long, short, global = true, display_order = 1000)]
    pub quiet: bool,
    /// Print one JSON document instead of text; when it fails, {"error": …, "exit_code": …}
    ///
    /// docs/json.md describes the documents. Progress, warnings and the sentence of an error go to
    /// stderr as ever.
    #[arg(long, global = true, display_order = 1000)]
    pub json: bool,
    /// Colour the output: auto, always or never
    ///
    /// auto: on a terminal, unless $NO_COLOR is set and not empty or $TERM is dumb; $CLICOLOR_FORCE: elsewhere
    /// too.
    #[arg(
        long,
        global = true,
        display_order = 1000,
        value_name = "WHEN",
        default_value_t,
        hide_possible_values = true
    )]
    pub color: ColorChoice,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train both models as the notebook does and compare them with the paper
    Reproduce(ReproduceArgs),
    /// Train one model and write a run folder
    Train(TrainArgs),
    /// List the models, or show a model's layers
    Models(ModelsArgs),
    /// Evaluate a weights file on the test images
    Evaluate(EvaluateArgs),
    /// Classify pictures of your own
    Predict(PredictArgs),
    /// Write any readable weights file in another format
    Export(ExportArgs),
    /// Compare two runs, traces or files; name the first thing that differs
    Parity(ParityArgs),
    /// Write the page about one run or several again, from their run folders
    Report(ReportArgs),
    /// Show where the data set is and whether it is intact, or fetch it
    Data(DataCommand),
    /// Train many runs, over seeds and settings, on one machine or many
    Study(StudyCommand),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages
    #[command(hide = true)]
    Man(ManArgs),
}

/// `stitch completions`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Each shell reads them from a place of its own; bash with bash-completion from the one below.

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
    /// Folder to write them to; it is made when it is not there
    #[arg(value_name = "DIR", value_parser = written_path())]
    pub folder: PathBuf,
}

/// Reads the command line. Help shows examples that call this program as it was called.
///
/// # Errors
/// What clap has to say instead, and whether JSON was asked for.
pub fn parse() -> Result<Cli, (clap::Error, bool)> {
    // Without a slash it was found on the PATH, and will be again. A name that is not UTF-8 cannot be shown.
    let called = env::args_os().next().and_then(|called| called.into_string().ok());
    let called = called.filter(|called| called.contains('/'));
    let mut command = with_examples_of(Cli::command(), called.as_deref().unwrap_or("stitch"));
    let parsed = command.try_get_matches_from_mut(env::args_os());
    let parsed = parsed.and_then(|matches| {
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    });
    parsed.map_err(|error| (error, env::args_os().any(|argument| argument == "--json")))
}

/// A space in an example. clap breaks lines at other spaces, and a broken line cannot be pasted.
pub const UNBROKEN: char = '\u{a0}';

/// `command` with examples that call `program` instead of `stitch`.
fn with_examples_of(command: ClapCommand, program: &str) -> ClapCommand {
    let help = command.get_after_long_help().map(ToString::to_string);
    let example = |line: &str| {
        let words = line.strip_prefix("  stitch ").map(|words| format!("  {program} {words}"));
        words.unwrap_or_else(|| line.into()).replace(' ', &UNBROKEN.to_string())
    };
    let line = |line: &str| if line.starts_with("  ") { example(line) } else { line.into() };
    let command = match help {
        Some(help) => {
            command.after_long_help(help.lines().map(line).collect::<Vec<String>>().join("\n"))
        }
        None => command,
    };
    command.mut_subcommands(|below| with_examples_of(below, program))
}
