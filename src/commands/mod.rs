//! One file a command: the only place that wires modules together and prints.

mod checkpoints;
mod completions;
mod data;
mod evaluate;
mod export;
mod inputs;
mod parity;
mod predict;
mod progress;
mod report;
mod reproduce;
mod signals;
mod study;
mod tables;
mod train;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use stitch::dataset::source::FetchError;
use stitch::train::TrainError;

use crate::cli::{Cli, Command};

/// How a command that could do its work ended.
pub enum Outcome {
    /// Done; exit code 0.
    Done,
    /// The answer is no; exit code 1.
    No,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => 0.into(),
            Outcome::No => 1.into(),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// A sentence for the user; [`exit_code_of`] gives its exit code.
pub fn run(cli: Cli) -> Result<Outcome> {
    let console = Console { quiet: cli.quiet };
    match cli.command {
        Command::Reproduce(args) => reproduce::run(&args, console),
        Command::Train(args) => train::run(&args, console),
        Command::Evaluate(args) => evaluate::run(&args, console),
        Command::Predict(args) => predict::run(&args, console),
        Command::Export(args) => export::run(&args, console),
        Command::Parity(args) => parity::run(&args, console),
        Command::Report(args) => report::run(&args, console),
        Command::Data(args) => data::run(&args, console),
        Command::Study(args) => study::run(&args, console),
        Command::Completions(args) => completions::run(&args, console),
    }
}

/// 1 when the work itself gave the answer no, 130 after Ctrl-C and 143 after SIGTERM, 2 for usage and
/// unreadable input.
pub fn exit_code_of(error: &anyhow::Error) -> ExitCode {
    if let Some(interrupted) = error.downcast_ref::<signals::Interrupted>() {
        return interrupted.code.into();
    }
    let code = match (error.downcast_ref::<TrainError>(), error.downcast_ref::<FetchError>()) {
        (Some(TrainError::Diverged { .. } | TrainError::NotFinite { .. }), _) => 1,
        (_, Some(FetchError::Corrupt { .. })) => 1,
        _ if study::is_no(error) => 1,
        _ => 2,
    };
    code.into()
}

/// Tells the user what went wrong.
pub fn report(error: &anyhow::Error) {
    let _ = writeln!(io::stderr(), "error: {error:#}");
}

/// Where messages go.
#[derive(Debug, Clone, Copy)]
struct Console {
    quiet: bool,
}

impl Console {
    /// A result, to stdout.
    fn print(self, text: &str) -> Result<()> {
        let mut out = io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            // Nobody reads on (`stitch … | head`): the outcome is what it is.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("the result cannot be written to stdout"),
        }
    }

    /// Progress or a warning, to stderr, unless `--quiet`. Nothing depends on its being read.
    fn note(self, text: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}
