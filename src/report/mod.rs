//! What a run looks like: figures of its numbers, and a page about it, as bytes.
//!
//! It knows no paths and no command line, and it refuses what a run folder cannot hold: the numbers on
//! the page come from checked files ([`Run::read`]), and the pictures from weights that answer as the
//! run's files say ([`Pictures`]).

mod compare;
pub mod configurations;
pub mod figures;
mod html;
mod pictures;
mod run;

pub use html::{Parity, Section, Study, page, study_sample};
pub use pictures::{Pictures, PicturesError};
pub use run::{Run, RunError, RunFiles};
