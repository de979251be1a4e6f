//! Small valid files of each kind that the other crates read: what their tests damage and what fuzzing starts from.
//! The same call gives the same bytes.

#[cfg(feature = "run")]
mod run;
mod tensors;

use std::error::Error;
use std::iter;

#[cfg(feature = "run")]
pub use run::*;
pub use tensors::*;

/// The message of an error followed by those of its causes, as the command line prints them.
pub fn message(error: &dyn Error) -> String {
    let chain = iter::successors(Some(error), |error| (*error).source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
