//! Between a model and the tensors of a weights file.

use tch::Device;

use super::{Classifier, MODELS, ModelEntry, names_of};
use crate::nn::{Graph, StateDictError};
use tensor_files::{NamedTensor, Renaming, TensorSpec, shared_prefixes};

/// Names that an error lists of each kind.
const SHOWN: usize = 4;

/// Tensors that are no weights of a known model.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// There is none.
    #[error("the file holds no tensor; the weights of {wanted} are wanted")]
    None {
        /// The model that was asked for, or all of them.
        wanted: String,
    },
    /// None has a name that a model wants.
    #[error("the file holds {found}, none of which is a tensor of {wanted}")]
    Strange {
        /// Names and shapes in the file.
        found: String,
        /// The model that was asked for, or all of them, with what each wants.
        wanted: String,
    },
    /// They are nearly those of a model.
    #[error("these are not the weights of {model}{prefix}: {}", .differences.join("; "))]
    Differ {
        /// The model that was asked for, or the one that wants most of them.
        model: &'static str,
        /// What was left out of the names, in a parenthesis.
        prefix: String,
        /// Missing keys, unexpected keys, other shapes.
        differences: Vec<String>,
    },
    /// They do not fit after all, such as integers.
    #[error(transparent)]
    StateDict(#[from] StateDictError),
}

/// The model that tensors are the weights of.
#[derive(Debug)]
pub struct Recognised {
    /// Which one.
    pub entry: &'static ModelEntry,
    /// How the tensors' names become the model's.
    pub renaming: Renaming,
}

/// The MLP's parameters by the names of a fitted `MLPClassifier` and in its layout: `coefs_0`
/// (784, 64), `intercepts_0`, `coefs_1` (64, 10), `intercepts_1`. Takes the state_dict of
/// the MLP.
pub fn to_sklearn(tensors: &[NamedTensor]) -> Vec<NamedTensor> {
    let mut named = Vec::new();
    for (layer, pair) in tensors.chunks_exact(2).enumerate() {
        named.push(NamedTensor { name: format!("coefs_{layer}"), ..transposed(&pair[0]) });
        named.push(NamedTensor { name: format!("intercepts_{layer}"), ..pair[1].clone() });
    }
    named
}

/// A matrix with rows and columns exchanged.
fn transposed(matrix: &NamedTensor) -> NamedTensor {
    let (rows, columns, size) = (matrix.shape[0], matrix.shape[1], matrix.dtype.size());
    let mut data = Vec::with_capacity(matrix.data.len());
    for column in 0..columns {
        for row in 0..rows {
            let at = (row * columns + column) * size;
            data.extend_from_slice(&matrix.data[at..at + size]);
        }
    }
    NamedTensor { shape: vec![columns, rows], data, ..matrix.clone() }
}

/// The model that `tensors` are the weights of: `asked` for, or recognised by names and shapes.
/// The order of the tensors does not matter, nor does a prefix that all names have.
///
/// # Errors
/// See [`WeightsError`].
pub fn from_named(
    tensors: &[NamedTensor],
    asked: Option<&'static ModelEntry>,
    device: Device,
) -> Result<Classifier, WeightsError> {
    let specs: Vec<TensorSpec> = tensors.iter().map(NamedTensor::spec).collect();
    let Recognised { entry, renaming } = identify(&specs, asked)?;
    let model = entry.zeros(device);
    let renamed = |tensor: &NamedTensor| {
        let name = renaming.of(&tensor.name)?.into();
        Some(NamedTensor { name, ..tensor.clone() })
    };
    match renaming == Renaming::default() {
        true => model.load_state_dict(tensors)?,
        false => model.load_state_dict(&tensors.iter().filter_map(renamed).collect::<Vec<_>>())?,
    }
    Ok(Classifier { entry, model })
}

/// Which model has tensors of these names and shapes: the one asked for, or any.
///
/// # Errors
/// As [`identify`].
pub fn recognise(
    tensors: &[TensorSpec],
    asked: Option<&'static ModelEntry>,
) -> Result<&'static ModelEntry, WeightsError> {
    identify(tensors, asked).map(|recognised| recognised.entry)
}

/// Which model has tensors of these names and shapes, the one asked for or any, and how the names
/// become the model's.
///
/// # Errors
/// [`WeightsError`], all but the last.
pub fn identify(
    tensors: &[TensorSpec],
    asked: Option<&'static ModelEntry>,
) -> Result<Recognised, WeightsError> {
    let candidates = asked.map_or(MODELS.to_vec(), |entry| vec![entry]);
    for &entry in &candidates {
        if let Some(renaming) = fits(tensors, entry) {
            return Ok(Recognised { entry, renaming });
        }
    }
    if tensors.is_empty() {
        return Err(WeightsError::None { wanted: names_of(candidates) });
    }
    let nearest = candidates.iter().flat_map(|&entry| {
        prefixes(tensors).into_iter().map(move |prefix| Comparison::new(tensors, entry, &prefix))
    });
    // The first of equals: the model as it is listed, the shortest prefix.
    let nearest = nearest.reduce(|best, next| if next.common > best.common { next } else { best });
    match nearest.filter(|nearest| nearest.common > 0) {
        Some(nearest) => Err(nearest.error()),
        None => Err(WeightsError::Strange {
            found: listed(
                tensors.iter().map(|tensor| format!("{} {:?}", tensor.name, tensor.shape)),
            ),
            wanted: candidates
                .iter()
                .map(|entry| wanted_by(entry))
                .collect::<Vec<_>>()
                .join(" or "),
        }),
    }
}

/// How the names become the model's, if they and the shapes fit.
fn fits(tensors: &[TensorSpec], entry: &ModelEntry) -> Option<Renaming> {
    let graph = entry.graph();
    let names: Vec<&str> = tensors.iter().map(|tensor| &tensor.name[..]).collect();
    let wanted: Vec<&str> = graph.state().map(|spec| spec.name).collect();
    let renaming = Renaming::between(&names, &wanted)?;
    let fits = |tensor: &TensorSpec| {
        let name = renaming.of(&tensor.name);
        name.is_none_or(|name| {
            shape_of(&graph, name).is_some_and(|shape| same(&tensor.shape, shape))
        })
    };
    tensors.iter().all(fits).then_some(renaming)
}

/// The shape of a tensor of the model.
fn shape_of<'a>(graph: &'a Graph, name: &str) -> Option<&'a [i64]> {
    graph.state().find(|spec| spec.name == name).map(|spec| spec.shape)
}

fn same(found: &[usize], wanted: &[i64]) -> bool {
    found.iter().map(|&size| size as i64).eq(wanted.iter().copied())
}

/// What the names may lose to become a model's.
fn prefixes(tensors: &[TensorSpec]) -> Vec<String> {
    /// More wrappers than any model has.
    const MOST: usize = 4;
    let names: Vec<&str> = tensors.iter().map(|tensor| &tensor.name[..]).collect();
    shared_prefixes(&names).take(MOST).map(str::to_owned).collect()
}

/// Tensors beside those that a model wants.
struct Comparison {
    model: &'static str,
    prefix: String,
    /// Names that both have.
    common: usize,
    missing: Vec<String>,
    unexpected: Vec<String>,
    shapes: Vec<String>,
}

impl Comparison {
    /// Of the tensors whose names lose `prefix`.
    fn new(tensors: &[TensorSpec], entry: &'static ModelEntry, prefix: &str) -> Self {
        let graph = entry.graph();
        let name = |tensor: &TensorSpec| tensor.name.strip_prefix(prefix).map(str::to_owned);
        let (mut missing, mut shapes, mut common) = (Vec::new(), Vec::new(), 0);
        for spec in graph.state() {
            match tensors.iter().find(|tensor| name(tensor).as_deref() == Some(spec.name)) {
                None => missing.push(spec.name.to_string()),
                Some(tensor) => {
                    common += 1;
                    if !same(&tensor.shape, spec.shape) {
                        let (found, wanted) = (&tensor.shape, spec.shape);
                        shapes.push(format!(
                            "{} has the shape {found:?}, where {wanted:?} is expected",
                            spec.name
                        ));
                    }
                }
            }
        }
        let is_wanted = |name: &str| graph.state().any(|spec| spec.name == name);
        let unexpected =
            tensors.iter().filter(|tensor| !name(tensor).is_some_and(|n| is_wanted(&n)));
        let unexpected = unexpected.map(|tensor| tensor.name.clone()).collect();
        Self { model: entry.name, prefix: prefix.into(), common, missing, unexpected, shapes }
    }

    fn error(self) -> WeightsError {
        let Self { model, prefix, missing, unexpected, shapes, .. } = self;
        let of = |what: &str, keys: Vec<String>| {
            let plural = if keys.len() == 1 { "" } else { "s" };
            (!keys.is_empty()).then(|| format!("{what}{plural} {}", listed(keys.into_iter())))
        };
        let shapes = (!shapes.is_empty()).then(|| listed(shapes.into_iter()));
        let differences = [of("missing key", missing), of("unexpected key", unexpected), shapes];
        let differences = differences.into_iter().flatten().collect();
        let prefix = match &prefix[..] {
            "" => String::new(),
            prefix => format!(" (with {} left out of all names)", prefix.escape_debug()),
        };
        WeightsError::Differ { model, prefix, differences }
    }
}

/// The first of them, joined, and how many more there are.
fn listed(names: impl Iterator<Item = String>) -> String {
    // A file's names may have any letters.
    let mut names: Vec<String> = names.map(|name| name.escape_debug().to_string()).collect();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    if more > 0 {
        names.push(format!("… ({more} more)"));
    }
    names.join(", ")
}

fn wanted_by(entry: &ModelEntry) -> String {
    let graph = entry.graph();
    let list = graph.state().map(|spec| format!("{} {:?}", spec.name, spec.shape));
    format!("{entry} ({})", listed(list))
}
