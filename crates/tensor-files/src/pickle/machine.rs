//! The stack machine that reads a pickle.

use std::collections::HashMap;

use super::{Global, Id, PickleError, Rebuilt, Value, storage_dtype};
use crate::DIMENSIONS;

/// The stack machine of pickle.
#[derive(Default)]
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    arena: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// What the values may take.
    memory: usize,
    /// What they take, at most: a vector that grows may be twice as long as what is in it, and is
    /// there a second time while it is moved.
    taken: usize,
}

type Step<T = ()> = Result<T, PickleError>;

impl<'a> Machine<'a> {
    /// Ready to read `bytes`.
    pub fn new(bytes: &'a [u8], memory: usize) -> Self {
        Self { bytes, memory, ..Self::default() }
    }

    /// The arena, the top value, and what is left of the memory.
    pub fn run(mut self) -> Step<(Vec<Value>, Id, usize)> {
        loop {
            let at = self.at;
            let [opcode] = self.array()?;
            if opcode == b'.' {
                let top = self.pop()?;
                return Ok((self.arena, top, self.memory - self.taken));
            }
            self.execute(opcode, at)?;
        }
    }

    fn execute(&mut self, opcode: u8, at: usize) -> Step {
        match opcode {
            // PROTO, FRAME: nothing to do but pass over the argument.
            0x80 => self.array::<1>().map(drop),
            0x95 => self.array::<8>().map(drop),
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => self.array().and_then(|[x]| self.push(Value::Int(x.into()))),
            b'M' => self.array().and_then(|x| self.push(Value::Int(u16::from_le_bytes(x).into()))),
            b'J' => self.array().and_then(|x| self.push(Value::Int(i32::from_le_bytes(x).into()))),
            b'G' => self.array().and_then(|x| self.push(Value::Float(f64::from_be_bytes(x)))),
            0x8a => self.long(),
            b'X' => self.array().and_then(|x| self.string(u32::from_le_bytes(x) as usize)),
            0x8c => self.array().and_then(|[x]| self.string(x.into())),
            b')' => self.push(Value::Tuple(vec![])),
            b']' => self.push(Value::List(vec![])),
            b'}' => self.push(Value::Dict(vec![])),
            b'(' => {
                self.marks.push(self.stack.len());
                self.account(3 * size_of::<usize>())
            }
            0x85..=0x87 => self.tuple(usize::from(opcode - 0x84)),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items))
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(vec![key, value])
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(items)
            }
            b'q' => self.array().and_then(|[slot]| self.memoize(slot.into())),
            b'r' => self.array().and_then(|slot| self.memoize(u32::from_le_bytes(slot))),
            0x94 => self.memoize(self.memo.len() as u32),
            b'h' => self.array().and_then(|[slot]| self.recall(slot.into())),
            b'j' => self.array().and_then(|slot| self.recall(u32::from_le_bytes(slot))),
            b'c' => self.global_from_lines(),
            0x93 => self.global_from_stack(),
            b'Q' => self.persistent_id(),
            b'R' => self.reduce(),
            0x81 => self.new_object(),
            b'b' => self.build(),
            _ => Err(PickleError::Opcode { opcode, at }),
        }
    }

    fn damaged<T>(&self, what: &'static str) -> Step<T> {
        Err(PickleError::Damaged { what, at: self.at })
    }

    fn take(&mut self, n: usize) -> Step<&[u8]> {
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
    fn account(&mut self, bytes: usize) -> Step {
        self.taken = self.taken.saturating_add(bytes);
        if self.taken > self.memory {
            return Err(PickleError::Memory { memory: self.memory });
        }
        Ok(())
    }

    /// A new value.
    fn push(&mut self, value: Value) -> Step {
        self.account(3 * size_of::<Value>())?;
        self.arena.push(value);
        self.push_id(self.arena.len() - 1)
    }

    /// A value that is there already.
    fn push_id(&mut self, id: Id) -> Step {
        self.stack.push(id);
        self.account(3 * size_of::<Id>())
    }

    fn pop(&mut self) -> Step<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return self.damaged("an operation lacks its operand");
        }
        self.stack.pop().map_or_else(|| self.damaged("the stack is empty"), Ok)
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

    fn top(&mut self) -> Step<&mut Value> {
        let top = self.pop()?;
        self.stack.push(top);
        Ok(&mut self.arena[top])
    }

    fn string(&mut self, length: usize) -> Step {
        match std::str::from_utf8(self.take(length)?).map(Box::from) {
            Ok(text) => {
                self.account(length)?;
                self.push(Value::Str(text))
            }
            Err(_) => self.damaged("a string is not UTF-8"),
        }
    }

    /// LONG1: a little-endian integer of up to 8 bytes; a longer one fits no tensor.
    fn long(&mut self) -> Step {
        let [length] = self.array()?;
        if length > 8 {
            return self.damaged("an integer of more than 64 bits");
        }
        let bytes = self.take(length.into())?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut all = [if negative { 0xff } else { 0 }; 8];
        all[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(all)))
    }

    fn tuple(&mut self, length: usize) -> Step {
        let mut items = Vec::with_capacity(length);
        for _ in 0..length {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Value::Tuple(items))
    }

    fn append(&mut self, new: Vec<Id>) -> Step {
        match self.top()? {
            Value::List(items) => {
                items.extend(new);
                Ok(())
            }
            _ => self.damaged("APPEND to something that is no list"),
        }
    }

    fn set_items(&mut self, new: Vec<Id>) -> Step {
        if !new.len().is_multiple_of(2) {
            return self.damaged("a key without a value");
        }
        match self.top()? {
            Value::Dict(items) => {
                items.extend(new.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            _ => self.damaged("SETITEM on something that is no dict"),
        }
    }

    fn memoize(&mut self, slot: u32) -> Step {
        let top = self.pop()?;
        self.stack.push(top);
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
        self.push(Value::Global(global(module, name)?))
    }

    fn global_from_stack(&mut self) -> Step {
        let (name, module) = (self.pop()?, self.pop()?);
        match (&self.arena[module], &self.arena[name]) {
            (Value::Str(module), Value::Str(name)) => {
                let global = global(module.as_bytes(), name.as_bytes())?;
                self.push(Value::Global(global))
            }
            _ => self.damaged("a global whose name is no string"),
        }
    }

    /// The bytes up to the next line end.
    fn line(&mut self) -> Step<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            return self.damaged("a name without an end");
        };
        self.at += length + 1;
        Ok(&rest[..length])
    }

    /// BINPERSID: `("storage", type, key, location, numel)` names a record of the archive.
    fn persistent_id(&mut self) -> Step {
        let id = self.pop()?;
        let Value::Tuple(items) = &self.arena[id] else {
            return self.damaged("a persistent id that is no tuple");
        };
        // Not more of them: a pickle may name one long tuple many times over.
        let &[tag, class, key, location, count] = &items[..] else {
            return self.damaged("a persistent id that names no storage");
        };
        match [tag, class, key, location, count].map(|item| &self.arena[item]) {
            [
                Value::Str(tag),
                &Value::Global(Global::Storage(dtype)),
                Value::Str(_),
                Value::Str(_),
                Value::Int(_),
            ] if **tag == *"storage" => self.push(Value::Storage { dtype, key }),
            _ => self.damaged("a persistent id that names no storage"),
        }
    }

    fn reduce(&mut self) -> Step {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let (Value::Global(global), Value::Tuple(arguments)) =
            (&self.arena[callable], &self.arena[arguments])
        else {
            return self.damaged("a call of something that is no known global");
        };
        match (global, &arguments[..]) {
            (Global::OrderedDict, []) => self.push(Value::Dict(vec![])),
            (Global::RebuildParameter, &[value, ..]) | (Global::BuildList, &[value]) => {
                self.push_id(value)
            }
            (Global::RebuildTensor, &[storage, offset, shape, stride, ..]) => {
                self.tensor(storage, offset, shape, stride)
            }
            _ => self.damaged("a call with arguments that do not fit"),
        }
    }

    /// NEWOBJ: an instance of a TorchScript class, without arguments.
    fn new_object(&mut self) -> Step {
        let (arguments, class) = (self.pop()?, self.pop()?);
        match (&self.arena[class], &self.arena[arguments]) {
            (Value::Global(Global::Class), Value::Tuple(items)) if items.is_empty() => {
                self.push(Value::Object(None))
            }
            _ => self.damaged("a new object of something that is no TorchScript class"),
        }
    }

    /// BUILD: the attributes of an object. Those of a dict (a state_dict's `_metadata`) are not
    /// needed.
    fn build(&mut self) -> Step {
        let state = self.pop()?;
        if let Value::Object(attributes) = self.top()? {
            *attributes = Some(state);
        }
        Ok(())
    }

    fn tensor(&mut self, storage: Id, offset: Id, shape: Id, stride: Id) -> Step {
        let (Value::Storage { .. }, &Value::Int(offset), Some(shape), Some(stride)) =
            (&self.arena[storage], &self.arena[offset], self.ints(shape), self.ints(stride))
        else {
            return self.damaged("a tensor without storage, offset, shape or stride");
        };
        self.account(size_of::<Rebuilt>() + size_of_val(&shape[..]) + size_of_val(&stride[..]))?;
        self.push(Value::Tensor(Box::new(Rebuilt { storage, offset, shape, stride })))
    }

    /// A tuple of integers, as many as a tensor may have dimensions.
    fn ints(&self, id: Id) -> Option<Vec<i64>> {
        let Value::Tuple(items) = &self.arena[id] else { return None };
        if items.len() > DIMENSIONS {
            return None;
        }
        let int = |&item: &Id| match self.arena[item] {
            Value::Int(x) => Some(x),
            _ => None,
        };
        items.iter().map(int).collect()
    }
}

/// What a module's name stands for.
fn global(module: &[u8], name: &[u8]) -> Step<Global> {
    let storage = || str::from_utf8(name).ok().and_then(storage_dtype).map(Global::Storage);
    let known = match (module, name) {
        (b"collections", b"OrderedDict") => Some(Global::OrderedDict),
        (b"torch._utils", b"_rebuild_tensor_v2") => Some(Global::RebuildTensor),
        (b"torch._utils", b"_rebuild_parameter") => Some(Global::RebuildParameter),
        (
            b"torch.jit._pickle",
            b"build_intlist" | b"build_doublelist" | b"build_boollist" | b"build_tensorlist",
        ) => Some(Global::BuildList),
        (b"torch", _) => storage(),
        _ if module == b"__torch__" || module.starts_with(b"__torch__.") => Some(Global::Class),
        _ => None,
    };
    known.ok_or_else(|| PickleError::Global { module: shown(module), name: shown(name) })
}

/// A name for an error, cut where nobody would read on.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(100)]).into_owned()
}
