//! Tensors that a function of the pickle may change. A pickle can call any function on a tensor, such as
//! `torch.zero_(weight)`. No function is called here, so the elements in the file are not known to be those that
//! Python would find: such a tensor, and every other view of its storage, becomes [`Value::Unreadable`].
//!
//! Setting attributes or items of an unknown object (BUILD, SETITEM, APPEND) is not such a call: a checkpoint may
//! hold a whole module beside its state_dict. But a later call of the object, or with it as an argument, reaches the
//! values that it holds.

use std::collections::HashMap;
use std::rc::Rc;

use super::stack::{Machine, Step};
use super::{Id, Value};

/// The calls of unknown functions, and what unknown objects hold.
#[derive(Default)]
pub(super) struct Calls {
    /// Each argument, with the function's name.
    arguments: Vec<(Id, Rc<str>)>,
    /// An unknown object and a value that it holds.
    held: Vec<(Id, Id)>,
}

/// Longest tuple whose items are checked. A pickle may use one long tuple many times.
const FEW: usize = 8;

impl Machine<'_> {
    /// Notes that an unknown function is called with this value.
    pub(super) fn pass(&mut self, argument: Id, function: &Rc<str>) -> Step {
        if !self.may_hold_tensor(argument) {
            return Ok(());
        }
        self.account(3 * size_of::<(Id, Rc<str>)>())?;
        self.calls.arguments.push((argument, Rc::clone(function)));
        Ok(())
    }

    /// Notes that an unknown object holds this value.
    pub(super) fn hold(&mut self, object: Id, value: Id) -> Step {
        if !self.may_hold_tensor(value) {
            return Ok(());
        }
        self.account(3 * size_of::<(Id, Id)>())?;
        self.calls.held.push((object, value));
        Ok(())
    }

    /// As [`Machine::hold`], for several values and the object on top of the stack.
    pub(super) fn top_holds(&mut self, values: &[Id]) -> Step {
        let top = self.top()?;
        values.iter().try_for_each(|&value| self.hold(top, value))
    }

    fn may_hold_tensor(&self, id: Id) -> bool {
        match &self.arena[id] {
            Value::Tuple(items) if items.len() <= FEW => {
                items.iter().any(|&item| has_parts(&self.arena[item]))
            }
            value => has_parts(value),
        }
    }
}

/// Whether a value is a tensor or a part of one, or may hold one.
fn has_parts(value: &Value) -> bool {
    matches!(value, Value::Tensor(_) | Value::Storage(_) | Value::Unreadable(_) | Value::Opaque(_))
        || matches!(value, Value::Tuple(_) | Value::List(_) | Value::Dict(_) | Value::Object { .. })
}

/// Makes the tensors unreadable that a call may change. Empty dicts and lists become opaque, since a call may fill them.
pub(super) fn mark(arena: &mut [Value], mut calls: Calls) {
    calls.held.sort_unstable();
    let Reached { storages, empty } = reached(arena, &calls);
    let changed = arena.iter().enumerate().filter_map(|(id, value)| {
        let Value::Tensor(tensor) = value else { return None };
        Some((id, Rc::clone(storages.get(key(arena, tensor.storage.key)?)?)))
    });
    let changed: Vec<(Id, Rc<str>)> = changed.collect();
    for (id, what) in changed {
        arena[id] = Value::Unreadable(what);
    }
    for (id, what) in empty {
        arena[id] = Value::Opaque(what);
    }
}

/// What calls may change, each with its description.
#[derive(Default)]
struct Reached<'a> {
    /// Storages, by their keys.
    storages: HashMap<&'a str, Rc<str>>,
    /// Empty dicts and lists.
    empty: Vec<(Id, Rc<str>)>,
}

/// Follows the arguments of calls to the values that they hold. Each value is visited once.
fn reached<'a>(arena: &'a [Value], calls: &Calls) -> Reached<'a> {
    let mut reached = Reached::default();
    let mut seen = vec![false; if calls.arguments.is_empty() { 0 } else { arena.len() }];
    let mut open = Vec::new();
    for (argument, function) in &calls.arguments {
        let changed = |what| format!("{what} that a call of {function} may change").into();
        open.push(*argument);
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut seen[id], true) {
                continue;
            }
            let mut storage = |id| {
                if let Some(key) = key(arena, id) {
                    reached.storages.entry(key).or_insert_with(|| changed("a tensor"));
                }
            };
            match &arena[id] {
                Value::Tensor(tensor) => storage(tensor.storage.key),
                Value::Storage(stored) => storage(stored.key),
                Value::Dict(items) if items.is_empty() => {
                    reached.empty.push((id, changed("a dict")))
                }
                Value::List(items) if items.is_empty() => {
                    reached.empty.push((id, changed("a list")))
                }
                Value::Tuple(items) | Value::List(items) => open.extend(items),
                Value::Dict(items) => {
                    open.extend(items.iter().flat_map(|&(key, value)| [key, value]))
                }
                Value::Object { attributes, .. } => open.extend(attributes),
                Value::Opaque(_) | Value::Unreadable(_) => open.extend(calls.held_by(id)),
                _ => {}
            }
        }
    }
    reached
}

impl Calls {
    /// The values that an object holds. `held` must be sorted.
    fn held_by(&self, id: Id) -> impl Iterator<Item = Id> {
        let from = self.held.partition_point(|&(object, _)| object < id);
        self.held[from..]
            .iter()
            .take_while(move |&&(object, _)| object == id)
            .map(|&(_, value)| value)
    }
}

/// The text of a storage's key.
fn key(arena: &[Value], id: Id) -> Option<&str> {
    match &arena[id] {
        Value::Str(key) => Some(key),
        _ => None,
    }
}
