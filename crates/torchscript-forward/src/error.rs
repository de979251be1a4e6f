//! Errors inside of the crate: code that is not understood, and forward passes that cannot be followed.

use std::fmt;

/// Code that is not understood, and its line, from 1.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{error} on line {line}")]
pub(super) struct ParseError {
    pub error: SyntaxError,
    pub line: usize,
}

/// Code that is not understood. The messages are nouns, such as "`with`".
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum SyntaxError {
    /// Text that is not a token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Another token than expected.
    #[error("{found}, where {expected} is expected")]
    Unexpected { found: String, expected: String },
    /// A statement that is not supported, by its keyword.
    #[error("`{0}`")]
    Statement(String),
    /// A call of a function of Python, `^Name(…)`.
    #[error("the Python operation ^{0}")]
    Python(String),
    /// Two definitions of one name.
    #[error("two definitions of {0}")]
    Twice(String),
    /// More blocks or brackets inside of each other than are followed.
    #[error("code that is nested too deeply")]
    TooDeep,
}

/// Text that is not a token.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("a bracket that is not closed")]
    Unclosed,
    #[error("a closing bracket without an opening one")]
    NotOpen,
    #[error("an indentation that fits no block")]
    Indentation,
    #[error("an unexpected character {0:?}")]
    Character(char),
    #[error("{0}, which is not a number")]
    Number(String),
    #[error("a string that is not closed")]
    Text,
}

/// Why a forward pass cannot be followed: a clause, such as "it reads a view of a tensor that was changed in place".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal(String);

/// A refusal for this reason.
pub(super) fn refuse<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(why.into()))
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Self {
        Self(why.into())
    }
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self(why)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Refusal> for super::ForwardError {
    fn from(Refusal(why): Refusal) -> Self {
        Self::NotFollowed(why)
    }
}
