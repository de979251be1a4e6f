//! A map: rules that give the candidate's tensors the reference's names, layouts and dtypes.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tensor_files::Dtype;

use crate::closest;
use crate::glob::Glob;
use crate::layout::{Step, converts};
use crate::map_error::{MapError, RuleError};
use crate::side::{ElementSource, Item, Mapped, Side};

/// Rules that give the tensors of a candidate the names, layouts and dtypes of the reference. They are applied one
/// after the other, each to the names that the rules before it have made.
#[derive(Debug, Clone)]
pub struct Map {
    path: PathBuf,
    rules: Vec<Rule>,
}

/// The file, before each rule is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<toml::Table>,
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    r#match: Option<String>,
    merge: Option<Vec<String>>,
    dim: Option<usize>,
    stage: Option<Stages>,
    name: Option<String>,
    #[serde(default)]
    transpose: bool,
    permute: Option<Vec<usize>>,
    reshape: Option<Vec<usize>>,
    dtype: Option<String>,
    split: Option<WrittenSplit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSplit {
    #[serde(default)]
    dim: usize,
    names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "stage is neither a name nor a list of names")]
enum Stages {
    One(String),
    Several(Vec<String>),
}

/// A rule. What it does, in this order: merge, transpose or permute, reshape, convert, split.
#[derive(Debug, Clone)]
struct Rule {
    /// One pattern, or those of the tensors that are merged along [`Rule::merge`].
    patterns: Vec<Glob>,
    merge: Option<usize>,
    /// The stages that it applies to; all if it is empty.
    stages: Vec<String>,
    /// The new name; several if the tensor is split; none if the name stays.
    names: Vec<Glob>,
    split: Option<usize>,
    layout: Option<Permutation>,
    reshape: Option<Vec<usize>>,
    dtype: Option<Dtype>,
    /// How errors call it.
    text: String,
}

#[derive(Debug, Clone)]
enum Permutation {
    /// Of the last two dimensions.
    Transpose,
    Axes(Vec<usize>),
}

/// A tensor of the candidate, and its name before the map.
#[derive(Clone)]
struct Entry {
    item: Item,
    original: String,
}

impl Map {
    /// Reads a map from a TOML file.
    ///
    /// # Errors
    /// [`MapError`]: the file cannot be read, is no TOML, or has an invalid rule.
    pub fn read(path: &Path) -> Result<Self, MapError> {
        let io = |error| MapError::Io { path: path.into(), error };
        Self::parse(&fs::read_to_string(path).map_err(io)?, path)
    }

    /// Parses a map; `path` is what errors and reports call it.
    ///
    /// # Errors
    /// [`MapError`]: it is no TOML, or has an invalid rule.
    pub fn parse(text: &str, path: &Path) -> Result<Self, MapError> {
        let toml = |error: toml::de::Error| MapError::Toml {
            path: path.into(),
            what: error.to_string().trim_end().into(),
        };
        let file: File = toml::from_str(text).map_err(toml)?;
        let rules = file.rule.into_iter().enumerate().map(|(i, table)| {
            let text = called(&table);
            let rule = Rule::new(table, text.clone());
            rule.map_err(|error| MapError::Rule {
                path: path.into(),
                rule: i + 1,
                text,
                error: Box::new(error),
            })
        });
        Ok(Self { path: path.into(), rules: rules.collect::<Result<_, _>>()? })
    }

    /// Applies the rules to the tensors of `candidate`. Elements are only read, and changed, when they are compared.
    ///
    /// # Errors
    /// [`MapError::Rule`]: a rule matches nothing, does not fit the shape of a tensor, or maps two tensors to one name.
    pub fn apply(&self, candidate: &mut Side) -> Result<(), MapError> {
        let entry = |item: Item| Entry { original: item.key.name.clone(), item };
        let mut entries: Vec<Entry> = candidate.items.iter().cloned().map(entry).collect();
        for (i, rule) in self.rules.iter().enumerate() {
            let failed = |error| {
                let (path, text) = (self.path.clone(), rule.text.clone());
                MapError::Rule { path, rule: i + 1, text, error: Box::new(error) }
            };
            let mut converted = Vec::new();
            entries = rule.apply(entries, &mut converted).map_err(failed)?;
            check_unique(&entries).map_err(failed)?;
            if let Some((first, from, to)) = converted.first() {
                let path = self.path.display();
                candidate.left_out.push(format!(
                    "the elements of {} tensors in {from}, the first {first}: rule {} of {path} converts them to {to}",
                    converted.len(),
                    i + 1
                ));
            }
        }
        if !self.rules.is_empty() {
            let changed = entries.iter().filter(|entry| entry.original != entry.item.key.name);
            let (changed, path) = (changed.count(), self.path.display());
            candidate.notes.push(format!("{path} renames {changed} of {} tensors", entries.len()));
        }
        candidate.items = entries.into_iter().map(|entry| entry.item).collect();
        Ok(())
    }
}

/// How errors call a rule: by its pattern.
fn called(table: &toml::Table) -> String {
    let shown = |key: &str| match table.get(key)? {
        toml::Value::String(pattern) => Some(format!(" ({key} = {pattern:?})")),
        toml::Value::Array(patterns) => {
            let patterns: Vec<_> = patterns.iter().filter_map(toml::Value::as_str).collect();
            Some(format!(" ({key} = {patterns:?})"))
        }
        _ => None,
    };
    ["match", "merge"].into_iter().find_map(shown).unwrap_or_default()
}

fn check_unique(entries: &[Entry]) -> Result<(), RuleError> {
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
    fn new(table: toml::Table, text: String) -> Result<Self, RuleError> {
        let written: Written = table
            .try_into()
            .map_err(|error: toml::de::Error| RuleError::Invalid(error.message().to_owned()))?;
        let invalid = |what: &str| Err(RuleError::Invalid(what.to_owned()));
        let (patterns, merge) = match (written.r#match, written.merge) {
            (Some(pattern), None) => (vec![pattern], None),
            (None, Some(patterns)) => (patterns, Some(written.dim.unwrap_or(0))),
            _ => return invalid("either match or merge is expected"),
        };
        let (names, split) = match (written.name, written.split) {
            (Some(_), Some(_)) => {
                return invalid("name and split are both given: split has the names");
            }
            (_, Some(split)) if split.names.len() < 2 => {
                return invalid("split needs at least two names");
            }
            (_, Some(split)) => (split.names, Some(split.dim)),
            (name, None) => (name.into_iter().collect(), None),
        };
        let layout = match (written.transpose, written.permute) {
            (true, Some(_)) => return invalid("transpose and permute are both given: keep one"),
            (true, None) => Some(Permutation::Transpose),
            (false, Some(axes)) if (0..axes.len()).any(|axis| !axes.contains(&axis)) => {
                return Err(RuleError::NotPermutation(axes));
            }
            (false, axes) => axes.map(Permutation::Axes),
        };
        let dtype = match written.dtype {
            Some(name) => Some(Dtype::from_name(&name).ok_or(RuleError::Dtype(name))?),
            None => None,
        };
        if merge.is_some() && (patterns.len() < 2 || names.len() != 1) {
            return invalid("merge needs at least two names, and name that of the merged tensor");
        }
        if merge.is_none() && written.dim.is_some() {
            return invalid("dim is given without merge; that of a split is in split");
        }
        if names.is_empty() && layout.is_none() && written.reshape.is_none() && dtype.is_none() {
            return invalid(
                "it changes nothing: name, transpose, permute, reshape, dtype or split is expected",
            );
        }
        let glob = |text: &String| {
            Glob::parse(text).map_err(|what| RuleError::Glob { glob: text.clone(), what })
        };
        let globs = |texts: &[String]| texts.iter().map(glob).collect::<Result<Vec<_>, _>>();
        let stages = match written.stage {
            None => Vec::new(),
            Some(Stages::One(stage)) => vec![stage],
            Some(Stages::Several(stages)) => stages,
        };
        let reshape = written.reshape;
        let (patterns, names) = (globs(&patterns)?, globs(&names)?);
        let stars = patterns[0].stars();
        if patterns.iter().any(|pattern| pattern.stars() != stars) {
            return invalid("the names in merge have different numbers of *");
        }
        if let Some(found) = names.iter().map(Glob::stars).find(|&found| found > stars) {
            return Err(RuleError::Stars { found, stars });
        }
        Ok(Self { patterns, merge, stages, names, split, layout, reshape, dtype, text })
    }

    fn apply(
        &self,
        entries: Vec<Entry>,
        converted: &mut Vec<(String, String, Dtype)>,
    ) -> Result<Vec<Entry>, RuleError> {
        let mut out = Vec::with_capacity(entries.len());
        let mut merged = self.groups(&entries)?;
        let mut matched = false;
        for (i, entry) in entries.iter().enumerate() {
            let Some((_, captures)) = self.captures(entry) else {
                out.push(entry.clone());
                continue;
            };
            matched = true;
            let names: Vec<String> = self.names.iter().map(|name| name.fill(&captures)).collect();
            let entry = match self.merge {
                None => entry.clone(),
                Some(dim) => match merged.remove(&i) {
                    Some(parts) => merge(parts.iter().map(|&i| &entries[i]).collect(), dim)?,
                    // Another part of its group comes first.
                    None => continue,
                },
            };
            let entry = self.changed(entry, converted)?;
            match (self.split, names.first()) {
                (Some(dim), _) => split(&entry, dim, &names, &mut out)?,
                (None, Some(name)) => out.push(renamed(entry, name)),
                (None, None) => out.push(entry),
            }
        }
        if !matched {
            let of_stage = entries.iter().filter(|entry| self.is_of_stage(entry));
            let names: Vec<&str> = of_stage.map(|entry| &*entry.item.key.name).collect();
            let pattern = self.patterns[0].fill(&vec![""; self.patterns[0].stars()]);
            return Err(RuleError::NoMatch { closest: closest::listed(&pattern, names, 3) });
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
        Entry { mut item, original }: Entry,
        converted: &mut Vec<(String, String, Dtype)>,
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
            converted.push((tensor(), from, to));
        }
        Ok(Entry { item, original })
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
    let is_kept = parts.iter().all(crate::verify::is_kept);
    let Item { key, dtype, .. } = parts[0].clone();
    let source = match is_kept {
        true => ElementSource::Mapped(Arc::new(Mapped { parts, step })),
        false => ElementSource::Nowhere,
    };
    Item { key, dtype, shape, sha256: None, nan: None, source }
}

fn merge(entries: Vec<&Entry>, dim: usize) -> Result<Entry, RuleError> {
    let first = &entries[0].item;
    let agrees = |item: &Item| {
        let other = item.shape.iter().zip(&first.shape).enumerate();
        let is_equal = other.into_iter().all(|(i, (one, other))| i == dim || one == other);
        item.dtype == first.dtype && item.shape.len() == first.shape.len() && is_equal
    };
    if dim >= first.shape.len() || !entries.iter().all(|entry| agrees(&entry.item)) {
        let shown = |entry: &&Entry| {
            let Item { key, dtype, shape, .. } = &entry.item;
            format!("{} {dtype} {shape:?}", key.name)
        };
        let parts = entries.iter().map(shown).collect::<Vec<_>>().join(", ");
        return Err(RuleError::Merge { dim, parts });
    }
    let mut shape = first.shape.clone();
    shape[dim] = entries.iter().fold(0, |sum: usize, e| sum.saturating_add(e.item.shape[dim]));
    let originals: Vec<&str> = entries.iter().map(|entry| &*entry.original).collect();
    let original = originals.join(" + ");
    let parts = entries.into_iter().map(|entry| entry.item.clone()).collect();
    Ok(Entry { item: mapped(parts, Step::Concatenate(dim), shape), original })
}

fn split(
    entry: &Entry,
    dim: usize,
    names: &[String],
    out: &mut Vec<Entry>,
) -> Result<(), RuleError> {
    let Entry { item, original } = entry;
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
        out.push(renamed(Entry { item: part, original: original.clone() }, name));
    }
    Ok(())
}
