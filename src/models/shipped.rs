//! The trained weights that ship with the project (`models/`), as bytes of a state_dict.

use super::Architecture;

/// The state_dict of the shipped model.
pub fn state_dict(architecture: Architecture) -> &'static [u8] {
    match architecture {
        Architecture::Mlp => include_bytes!("../../models/mlp/state_dict.pt"),
        Architecture::Lenet5 => include_bytes!("../../models/lenet5/state_dict.pt"),
    }
}
