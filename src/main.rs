//! Parse, dispatch, print the error, exit code.

use std::process::ExitCode;

use clap::Parser;

mod cli;
mod commands;

fn main() -> ExitCode {
    stitch::memory::keep_freed_memory();
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            commands::report(&error);
            commands::exit_code_of(&error)
        }
    }
}
