//! Errors of the rules that change tensors.

use tensor_files::{ConvertError, Dtype, LONGEST_NAME};

/// A rule that is invalid, or that does not fit the tensors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The text is not a rule: what is expected.
    #[error("{0}")]
    Invalid(String),
    /// No tensor has a floating-point type.
    #[error("{0}: the file has no floating-point tensor; convert others by name, such as '*={0}'")]
    NoFloat(Dtype),
    /// It matches no tensor.
    #[error("{}: no tensor matches{}", .rule.escape_debug(), similar(.closest))]
    NoMatch {
        /// The rule.
        rule: String,
        /// Names that are similar to the pattern; empty if there are no tensors.
        closest: String,
    },
    /// Two tensors have one name after it.
    #[error(
        "{}: two tensors are called {} after it: {} and {}",
        .rule.escape_debug(), .name.escape_debug(), .originals[0].escape_debug(), .originals[1].escape_debug()
    )]
    Duplicate {
        /// The rule.
        rule: String,
        /// The new name.
        name: String,
        /// Their names in the file.
        originals: [String; 2],
    },
    /// A tensor has no name after it.
    #[error("{}: the new name of {} is empty", .rule.escape_debug(), .original.escape_debug())]
    EmptyName {
        /// The rule.
        rule: String,
        /// The name in the file.
        original: String,
    },
    /// A tensor has a name after it that is too long to be read.
    #[error(
        "{}: the new name of {} has {length} bytes; at most {LONGEST_NAME} are read",
        .rule.escape_debug(), .original.escape_debug()
    )]
    LongName {
        /// The rule.
        rule: String,
        /// The name in the file.
        original: String,
        /// Length of the new name in bytes.
        length: usize,
    },
    /// A tensor cannot be converted.
    #[error("{}: {}: {error}", .rule.escape_debug(), .name.escape_debug())]
    Convert {
        /// The rule.
        rule: String,
        /// Name of the tensor.
        name: String,
        /// Why.
        error: ConvertError,
    },
}

fn similar(names: &str) -> String {
    match names {
        "" => ": there are none".into(),
        names => format!("; closest matches: {}", names.escape_debug()),
    }
}
