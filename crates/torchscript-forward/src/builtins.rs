//! Functions of numbers and lists, such as those that compute a size for `view`.

use super::error::{Refusal, refuse};
use super::values::Value;

/// The result of a function without tensor arguments; `None` if the function or its result is not known.
pub(super) fn call(name: &str, arguments: &[Value]) -> Option<Value> {
    match (name, arguments) {
        ("NumToTensor", [Value::Int(value)]) => Some(Value::number(*value)),
        ("int" | "Int" | "ScalarImplicit" | "IntImplicit", [Value::Number(value)]) => {
            Some(Value::Int(value.get()))
        }
        _ if arguments.iter().any(|it| matches!(it, Value::Number(_))) => {
            call_on_numbers(name, arguments)
        }
        _ => call_on_values(name, arguments),
    }
}

/// A function of tensors that are single integers; if its name ends with `_`, it changes the first one in place.
fn call_on_numbers(name: &str, arguments: &[Value]) -> Option<Value> {
    let values: Vec<Value> = arguments
        .iter()
        .map(|value| match value {
            Value::Number(value) => Value::Int(value.get()),
            other => other.clone(),
        })
        .collect();
    let changed = name.strip_suffix('_').filter(|name| !name.ends_with('_'));
    match (call_on_values(changed.unwrap_or(name), &values)?, changed, arguments.first()) {
        (Value::Int(value), Some(_), Some(Value::Number(first))) => {
            first.set(value);
            Some(Value::Number(first.clone()))
        }
        (Value::Int(value), None, _) => Some(Value::number(value)),
        _ => None,
    }
}

fn call_on_values(name: &str, arguments: &[Value]) -> Option<Value> {
    use Value::{Batch, Batches, Bool, Float, Int, List, Text, Tuple};
    Some(match (name, arguments) {
        // A trace converts sizes to tensors and back.
        (
            "int" | "Int" | "NumToTensor" | "ScalarImplicit" | "IntImplicit",
            [value @ (Int(_) | Batch)],
        ) => value.clone(),
        ("int" | "Int", [Bool(value)]) => Int(i64::from(*value)),
        ("float" | "Float", [Int(value)]) => Float(*value as f64),
        ("float" | "Float", [value @ Float(_)]) => value.clone(),
        ("float", [Text(text)]) => Float(text.parse().ok()?),
        ("bool" | "Bool", [value @ Bool(_)]) => value.clone(),
        ("__not__", [Bool(value)]) => Bool(!value),
        ("__and__" | "__or__", [Bool(a), Bool(b)]) => {
            Bool(if name == "__and__" { *a && *b } else { *a || *b })
        }
        ("len", [List(items) | Tuple(items)]) => Int(items.len() as i64),
        ("neg", [Int(value)]) => Int(value.checked_neg()?),
        ("__contains__", [List(items), value]) => {
            let found = items.iter().map(|item| equal(item, value));
            Bool(found.collect::<Option<Vec<_>>>()?.contains(&true))
        }
        ("__getitem__", [of, index]) => item(of, index).ok()?,
        ("slice", [List(items), rest @ ..]) => slice(items, rest)?,
        ("list", [value @ List(_)]) => value.clone(),
        ("prod", [List(items)]) => product(items)?,
        ("add", [List(a), List(b)]) if a.len() + b.len() <= 1 << 12 => {
            Value::list([&a[..], &b[..]].concat())
        }
        ("eq", [a, b]) => Bool(equal(a, b)?),
        ("ne", [a, b]) => Bool(!equal(a, b)?),
        ("mul", [Batch, Int(factor)] | [Int(factor), Batch]) => batches(1, *factor)?,
        ("floordiv", [Batches(number), Int(divisor @ 1..)]) if number % divisor == 0 => {
            batches(number / divisor, 1)?
        }
        ("mul", [Batches(number), Int(factor)] | [Int(factor), Batches(number)]) => {
            batches(*number, *factor)?
        }
        (_, [a, b]) => arithmetic(name, a, b)?,
        _ => return None,
    })
}

/// `a is b`, where one of them is None.
pub(super) fn is(arguments: &[Value]) -> Result<bool, Refusal> {
    match arguments {
        [a, b] if a.is_none() || b.is_none() => Ok(a.is_none() && b.is_none()),
        _ => refuse("it compares the identity of objects"),
    }
}

/// `of[index]`.
pub(super) fn item(of: &Value, index: &Value) -> Result<Value, Refusal> {
    let found = match (of, index) {
        (Value::List(items) | Value::Tuple(items), &Value::Int(index)) => {
            position(items.len(), index).and_then(|index| items.get(index)).cloned()
        }
        // A type, such as List[int].
        (Value::Global(name), _) => Some(Value::Global(name.clone())),
        _ => None,
    };
    found.ok_or_else(|| format!("it takes an item of {}", of.kind()).into())
}

fn position(length: usize, index: i64) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    usize::try_from(if index < 0 { index + length } else { index }).ok()
}

/// `items[start:end]`, of step 1.
fn slice(items: &[Value], bounds: &[Value]) -> Option<Value> {
    let bound = |at: usize, default: usize| match bounds.get(at) {
        None | Some(Value::None) => Some(default),
        Some(&Value::Int(index)) => {
            let length = items.len() as i64;
            Some(if index < 0 { index + length } else { index }.clamp(0, length) as usize)
        }
        _ => None,
    };
    let (start, end) = (bound(0, 0)?, bound(1, items.len())?);
    match bounds.get(2) {
        None | Some(Value::None | Value::Int(1)) => {
            Some(Value::list(items.get(start..end.max(start))?.to_vec()))
        }
        _ => None,
    }
}

fn product(items: &[Value]) -> Option<Value> {
    let mut product = 1i64;
    for item in items {
        let Value::Int(item) = item else { return None };
        product = product.checked_mul(*item)?;
    }
    Some(Value::Int(product))
}

/// A multiple of the batch size.
fn batches(number: i64, factor: i64) -> Option<Value> {
    match number.checked_mul(factor)? {
        1 => Some(Value::Batch),
        number if number > 1 => Some(Value::Batches(number)),
        _ => None,
    }
}

/// `a == b`, if it is the same for any batch size.
fn equal(a: &Value, b: &Value) -> Option<bool> {
    Some(match (a, b) {
        (Value::Batch, Value::Batch) => true,
        (Value::Int(a), Value::Int(b)) => a == b,
        // A batch has at least one image.
        (Value::Batches(number), Value::Int(b)) if b < number => false,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            let equal = a.iter().zip(b.iter()).map(|(a, b)| equal(a, b));
            a.len() == b.len() && equal.collect::<Option<Vec<_>>>()?.iter().all(|&equal| equal)
        }
        (Value::Float(_) | Value::Int(_), Value::Float(_) | Value::Int(_)) => {
            float(a)? == float(b)?
        }
        _ => return None,
    })
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        _ => None,
    }
}

/// An arithmetic operation or comparison of two numbers.
fn arithmetic(name: &str, a: &Value, b: &Value) -> Option<Value> {
    if let (&Value::Int(a), &Value::Int(b)) = (a, b) {
        return Some(match name {
            "add" => Value::Int(a.checked_add(b)?),
            "sub" => Value::Int(a.checked_sub(b)?),
            "mul" => Value::Int(a.checked_mul(b)?),
            // Python rounds down, as Euclid's division does for a divisor above 0.
            "floordiv" | "floor_divide" if b > 0 => Value::Int(a.div_euclid(b)),
            "remainder" if b > 0 => Value::Int(a.rem_euclid(b)),
            "lt" => Value::Bool(a < b),
            "le" => Value::Bool(a <= b),
            "gt" => Value::Bool(a > b),
            "ge" => Value::Bool(a >= b),
            "min" => Value::Int(a.min(b)),
            "max" => Value::Int(a.max(b)),
            _ => return None,
        });
    }
    let (a, b) = (float(a)?, float(b)?);
    Some(match name {
        "add" => Value::Float(a + b),
        "sub" => Value::Float(a - b),
        "mul" => Value::Float(a * b),
        "lt" => Value::Bool(a < b),
        "le" => Value::Bool(a <= b),
        "gt" => Value::Bool(a > b),
        "ge" => Value::Bool(a >= b),
        _ => return None,
    })
}
