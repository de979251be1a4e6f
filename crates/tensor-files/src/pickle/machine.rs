//! Executes the opcodes of a pickle.

use std::rc::Rc;

use super::globals::global;
use super::stack::{Machine, Step};
use super::{Id, Pickle, PickleError, Value, changed};

impl Machine<'_> {
    /// Reads up to STOP.
    pub fn run(mut self) -> Step<Pickle> {
        loop {
            let at = self.at;
            let [opcode] = self.array()?;
            if opcode == b'.' {
                let top = self.pop()?;
                let memory = self.memory - self.taken;
                changed::mark(&mut self.arena, self.calls);
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
            0x94 => self.memoize_next(),
            b'h' => self.array().and_then(|[slot]| self.recall(slot.into())),
            b'j' => self.array().and_then(|slot| self.recall(u32::from_le_bytes(slot))),
            b'g' => self.slot().and_then(|slot| self.recall(slot)),
            0x80 => self.array().and_then(|[version]| match version {
                0..=5 => Ok(()),
                _ => self.damaged("a protocol above 5"),
            }),
            // FRAME: the number of bytes that may be read at once.
            0x95 => self.array::<8>().map(drop),
            _ => self.object(opcode, at),
        }
    }

    /// Pushes a number, a bool or None.
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

    /// Pushes a string or bytes.
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

    /// Pushes lists, tuples, dicts and sets, and pops values.
    fn collection(&mut self, opcode: u8) -> Step {
        match opcode {
            b'(' => self.mark(),
            b'0' => self.drop_top(),
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
                let items = self.pop_to_mark()?;
                self.opaque("frozenset")?;
                self.top_holds(&items)
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
                let items = self.pop_to_mark()?;
                let top = self.top()?;
                match self.arena[top] {
                    Value::Opaque(_) => self.top_holds(&items),
                    _ => self.damaged("ADDITEMS to something that is not a set"),
                }
            }
        }
    }

    /// Pushes classes and functions, and the results of calls.
    fn object(&mut self, opcode: u8, at: usize) -> Step {
        match opcode {
            b'c' => self.global_from_lines(),
            0x93 => self.global_from_stack(),
            b'Q' => self.pop().and_then(|id| self.persistent_id(id)),
            // A persistent id of protocol 0 is text, not a storage.
            b'P' => self.line().and_then(|_| self.opaque("a persistent id")),
            b'R' => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.call(callable, arguments)
            }
            0x81 => {
                let (arguments, class) = (self.pop()?, self.pop()?);
                self.new_object(class, arguments)
            }
            // NEWOBJ_EX has keyword arguments, which no known class takes.
            0x92 => {
                let (named, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                match &self.arena[class] {
                    Value::Global(_) | Value::Class(_) => self.opaque("an object of a subclass")?,
                    Value::Unknown(name) | Value::Opaque(name) => {
                        let name = Rc::clone(name);
                        self.pass(named, &name)?;
                        self.call(class, arguments)?;
                    }
                    _ => self.call(class, arguments)?,
                }
                self.top_holds(&[arguments, named])
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
            Value::Opaque(_) => self.top_holds(&new)?,
            _ => return self.damaged("APPEND to something that is not a list"),
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
            Value::Opaque(_) => self.top_holds(&new)?,
            _ => return self.damaged("SETITEM on something that is not a dict"),
        }
        Ok(())
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
            _ => self.damaged("a global whose name is not a string"),
        }
    }

    fn push_global(&mut self, value: Value) -> Step {
        if let Value::Unknown(name) | Value::Class(name) = &value {
            self.account(2 * name.len())?;
        }
        self.push(value)
    }

    /// BUILD: sets the attributes of an object. Those of a dict (the `_metadata` of a state_dict) are ignored; those of a
    /// tensor may replace its elements.
    fn build(&mut self) -> Step {
        let state = self.pop()?;
        let top = self.top()?;
        match &mut self.arena[top] {
            // libtorch would make a second object.
            Value::Object { attributes: Some(_), .. } => {
                return self.damaged("an object whose attributes are set twice");
            }
            Value::Object { attributes, .. } => *attributes = Some(state),
            Value::Dict(_) => {}
            Value::Opaque(_) | Value::Unreadable(_) => self.hold(top, state)?,
            value @ (Value::Tensor(_) | Value::Storage(_)) => {
                let unreadable = Value::Unreadable("a tensor with a state of its own".into());
                let before = std::mem::replace(value, unreadable);
                self.push(before)?;
                let before = self.pop()?;
                self.hold(top, before)?;
                self.hold(top, state)?;
            }
            _ => return self.damaged("BUILD on something that has no attributes"),
        }
        Ok(())
    }
}
