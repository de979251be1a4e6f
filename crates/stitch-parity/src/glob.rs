//! Patterns for the tensors of a side.

use std::fmt;

use tensor_files::Glob;

/// A pattern for tensors, by name or by `STAGE:NAME`; `*` stands for any characters, `\*` for itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    text: String,
    glob: Glob,
}

impl Pattern {
    /// Parses a pattern such as `conv1.weight`, `conv1.*` or `gradient:*`.
    ///
    /// # Errors
    /// What is wrong with it: it is empty, or a star or a backslash is where it must not be.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(Self { text: text.into(), glob: Glob::parse(text)? })
    }

    /// The pattern that matches the tensors of this name alone.
    pub fn of_name(name: &str) -> Self {
        Self { text: Glob::escape(name), glob: Glob::literal(name) }
    }

    /// Whether it matches a tensor.
    pub fn matches(&self, stage: &str, name: &str) -> bool {
        let is_match = |text: &str| self.glob.captures(text).is_some();
        is_match(name) || self.text.contains(':') && is_match(&format!("{stage}:{name}"))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str(&self.text)
    }
}
