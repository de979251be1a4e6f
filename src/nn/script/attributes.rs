//! The attributes of a module in a TorchScript archive: the objects of its pickle, read as data.
//!
//! The pickle's tensors are read elsewhere (`formats`), which has also checked it: here they only have
//! names, and what is not known is an error.

use std::collections::HashMap;
use std::rc::Rc;

/// Position of a value in [`Attributes`].
pub(super) type Id = usize;

/// A value of the pickle.
#[derive(Debug, Clone)]
pub(super) enum Item {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// The instance of a class, and its attributes.
    Object {
        class: Rc<str>,
        state: Option<Id>,
    },
    Tensor,
    /// A tensor of no dimensions and of the type int64, in the storage of this key.
    Number(Rc<str>),
    Global(Rc<str>),
    /// A storage of int64, by its key.
    Integers(Rc<str>),
    /// What a forward pass has no use for, such as a storage.
    Other,
}

/// The values of a pickle.
#[derive(Debug)]
pub(super) struct Attributes {
    items: Vec<Item>,
    root: Id,
}

impl Attributes {
    /// The module itself.
    pub fn root(&self) -> Id {
        self.root
    }

    /// A value.
    pub fn get(&self, id: Id) -> &Item {
        &self.items[id]
    }

    /// The class of an object.
    pub fn class(&self, id: Id) -> Option<&Rc<str>> {
        match &self.items[id] {
            Item::Object { class, .. } => Some(class),
            _ => None,
        }
    }

    /// An attribute of an object.
    pub fn attribute(&self, object: Id, name: &str) -> Option<Id> {
        let Item::Object { state: Some(state), .. } = &self.items[object] else { return None };
        let Item::Dict(entries) = &self.items[*state] else { return None };
        let is = |id: Id| matches!(&self.items[id], Item::Text(text) if **text == *name);
        entries.iter().rev().find(|&&(key, _)| is(key)).map(|&(_, value)| value)
    }

    /// Reads a pickle.
    ///
    /// # Errors
    /// What is not known in it.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut machine = Machine { bytes, ..Machine::default() };
        let root = machine.run()?;
        Ok(Self { items: machine.items, root })
    }
}

/// The stack machine of pickle.
#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    items: Vec<Item>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Id, String> {
        loop {
            let [opcode] = self.take()?;
            if opcode == b'.' {
                return self.pop();
            }
            self.execute(opcode)?;
        }
    }

    fn execute(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            0x80 => drop(self.take::<1>()?),
            0x95 => drop(self.take::<8>()?),
            b'N' => self.push(Item::None),
            0x88 => self.push(Item::Bool(true)),
            0x89 => self.push(Item::Bool(false)),
            b'K' => self.integer::<1>()?,
            b'M' => self.integer::<2>()?,
            b'J' => {
                let number = i32::from_le_bytes(self.take()?);
                self.push(Item::Int(number.into()));
            }
            0x8a => self.long()?,
            b'G' => {
                let number = f64::from_be_bytes(self.take()?);
                self.push(Item::Float(number));
            }
            b'X' => {
                let length = u32::from_le_bytes(self.take()?) as usize;
                self.text(length)?;
            }
            0x8c => {
                let [length] = self.take()?;
                self.text(length.into())?;
            }
            b')' => self.push(Item::Tuple(Vec::new())),
            b']' => self.push(Item::List(Vec::new())),
            b'}' => self.push(Item::Dict(Vec::new())),
            b'(' => self.marks.push(self.stack.len()),
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let from = self.stack.len().checked_sub(count).ok_or("an operand is missing")?;
                let items = self.stack.split_off(from);
                self.push(Item::Tuple(items));
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Item::Tuple(items));
            }
            b'a' | b'e' => {
                let added = if opcode == b'a' { vec![self.pop()?] } else { self.pop_to_mark()? };
                let list = self.top()?;
                let Item::List(items) = &mut self.items[list] else { return Err("no list".into()) };
                items.extend(added);
            }
            b's' | b'u' => {
                let added = match opcode {
                    b's' => self.stack.split_off(self.stack.len().saturating_sub(2)),
                    _ => self.pop_to_mark()?,
                };
                let dict = self.top()?;
                let Item::Dict(items) = &mut self.items[dict] else { return Err("no dict".into()) };
                items.extend(added.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            b'q' => {
                let [slot] = self.take()?;
                self.memoize(slot.into())?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.take()?);
                self.memoize(slot)?;
            }
            0x94 => self.memoize(self.memo.len() as u32)?,
            b'h' => {
                let [slot] = self.take()?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.take()?);
                self.recall(slot)?;
            }
            b'c' => {
                let [module, name] = [self.line()?, self.line()?];
                self.push(Item::Global(format!("{module}.{name}").into()));
            }
            0x93 => self.global_from_stack()?,
            b'Q' => {
                let storage = self.pop()?;
                let item = self.integers(storage).map_or(Item::Other, Item::Integers);
                self.push(item);
            }
            b'R' => self.reduce()?,
            0x81 => {
                self.pop()?;
                let class = self.pop()?;
                let Item::Global(class) = &self.items[class] else { return Err("no class".into()) };
                let class = class.clone();
                self.push(Item::Object { class, state: None });
            }
            b'b' => {
                let value = self.pop()?;
                let object = self.top()?;
                if let Item::Object { state, .. } = &mut self.items[object] {
                    *state = Some(value);
                }
            }
            _ => return Err(format!("the opcode 0x{opcode:02x}")),
        }
        Ok(())
    }

    /// A call: what it makes of its arguments.
    fn reduce(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Item::Global(function) = &self.items[function] else {
            return Err("no function".into());
        };
        let first = match &self.items[arguments] {
            Item::Tuple(items) => items.first().copied(),
            _ => None,
        };
        match (&**function, first) {
            ("torch._utils._rebuild_tensor_v2", _) => {
                let item = self.number(arguments).map_or(Item::Tensor, Item::Number);
                self.push(item);
            }
            ("torch._utils._rebuild_parameter", _) => self.push(Item::Tensor),
            ("collections.OrderedDict", _) => self.push(Item::Dict(Vec::new())),
            // `build_intlist` and its like, `restore_type_tag`: their first argument.
            (name, Some(first)) if name.starts_with("torch.jit._pickle.") => self.stack.push(first),
            _ => self.push(Item::Other),
        }
        Ok(())
    }

    /// The key of a storage of int64: `("storage", torch.LongStorage, key, device, elements)`.
    fn integers(&self, storage: Id) -> Option<Rc<str>> {
        let Item::Tuple(parts) = &self.items[storage] else { return None };
        let [_, class, key, ..] = parts[..] else { return None };
        match (&self.items[class], &self.items[key]) {
            (Item::Global(class), Item::Text(key)) if **class == *"torch.LongStorage" => {
                Some(key.clone())
            }
            _ => None,
        }
    }

    /// The storage of a tensor that is one number: `(storage, 0, (), …)`.
    fn number(&self, arguments: Id) -> Option<Rc<str>> {
        let Item::Tuple(parts) = &self.items[arguments] else { return None };
        let [storage, offset, size, ..] = parts[..] else { return None };
        match [storage, offset, size].map(|part| &self.items[part]) {
            [Item::Integers(key), Item::Int(0), Item::Tuple(size)] if size.is_empty() => {
                Some(key.clone())
            }
            _ => None,
        }
    }

    fn global_from_stack(&mut self) -> Result<(), String> {
        let (name, module) = (self.pop()?, self.pop()?);
        let (Item::Text(module), Item::Text(name)) = (&self.items[module], &self.items[name])
        else {
            return Err("a global's name is no string".into());
        };
        let global = format!("{module}.{name}").into();
        self.push(Item::Global(global));
        Ok(())
    }

    fn bytes(&mut self, length: usize) -> Result<&[u8], String> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or("it ends too early")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    /// An unsigned integer of `N` bytes.
    fn integer<const N: usize>(&mut self) -> Result<(), String> {
        let number =
            self.take::<N>()?.iter().rev().fold(0, |number, &byte| number << 8 | i64::from(byte));
        self.push(Item::Int(number));
        Ok(())
    }

    /// A signed integer of up to eight bytes; a longer one is no number that a forward pass takes.
    fn long(&mut self) -> Result<(), String> {
        let [length] = self.take()?;
        let bytes = self.bytes(length.into())?;
        let fill = if bytes.last().is_some_and(|&last| last >= 128) { 0xff } else { 0 };
        let item = match bytes.len() {
            0..=8 => {
                let mut whole = [fill; 8];
                whole[..bytes.len()].copy_from_slice(bytes);
                Item::Int(i64::from_le_bytes(whole))
            }
            _ => Item::Other,
        };
        self.push(item);
        Ok(())
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = String::from_utf8_lossy(self.bytes(length)?).into();
        self.push(Item::Text(text));
        Ok(())
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.bytes.iter().position(|&byte| byte == b'\n').ok_or("it ends too early")?;
        let line = String::from_utf8_lossy(self.bytes(end)?).into_owned();
        self.take::<1>()?;
        Ok(line)
    }

    fn push(&mut self, item: Item) {
        self.items.push(item);
        self.stack.push(self.items.len() - 1);
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| "an operand is missing".into())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| "an operand is missing".into())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or("a mark is missing")?))
    }

    fn memoize(&mut self, slot: u32) -> Result<(), String> {
        self.memo.insert(slot, self.top()?);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), String> {
        let id = self.memo.get(&slot).copied().ok_or("an unknown memo")?;
        self.stack.push(id);
        Ok(())
    }
}
