//! The commands, one file each: they call the library and print.
//!
//! Those that run networks are part of `stitch-engine` (feature `libtorch`), the others of `stitch`; see "Two programs" in
//! `ARCHITECTURE.md`.

#[cfg(not(feature = "libtorch"))]
mod completions;
#[cfg(feature = "libtorch")]
mod cpu_quota;
#[cfg(not(feature = "libtorch"))]
mod data;
#[cfg(all(feature = "import", not(feature = "libtorch")))]
mod data_import;
mod doctor;
mod documents;
#[cfg(feature = "libtorch")]
mod dry_run;
#[cfg(not(feature = "libtorch"))]
mod engine;
mod environment;
#[cfg(feature = "libtorch")]
mod evaluate;
mod export;
mod files;
mod flags;
mod inputs;
#[cfg(not(feature = "libtorch"))]
mod inspect;
mod links;
#[cfg(not(feature = "libtorch"))]
mod man;
#[cfg(not(feature = "libtorch"))]
mod models;
mod out_of_memory;
#[cfg(not(feature = "libtorch"))]
mod parity;
#[cfg(feature = "libtorch")]
mod predict;
#[cfg(feature = "libtorch")]
mod progress;
mod report;
#[cfg(feature = "libtorch")]
mod reproduce;
#[cfg(feature = "libtorch")]
mod settings;
mod shell;
mod signals;
mod study;
#[cfg(feature = "libtorch")]
mod tables;
mod terminal;
#[cfg(feature = "libtorch")]
mod test_images;
#[cfg(feature = "libtorch")]
mod train;
#[cfg(feature = "libtorch")]
mod training;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "libtorch")]
use anyhow::bail;
use anyhow::{Context, Result, ensure};
use clap::builder::styling::AnsiColor;
use serde::Serialize;
use stitch::dataset::source::FetchError;

pub use self::out_of_memory::{LIBRARY_EXIT, OUT_OF_MEMORY};
use self::terminal::Screen;
use crate::cli::{self, Cli, Command, UNBROKEN};

/// The result of a command that did not fail with an error.
pub enum Outcome {
    /// Success; exit code 0.
    Done,
    /// A check failed, or some of the inputs cannot be read; exit code 1.
    CheckFailed,
    /// No input can be read, and the errors are printed; exit code 2.
    Unreadable,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => 0.into(),
            Outcome::CheckFailed => 1.into(),
            Outcome::Unreadable => 2.into(),
        }
    }
}

/// The error in a working directory that was removed. `before_main.rs` prints it before the constructors of libtorch's libraries run.
pub const REMOVED_DIRECTORY: &str =
    "the working directory was removed. Change to an existing directory and try again";

/// The environment variable in which `stitch` passes its version to `stitch-engine`.
const STARTED_BY: &str = "STITCH_STARTED_BY";

/// Parses the command line, runs the command and returns the exit code.
pub fn main() -> ExitCode {
    #[cfg(feature = "libtorch")]
    stitch::memory::keep_freed_memory();
    stitch::memory::handle_aborts(OUT_OF_MEMORY);
    stitch::memory::handle_library_exits(LIBRARY_EXIT);
    let code = exit_code();
    stitch::memory::expect_exit();
    code
}

fn exit_code() -> ExitCode {
    if let Some(json) = cli::asks_for_versions() {
        return versions(json);
    }
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err((error, json)) => return usage(&error, json),
    };
    let json = cli.json;
    #[cfg(feature = "libtorch")]
    if let Err(error) = check_version() {
        return fail(&error, json);
    }
    match run(cli) {
        Ok(outcome) => outcome.into(),
        Err(error) => fail(&error, json),
    }
}

/// Runs the command.
///
/// # Errors
/// The error message; [`exit_code_of`] maps it to an exit code.
fn run(cli: Cli) -> Result<Outcome> {
    terminal::set_color(cli.color);
    // Before signals are handled: one that arrives in between would be lost.
    #[cfg(not(feature = "libtorch"))]
    if engine::has(&cli.command)? {
        return engine::start();
    }
    out_of_memory::listen(cli.json);
    signals::listen()?;
    // Paths would be relative to it.
    let is_removed = env::current_dir().is_err_and(|it| it.kind() == io::ErrorKind::NotFound);
    ensure!(!is_removed, REMOVED_DIRECTORY);
    let console = Console { quiet: cli.quiet, json: cli.json, screen: Screen::stdout() };
    match cli.command {
        Command::Export(args) => export::run(&args, console),
        Command::Report(args) => report::run(&args, console),
        Command::Study(args) => study::run(&args, console),
        Command::Doctor => doctor::run(console),
        other => dispatch(other, console),
    }
}

/// Checks that the program that started this one has the same version.
#[cfg(feature = "libtorch")]
fn check_version() -> Result<()> {
    let this = env!("CARGO_PKG_VERSION");
    match env::var(STARTED_BY) {
        Ok(stitch) if stitch != this => {
            bail!("stitch has version {stitch}, but stitch-engine {this}: install both again")
        }
        _ => Ok(()),
    }
}

/// Runs a command of `stitch-engine`.
#[cfg(feature = "libtorch")]
fn dispatch(command: Command, console: Console) -> Result<Outcome> {
    match command {
        Command::Reproduce(args) => reproduce::run(&args, console),
        Command::Train(args) => train::run(&args, console),
        Command::Evaluate(args) => evaluate::run(&args, console),
        Command::Predict(args) => predict::run(&args, console),
        _ => bail!(NOT_OF_THE_ENGINE),
    }
}

/// The error of a command that needs no libtorch.
#[cfg(feature = "libtorch")]
const NOT_OF_THE_ENGINE: &str =
    "stitch-engine has only the commands that need libtorch: use stitch instead";

/// Runs a command of `stitch`.
#[cfg(not(feature = "libtorch"))]
fn dispatch(command: Command, console: Console) -> Result<Outcome> {
    match command {
        Command::Models(args) => models::run(&args, console),
        Command::Inspect(args) => inspect::run(&args, console),
        Command::Parity(args) => parity::run(&args, console),
        Command::Data(args) => data::run(&args, console),
        Command::Completions(args) => completions::run(&args, console),
        Command::Man(args) => man::run(&args, console),
        _ => engine::start(),
    }
}

/// `stitch --version --verbose`: what the bits of a result depend on.
fn versions(json: bool) -> ExitCode {
    let console = Console { quiet: false, json, screen: Screen::stdout() };
    match environment::run(console) {
        Ok(outcome) => outcome.into(),
        Err(error) => fail(&error, json),
    }
}

/// The exit code of an error: 1 if a check failed, 130 after Ctrl-C, 143 after SIGTERM, 2 for anything else (usage,
/// input, output).
fn exit_code_of(error: &anyhow::Error) -> u8 {
    if let Some(interrupted) = error.downcast_ref::<signals::Interrupted>() {
        return interrupted.code;
    }
    let is_corrupt = matches!(error.downcast_ref(), Some(FetchError::Corrupt { .. }));
    let failed = flags::diverged(error) || is_corrupt || study::is_contradiction(error);
    if failed { 1 } else { 2 }
}

/// Prints the error to stderr, and as a JSON document to stdout if `json`; returns its exit code.
fn fail(error: &anyhow::Error, json: bool) -> ExitCode {
    print_error(error);
    let code = exit_code_of(error);
    // After part of a result, stdout would not be one JSON document.
    if json && !PRINTED.load(Ordering::Relaxed) {
        print_failure(flags::message(error), code);
    }
    code.into()
}

/// Prints a message of clap: help, version, or an error of the command line.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    let text = error.render().ansi().to_string().replace(UNBROKEN, " ");
    if error.use_stderr() {
        let _ = writeln!(anstream::stderr(), "{}", text.trim_end());
    } else {
        let mut out = anstream::stdout();
        let written = writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush());
        if let Err(error) = ignore_broken_pipe(written) {
            return fail(&error, false);
        }
    }
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    if json && error.use_stderr() {
        let text = error.render().to_string();
        // The message without the usage summary.
        let message = text.split("\n\nUsage:").next().unwrap_or_default().trim();
        print_failure(message.strip_prefix("error: ").unwrap_or(message).into(), code);
    }
    code.into()
}

fn print_failure(error: String, exit_code: u8) {
    if let Ok(document) = serde_json::to_string_pretty(&documents::Failure { error, exit_code }) {
        let _ = print(&document);
    }
}

/// Prints `error:` and the message to stderr.
fn print_error(error: &anyhow::Error) {
    print_labeled(AnsiColor::Red, "error:", &flags::message(error));
}

/// Prints a colored label and `text` to stderr.
fn print_labeled(color: AnsiColor, label: &str, text: &str) {
    let style = color.on_default().bold();
    // anstream removes the color codes where colors are off.
    let _ = writeln!(anstream::stderr(), "{style}{label}{style:#} {}", terminal::visible(text));
}

/// Whether something was written to stdout.
static PRINTED: AtomicBool = AtomicBool::new(false);

fn print(text: &str) -> Result<()> {
    print_bytes(format!("{text}\n").as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Result<()> {
    PRINTED.store(true, Ordering::Relaxed);
    let mut out = io::stdout().lock();
    ignore_broken_pipe(out.write_all(bytes).and_then(|()| out.flush()))
}

/// The result of a write to stdout; a closed pipe (`stitch … | head`) is not an error.
fn ignore_broken_pipe(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("the result cannot be written to stdout"),
    }
}

/// Prints results and messages as the global flags ask for.
#[derive(Debug, Clone, Copy)]
struct Console {
    quiet: bool,
    /// Whether the result is one JSON document instead of text.
    json: bool,
    /// Width and colors of stdout.
    screen: Screen,
}

impl Console {
    /// Prints a result to stdout.
    fn print(self, text: &str) -> Result<()> {
        print(text)
    }

    /// Prints a result as text; nothing with `--json`.
    fn show(self, text: &str) -> Result<()> {
        if self.json { Ok(()) } else { print(text) }
    }

    /// Prints the result as JSON; nothing without `--json`.
    fn document<T: Serialize>(self, document: impl FnOnce() -> Result<T>) -> Result<()> {
        if self.json { print(&serde_json::to_string_pretty(&document()?)?) } else { Ok(()) }
    }

    /// Refuses `--json` for a command that prints no results.
    #[cfg(not(feature = "libtorch"))]
    fn refuse_json(self, command: &str, what: &str) -> Result<()> {
        ensure!(!self.json, "--json: `stitch {command}` {what}. Omit --json");
        Ok(())
    }

    /// Prints progress or a warning to stderr, unless `--quiet`. Errors of the write are ignored.
    fn note(self, text: &str) {
        if self.quiet {
            return;
        }
        match text.split_once(' ') {
            Some((label @ ("note:" | "warning:"), rest)) => {
                print_labeled(AnsiColor::Yellow, label, rest);
            }
            _ => drop(writeln!(io::stderr(), "{}", terminal::visible(text))),
        }
    }
}
