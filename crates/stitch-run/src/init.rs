//! `--init`: the file with the initial values of a network.

use serde::{Deserialize, Serialize};

/// A weights file whose tensors replace the initial values that were drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    /// Its path, as it was given.
    pub file: String,
    /// SHA-256 of the file in hex: a run is neither repeated nor resumed with a file that has changed.
    pub sha256: String,
}
