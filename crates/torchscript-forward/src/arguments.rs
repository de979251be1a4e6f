//! The arguments of a call, by position or by name.

use super::values::Value;

/// The arguments of a call. Each getter takes an argument's position and its name.
pub(super) struct Arguments {
    pub positional: Vec<Value>,
    pub named: Vec<(String, Value)>,
}

impl Arguments {
    /// The first tensor among them, or in a list among them.
    pub fn first_tensor(&self) -> Option<usize> {
        fn tensor_in(value: &Value) -> Option<usize> {
            match value {
                Value::Tensor(tensor) => Some(*tensor),
                Value::List(items) | Value::Tuple(items) => items.iter().find_map(tensor_in),
                _ => None,
            }
        }
        let named = self.named.iter().map(|(_, value)| value);
        self.positional.iter().chain(named).find_map(tensor_in)
    }

    /// An argument; `None` if it is not given.
    pub fn get(&self, position: usize, name: &str) -> Option<&Value> {
        let named = || self.named.iter().find(|(given, _)| given == name).map(|(_, value)| value);
        self.positional.get(position).or_else(named)
    }

    /// The index of a tensor; `None` for anything else.
    pub fn tensor(&self, position: usize, name: &str) -> Option<usize> {
        match self.get(position, name)? {
            Value::Tensor(tensor) => Some(*tensor),
            _ => None,
        }
    }

    /// An int, or `default` if it is not given; `None` for anything else. So are the next two.
    pub fn int(&self, position: usize, name: &str, default: i64) -> Option<i64> {
        match self.get(position, name) {
            None => Some(default),
            Some(Value::Int(value)) => Some(*value),
            Some(_) => None,
        }
    }

    pub fn bool(&self, position: usize, name: &str, default: bool) -> Option<bool> {
        match self.get(position, name) {
            None => Some(default),
            Some(Value::Bool(value)) => Some(*value),
            Some(_) => None,
        }
    }

    pub fn float(&self, position: usize, name: &str, default: f64) -> Option<f64> {
        match self.get(position, name) {
            None => Some(default),
            Some(Value::Float(value)) => Some(*value),
            Some(Value::Int(value)) => Some(*value as f64),
            Some(_) => None,
        }
    }

    /// A pair (rows, columns): an int for both, or a list of one or two ints; `default` if it is empty or not given.
    pub fn pair(&self, position: usize, name: &str, default: [i64; 2]) -> Option<[i64; 2]> {
        match self.get(position, name) {
            None | Some(Value::None) => Some(default),
            Some(&Value::Int(value)) => Some([value, value]),
            Some(Value::List(items) | Value::Tuple(items)) => match items[..] {
                [] => Some(default),
                [Value::Int(value)] => Some([value, value]),
                [Value::Int(rows), Value::Int(columns)] => Some([rows, columns]),
                _ => None,
            },
            Some(_) => None,
        }
    }
}
