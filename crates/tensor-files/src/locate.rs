//! Finds the tensors in a pickle: the dict of tensors in a checkpoint, whatever its key, or the parameters and buffers of
//! a TorchScript module.

use std::collections::HashSet;

use super::candidates::{Candidate, Key, Search, described, entries, is_tensor, joined};
use super::pickle::{Id, Pickle, Value};
use super::tensor_file::FileKind;
use super::{DIMENSIONS, LONGEST_NAME, ReadError, SINGLE, TensorSpec, skipped};

/// The tensors found in a pickle.
pub(super) struct Found {
    pub kind: FileKind,
    /// The key of the dict that holds them, if it is in another dict.
    pub key: Option<String>,
    /// Names and values, in order.
    pub tensors: Vec<(String, Id)>,
    /// The skipped values in and beside their dict.
    pub skipped: skipped::List,
}

/// Finds the tensors of a pickle: those under `key`, or the only ones.
///
/// A dict of tensors has strings as keys and tensors as values. If there is one, at the top or up to two keys deep, it
/// is used; the state of an optimizer is not searched. If there is none, a dict that holds tensors beside other values
/// is used, or a list of tensors.
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
            let key = joined(pickle, &chosen.path);
            names.pass_over(&chosen, &key);
            names.collect(chosen.id, &key)?;
            found_key = (!chosen.path.is_empty()).then_some(key);
        }
        (_, Some(key)) => {
            return Err(ReadError::NoSuchKey { key: key.into(), keys: Vec::new(), more: 0 });
        }
        (_, None) => {
            return Err(ReadError::NotTensors(format!(
                "it holds {}, where a dict of tensors is expected: save model.state_dict(), not the \
                 model",
                described(pickle, pickle.top)
            )));
        }
    }
    let Names { tensors, skipped, .. } = names;
    Ok(Found { kind, key: found_key, tensors, skipped })
}

/// Refuses a tensor that cannot be read.
fn readable(pickle: &Pickle, name: &str, id: Id) -> Result<Id, ReadError> {
    match &pickle.arena[id] {
        Value::Unreadable(what) => {
            let name = name.escape_debug();
            Err(ReadError::Unsupported(format!("{name} is {what}, which is not read")))
        }
        _ => Ok(id),
    }
}

/// Bytes of memory that each tensor takes besides its name: its positions in the pickle and in the file, its shape.
const EACH: usize = size_of::<(String, Id)>()
    + size_of::<(TensorSpec, super::location::Location)>()
    + 3 * DIMENSIONS * 8;
/// Deepest nesting of modules in modules that is followed.
const DEPTH: usize = 64;

/// Names of tensors, within a limit of memory.
struct Names<'a> {
    pickle: &'a Pickle,
    /// Bytes that may still be used.
    memory: usize,
    tensors: Vec<(String, Id)>,
    skipped: skipped::List,
}

impl<'a> Names<'a> {
    fn new(pickle: &'a Pickle) -> Self {
        let (tensors, skipped) = (Vec::new(), skipped::List::default());
        Self { pickle, memory: pickle.memory, tensors, skipped }
    }

    /// Lists the values beside the chosen dict, whose joined path is `name`, as skipped.
    fn pass_over(&mut self, chosen: &Candidate, name: &str) {
        let (pickle, path, mut id) = (self.pickle, &chosen.path[..], self.pickle.top);
        for (depth, &taken) in path.iter().enumerate() {
            let mut inner = id;
            for (key, value) in entries(&pickle.arena, id) {
                if key == taken {
                    inner = value;
                    continue;
                }
                let key = [&path[..depth], &[key]].concat();
                let what = match value == chosen.id {
                    true => format!("the same dict as {name}").into(),
                    false => pickle.describe(value),
                };
                self.skipped.push(&joined(pickle, &key), &what);
            }
            id = inner;
        }
    }

    /// Counts a name of `length` bytes.
    fn account(&mut self, length: usize) -> Result<(), ReadError> {
        let unsupported = |error| Err(ReadError::Unsupported(error));
        if length > LONGEST_NAME {
            return unsupported(format!(
                "one of its names has {length} bytes, where at most {LONGEST_NAME} are read"
            ));
        }
        match self.memory.checked_sub(3 * (length + EACH)) {
            Some(left) => {
                self.memory = left;
                Ok(())
            }
            None => unsupported("its tensors are too many for a file of its size".into()),
        }
    }

    /// Collects the tensors of the dict or list with that path, and lists everything else in it as skipped.
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
        match numbers && self.has_name_twice() {
            true => {
                let error = "two of its tensors have the same name, as a string and as an integer";
                Err(ReadError::Unsupported(error.into()))
            }
            false => Ok(()),
        }
    }

    /// Whether two tensors have the same name.
    fn has_name_twice(&self) -> bool {
        let mut seen = HashSet::new();
        !self.tensors.iter().all(|(name, _)| seen.insert(name))
    }

    /// Collects the tensors of a TorchScript module: the names of submodules are joined by dots. Numbers and
    /// strings (flags, hooks, strides) are not listed as skipped.
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
        // `fc|weight` and the `weight` of `fc`.
        match self.has_name_twice() {
            true => Err(ReadError::Unsupported("two of its tensors have the same name".into())),
            false => Ok(()),
        }
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
