//! One file a command: the only place that wires modules together and prints.

mod completions;
mod data;
mod documents;
mod dry_run;
mod evaluate;
mod export;
mod flags;
mod inputs;
mod man;
mod models;
mod out_of_memory;
mod parity;
mod predict;
mod progress;
mod report;
mod reproduce;
mod settings;
mod signals;
mod study;
mod tables;
mod terminal;
mod train;
mod training;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use clap::builder::styling::AnsiColor;
use serde::Serialize;
use stitch::dataset::source::FetchError;

use self::terminal::Screen;
use crate::cli::{Cli, Command, UNBROKEN};

/// How a command that could do its work ended.
pub enum Outcome {
    /// Done; exit code 0.
    Done,
    /// A check failed; exit code 1.
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
    terminal::set_colour(cli.color);
    out_of_memory::listen(cli.json);
    let console = Console { quiet: cli.quiet, json: cli.json, screen: Screen::stdout() };
    match cli.command {
        Command::Reproduce(args) => reproduce::run(&args, console),
        Command::Train(args) => train::run(&args, console),
        Command::Models(args) => models::run(&args, console),
        Command::Evaluate(args) => evaluate::run(&args, console),
        Command::Predict(args) => predict::run(&args, console),
        Command::Export(args) => export::run(&args, console),
        Command::Parity(args) => parity::run(&args, console),
        Command::Report(args) => report::run(&args, console),
        Command::Data(args) => data::run(&args, console),
        Command::Study(args) => study::run(&args, console),
        Command::Completions(args) => completions::run(&args, console),
        Command::Man(args) => man::run(&args, console),
    }
}

/// 1 when a check failed, 130 after Ctrl-C and 143 after SIGTERM, 2 for usage and
/// unreadable input.
fn exit_code_of(error: &anyhow::Error) -> u8 {
    if let Some(interrupted) = error.downcast_ref::<signals::Interrupted>() {
        return interrupted.code;
    }
    let is_corrupt = matches!(error.downcast_ref(), Some(FetchError::Corrupt { .. }));
    let failed = flags::diverged(error) || is_corrupt || study::is_no(error);
    if failed { 1 } else { 2 }
}

/// Tells the user what went wrong, and a program too if it asked for `json`.
pub fn fail(error: &anyhow::Error, json: bool) -> ExitCode {
    print_error(error);
    let code = exit_code_of(error);
    // Behind a part of a result it would be no document.
    if json && !PRINTED.load(Ordering::Relaxed) {
        print_failure(flags::sentence(error), code);
    }
    code.into()
}

/// Prints what clap has to say: help and version, or what is wrong with the command line.
pub fn usage(error: &clap::Error, json: bool) -> ExitCode {
    let text = error.render().ansi().to_string().replace(UNBROKEN, " ");
    if error.use_stderr() {
        let _ = writeln!(anstream::stderr(), "{}", text.trim_end());
    } else {
        let mut out = anstream::stdout();
        let written = writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush());
        if let Err(error) = taken(written) {
            return fail(&error, false);
        }
    }
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    if json && error.use_stderr() {
        let text = error.render().to_string();
        // The sentence, without the summary of the usage.
        let sentence = text.split("\n\nUsage:").next().unwrap_or_default().trim();
        print_failure(sentence.strip_prefix("error: ").unwrap_or(sentence).into(), code);
    }
    code.into()
}

fn print_failure(error: String, exit_code: u8) {
    if let Ok(document) = serde_json::to_string_pretty(&documents::Failure { error, exit_code }) {
        let _ = print(&document);
    }
}

/// `error:` and the sentence, to stderr.
fn print_error(error: &anyhow::Error) {
    say(AnsiColor::Red, "error:", &flags::sentence(error));
}

/// `text` to stderr behind a coloured word.
fn say(colour: AnsiColor, word: &str, text: &str) {
    let style = colour.on_default().bold();
    // It leaves colours away where they are not wanted.
    let _ = writeln!(anstream::stderr(), "{style}{word}{style:#} {}", terminal::visible(text));
}

/// Whether stdout has got something.
static PRINTED: AtomicBool = AtomicBool::new(false);

fn print(text: &str) -> Result<()> {
    print_bytes(format!("{text}\n").as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Result<()> {
    PRINTED.store(true, Ordering::Relaxed);
    let mut out = io::stdout().lock();
    taken(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Whether stdout took everything.
fn taken(written: io::Result<()>) -> Result<()> {
    match written {
        // Nobody reads on (`stitch … | head`): the outcome is what it is.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("the result cannot be written to stdout"),
    }
}

/// Where messages go, and how.
#[derive(Debug, Clone, Copy)]
struct Console {
    quiet: bool,
    /// One JSON document is the result, instead of text.
    json: bool,
    /// What the results are shown on.
    screen: Screen,
}

impl Console {
    /// A result, to stdout.
    fn print(self, text: &str) -> Result<()> {
        print(text)
    }

    /// A result for people: left out when the result is a document.
    fn show(self, text: &str) -> Result<()> {
        if self.json { Ok(()) } else { print(text) }
    }

    /// The document that `--json` asks for, if it does.
    fn document<T: Serialize>(self, document: impl FnOnce() -> Result<T>) -> Result<()> {
        if self.json { print(&serde_json::to_string_pretty(&document()?)?) } else { Ok(()) }
    }

    /// Refuses `--json` where there is nothing that it could give.
    fn refuse_json(self, command: &str, what: &str) -> Result<()> {
        ensure!(!self.json, "--json: `stitch {command}` {what}. Leave --json away");
        Ok(())
    }

    /// Progress or a warning, to stderr, unless `--quiet`. Nothing depends on its being read.
    fn note(self, text: &str) {
        if self.quiet {
            return;
        }
        match text.split_once(' ') {
            Some((word @ ("note:" | "warning:"), rest)) => say(AnsiColor::Yellow, word, rest),
            _ => drop(writeln!(io::stderr(), "{}", terminal::visible(text))),
        }
    }
}
