//! Identifies the model of a weights file and loads its tensors.

use std::cmp::Reverse;

use super::{MODELS, ModelEntry, ModelOptions, names_of};
use crate::dataset::classes::MOST_CLASSES;
use crate::nn::Graph;
#[cfg(feature = "libtorch")]
use crate::nn::StateDictError;
use tensor_files::{NamedTensor, Renaming, TensorSpec, shared_prefixes};

/// Number of names that an error lists per kind of difference.
const SHOWN: usize = 4;

/// Tensors that are not the weights of a known model.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file has no tensors.
    #[error("the file holds no tensors; the weights of {expected} are expected")]
    Empty {
        /// The requested model, or all models.
        expected: String,
    },
    /// No tensor has a name that a model uses.
    #[error("the file holds {found}, none of which is a tensor of {expected}")]
    UnknownNames {
        /// Names and shapes in the file.
        found: String,
        /// The requested model or all models, with names and shapes of their tensors.
        expected: String,
    },
    /// Some names match a model, but others or some shapes differ.
    #[error("these are not the weights of {model}{prefix}: {}", .differences.join("; "))]
    Mismatch {
        /// The requested model, or the closest match.
        model: &'static str,
        /// The prefix that was removed from the names, as a note in parentheses; empty without one.
        prefix: String,
        /// Missing keys, unexpected keys, wrong shapes.
        differences: Vec<String>,
    },
    /// Names and shapes match, but an element type does not.
    #[cfg(feature = "libtorch")]
    #[error(transparent)]
    StateDict(#[from] StateDictError),
}

/// The model to which the tensors of a file belong.
#[derive(Debug)]
pub struct Identified {
    /// Entry of the registry whose names and shapes fit.
    pub entry: &'static ModelEntry,
    /// The options with which they fit: batch normalization if it has tensors in the file, and the model's default
    /// dropout, which has none.
    pub options: ModelOptions,
    /// Conversion of the tensors' names to the model's.
    pub renaming: Renaming,
}

/// Converts the state_dict of the MLP to the names and layout of a fitted `MLPClassifier`: `coefs_0` (784, 64),
/// `intercepts_0`, `coefs_1` (64, 10), `intercepts_1`.
pub fn to_sklearn(tensors: &[NamedTensor]) -> Vec<NamedTensor> {
    let mut named = Vec::new();
    for (layer, pair) in tensors.chunks_exact(2).enumerate() {
        named.push(NamedTensor { name: format!("coefs_{layer}"), ..pair[0].transposed() });
        named.push(NamedTensor { name: format!("intercepts_{layer}"), ..pair[1].clone() });
    }
    named
}

/// Finds the model with tensors of these names and shapes among all models, or checks the `requested` one.
///
/// # Errors
/// [`WeightsError`], except [`WeightsError::StateDict`].
pub fn identify(
    tensors: &[TensorSpec],
    requested: Option<&'static ModelEntry>,
) -> Result<Identified, WeightsError> {
    let candidates = requested.map_or(MODELS.to_vec(), |entry| vec![entry]);
    debug_assert!(candidates.iter().all(|entry| !entry.is_script()), "a file's network is loaded");
    let graphs = candidates.iter().flat_map(|&entry| {
        let variants = entry.variants(classes(entry, tensors));
        variants.map(move |options| (entry, options, entry.graph(&options)))
    });
    let graphs: Vec<_> = graphs.collect();
    for (entry, options, graph) in &graphs {
        if let Some(renaming) = renaming_to(graph, tensors) {
            return Ok(Identified { entry, options: *options, renaming });
        }
    }
    if tensors.is_empty() {
        return Err(WeightsError::Empty { expected: names_of(candidates) });
    }
    let comparisons = graphs.iter().flat_map(|(entry, _, graph)| {
        let prefixes = prefixes(tensors).into_iter();
        prefixes.map(move |prefix| Comparison::new(tensors, entry.name, graph, &prefix))
    });
    // Of equal matches the first: models are in the registry's order, prefixes from the shortest on.
    let rank = |it: &Comparison| (it.common, Reverse(it.missing.len()));
    let closest =
        comparisons.reduce(|best, next| if rank(&next) > rank(&best) { next } else { best });
    match closest.filter(|closest| closest.common > 0) {
        Some(closest) => Err(closest.error()),
        None => Err(WeightsError::UnknownNames {
            found: listed(
                tensors.iter().map(|tensor| format!("{} {:?}", tensor.name, tensor.shape)),
            ),
            expected: candidates
                .iter()
                .map(|entry| expected_tensors(entry))
                .collect::<Vec<_>>()
                .join(" or "),
        }),
    }
}

/// The number of classes in the file: the length of the last parameter, the bias of the last layer; the default if the
/// file does not have it.
fn classes(entry: &ModelEntry, tensors: &[TensorSpec]) -> usize {
    let default = entry.options();
    let graph = entry.graph(default);
    let last = graph.parameters().last().map_or("", |spec| &spec.name);
    let shape = tensors.iter().find(|tensor| tensor.name.ends_with(last)).map(|it| &it.shape[..]);
    match shape {
        Some(&[classes]) if (1..=MOST_CLASSES).contains(&classes) => classes,
        _ => default.classes,
    }
}

/// The renaming with which the tensors match the model's names and shapes, if there is one.
fn renaming_to(graph: &Graph, tensors: &[TensorSpec]) -> Option<Renaming> {
    let names: Vec<&str> = tensors.iter().map(|tensor| &tensor.name[..]).collect();
    let expected: Vec<&str> = graph.state().map(|spec| spec.name).collect();
    let renaming = Renaming::between(&names, &expected)?;
    let matches = |tensor: &TensorSpec| {
        let name = renaming.of(&tensor.name);
        name.is_none_or(|name| {
            shape_of(graph, name).is_some_and(|shape| same_shape(&tensor.shape, shape))
        })
    };
    tensors.iter().all(matches).then_some(renaming)
}

/// The shape of the model's tensor with this name.
fn shape_of<'a>(graph: &'a Graph, name: &str) -> Option<&'a [i64]> {
    graph.state().find(|spec| spec.name == name).map(|spec| spec.shape)
}

fn same_shape(found: &[usize], expected: &[i64]) -> bool {
    found.iter().map(|&size| size as i64).eq(expected.iter().copied())
}

/// Prefixes that all names share, the empty one first: wrappers of a model add them.
fn prefixes(tensors: &[TensorSpec]) -> Vec<String> {
    /// More than any model has wrappers.
    const MAX_PREFIXES: usize = 4;
    let names: Vec<&str> = tensors.iter().map(|tensor| &tensor.name[..]).collect();
    shared_prefixes(&names).take(MAX_PREFIXES).map(str::to_owned).collect()
}

/// The differences between a file's tensors and a model's.
struct Comparison {
    model: &'static str,
    prefix: String,
    /// Number of names that both have.
    common: usize,
    missing: Vec<String>,
    unexpected: Vec<String>,
    shapes: Vec<String>,
}

impl Comparison {
    /// Compares the tensors with a model after removing `prefix` from their names.
    fn new(tensors: &[TensorSpec], model: &'static str, graph: &Graph, prefix: &str) -> Self {
        let name = |tensor: &TensorSpec| tensor.name.strip_prefix(prefix).map(str::to_owned);
        let (mut missing, mut shapes, mut common) = (Vec::new(), Vec::new(), 0);
        for spec in graph.state() {
            match tensors.iter().find(|tensor| name(tensor).as_deref() == Some(spec.name)) {
                None => missing.push(spec.name.to_string()),
                Some(tensor) => {
                    common += 1;
                    if !same_shape(&tensor.shape, spec.shape) {
                        let (found, expected) = (&tensor.shape, spec.shape);
                        shapes.push(format!(
                            "{} has the shape {found:?}, where {expected:?} is expected",
                            spec.name
                        ));
                    }
                }
            }
        }
        let is_expected = |name: &str| graph.state().any(|spec| spec.name == name);
        let unexpected =
            tensors.iter().filter(|tensor| !name(tensor).is_some_and(|n| is_expected(&n)));
        let unexpected = unexpected.map(|tensor| tensor.name.clone()).collect();
        Self { model, prefix: prefix.into(), common, missing, unexpected, shapes }
    }

    fn error(self) -> WeightsError {
        let Self { model, prefix, missing, unexpected, shapes, .. } = self;
        let listed_keys = |what: &str, keys: Vec<String>| {
            let plural = if keys.len() == 1 { "" } else { "s" };
            (!keys.is_empty()).then(|| format!("{what}{plural} {}", listed(keys.into_iter())))
        };
        let shapes = (!shapes.is_empty()).then(|| listed(shapes.into_iter()));
        let differences = [
            listed_keys("missing key", missing),
            listed_keys("unexpected key", unexpected),
            shapes,
        ];
        let differences = differences.into_iter().flatten().collect();
        let prefix = match &prefix[..] {
            "" => String::new(),
            prefix => {
                format!(" (after removing the prefix {} from all names)", prefix.escape_debug())
            }
        };
        WeightsError::Mismatch { model, prefix, differences }
    }
}

/// Joins the first [`SHOWN`] names, and says how many more there are.
fn listed(names: impl Iterator<Item = String>) -> String {
    // Names in a file may contain control characters.
    let mut names: Vec<String> = names.map(|name| name.escape_debug().to_string()).collect();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    if more > 0 {
        names.push(format!("… ({more} more)"));
    }
    names.join(", ")
}

fn expected_tensors(entry: &ModelEntry) -> String {
    let graph = entry.graph(entry.options());
    let list = graph.state().map(|spec| format!("{} {:?}", spec.name, spec.shape));
    format!("{entry} ({})", listed(list))
}
