//! Finds the tensors among what a pickle holds: the dict of them in a checkpoint, by its content and
//! not by its key; the parameters and buffers of a TorchScript module.

use std::collections::HashSet;

use super::location::FileKind;
use super::pickle::{Id, Pickle, Value};
use super::{DIMENSIONS, ReadError, SINGLE, TensorSpec, skipped};

/// Where the tensors stand in a pickle.
pub(super) struct Found {
    pub kind: FileKind,
    /// The key of the dict that holds them, if it stands in another.
    pub key: Option<String>,
    /// Their names, in order.
    pub tensors: Vec<(String, Id)>,
    /// What stands among them, or beside their dict, and is not read.
    pub skipped: skipped::List,
}

/// The tensors of a pickle: those under `key`, or the only ones.
///
/// A dict of tensors is one whose keys are strings and whose values are tensors. If there is one of
/// them, it is taken, be it the top value or under a key, or a key in a key; an optimizer's state is
/// not looked into. If there is none, a dict that holds tensors beside other things is taken, or a list
/// of tensors.
pub(super) fn find(pickle: &Pickle, key: Option<&str>) -> Result<Found, ReadError> {
    let mut names = Names::new(pickle);
    let (mut kind, mut found_key) = (FileKind::StateDict, None);
    match (&pickle.arena[pickle.top], key) {
        (Value::Tensor(_) | Value::Unreadable(_), None) => {
            let tensor = readable(pickle, SINGLE, pickle.top)?;
            names.tensors.push((SINGLE.into(), tensor));
        }
        (Value::Object { .. }, None) => {
            kind = FileKind::TorchScript;
            names.module(pickle.top)?;
        }
        (Value::Dict(items), None) if items.is_empty() => {}
        (Value::Dict(_) | Value::List(_) | Value::Tuple(_), _) => {
            let chosen = Search::new(pickle).choose(key)?;
            names.pass_over(&chosen.path);
            let key = joined(pickle, &chosen.path);
            names.collect(chosen.id, &key)?;
            found_key = (!chosen.path.is_empty()).then_some(key);
        }
        (_, Some(key)) => {
            return Err(ReadError::NoSuchKey { key: key.into(), keys: Vec::new() });
        }
        (_, None) => {
            return Err(ReadError::NotTensors(format!(
                "it holds {}, where a dict of tensors is wanted: save model.state_dict(), not the \
                 model",
                described(pickle, pickle.top)
            )));
        }
    }
    let Names { tensors, skipped, .. } = names;
    Ok(Found { kind, key: found_key, tensors, skipped })
}

/// The type or class of a value, for a sentence.
fn described(pickle: &Pickle, id: Id) -> String {
    let what = pickle.describe(id);
    match what.split_once(' ') {
        Some(("a" | "an", _)) => what.to_string(),
        _ => format!("an object of the class {what}"),
    }
}

/// Refuses a tensor that cannot be read.
fn readable(pickle: &Pickle, name: &str, id: Id) -> Result<Id, ReadError> {
    match &pickle.arena[id] {
        Value::Unreadable(what) => {
            Err(ReadError::Unsupported(format!("{name} is {what}, which is not read")))
        }
        _ => Ok(id),
    }
}

/// Longest name of a tensor, in bytes. A pickle may name one long string many times over.
const LONGEST_NAME: usize = 1024;
/// What each tensor takes besides its name: where it is in the pickle and in the file, its shape.
const EACH: usize = size_of::<(String, Id)>()
    + size_of::<(TensorSpec, super::location::Location)>()
    + 3 * DIMENSIONS * 8;
/// Deepest nesting of modules in modules that is followed.
const DEPTH: usize = 64;

/// Names of tensors, as many as there is memory for.
struct Names<'a> {
    pickle: &'a Pickle,
    /// What they may take, in bytes.
    memory: usize,
    tensors: Vec<(String, Id)>,
    skipped: skipped::List,
}

impl<'a> Names<'a> {
    fn new(pickle: &'a Pickle) -> Self {
        let (tensors, skipped) = (Vec::new(), skipped::List::default());
        Self { pickle, memory: pickle.memory, tensors, skipped }
    }

    /// Notes what stands beside a value of that path.
    fn pass_over(&mut self, path: &[Key]) {
        let (pickle, mut id) = (self.pickle, self.pickle.top);
        for (depth, &taken) in path.iter().enumerate() {
            let mut inner = id;
            for (key, value) in entries(&pickle.arena, id) {
                if key == taken {
                    inner = value;
                    continue;
                }
                let key = [&path[..depth], &[key]].concat();
                self.skipped.push(&joined(pickle, &key), &pickle.describe(value));
            }
            id = inner;
        }
    }

    /// Counts a name of `length` bytes.
    fn account(&mut self, length: usize) -> Result<(), ReadError> {
        let left = self.memory.checked_sub(3 * (length + EACH));
        let left = left.filter(|_| length <= LONGEST_NAME);
        let error = || ReadError::Unsupported("its names are too long, or too many".into());
        self.memory = left.ok_or_else(error)?;
        Ok(())
    }

    /// The tensors of the dict or list of that path, and what is none.
    fn collect(&mut self, id: Id, path: &str) -> Result<(), ReadError> {
        let pickle = self.pickle;
        let mut numbers = false;
        for (key, value) in entries(&pickle.arena, id) {
            let is_tensor = is_tensor(&pickle.arena[value]);
            let name = match key {
                Key::Value(key) => match &pickle.arena[key] {
                    Value::Str(name) => &**name,
                    Value::Int(number) => {
                        numbers = true;
                        &number.to_string()
                    }
                    _ if is_tensor => {
                        let error = "the key of a tensor is neither a string nor an integer";
                        return Err(ReadError::Unsupported(error.into()));
                    }
                    _ => &pickle.describe(key),
                },
                Key::Index(index) => &index.to_string(),
            };
            self.account(name.len())?;
            match is_tensor {
                true => self.tensors.push((name.into(), readable(pickle, name, value)?)),
                false if path.is_empty() => self.skipped.push(name, &pickle.describe(value)),
                false => self.skipped.push(&format!("{path}.{name}"), &pickle.describe(value)),
            }
        }
        // A dict has no key twice, but it may have both 1 and "1".
        let mut seen = HashSet::new();
        if numbers && !self.tensors.iter().all(|(name, _)| seen.insert(name)) {
            let error = "two of its tensors have the same name, as a string and as an integer";
            return Err(ReadError::Unsupported(error.into()));
        }
        Ok(())
    }

    /// The tensors of a TorchScript module: the names of submodules are joined by dots. Numbers and
    /// texts (flags, hooks, strides) are passed over without a word.
    fn module(&mut self, top: Id) -> Result<(), ReadError> {
        let pickle = self.pickle;
        let mut open = vec![(String::new(), top, 0)];
        let mut looked_at = HashSet::new();
        while let Some((prefix, id, depth)) = open.pop() {
            let mut inner = Vec::new();
            for &(key, value) in attributes(&pickle.arena, id) {
                let Value::Str(key) = &pickle.arena[key] else {
                    let error = "an attribute of a module has no name";
                    return Err(ReadError::Unsupported(error.into()));
                };
                self.account(prefix.len() + key.len())?;
                // tch's VarStore writes `fc1|weight`, since TorchScript names hold no dots.
                let name = format!("{prefix}{}", key.replace('|', "."));
                match &pickle.arena[value] {
                    Value::Tensor(_) | Value::Unreadable(_) => {
                        let value = readable(pickle, &name, value)?;
                        self.tensors.push((name, value));
                    }
                    Value::Object { .. } if depth < DEPTH => {
                        inner.push((format!("{name}."), value, depth + 1));
                    }
                    _ if pickle.holds_more_than_numbers(value, &mut looked_at) => {
                        self.skipped.push(&name, &pickle.describe(value));
                    }
                    _ => {}
                }
            }
            open.extend(inner.into_iter().rev());
        }
        Ok(())
    }
}

/// Key and value of each attribute of an object.
fn attributes(arena: &[Value], id: Id) -> &[(Id, Id)] {
    match &arena[id] {
        Value::Object { attributes: Some(state), .. } => match &arena[*state] {
            Value::Dict(items) => items,
            _ => &[],
        },
        _ => &[],
    }
}

/// What a value stands under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// In a dict.
    Value(Id),
    /// In a list or tuple.
    Index(usize),
}

/// Key and value of each item of a dict, list or tuple.
fn entries(arena: &[Value], id: Id) -> impl Iterator<Item = (Key, Id)> {
    let (dict, list): (&[(Id, Id)], &[Id]) = match &arena[id] {
        Value::Dict(items) => (items, &[]),
        Value::List(items) | Value::Tuple(items) => (&[], items),
        _ => (&[], &[]),
    };
    let dict = dict.iter().map(|&(key, value)| (Key::Value(key), value));
    dict.chain(list.iter().enumerate().map(|(i, &value)| (Key::Index(i), value)))
}

fn is_tensor(value: &Value) -> bool {
    matches!(value, Value::Tensor(_) | Value::Unreadable(_))
}

/// Dicts in dicts that are looked into: `checkpoint["model"]["state_dict"]`.
const LEVELS: usize = 2;
/// Keys that an error lists.
const SHOWN: usize = 20;
/// What a module's own state is called among its tensors, by `torch.nn.Module.get_extra_state`.
const EXTRA_STATE: &str = "_extra_state";

/// A dict or list that holds tensors.
#[derive(Debug, Clone)]
struct Candidate {
    /// The keys that lead to it.
    path: Vec<Key>,
    id: Id,
}

/// The keys, joined by dots.
fn joined(pickle: &Pickle, path: &[Key]) -> String {
    let part = |key: &Key| match *key {
        Key::Index(index) => index.to_string(),
        Key::Value(key) => match &pickle.arena[key] {
            // No more than anybody would read.
            Value::Str(key) => key.chars().take(LONGEST_NAME).collect(),
            Value::Int(key) => key.to_string(),
            _ => pickle.describe(key).to_string(),
        },
    };
    path.iter().map(part).collect::<Vec<_>>().join(".")
}

/// What of a dict or list is tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Nothing,
    /// Some of it.
    Mixed,
    /// All of it, by names.
    Tensors,
}

/// The search for the dict of tensors.
struct Search<'a> {
    pickle: &'a Pickle,
    /// Dicts of tensors, and a list of them at the top.
    whole: Vec<Candidate>,
    /// Dicts and lists that hold tensors among other things.
    mixed: Vec<Candidate>,
}

impl<'a> Search<'a> {
    /// Looks at every dict and list once, those on the surface first.
    fn new(pickle: &'a Pickle) -> Self {
        let mut search = Self { pickle, whole: Vec::new(), mixed: Vec::new() };
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
                    Content::Tensors => search.whole.push(candidate),
                }
            }
            level = next;
        }
        search
    }

    /// Adds what stands in `candidate` and may hold tensors.
    fn descend(&self, candidate: &Candidate, seen: &mut HashSet<Id>, next: &mut Vec<Candidate>) {
        let arena = &self.pickle.arena;
        for (key, id) in entries(arena, candidate.id) {
            let named = match key {
                Key::Index(_) => true,
                Key::Value(key) => matches!(arena[key], Value::Str(_)),
            };
            let holds = matches!(arena[id], Value::Dict(_) | Value::List(_) | Value::Tuple(_));
            if named && holds && seen.insert(id) {
                let path = candidate.path.iter().copied().chain([key]).collect();
                next.push(Candidate { path, id });
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
            _ => Content::Mixed,
        }
    }

    /// Whether it is what `torch.optim.Optimizer.state_dict` returns.
    fn is_optimizer(&self, id: Id) -> bool {
        let arena = &self.pickle.arena;
        let Value::Dict(items) = &arena[id] else { return false };
        let has = |wanted: &str| {
            items.iter().any(|&(key, _)| matches!(&arena[key], Value::Str(key) if **key == *wanted))
        };
        has("state") && has("param_groups")
    }

    /// The dict under `key`, or the only one.
    fn choose(self, key: Option<&str>) -> Result<Candidate, ReadError> {
        // Of dicts that hold other things too, the one on the surface.
        let surface = self.mixed.first().map_or(0, |candidate| candidate.path.len());
        let chosen: Vec<&Candidate> = match key {
            None if self.whole.is_empty() => {
                self.mixed.iter().take_while(|candidate| candidate.path.len() == surface).collect()
            }
            None => self.whole.iter().collect(),
            Some(key) => self.under(key),
        };
        match (&chosen[..], key) {
            (&[chosen], _) => Ok(chosen.clone()),
            ([], Some(key)) => {
                let all: Vec<_> = self.whole.iter().chain(&self.mixed).collect();
                Err(ReadError::NoSuchKey { key: key.into(), keys: self.keys(&all) })
            }
            ([], None) => Err(self.no_tensor()),
            (several, _) => Err(ReadError::Ambiguous { keys: self.keys(several) }),
        }
    }

    /// The candidates with that key; else those below it.
    fn under(&self, key: &str) -> Vec<&Candidate> {
        let named = |candidate: &&Candidate| {
            !candidate.path.is_empty() && joined(self.pickle, &candidate.path) == key
        };
        let all = || self.whole.iter().chain(&self.mixed);
        if let Some(exact) = all().find(named) {
            return vec![exact];
        }
        let below = |candidate: &&Candidate| {
            let path = joined(self.pickle, &candidate.path);
            path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
        };
        let whole: Vec<_> = self.whole.iter().filter(below).collect();
        if whole.is_empty() { self.mixed.iter().filter(below).collect() } else { whole }
    }

    /// The first of their keys.
    fn keys(&self, candidates: &[&Candidate]) -> Vec<String> {
        let named = candidates.iter().filter(|candidate| !candidate.path.is_empty());
        let mut keys: Vec<String> = named
            .clone()
            .take(SHOWN)
            .map(|candidate| joined(self.pickle, &candidate.path))
            .collect();
        if named.count() > SHOWN {
            keys.push("…".into());
        }
        keys
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
