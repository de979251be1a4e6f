//! A map: rules that give the candidate's tensors the reference's names, layouts and dtypes.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tensor_files::{Dtype, Glob};

use crate::map_error::{MapError, RuleError};
use crate::not_compared;
use crate::rule::{Converted, Entry, Permutation, Rule, check_unique};
use crate::side::{Item, Side};

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
        let entry = |item: Item| Entry { original: item.key.name.clone(), item, changed: false };
        let mut entries: Vec<Entry> = candidate.items.iter().cloned().map(entry).collect();
        for (i, rule) in self.rules.iter().enumerate() {
            let failed = |error| {
                let (path, text) = (self.path.clone(), rule.text.clone());
                MapError::Rule { path, rule: i + 1, text, error: Box::new(error) }
            };
            let mut converted = Converted::new();
            entries = rule.apply(entries, &mut converted).map_err(failed)?;
            check_unique(&entries).map_err(failed)?;
            for (from, names) in converted {
                let names: Vec<String> = names.into_iter().collect();
                let (names, path) = (not_compared::listed(&names), self.path.display());
                let to = rule.dtype.map_or("", Dtype::name);
                candidate.left_out.push(format!(
                    "the {from} elements of {names}: rule {} of {path} converts them to {to}",
                    i + 1
                ));
            }
        }
        if !self.rules.is_empty() {
            let changed = entries.iter().filter(|entry| entry.changed).count();
            let (path, all) = (self.path.display(), entries.len());
            candidate.notes.push(format!("{path} changes {changed} of {all} tensors"));
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
}
