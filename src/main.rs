//! The binary: parses the command line, runs the command and returns its exit code.

#![cfg_attr(not(feature = "libtorch"), allow(unused_imports, dead_code))]

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod before_main;
mod cli;
mod commands;
mod suggest;

#[global_allocator]
static ALLOCATOR: stitch::memory::Allocator = stitch::memory::Allocator;

fn main() -> ExitCode {
    stitch::memory::keep_freed_memory();
    stitch::memory::handle_aborts(commands::OUT_OF_MEMORY);
    stitch::memory::handle_library_exits(commands::LIBRARY_EXIT);
    let code = run();
    stitch::memory::expect_exit();
    code
}

fn run() -> ExitCode {
    if let Some(json) = cli::asks_for_versions() {
        return commands::versions(json);
    }
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err((error, json)) => return commands::usage(&error, json),
    };
    let json = cli.json;
    match commands::run(cli) {
        Ok(outcome) => outcome.into(),
        Err(error) => commands::fail(&error, json),
    }
}
