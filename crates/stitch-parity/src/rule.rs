//! Applies a rule of a map to the tensors of a candidate.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tensor_files::{Dtype, Glob};

use crate::closest;
use crate::layout::{Step, converts};
use crate::map_error::RuleError;
use crate::side::{ElementSource, Item, Mapped};
use crate::verify::is_kept;

/// A rule. What it does, in this order: merge, transpose or permute, reshape, convert, split.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// One pattern, or those of the tensors that are merged along [`Rule::merge`].
    pub patterns: Vec<Glob>,
    pub merge: Option<usize>,
    /// The stages that it applies to; all if it is empty.
    pub stages: Vec<String>,
    /// The new name; several if the tensor is split; none if the name stays.
    pub names: Vec<Glob>,
    pub split: Option<usize>,
    pub layout: Option<Permutation>,
    pub reshape: Option<Vec<usize>>,
    pub dtype: Option<Dtype>,
    /// How errors call it.
    pub text: String,
}

#[derive(Debug, Clone)]
pub(crate) enum Permutation {
    /// Of the last two dimensions.
    Transpose,
    Axes(Vec<usize>),
}

/// A tensor of the candidate, and its name before the map.
#[derive(Clone)]
pub(crate) struct Entry {
    pub item: Item,
    pub original: String,
    /// Whether a rule has matched it.
    pub changed: bool,
}

/// Names of tensors that were converted, by their dtype before.
pub(crate) type Converted = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn check_unique(entries: &[Entry]) -> Result<(), RuleError> {
    let mut known = HashMap::with_capacity(entries.len());
    for entry in entries {
        if let Some(other) = known.insert(&entry.item.key, entry) {
            return Err(RuleError::Duplicate {
                name: entry.item.key.name.clone(),
                originals: [&other.original, &entry.original].map(Clone::clone),
            });
        }
    }
    Ok(())
}

impl Rule {
    pub(crate) fn apply(
        &self,
        entries: Vec<Entry>,
        converted: &mut Converted,
    ) -> Result<Vec<Entry>, RuleError> {
        let mut out = Vec::with_capacity(entries.len());
        let mut merged = self.groups(&entries)?;
        let mut entries: Vec<Option<Entry>> = entries.into_iter().map(Some).collect();
        let mut matched = false;
        for i in 0..entries.len() {
            // None: it is merged into one before it.
            let Some(entry) = entries[i].take() else { continue };
            let Some((_, captures)) = self.captures(&entry) else {
                out.push(entry);
                continue;
            };
            matched = true;
            let names: Vec<String> = self.names.iter().map(|name| name.fill(&captures)).collect();
            let entry = match self.merge.zip(merged.remove(&i)) {
                None => entry,
                Some((dim, parts)) => {
                    entries[i] = Some(entry);
                    merge(parts.into_iter().filter_map(|part| entries[part].take()).collect(), dim)?
                }
            };
            let entry = self.changed(entry, converted)?;
            match (self.split, names.first()) {
                (Some(dim), _) => split(&entry, dim, &names, &mut out)?,
                (None, Some(name)) => out.push(renamed(entry, name)),
                (None, None) => out.push(entry),
            }
        }
        if !matched {
            let of_stage = out.iter().filter(|entry| self.is_of_stage(entry));
            let names: Vec<&str> = of_stage.map(|entry| &*entry.item.key.name).collect();
            let pattern = self.patterns[0].fill(&vec![""; self.patterns[0].stars()]);
            return Err(RuleError::NoMatch { closest: closest::closest_names(&pattern, names, 3) });
        }
        Ok(out)
    }

    fn is_of_stage(&self, entry: &Entry) -> bool {
        self.stages.is_empty() || self.stages.contains(&entry.item.key.stage)
    }

    /// The first pattern that matches a tensor, and what its stars stand for.
    fn captures<'a>(&self, entry: &'a Entry) -> Option<(usize, Vec<&'a str>)> {
        if !self.is_of_stage(entry) {
            return None;
        }
        let captures = |pattern: &Glob| pattern.captures(&entry.item.key.name);
        self.patterns.iter().map(captures).enumerate().find_map(|(i, found)| Some((i, found?)))
    }

    /// The positions of the tensors to merge, by the least of them.
    fn groups(&self, entries: &[Entry]) -> Result<HashMap<usize, Vec<usize>>, RuleError> {
        let mut groups: HashMap<_, Vec<Option<usize>>> = HashMap::new();
        if self.merge.is_none() {
            return Ok(HashMap::new());
        }
        for (i, entry) in entries.iter().enumerate() {
            if let Some((part, captures)) = self.captures(entry) {
                let key = &entry.item.key;
                let place = (&key.stage, key.epoch, key.step, &key.file, captures);
                let parts = groups.entry(place).or_insert_with(|| vec![None; self.patterns.len()]);
                parts[part] = Some(i);
            }
        }
        let mut complete = HashMap::new();
        for ((stage, .., captures), parts) in groups {
            if let Some(missing) = parts.iter().position(Option::is_none) {
                let name = self.patterns[missing].fill(&captures);
                return Err(RuleError::MissingPart { name, stage: stage.clone() });
            }
            let parts: Vec<usize> = parts.into_iter().flatten().collect();
            complete.extend(parts.iter().min().copied().map(|first| (first, parts)));
        }
        Ok(complete)
    }

    /// The tensor in another layout and dtype.
    fn changed(
        &self,
        Entry { mut item, original, .. }: Entry,
        converted: &mut Converted,
    ) -> Result<Entry, RuleError> {
        let tensor = || original.clone();
        let n = item.shape.len();
        // A scalar, such as the optimizer's count of the steps of a parameter, has one layout.
        if let Some(layout) = self.layout.as_ref().filter(|_| n > 0) {
            let axes = match layout {
                Permutation::Transpose if n >= 2 => (0..n - 2).chain([n - 1, n - 2]).collect(),
                Permutation::Axes(axes) if axes.len() == n => axes.clone(),
                Permutation::Transpose => {
                    return Err(RuleError::Transpose { tensor: tensor(), shape: item.shape });
                }
                Permutation::Axes(axes) => {
                    let (shape, axes) = (item.shape, axes.clone());
                    return Err(RuleError::Rank { tensor: tensor(), shape, axes });
                }
            };
            item = permuted(item, axes);
        }
        if let Some(to) = self.reshape.as_ref().filter(|_| n > 0) {
            if !closest::fits(&item.shape, to) {
                let (shape, to) = (item.shape, to.clone());
                return Err(RuleError::Reshape { tensor: tensor(), shape, to });
            }
            // The elements stay in their order, so their SHA-256 stays valid.
            item.shape.clone_from(to);
        }
        if let Some(to) = self.dtype.filter(|to| to.name() != item.dtype) {
            let from = item.dtype.clone();
            if !Dtype::from_name(&from).is_some_and(|from| converts(from, to)) {
                return Err(RuleError::Convert { tensor: tensor(), from, to });
            }
            let shape = item.shape.clone();
            item = mapped(vec![item], Step::Convert(to), shape);
            item.dtype = to.name().into();
            converted.entry(from).or_default().insert(original.clone());
        }
        Ok(Entry { item, original, changed: true })
    }
}

fn renamed(mut entry: Entry, name: &str) -> Entry {
    entry.item.key.name = name.into();
    entry
}

/// The tensor with its dimensions in another order.
pub(crate) fn permuted(item: Item, axes: Vec<usize>) -> Item {
    let shape = axes.iter().map(|&axis| item.shape[axis]).collect();
    mapped(vec![item], Step::Permute(axes), shape)
}

/// The tensor that a step makes of others, with key and dtype of the first. Without the elements of all of them
/// nothing is known of its own.
fn mapped(parts: Vec<Item>, step: Step, shape: Vec<usize>) -> Item {
    let all_kept = parts.iter().all(is_kept);
    let Item { key, class, dtype, .. } = parts[0].clone();
    let source = match all_kept {
        true => ElementSource::Mapped(Arc::new(Mapped { parts, step })),
        false => ElementSource::Nowhere,
    };
    Item { key, class, dtype, shape, recorded: None, statistics: None, source }
}

fn merge(entries: Vec<Entry>, dim: usize) -> Result<Entry, RuleError> {
    let first = &entries[0].item;
    let agrees = |item: &Item| {
        let other = item.shape.iter().zip(&first.shape).enumerate();
        let is_equal = other.into_iter().all(|(i, (one, other))| i == dim || one == other);
        item.dtype == first.dtype && item.shape.len() == first.shape.len() && is_equal
    };
    if dim >= first.shape.len() || !entries.iter().all(|entry| agrees(&entry.item)) {
        let shown = |entry: &Entry| {
            let Item { key, dtype, shape, .. } = &entry.item;
            format!("{} {dtype} {shape:?}", key.name)
        };
        let parts = entries.iter().map(shown).collect::<Vec<_>>().join(", ");
        return Err(RuleError::Merge { dim, parts });
    }
    let originals: Vec<&str> = entries.iter().map(|entry| &*entry.original).collect();
    let original = originals.join(" + ");
    let item = merged(entries.into_iter().map(|entry| entry.item).collect(), dim);
    Ok(Entry { item, original, changed: true })
}

/// The tensors, whose shapes agree in the other dimensions, one after the other along `dim`.
pub(crate) fn merged(parts: Vec<Item>, dim: usize) -> Item {
    let mut shape = parts[0].shape.clone();
    shape[dim] = parts.iter().fold(0, |sum: usize, part| sum.saturating_add(part.shape[dim]));
    mapped(parts, Step::Concatenate(dim), shape)
}

fn split(
    entry: &Entry,
    dim: usize,
    names: &[String],
    out: &mut Vec<Entry>,
) -> Result<(), RuleError> {
    let Entry { item, original, .. } = entry;
    let whole = item.shape.get(dim).copied().unwrap_or(0);
    if dim >= item.shape.len() || whole % names.len() != 0 {
        let (tensor, shape) = (original.clone(), item.shape.clone());
        return Err(RuleError::Split { tensor, shape, dim, parts: names.len() });
    }
    let length = whole / names.len();
    let mut shape = item.shape.clone();
    shape[dim] = length;
    for (i, name) in names.iter().enumerate() {
        let step = Step::Slice { dim, start: i * length, length };
        let part = mapped(vec![item.clone()], step, shape.clone());
        out.push(renamed(Entry { item: part, ..entry.clone() }, name));
    }
    Ok(())
}
