//! The JSON documents of the commands, described in docs/json.md. Names must not change.

#[cfg(not(feature = "libtorch"))]
mod files;
#[cfg(feature = "libtorch")]
mod networks;

use serde::Serialize;

#[cfg(not(feature = "libtorch"))]
pub use files::*;
#[cfg(feature = "libtorch")]
pub use networks::*;

/// The document of a command that failed.
#[derive(Serialize)]
pub struct Failure {
    pub error: String,
    pub exit_code: u8,
}
