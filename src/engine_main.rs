//! The program `stitch-engine`, which `stitch` starts: the commands that compute with libtorch.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod before_main;
mod cli;
mod commands;
mod suggest;

#[global_allocator]
static ALLOCATOR: stitch::memory::Allocator = stitch::memory::Allocator;

fn main() -> ExitCode {
    commands::main()
}
