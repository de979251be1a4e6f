//! Errors of a map.

use std::io;
use std::path::PathBuf;

use tensor_files::Dtype;

/// A map that cannot be read or applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The file cannot be read.
    #[error("{} cannot be read: {error}", .path.display())]
    Io {
        /// Path of the map.
        path: PathBuf,
        /// Error of the operating system.
        error: io::Error,
    },
    /// The file is no TOML, or has a key other than `rule`.
    #[error("{}: {what}", .path.display())]
    Toml {
        /// Path of the map.
        path: PathBuf,
        /// The parser's message.
        what: String,
    },
    /// A rule is invalid, or does not fit the candidate's tensors.
    #[error("{}: rule {rule}{text}: {error}", .path.display())]
    Rule {
        /// Path of the map.
        path: PathBuf,
        /// Which rule, counted from 1.
        rule: usize,
        /// Its pattern in parentheses, if it has one.
        text: String,
        /// What is wrong with it.
        error: Box<RuleError>,
    },
}

/// What is wrong with a rule of a map.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A key is unknown, missing, has a value of another type, or contradicts another key.
    #[error("{0}")]
    Invalid(String),
    /// A pattern is invalid.
    #[error("{glob:?} is no valid pattern: {what}")]
    Glob {
        /// The pattern.
        glob: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A new name has more stars than the pattern.
    #[error(
        "the new name has {found} *, the pattern only {stars}: each * of the name repeats one of the pattern"
    )]
    Stars {
        /// Number in the name.
        found: usize,
        /// Number in the pattern.
        stars: usize,
    },
    /// `permute` is not a permutation.
    #[error("permute = {0:?} does not have each dimension from 0 once, as [1, 0] has")]
    NotPermutation(Vec<usize>),
    /// The dtype is unknown.
    #[error("dtype = {0:?} is unknown: PyTorch's names are expected, such as float32")]
    Dtype(String),
    /// No tensor matches.
    #[error("no tensor of the candidate matches{}", similar(.closest))]
    NoMatch {
        /// Names that are similar to the pattern; empty if there is no tensor.
        closest: String,
    },
    /// Two tensors are mapped to one name.
    #[error("two tensors are called {name} after it: {} and {}", .originals[0], .originals[1])]
    Duplicate {
        /// The new name.
        name: String,
        /// Their names before the map.
        originals: [String; 2],
    },
    /// `transpose` of a vector.
    #[error(
        "{tensor} has the shape {shape:?}: transpose needs two dimensions; restrict the rule by match or stage"
    )]
    Transpose {
        /// Name before the map.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// `permute` for another number of dimensions.
    #[error(
        "{tensor} has the shape {shape:?}, permute = {axes:?} is for {} dimensions; restrict the rule by match or stage",
        .axes.len()
    )]
    Rank {
        /// Name before the map.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The permutation.
        axes: Vec<usize>,
    },
    /// `reshape` to another number of elements.
    #[error(
        "{tensor} has the shape {shape:?}, which cannot be reshaped to {to:?}: the numbers of elements differ"
    )]
    Reshape {
        /// Name before the map.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The requested shape.
        to: Vec<usize>,
    },
    /// `split` does not divide the dimension.
    #[error(
        "{tensor} has the shape {shape:?}, dimension {dim} of which cannot be split into {parts} equal parts"
    )]
    Split {
        /// Name before the map.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The dimension.
        dim: usize,
        /// Number of parts.
        parts: usize,
    },
    /// A tensor to merge is missing.
    #[error(
        "there is no {name} to merge in the stage {stage}; restrict the rule by its names or stage"
    )]
    MissingPart {
        /// Name of the tensor.
        name: String,
        /// Stage of the others.
        stage: String,
    },
    /// The tensors to merge do not fit each other.
    #[error(
        "these cannot be merged along dimension {dim}, their types or other dimensions differ: {parts}"
    )]
    Merge {
        /// The dimension.
        dim: usize,
        /// Names, dtypes and shapes.
        parts: String,
    },
    /// A dtype that is not converted.
    #[error(
        "{tensor} is {from}, which is not converted to {to}: only numbers to floating-point types and integers to integers are"
    )]
    Convert {
        /// Name before the map.
        tensor: String,
        /// Its dtype.
        from: String,
        /// The requested dtype.
        to: Dtype,
    },
}

fn similar(names: &str) -> String {
    match names {
        "" => ": it has none, or none of this stage".into(),
        names => format!("; closest matches: {names}"),
    }
}
