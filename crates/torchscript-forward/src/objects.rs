//! Attributes of `self`: submodules, parameters, buffers and others, of the file or of the model.

use std::rc::Rc;

use tensor_files::TensorSpec;
use tensor_files::torchscript::{Id, Value as Item};

use super::error::{Refusal, refuse};
use super::interpreter::{Interpreter, LONGEST_LIST, Variables};
use super::values::{Object, Source, Value, What};

/// Prefixes that torch.compile and DataParallel add to every name.
const WRAPPERS: [&str; 2] = ["_orig_mod.", "module."];

impl Interpreter<'_> {
    /// An attribute of an object.
    pub(super) fn attribute(&mut self, object: &Rc<Object>, name: &str) -> Result<Value, Refusal> {
        // As after model.eval().
        if name == "training" {
            return Ok(Value::Bool(false));
        }
        let path = joined(&object.path, name)?;
        let id = match (object.source, self.module) {
            (Source::File(id), Some(module)) => {
                let (class_name, class) = module.class_of(id)?;
                match module.archive().object(id).and_then(|object| object.attribute(name)) {
                    Some(attribute) => attribute,
                    // A constant of the class, such as a list of sizes.
                    None => {
                        let value = class.constant(name);
                        let value = value.ok_or_else(|| {
                            format!("it reads {name}, which {class_name} does not have")
                        })?;
                        return self.evaluate(value, &Variables::new());
                    }
                }
            }
            _ if self.specs.contains_key(&*path) => return Ok(self.state_tensor(path)),
            _ => return Ok(Value::Object(Rc::new(Object { path, source: Source::Model }))),
        };
        self.item(id, path, 0)
    }

    /// A tensor constant of the code, such as `CONSTANTS.c0`.
    pub(super) fn code_constant(&self, name: &str) -> Value {
        let index = name.strip_prefix('c').and_then(|index| index.parse::<usize>().ok());
        match index.and_then(|index| self.constants.get(index)) {
            Some(Some(number)) => Value::Number(number.clone()),
            _ => Value::Global(format!("CONSTANTS.{name}").into()),
        }
    }

    /// A value of the file's pickle.
    fn item(&mut self, id: Id, path: String, depth: usize) -> Result<Value, Refusal> {
        let module = self.module.ok_or("it has no attributes")?;
        self.step()?;
        Ok(match module.archive().value(id) {
            Item::None => Value::None,
            Item::Bool(value) => Value::Bool(value),
            Item::Int(value) => Value::Int(value),
            Item::Float(value) => Value::Float(value),
            Item::Str(value) => Value::Text(value.into()),
            Item::List(items) | Item::Tuple(items) if depth < 8 && items.len() <= LONGEST_LIST => {
                let values = items.iter().enumerate();
                let values =
                    values.map(|(i, &item)| self.item(item, format!("{path}.{i}"), depth + 1));
                Value::List(values.collect::<Result<Vec<_>, _>>()?.into())
            }
            Item::Object => Value::Object(Rc::new(Object { path, source: Source::File(id) })),
            Item::Tensor => self.state_tensor(path),
            _ => {
                return refuse(format!(
                    "it reads the attribute {path}, whose type is not supported"
                ));
            }
        })
    }

    /// The tensor of a parameter or buffer.
    fn state_tensor(&mut self, path: String) -> Value {
        // The name in the state_dict: tch's VarStore writes `fc1|weight`.
        let mut name = path.replace('|', ".");
        while !self.specs.contains_key(&*name)
            && let Some(rest) = WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper))
        {
            name = rest.to_string();
        }
        if let Some(&tensor) = self.state.get(&name) {
            return Value::Tensor(tensor);
        }
        let sizes = |spec: &&TensorSpec| spec.shape.iter().map(|&size| size as i64).collect();
        let spec = self.specs.get(&*name);
        let is_of_another_type = spec.is_none_or(|spec| spec.dtype != self.dtype);
        let shape = spec.map(sizes);
        let value = self.values.number(What::State(name.clone()), shape);
        if is_of_another_type {
            self.values.set_another_type(value);
        }
        let tensor = self.new_tensor(value);
        let storage = self.cells[tensor].storage;
        self.storages[storage].state = Some(name.clone());
        self.state.insert(name, tensor);
        Value::Tensor(tensor)
    }
}

/// Longest qualified name of an attribute or function.
const LONGEST_NAME: usize = 1024;

/// The qualified name of an attribute.
pub(super) fn joined(object: &str, name: &str) -> Result<String, Refusal> {
    match object.len() + name.len() {
        0..LONGEST_NAME if object.is_empty() => Ok(name.into()),
        0..LONGEST_NAME => Ok(format!("{object}.{name}")),
        _ => refuse("a name of it is too long"),
    }
}
