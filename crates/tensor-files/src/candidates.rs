//! Searches a pickle for the dict of its weights among the dicts and lists that hold tensors.

use std::collections::HashSet;

use super::pickle::{Id, Pickle, Value};
use super::{LONGEST_NAME, ReadError};

/// The type or class of a value with an article, for a message.
pub(super) fn described(pickle: &Pickle, id: Id) -> String {
    let what = pickle.describe(id);
    match what.split_once(' ') {
        Some(("a" | "an", _)) => what.to_string(),
        _ => format!("an object of the class {what}"),
    }
}

/// The key or index of a value in its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// The key in a dict.
    Value(Id),
    /// The index in a list or tuple.
    Index(usize),
}

/// Key and value of each item of a dict, list or tuple.
pub(super) fn entries(arena: &[Value], id: Id) -> impl Iterator<Item = (Key, Id)> {
    let (dict, list): (&[(Id, Id)], &[Id]) = match &arena[id] {
        Value::Dict(items) => (items, &[]),
        Value::List(items) | Value::Tuple(items) => (&[], items),
        _ => (&[], &[]),
    };
    let dict = dict.iter().map(|&(key, value)| (Key::Value(key), value));
    dict.chain(list.iter().enumerate().map(|(i, &value)| (Key::Index(i), value)))
}

pub(super) fn is_tensor(value: &Value) -> bool {
    matches!(value, Value::Tensor(_) | Value::Unreadable(_))
}

/// Depth of nested dicts that are searched: `checkpoint["model"]["state_dict"]`.
const LEVELS: usize = 2;
/// Keys of dicts of tensors that an error has.
const LISTED: usize = 1000;
/// Other entries that an error describes.
const SHOWN: usize = 20;
/// Name of a module's own state in a state_dict (`torch.nn.Module.get_extra_state`).
const EXTRA_STATE: &str = "_extra_state";

/// A dict or list that holds tensors.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// The keys that lead to it.
    pub path: Vec<Key>,
    pub id: Id,
}

/// The keys, joined by dots.
pub(super) fn joined(pickle: &Pickle, path: &[Key]) -> String {
    let part = |key: &Key| match *key {
        Key::Index(index) => index.to_string(),
        Key::Value(key) => match &pickle.arena[key] {
            // Truncated: it is for messages.
            Value::Str(key) => key.chars().take(LONGEST_NAME).collect(),
            Value::Int(key) => key.to_string(),
            _ => pickle.describe(key).to_string(),
        },
    };
    path.iter().map(part).collect::<Vec<_>>().join(".")
}

/// How much of a dict or list is tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Nothing,
    /// Some of it.
    Mixed,
    /// Most of it, and more than one: weights with something else among them.
    Mostly,
    /// All of it, by names.
    Tensors,
}

/// The search for the dict of tensors.
pub(super) struct Search<'a> {
    pickle: &'a Pickle,
    /// Dicts of tensors, and a list of them at the top.
    whole: Vec<Candidate>,
    /// Dicts and lists that hold tensors among other things.
    mixed: Vec<Candidate>,
    /// Those of them that are mostly tensors.
    rivals: Vec<Candidate>,
    /// Second keys of dicts and lists.
    aliases: Vec<Candidate>,
}

impl<'a> Search<'a> {
    /// Visits every dict and list once, those at the top first.
    pub fn new(pickle: &'a Pickle) -> Self {
        let (whole, mixed, rivals, aliases) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut search = Self { pickle, whole, mixed, rivals, aliases };
        let mut seen = HashSet::from([pickle.top]);
        let mut level = vec![Candidate { path: Vec::new(), id: pickle.top }];
        for depth in 0..=LEVELS {
            let mut next = Vec::new();
            for candidate in level {
                let content = search.content(candidate.id, depth);
                if content != Content::Tensors
                    && depth < LEVELS
                    && !search.is_optimizer(candidate.id)
                {
                    search.descend(&candidate, &mut seen, &mut next);
                }
                match content {
                    Content::Nothing => {}
                    Content::Mixed => search.mixed.push(candidate),
                    Content::Mostly => {
                        search.rivals.push(candidate.clone());
                        search.mixed.push(candidate);
                    }
                    Content::Tensors => search.whole.push(candidate),
                }
            }
            level = next;
        }
        search
    }

    /// Adds the items of `candidate` that may hold tensors.
    fn descend(
        &mut self,
        candidate: &Candidate,
        seen: &mut HashSet<Id>,
        next: &mut Vec<Candidate>,
    ) {
        let arena = &self.pickle.arena;
        for (key, id) in entries(arena, candidate.id) {
            let named = match key {
                Key::Index(_) => true,
                Key::Value(key) => matches!(arena[key], Value::Str(_) | Value::Int(_)),
            };
            let holds = matches!(arena[id], Value::Dict(_) | Value::List(_) | Value::Tuple(_));
            if named && holds {
                let path = candidate.path.iter().copied().chain([key]).collect();
                let found = if seen.insert(id) { &mut *next } else { &mut self.aliases };
                found.push(Candidate { path, id });
            }
        }
    }

    fn content(&self, id: Id, depth: usize) -> Content {
        let arena = &self.pickle.arena;
        let (mut tensors, mut others) = (0usize, 0usize);
        for (key, value) in entries(arena, id) {
            let name = match key {
                Key::Index(_) => (depth == 0).then_some(""),
                Key::Value(key) => match &arena[key] {
                    Value::Str(name) => Some(&**name),
                    _ => None,
                },
            };
            match (is_tensor(&arena[value]), name) {
                (true, name) => {
                    tensors += 1;
                    others += usize::from(name.is_none());
                }
                (false, Some(name)) if name.rsplit('.').next() == Some(EXTRA_STATE) => {}
                (false, _) => others += 1,
            }
        }
        match (tensors, others) {
            (0, _) => Content::Nothing,
            (_, 0) => Content::Tensors,
            (2.., _) if tensors > others => Content::Mostly,
            _ => Content::Mixed,
        }
    }

    /// Whether a value is a dict as `torch.optim.Optimizer.state_dict` returns it.
    fn is_optimizer(&self, id: Id) -> bool {
        let arena = &self.pickle.arena;
        let Value::Dict(items) = &arena[id] else { return false };
        let has = |name: &str| {
            items.iter().any(|&(key, _)| matches!(&arena[key], Value::Str(key) if **key == *name))
        };
        has("state") && has("param_groups")
    }

    /// The dict under `key`, or the only one.
    pub fn choose(self, key: Option<&str>) -> Result<Candidate, ReadError> {
        // Of dicts that hold other values, too, the one closest to the top.
        let surface = self.mixed.first().map_or(0, |candidate| candidate.path.len());
        let chosen: Vec<&Candidate> = match key {
            None if self.whole.is_empty() => {
                self.mixed.iter().take_while(|candidate| candidate.path.len() == surface).collect()
            }
            None => self.whole.iter().chain(&self.rivals).collect(),
            Some(key) => self.under(key),
        };
        match (&chosen[..], key) {
            (&[chosen], _) => Ok(chosen.clone()),
            ([], Some(key)) => {
                if let Some(alias) = self.alias(key) {
                    return Ok(alias.clone());
                }
                let all: Vec<_> = self.whole.iter().chain(&self.mixed).collect();
                let (keys, more) = self.keys(&all);
                Err(ReadError::NoSuchKey { key: key.into(), keys, more })
            }
            ([], None) => Err(self.no_tensor()),
            (several, _) if self.has_one_key(several) => Err(ReadError::SameKey {
                key: joined(self.pickle, &several[0].path),
                count: several.len(),
            }),
            (several, _) => {
                let (keys, more) = self.keys(several);
                Err(ReadError::Ambiguous { keys, more })
            }
        }
    }

    /// Whether no key chooses one of these dicts.
    fn has_one_key(&self, several: &[&Candidate]) -> bool {
        let mut keys = several.iter().map(|candidate| joined(self.pickle, &candidate.path));
        let first = keys.next();
        keys.all(|key| Some(key) == first)
    }

    /// The second key of a dict or list that holds tensors.
    fn alias(&self, key: &str) -> Option<&Candidate> {
        let holds_tensors = |alias: &Candidate| {
            self.whole.iter().chain(&self.mixed).any(|candidate| candidate.id == alias.id)
        };
        let named = |alias: &&Candidate| joined(self.pickle, &alias.path) == key;
        self.aliases.iter().find(named).filter(|alias| holds_tensors(alias))
    }

    /// The candidates with that key; else those below it.
    fn under(&self, key: &str) -> Vec<&Candidate> {
        let named = |candidate: &&Candidate| {
            !candidate.path.is_empty() && joined(self.pickle, &candidate.path) == key
        };
        let all = || self.whole.iter().chain(&self.mixed);
        let exact: Vec<_> = all().filter(named).collect();
        if !exact.is_empty() {
            return exact;
        }
        let below = |candidate: &&Candidate| {
            let path = joined(self.pickle, &candidate.path);
            path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
        };
        let whole: Vec<_> = self.whole.iter().filter(below).collect();
        if whole.is_empty() { self.mixed.iter().filter(below).collect() } else { whole }
    }

    /// The first of their keys, and how many more there are.
    fn keys(&self, candidates: &[&Candidate]) -> (Vec<String>, usize) {
        let named = candidates.iter().filter(|candidate| !candidate.path.is_empty());
        let first = named.clone().take(LISTED);
        let keys: Vec<String> =
            first.map(|candidate| joined(self.pickle, &candidate.path)).collect();
        let more = named.count() - keys.len();
        (keys, more)
    }

    fn no_tensor(&self) -> ReadError {
        let described = |(key, value): (Key, Id)| {
            format!("{} is {}", joined(self.pickle, &[key]), described(self.pickle, value))
        };
        let mut found: Vec<String> =
            entries(&self.pickle.arena, self.pickle.top).take(SHOWN).map(described).collect();
        if entries(&self.pickle.arena, self.pickle.top).nth(SHOWN).is_some() {
            found.push("…".into());
        }
        let found = if found.is_empty() { "it is empty".into() } else { found.join(", ") };
        ReadError::NotTensors(format!(
            "it holds no tensor ({found}): save model.state_dict(), not the model"
        ))
    }
}
