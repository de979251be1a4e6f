//! What the paper says, and what it calls the models.

use crate::models::Architecture;

/// Test accuracy in the paper; shown, never computed with.
pub fn paper_accuracy(architecture: Architecture) -> f64 {
    match architecture {
        Architecture::Mlp => 0.8709,
        Architecture::Lenet5 => 0.8953,
    }
}

/// The model's name for people.
pub fn title(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Mlp => "MLP",
        Architecture::Lenet5 => "LeNet-5",
    }
}
