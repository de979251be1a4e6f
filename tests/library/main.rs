//! The library against the Python original, run beside it.
//!
//! Tests run as threads of one process: one that computes with libtorch in this process holds [`common::libtorch`].

#[path = "../common/mod.rs"]
mod common;
mod formats;
mod nn;
mod parity;
