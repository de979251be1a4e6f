//! The program `stitch`: see `front.rs`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: stitch_front::memory::Allocator = stitch_front::memory::Allocator;

fn main() -> ExitCode {
    stitch_front::main()
}
