//! The program `stitch`, and the part of the crate `stitch` that needs no libtorch, compiled from the same files.
//!
//! It starts `stitch-engine` for the commands that need libtorch; see "Two programs" in `ARCHITECTURE.md`.

// What only networks that compute need is unused.
#![allow(dead_code, unused_imports)]

// The commands are also compiled for `stitch-engine`, where the library is another crate.
extern crate self as stitch;

pub use stitch_run::{closest, metrics, sha256};
pub use {
    fashion_mnist, stitch_parity, stitch_run, stitch_trace, tensor_files, torchscript_forward,
};

/// The version of libtorch.
pub const LIBTORCH: &str = "none";

pub mod dataset;
pub mod export;
pub mod formats;
pub mod memory;
pub mod models;
pub mod nn;
pub mod parity;
pub mod report;
pub mod run_folder;
pub mod study;
pub mod train;

mod cli;
mod commands;
mod suggest;

pub use commands::main;
