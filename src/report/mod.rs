//! What a run looks like: figures of its numbers, as bytes. It knows no paths and no command line.

pub mod figures;
