//! Derives the results of REDUCE, NEWOBJ and similar opcodes without calling anything.

use std::rc::Rc;

use super::globals::{Global, Rebuild, result_of};
use super::stack::{Machine, Step};
use super::{Id, Rebuilt, Stored, Value};
use crate::{DIMENSIONS, Dtype};

/// Most arguments of a function that makes a tensor. A pickle may use one long tuple many times.
const ARGUMENTS: usize = 8;

/// Most attributes of a tensor.
const ATTRIBUTES: usize = 64;
/// Setters of `torch.Tensor` that change its elements: no harmless attribute has these names.
const SETTERS: [&str; 3] = ["data", "real", "imag"];

/// Why a tensor cannot be read: its description with an article.
type Not = Rc<str>;

impl Machine<'_> {
    /// Pushes the result of a call. An unknown function may change its arguments.
    pub(super) fn call(&mut self, callable: Id, arguments: Id) -> Step {
        let name = match &self.arena[callable] {
            Value::Unknown(name) | Value::Opaque(name) | Value::Unreadable(name) => {
                Some(Rc::clone(name))
            }
            Value::Class(_) | Value::Global(_) => None,
            _ => return self.damaged("a call of something that is not a function or class"),
        };
        if let Some(name) = name {
            self.pass(callable, &name)?;
            self.pass(arguments, &name)?;
        }
        let result = match (&self.arena[callable], &self.arena[arguments]) {
            (Value::Unknown(name), arguments) => {
                let first = match arguments {
                    Value::Tuple(items) => items.first().map(|&first| &self.arena[first]),
                    _ => None,
                };
                let class = match first {
                    Some(Value::Unknown(class)) => Some(class),
                    _ => None,
                };
                let attribute = match arguments {
                    Value::Tuple(items) if items.len() == 2 => match &self.arena[items[1]] {
                        Value::Str(name) => Some(&**name),
                        _ => None,
                    },
                    _ => None,
                };
                Value::Opaque(result_of(name, class, attribute))
            }
            // The result of an unknown function is called.
            (Value::Opaque(name), _) => Value::Opaque(Rc::clone(name)),
            (Value::Unreadable(what), _) => Value::Unreadable(Rc::clone(what)),
            (&Value::Global(global), Value::Tuple(arguments)) => {
                let few = arguments.get(..ARGUMENTS).unwrap_or(arguments);
                let (few, count) = (few.to_vec(), arguments.len());
                return self.call_known(global, &few, count);
            }
            (Value::Class(_), Value::Tuple(_) | Value::Opaque(_)) => {
                Value::Opaque("a TorchScript class".into())
            }
            (Value::Global(global), Value::Opaque(_)) => Value::Opaque(global.describe().into()),
            _ => return self.damaged("a call with arguments that are not a tuple"),
        };
        self.push(result)?;
        self.top_holds(&[callable, arguments])
    }

    /// Pushes the result of a known function with `count` arguments, the first of which are `few`.
    fn call_known(&mut self, global: Global, few: &[Id], count: usize) -> Step {
        match (global, few) {
            (Global::OrderedDict, []) | (Global::DefaultDict, [] | [_]) => {
                self.push(Value::Dict(vec![]))
            }
            (Global::OrderedDict, &[pairs]) => match self.pairs(pairs)? {
                Some(items) => self.push(Value::Dict(items)),
                None => self.push(Value::Opaque(global.describe().into())),
            },
            (Global::First, &[value, ..]) => self.push_id(value),
            (Global::Rebuild(rebuild), _) if count <= ARGUMENTS => {
                match self.rebuild(rebuild, few) {
                    Ok(Made::New(tensor)) => {
                        let shape = size_of_val(&tensor.shape[..]);
                        self.account(size_of::<Rebuilt>() + 2 * shape)?;
                        self.push(Value::Tensor(Box::new(tensor)))
                    }
                    Ok(Made::Same(tensor)) => self.push_id(tensor),
                    Err(what) => {
                        // Attributes, a class or a function of the file may change the arguments.
                        if matches!(rebuild, Rebuild::ParameterWithState | Rebuild::FromType) {
                            let function: Rc<str> = match few.first().map(|&id| &self.arena[id]) {
                                Some(Value::Unknown(name)) => Rc::clone(name),
                                _ => global.describe().into(),
                            };
                            few.iter().try_for_each(|&argument| self.pass(argument, &function))?;
                        }
                        self.unreadable(&what)?;
                        self.top_holds(few)
                    }
                }
            }
            (Global::Rebuild(_), _) => self.unreadable("a tensor with too many arguments"),
            _ => {
                self.push(Value::Opaque(global.describe().into()))?;
                self.top_holds(few)
            }
        }
    }

    fn unreadable(&mut self, what: &str) -> Step {
        self.account(what.len())?;
        self.push(Value::Unreadable(what.into()))
    }

    /// NEWOBJ: `class.__new__(class, *arguments)`.
    pub(super) fn new_object(&mut self, class: Id, arguments: Id) -> Step {
        match (&self.arena[class], &self.arena[arguments]) {
            (Value::Class(_), Value::Tuple(items)) if items.is_empty() => {
                self.push(Value::Object { class, attributes: None })
            }
            // TorchScript classes have no arguments.
            (Value::Class(_), _) => self.damaged("a TorchScript object of something"),
            (Value::Global(_), Value::Tuple(items)) if !items.is_empty() => {
                self.push(Value::Opaque("an object of a subclass".into()))?;
                self.top_holds(&[arguments])
            }
            _ => self.call(class, arguments),
        }
    }

    /// `[[key, value], …]`, as Python 2 gave an OrderedDict its items.
    fn pairs(&mut self, id: Id) -> Step<Option<Vec<(Id, Id)>>> {
        let length = match &self.arena[id] {
            Value::List(items) => items.len(),
            _ => 0,
        };
        // Even if it has no pairs: one long list may be used many times.
        self.account(3 * length * size_of::<(Id, Id)>())?;
        let Value::List(items) = &self.arena[id] else { return Ok(None) };
        let pair = |&item: &Id| match &self.arena[item] {
            Value::List(pair) | Value::Tuple(pair) if pair.len() == 2 => Some((pair[0], pair[1])),
            _ => None,
        };
        Ok(items.iter().map(pair).collect())
    }

    fn rebuild(&self, rebuild: Rebuild, arguments: &[Id]) -> Result<Made, Not> {
        match (rebuild, arguments) {
            (Rebuild::V1, &[storage, offset, shape, stride]) => {
                self.tensor([storage, offset, shape, stride], None, None)
            }
            (Rebuild::V2, &[storage, offset, shape, stride, _, _, ref metadata @ ..])
                if metadata.len() <= 1 =>
            {
                self.tensor([storage, offset, shape, stride], None, metadata.first().copied())
            }
            (Rebuild::V3, &[storage, offset, shape, stride, _, _, dtype, ref metadata @ ..])
                if metadata.len() <= 1 =>
            {
                let dtype = self.dtype(dtype)?;
                let view = [storage, offset, shape, stride];
                self.tensor(view, Some(dtype), metadata.first().copied())
            }
            (Rebuild::Parameter, &[data, _, _]) => self.same(data),
            (Rebuild::ParameterWithState, &[data, _, _, state]) => {
                self.check_attributes(state)?;
                self.same(data)
            }
            (Rebuild::FromType, &[function, class, arguments, state]) => {
                self.with_type(function, class, arguments, state)
            }
            (Rebuild::Not(what), _) => Err(what.into()),
            _ => Err("a tensor with arguments that its function does not take".into()),
        }
    }

    /// `_rebuild_from_type_v2`: what `function` returns, with attributes. A subclass may make
    /// anything of its elements.
    fn with_type(&self, function: Id, class: Id, arguments: Id, state: Id) -> Result<Made, Not> {
        match &self.arena[class] {
            Value::Unknown(class)
                if matches!(
                    &**class,
                    "torch.Tensor" | "torch._tensor.Tensor" | "torch.nn.parameter.Parameter"
                ) => {}
            Value::Unknown(class) => return Err(format!("a tensor of the class {class}").into()),
            _ => return Err("a tensor of an unknown class".into()),
        }
        self.check_attributes(state)?;
        match (&self.arena[function], &self.arena[arguments]) {
            // One in the other could go on without end.
            (Value::Global(Global::Rebuild(Rebuild::FromType)), _) => {
                Err("a tensor of a class in a class".into())
            }
            (&Value::Global(Global::Rebuild(rebuild)), Value::Tuple(arguments))
                if arguments.len() <= ARGUMENTS =>
            {
                self.rebuild(rebuild, arguments)
            }
            _ => Err("a tensor made by an unknown function".into()),
        }
    }

    /// Attributes that Python code has set on a tensor: a dict, or a dict and the slots of a
    /// subclass.
    fn check_attributes(&self, state: Id) -> Result<(), Not> {
        let dict = match &self.arena[state] {
            Value::Tuple(parts) => match parts[..] {
                [dict, slots] if self.arena[slots] == Value::None => dict,
                _ => return Err("a tensor with a state of its own".into()),
            },
            _ => state,
        };
        let items = match &self.arena[dict] {
            Value::None => return Ok(()),
            Value::Dict(items) => items,
            _ => return Err("a tensor with a state of its own".into()),
        };
        let harmless = |&(key, _): &(Id, Id)| match &self.arena[key] {
            Value::Str(key) => !SETTERS.contains(&&**key),
            _ => false,
        };
        // One long dict may be given many times.
        match items.len() <= ATTRIBUTES && items.iter().all(harmless) {
            true => Ok(()),
            false => Err("a tensor with attributes that may change its elements".into()),
        }
    }

    /// A parameter has its data's elements.
    fn same(&self, data: Id) -> Result<Made, Not> {
        match &self.arena[data] {
            Value::Tensor(_) | Value::Unreadable(_) => Ok(Made::Same(data)),
            _ => Err("a parameter of something that is not a tensor".into()),
        }
    }

    /// `torch.uint16` and its like.
    fn dtype(&self, id: Id) -> Result<Dtype, Not> {
        let Value::Unknown(name) = &self.arena[id] else {
            return Err("a tensor of an unknown element type".into());
        };
        let dtype = name.strip_prefix("torch.").and_then(Dtype::from_name);
        dtype.ok_or_else(|| format!("a tensor of the element type {name}").into())
    }

    /// A view into a storage, with the storage's element type unless `dtype` is given.
    fn tensor(
        &self,
        [storage, offset, shape, stride]: [Id; 4],
        dtype: Option<Dtype>,
        metadata: Option<Id>,
    ) -> Result<Made, Not> {
        let storage = match &self.arena[storage] {
            Value::Storage(storage) => *storage,
            Value::Unreadable(what) => return Err(Rc::clone(what)),
            _ => return Err("a tensor without a storage".into()),
        };
        let (&Value::Int(offset), Some(shape), Some(stride)) =
            (&self.arena[offset], self.ints(shape)?, self.ints(stride)?)
        else {
            return Err("a tensor without offset, shape or stride".into());
        };
        let (negative, conjugate) = metadata.map_or(Ok((false, false)), |id| self.metadata(id))?;
        let dtype = dtype.unwrap_or(storage.dtype);
        Ok(Made::New(Rebuilt { storage, dtype, offset, shape, stride, negative, conjugate }))
    }

    /// The bits `neg` and `conj`. PyTorch sets them whatever their values are.
    fn metadata(&self, id: Id) -> Result<(bool, bool), Not> {
        let items = match &self.arena[id] {
            Value::None => return Ok((false, false)),
            Value::Dict(items) if items.len() <= 2 => items,
            _ => return Err("a tensor with unknown metadata".into()),
        };
        let (mut negative, mut conjugate) = (false, false);
        for &(key, value) in items {
            match (&self.arena[key], &self.arena[value]) {
                (Value::Str(key), Value::Bool(true)) if **key == *"neg" => negative = true,
                (Value::Str(key), Value::Bool(true)) if **key == *"conj" => conjugate = true,
                _ => return Err("a tensor with unknown metadata".into()),
            }
        }
        Ok((negative, conjugate))
    }

    /// A tuple of integers, as many as a tensor may have dimensions; `None` for another value.
    fn ints(&self, id: Id) -> Result<Option<Vec<i64>>, Not> {
        let Value::Tuple(items) = &self.arena[id] else { return Ok(None) };
        if items.len() > DIMENSIONS {
            let found = items.len();
            let error =
                format!("a tensor of {found} dimensions, more than the limit of {DIMENSIONS}");
            return Err(error.into());
        }
        let int = |&item: &Id| match self.arena[item] {
            Value::Int(x) => Some(x),
            _ => None,
        };
        Ok(items.iter().map(int).collect())
    }

    /// BINPERSID: `("storage", type, key, location, count)` names a record of the archive. The
    /// format before 1.6 has one more, which is None unless the storage is a view of another.
    pub(super) fn persistent_id(&mut self, id: Id) -> Step {
        let storage = match &self.arena[id] {
            Value::Tuple(items) => match items[..] {
                // The class of a model, with its source text.
                [tag, class, _, _] if matches!(&self.arena[tag], Value::Str(tag) if **tag == *"module") =>
                {
                    return self.push_id(class);
                }
                [tag, class, key, _, count] => self.storage(tag, class, key, count),
                [tag, class, key, _, count, view] if self.arena[view] == Value::None => {
                    self.storage(tag, class, key, count)
                }
                [_, _, _, _, _, _] => Err("a tensor whose storage is a view of another".into()),
                _ => Err("a persistent id that names no storage".into()),
            },
            _ => Err("a persistent id that names no storage".into()),
        };
        match storage {
            Ok(storage) => self.push(Value::Storage(storage)),
            Err(what) => self.unreadable(&what),
        }
    }

    fn storage(&self, tag: Id, class: Id, key: Id, count: Id) -> Result<Stored, Not> {
        match [tag, class, key, count].map(|item| &self.arena[item]) {
            [
                Value::Str(tag),
                &Value::Global(Global::Storage(dtype)),
                Value::Str(_),
                &Value::Int(count),
            ] if **tag == *"storage" => Ok(Stored { dtype, key, count }),
            [_, Value::Unknown(class), ..] => Err(format!("a tensor in a {class}").into()),
            _ => Err("a persistent id that names no storage".into()),
        }
    }
}

/// A tensor that a function makes.
enum Made {
    New(Rebuilt),
    /// One of its arguments.
    Same(Id),
}
