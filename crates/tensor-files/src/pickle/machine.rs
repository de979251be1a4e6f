//! The stack machine that reads a pickle.

use std::collections::HashMap;

use super::globals::global;
use super::{Id, Pickle, PickleError, Value};

/// The stack machine of pickle.
#[derive(Default)]
pub(super) struct Machine<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    pub arena: Vec<Value>,
    /// Whether floats have their values.
    keeps_floats: bool,
    stack: Vec<Id>,
    /// Most values that were on the stack at once.
    deepest: usize,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Values that never change, each in the arena once: a list of a million floats takes little.
    constants: HashMap<&'static str, Id>,
    /// What the values may take.
    memory: usize,
    /// What they take, at most: a vector that grows may be twice as long as what is in it, and is
    /// there a second time while it is moved.
    taken: usize,
}

pub(super) type Step<T = ()> = Result<T, PickleError>;

impl<'a> Machine<'a> {
    /// Ready to read `bytes`.
    pub fn new(bytes: &'a [u8], memory: usize) -> Self {
        Self { bytes, memory, ..Self::default() }
    }

    /// The same, but keeps the values of floats.
    pub fn with_floats(self) -> Self {
        Self { keeps_floats: true, ..self }
    }

    /// Reads up to STOP.
    pub fn run(mut self) -> Step<Pickle> {
        loop {
            let at = self.at;
            let [opcode] = self.array()?;
            if opcode == b'.' {
                let top = self.pop()?;
                let memory = self.memory - self.taken;
                return Ok(Pickle { arena: self.arena, top, memory, length: self.at });
            }
            self.execute(opcode, at)?;
        }
    }

    fn execute(&mut self, opcode: u8, at: usize) -> Step {
        match opcode {
            b'N' | 0x88..=0x8b | b'I'..=b'M' | b'F' | b'G' => self.scalar(opcode),
            b'S' | b'T' | b'U' | b'V' | b'X' | b'B' | b'C' | 0x8c..=0x8e | 0x96 => {
                self.text(opcode)
            }
            b'('
            | b'0'..=b'2'
            | b')'
            | b']'
            | b'}'
            | b'l'
            | b'd'
            | b't'
            | 0x85..=0x87
            | 0x8f
            | 0x91 => self.collection(opcode),
            b'a' | b'e' | b's' | b'u' | 0x90 => self.add(opcode),
            b'q' => self.array().and_then(|[slot]| self.memoize(slot.into())),
            b'r' => self.array().and_then(|slot| self.memoize(u32::from_le_bytes(slot))),
            b'p' => self.slot().and_then(|slot| self.memoize(slot)),
            0x94 => self.memoize(self.memo.len() as u32),
            b'h' => self.array().and_then(|[slot]| self.recall(slot.into())),
            b'j' => self.array().and_then(|slot| self.recall(u32::from_le_bytes(slot))),
            b'g' => self.slot().and_then(|slot| self.recall(slot)),
            0x80 => self.array().and_then(|[version]| match version {
                0..=5 => Ok(()),
                _ => self.damaged("a protocol above 5"),
            }),
            // FRAME: how much may be read at once.
            0x95 => self.array::<8>().map(drop),
            _ => self.object(opcode, at),
        }
    }

    /// Numbers and other values without parts.
    fn scalar(&mut self, opcode: u8) -> Step {
        match opcode {
            b'N' => self.constant("None", Value::None),
            0x88 => self.bool(true),
            0x89 => self.bool(false),
            b'K' => self.array().and_then(|[x]| self.push(Value::Int(x.into()))),
            b'M' => self.array().and_then(|x| self.push(Value::Int(u16::from_le_bytes(x).into()))),
            b'J' => self.array().and_then(|x| self.push(Value::Int(i32::from_le_bytes(x).into()))),
            b'G' => self.array().and_then(|x| self.float(f64::from_be_bytes(x))),
            b'I' => self.int_line(),
            b'L' => self.long_line(),
            b'F' => self.float_line(),
            0x8a => self.array().and_then(|[length]| self.long(length.into())),
            // LONG4; a negative length is beyond any pickle.
            _ => self.array().and_then(|length| self.long(u32::from_le_bytes(length) as usize)),
        }
    }

    /// Texts and bytes.
    fn text(&mut self, opcode: u8) -> Step {
        match opcode {
            b'S' => return self.quoted_line(),
            b'V' => return self.unicode_line(),
            _ => {}
        }
        let length = match opcode {
            0x8c | b'U' | b'C' => self.array().map(|[x]| usize::from(x))?,
            b'X' | b'T' | b'B' => self.array().map(|x| u32::from_le_bytes(x) as usize)?,
            _ => self
                .array()
                .map(|x| usize::try_from(u64::from_le_bytes(x)).unwrap_or(usize::MAX))?,
        };
        let bytes = self.take(length)?;
        match opcode {
            b'X' | 0x8c | 0x8d => match str::from_utf8(bytes) {
                Ok(text) => self.string(text),
                Err(_) => self.damaged("a string is not UTF-8"),
            },
            b'T' | b'U' => self.text_or_bytes(bytes),
            0x96 => self.opaque("bytearray"),
            _ => self.opaque("bytes"),
        }
    }

    /// Makes lists, tuples, dicts and sets, and takes values off the stack.
    fn collection(&mut self, opcode: u8) -> Step {
        match opcode {
            b'(' => {
                self.marks.push(self.stack.len());
                self.account(3 * size_of::<usize>())
            }
            // POP takes a mark where one is on top.
            b'0' if self.marks.last() == Some(&self.stack.len()) => self.pop_to_mark().map(drop),
            b'0' => self.pop().map(drop),
            b'1' => self.pop_to_mark().map(drop),
            b'2' => self.top().and_then(|top| self.push_id(top)),
            b')' => self.push(Value::Tuple(vec![])),
            b']' => self.push(Value::List(vec![])),
            b'}' => self.push(Value::Dict(vec![])),
            0x85..=0x87 => self.tuple(usize::from(opcode - 0x84)),
            b't' => self.pop_to_mark().and_then(|items| self.push(Value::Tuple(items))),
            b'l' => self.pop_to_mark().and_then(|items| self.push(Value::List(items))),
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Dict(vec![]))?;
                self.set_items(items)
            }
            0x8f => self.opaque("set"),
            _ => {
                self.pop_to_mark()?;
                self.opaque("frozenset")
            }
        }
    }

    /// Adds to a list, dict or set.
    fn add(&mut self, opcode: u8) -> Step {
        match opcode {
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            b'e' => self.pop_to_mark().and_then(|items| self.append(items)),
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(vec![key, value])
            }
            b'u' => self.pop_to_mark().and_then(|items| self.set_items(items)),
            _ => {
                self.pop_to_mark()?;
                let top = self.top()?;
                match self.arena[top] {
                    Value::Opaque(_) => Ok(()),
                    _ => self.damaged("ADDITEMS to something that is no set"),
                }
            }
        }
    }

    /// Classes, functions, calls and instances.
    fn object(&mut self, opcode: u8, at: usize) -> Step {
        match opcode {
            b'c' => self.global_from_lines(),
            0x93 => self.global_from_stack(),
            b'Q' => self.pop().and_then(|id| self.persistent_id(id)),
            // A persistent id of protocol 0 is a text: no storage.
            b'P' => self.line().and_then(|_| self.opaque("a persistent id")),
            b'R' => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.call(callable, arguments)
            }
            0x81 => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                self.new_object(class, arguments)
            }
            // NEWOBJ_EX has keyword arguments: nothing that is known has.
            0x92 => {
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                match self.arena[class] {
                    Value::Global(_) | Value::Class(_) => self.opaque("an object of a subclass"),
                    _ => self.call(class, arguments),
                }
            }
            b'i' => {
                let items = self.pop_to_mark()?;
                self.global_from_lines()?;
                let class = self.pop()?;
                self.push(Value::Tuple(items))?;
                let arguments = self.pop()?;
                self.call(class, arguments)
            }
            b'o' => {
                let mut items = self.pop_to_mark()?;
                if items.is_empty() {
                    return self.damaged("an object without a class");
                }
                let class = items.remove(0);
                self.push(Value::Tuple(items))?;
                let arguments = self.pop()?;
                self.call(class, arguments)
            }
            b'b' => self.build(),
            _ => Err(PickleError::Opcode { opcode, at }),
        }
    }

    pub(super) fn damaged<T>(&self, what: &'static str) -> Step<T> {
        Err(PickleError::Damaged { what, at: self.at })
    }

    fn take(&mut self, n: usize) -> Step<&'a [u8]> {
        let Some(end) = self.at.checked_add(n).filter(|&end| end <= self.bytes.len()) else {
            return self.damaged("it ends too early");
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Counts bytes of memory that were taken.
    pub(super) fn account(&mut self, bytes: usize) -> Step {
        self.taken = self.taken.saturating_add(bytes);
        if self.taken > self.memory {
            return Err(PickleError::Memory { memory: self.memory });
        }
        Ok(())
    }

    /// A new value.
    pub(super) fn push(&mut self, value: Value) -> Step {
        self.account(3 * size_of::<Value>())?;
        self.arena.push(value);
        self.push_id(self.arena.len() - 1)
    }

    /// A value that is there already.
    pub(super) fn push_id(&mut self, id: Id) -> Step {
        self.stack.push(id);
        if self.stack.len() > self.deepest {
            self.deepest = self.stack.len();
            self.account(3 * size_of::<Id>())?;
        }
        Ok(())
    }

    /// A value that never changes.
    fn constant(&mut self, name: &'static str, value: Value) -> Step {
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

    /// A value that is not looked into, of a type that Python has built in.
    pub(super) fn opaque(&mut self, what: &'static str) -> Step {
        self.constant(what, Value::Opaque(what.into()))
    }

    fn pop(&mut self) -> Step<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// The value on top, which stays there.
    fn top(&self) -> Step<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(&top) if self.stack.len() > floor => Ok(top),
            _ => self.damaged("an operation lacks its operand"),
        }
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) => {
                let items = self.stack.split_off(mark);
                self.account(3 * size_of_val(&items[..]))?;
                Ok(items)
            }
            None => self.damaged("a mark is missing"),
        }
    }

    fn string(&mut self, text: &str) -> Step {
        self.account(text.len())?;
        self.push(Value::Str(text.into()))
    }

    /// A string of Python 2: a text if it is UTF-8.
    pub(super) fn text_or_bytes(&mut self, bytes: &[u8]) -> Step {
        match str::from_utf8(bytes) {
            Ok(text) => self.string(text),
            Err(_) => self.opaque("bytes"),
        }
    }

    /// A little-endian integer; one of more than 8 bytes fits no tensor.
    fn long(&mut self, length: usize) -> Step {
        let bytes = self.take(length)?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut all = [if negative { 0xff } else { 0 }; 8];
        match all.get_mut(..length) {
            Some(all) => all.copy_from_slice(bytes),
            None => return self.opaque("int"),
        }
        self.push(Value::Int(i64::from_le_bytes(all)))
    }

    fn tuple(&mut self, length: usize) -> Step {
        let mut items = Vec::with_capacity(length);
        for _ in 0..length {
            items.push(self.pop()?);
        }
        items.reverse();
        self.account(size_of_val(&items[..]))?;
        self.push(Value::Tuple(items))
    }

    fn append(&mut self, new: Vec<Id>) -> Step {
        let top = self.top()?;
        self.account(3 * size_of_val(&new[..]))?;
        match &mut self.arena[top] {
            Value::List(items) => items.extend(new),
            Value::Opaque(_) => {}
            _ => return self.damaged("APPEND to something that is no list"),
        }
        Ok(())
    }

    fn set_items(&mut self, new: Vec<Id>) -> Step {
        if !new.len().is_multiple_of(2) {
            return self.damaged("a key without a value");
        }
        let top = self.top()?;
        self.account(3 * size_of_val(&new[..]))?;
        match &mut self.arena[top] {
            Value::Dict(items) => items.extend(new.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            Value::Opaque(_) => {}
            _ => return self.damaged("SETITEM on something that is no dict"),
        }
        Ok(())
    }

    fn memoize(&mut self, slot: u32) -> Step {
        let top = self.top()?;
        self.memo.insert(slot, top);
        self.account(4 * size_of::<(u32, Id)>())
    }

    fn recall(&mut self, slot: u32) -> Step {
        match self.memo.get(&slot) {
            Some(&id) => self.push_id(id),
            None => self.damaged("it refers to a value that it has not made"),
        }
    }

    fn global_from_lines(&mut self) -> Step {
        let (module, name) = (self.line()?, self.line()?);
        self.push_global(global(module, name))
    }

    fn global_from_stack(&mut self) -> Step {
        let (name, module) = (self.pop()?, self.pop()?);
        match (&self.arena[module], &self.arena[name]) {
            (Value::Str(module), Value::Str(name)) => {
                self.push_global(global(module.as_bytes(), name.as_bytes()))
            }
            _ => self.damaged("a global whose name is no string"),
        }
    }

    fn push_global(&mut self, value: Value) -> Step {
        if let Value::Unknown(name) | Value::Class(name) = &value {
            self.account(2 * name.len())?;
        }
        self.push(value)
    }

    /// BUILD: the attributes of an object. Those of a dict (a state_dict's `_metadata`) are not
    /// needed; those of a tensor may be its elements.
    fn build(&mut self) -> Step {
        let state = self.pop()?;
        let top = self.top()?;
        match &mut self.arena[top] {
            Value::Object { attributes, .. } => *attributes = Some(state),
            Value::Dict(_) | Value::Opaque(_) | Value::Unreadable(_) => {}
            value @ (Value::Tensor(_) | Value::Storage(_)) => {
                *value = Value::Unreadable("a tensor with a state of its own".into());
            }
            _ => return self.damaged("BUILD on something that has no attributes"),
        }
        Ok(())
    }
}
