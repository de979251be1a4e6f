//! The state that a pickle's opcodes work on: the bytes, the stack, the memo, and a limit of memory.

use std::collections::HashMap;

use super::changed::Calls;
use super::{Id, PickleError, Value};

/// A stack machine that reads a pickle.
#[derive(Default)]
pub(super) struct Machine<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    pub arena: Vec<Value>,
    /// Whether the values of floats are kept.
    keeps_floats: bool,
    stack: Vec<Id>,
    /// Most values that were on the stack at once.
    deepest: usize,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Values that never change, each in the arena once: a list of a million floats takes little.
    constants: HashMap<&'static str, Id>,
    /// Calls of unknown functions.
    pub calls: Calls,
    /// Bytes of memory that the values may take.
    pub memory: usize,
    /// Upper bound of the bytes that they take: the capacity of a growing vector may be twice its length, and it exists
    /// twice while it is reallocated.
    pub taken: usize,
}

pub(super) type Step<T = ()> = Result<T, PickleError>;

impl<'a> Machine<'a> {
    /// A machine that reads `bytes`, whose values may take `memory` bytes.
    pub fn new(bytes: &'a [u8], memory: usize) -> Self {
        Self { bytes, memory, ..Self::default() }
    }

    /// Keeps the values of floats.
    pub fn with_floats(self) -> Self {
        Self { keeps_floats: true, ..self }
    }

    pub(super) fn damaged<T>(&self, what: &'static str) -> Step<T> {
        Err(PickleError::Damaged { what, at: self.at })
    }

    pub(super) fn take(&mut self, n: usize) -> Step<&'a [u8]> {
        let Some(end) = self.at.checked_add(n).filter(|&end| end <= self.bytes.len()) else {
            return self.damaged("it ends too early");
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Counts bytes of memory that are used.
    pub(super) fn account(&mut self, bytes: usize) -> Step {
        self.taken = self.taken.saturating_add(bytes);
        if self.taken > self.memory {
            return Err(PickleError::Memory { memory: self.memory });
        }
        Ok(())
    }

    /// Pushes a new value.
    pub(super) fn push(&mut self, value: Value) -> Step {
        self.account(3 * size_of::<Value>())?;
        self.arena.push(value);
        self.push_id(self.arena.len() - 1)
    }

    /// Pushes an existing value.
    pub(super) fn push_id(&mut self, id: Id) -> Step {
        self.stack.push(id);
        if self.stack.len() > self.deepest {
            self.deepest = self.stack.len();
            self.account(3 * size_of::<Id>())?;
        }
        Ok(())
    }

    /// Pushes a value that never changes.
    pub(super) fn constant(&mut self, name: &'static str, value: Value) -> Step {
        if let Some(&id) = self.constants.get(name) {
            return self.push_id(id);
        }
        self.push(value)?;
        self.constants.insert(name, self.arena.len() - 1);
        Ok(())
    }

    pub(super) fn bool(&mut self, value: bool) -> Step {
        self.constant(if value { "True" } else { "False" }, Value::Bool(value))
    }

    pub(super) fn float(&mut self, value: f64) -> Step {
        match self.keeps_floats {
            true => self.push(Value::Float(Some(value))),
            false => self.constant("float", Value::Float(None)),
        }
    }

    /// Pushes a value of a built-in type of Python whose content is not read.
    pub(super) fn opaque(&mut self, what: &'static str) -> Step {
        self.constant(what, Value::Opaque(what.into()))
    }

    pub(super) fn pop(&mut self) -> Step<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// The value on top of the stack.
    pub(super) fn top(&self) -> Step<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(&top) if self.stack.len() > floor => Ok(top),
            _ => self.damaged("an operation lacks its operand"),
        }
    }

    /// POP, which removes a mark if one is on top.
    pub(super) fn drop_top(&mut self) -> Step {
        match self.marks.last() == Some(&self.stack.len()) {
            true => self.pop_to_mark().map(drop),
            false => self.pop().map(drop),
        }
    }

    pub(super) fn mark(&mut self) -> Step {
        self.marks.push(self.stack.len());
        self.account(3 * size_of::<usize>())
    }

    pub(super) fn pop_to_mark(&mut self) -> Step<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) => {
                let items = self.stack.split_off(mark);
                self.account(3 * size_of_val(&items[..]))?;
                Ok(items)
            }
            None => self.damaged("a mark is missing"),
        }
    }

    /// MEMOIZE: in the next slot.
    pub(super) fn memoize_next(&mut self) -> Step {
        self.memoize(self.memo.len() as u32)
    }

    pub(super) fn memoize(&mut self, slot: u32) -> Step {
        let top = self.top()?;
        self.memo.insert(slot, top);
        self.account(4 * size_of::<(u32, Id)>())
    }

    pub(super) fn recall(&mut self, slot: u32) -> Step {
        match self.memo.get(&slot) {
            Some(&id) => self.push_id(id),
            None => self.damaged("it refers to a value that it has not made"),
        }
    }
}
