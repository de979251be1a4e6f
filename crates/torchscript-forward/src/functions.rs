//! Canonical forms of functions of elements and of whole dimensions: activations, arithmetic, `softmax`, `mean`, `cat`,
//! `layer_norm`, `group_norm`, `permute`.

use super::arguments::Arguments;
use super::error::Refusal;
use super::interpreter::Interpreter;
use super::operators::{Known, Memory};
use super::shapes;
use super::values::{Argument, Value};

type Form = Result<Option<Known>, Refusal>;

/// Functions of each element: names and defaults of the arguments after the input, which are floats.
const ELEMENTWISE: [(&str, &[(&str, f64)]); 10] = [
    ("tanh", &[]),
    ("sigmoid", &[]),
    ("silu", &[]),
    ("gelu", &[]),
    ("hardswish", &[]),
    ("hardsigmoid", &[]),
    ("neg", &[]),
    ("leaky_relu", &[("negative_slope", 0.01)]),
    ("hardtanh", &[("min_val", -1.0), ("max_val", 1.0)]),
    ("elu", &[("alpha", 1.0), ("scale", 1.0), ("input_scale", 1.0)]),
];

impl Interpreter<'_> {
    /// A function of each element; `None` if `name` is not one with a canonical form.
    pub(super) fn elementwise(&mut self, name: &str, arguments: &Arguments) -> Form {
        let form = ELEMENTWISE.iter().find(|(known, _)| *known == name);
        let (Some((_, others)), Some(input)) = (form, self.operand(arguments, 0, "self")?) else {
            return Ok(None);
        };
        let values = others.iter().enumerate().map(|(index, &(name, default))| {
            Some((name, Argument::float(arguments.float(index + 1, name, default)?)))
        });
        let values: Option<Vec<_>> = values.collect();
        let has_others = arguments.positional.len() + arguments.named.len() > 1 + others.len();
        let Some(values) = values.filter(|_| !has_others) else { return Ok(None) };
        Ok(Some(self.on_elements(name, input, values)))
    }

    /// `hardtanh` with these bounds.
    pub(super) fn bounded(&mut self, input: usize, min: f64, max: f64) -> Option<Known> {
        let bounds = vec![("min_val", Argument::float(min)), ("max_val", Argument::float(max))];
        (min <= max).then(|| self.on_elements("hardtanh", input, bounds))
    }

    fn on_elements(&mut self, name: &str, input: usize, others: Vec<(&str, Argument)>) -> Known {
        let shape = self.shape(input);
        self.operation(name, &[("input", Some(input))], others, shape)
    }

    /// `add`, `sub`, `mul` and `div` of a tensor and a tensor or a number.
    pub(super) fn arithmetic(&mut self, name: &str, arguments: &Arguments) -> Form {
        let scaled = matches!(name, "add" | "sub");
        let (count, alpha) =
            if scaled { (3, arguments.float(2, "alpha", 1.0)) } else { (2, Some(1.0)) };
        let given = arguments.positional.len() + arguments.named.len();
        let Some(a) = self.operand(arguments, 0, "self")? else { return Ok(None) };
        if alpha != Some(1.0) || given > count {
            return Ok(None);
        }
        if let Some(b) = self.operand(arguments, 1, "other")? {
            let shape = match [a, b].map(|value| self.values.shape(value)) {
                [Some(a), Some(b)] => shapes::broadcast(a, b).ok(),
                _ => None,
            };
            // The order of the operands of a sum or a product does not matter.
            let commutes = matches!(name, "add" | "mul");
            let operands = if commutes { [a.min(b), a.max(b)] } else { [a, b] };
            let operands = [("input", Some(operands[0])), ("other", Some(operands[1]))];
            return Ok(Some(self.operation(name, &operands, Vec::new(), shape)));
        }
        let Some(number) = arguments.float(1, "other", f64::NAN) else { return Ok(None) };
        Ok(Some(self.on_elements(name, a, vec![("other", Argument::float(number))])))
    }

    /// `softmax` and `log_softmax`, not over the batch.
    pub(super) fn softmax(&mut self, name: &str, arguments: &Arguments) -> Form {
        let Some(input) = self.operand(arguments, 0, "self")? else { return Ok(None) };
        let has_type = !arguments.get(2, "dtype").is_none_or(Value::is_none);
        match self.dimensions(input, arguments.get(1, "dim"))[..] {
            [dim] if !has_type => {
                Ok(Some(self.on_elements(name, input, vec![("dim", Argument::Int(dim))])))
            }
            _ => Ok(None),
        }
    }

    /// `mean` over dimensions other than the batch.
    pub(super) fn mean(&mut self, arguments: &Arguments) -> Form {
        let Some(input) = self.operand(arguments, 0, "self")? else { return Ok(None) };
        let dims = self.dimensions(input, arguments.get(1, "dim"));
        let (Some(shape), Some(keepdim)) = (self.shape(input), arguments.bool(2, "keepdim", false))
        else {
            return Ok(None);
        };
        if dims.is_empty() {
            return Ok(None);
        }
        let others = vec![("dim", Argument::ints(&dims)), ("keepdim", Argument::Bool(keepdim))];
        let shape = shapes::reduced(&shape, &dims, keepdim);
        Ok(Some(self.operation("mean", &[("input", Some(input))], others, Some(shape))))
    }

    /// Tensors joined along a dimension other than the batch.
    pub(super) fn cat(&mut self, arguments: &Arguments) -> Form {
        let Some(Value::List(items)) = arguments.get(0, "tensors") else { return Ok(None) };
        let mut tensors = Vec::new();
        for item in items.iter() {
            let &Value::Tensor(tensor) = item else { return Ok(None) };
            tensors.push(self.value_of(tensor)?);
        }
        let Some(&first) = tensors.first() else { return Ok(None) };
        let [dim] = self.dimensions(first, arguments.get(1, "dim"))[..] else { return Ok(None) };
        let shapes: Option<Vec<&[i64]>> = tensors.iter().map(|&it| self.values.shape(it)).collect();
        let shape = shapes.and_then(|shapes| shapes::joined(&shapes, dim as usize).ok());
        let list = Argument::List(tensors.into_iter().map(Argument::Value).collect());
        let others = vec![("tensors", list), ("dim", Argument::Int(dim))];
        Ok(Some(self.operation("cat", &[], others, shape)))
    }

    /// `layer_norm` and `group_norm`.
    pub(super) fn norm(&mut self, name: &str, arguments: &Arguments) -> Form {
        let of = if name == "layer_norm" { "normalized_shape" } else { "num_groups" };
        let of = match (of, arguments.get(1, of)) {
            ("num_groups", Some(&Value::Int(groups))) => (of, Argument::Int(groups)),
            ("normalized_shape", Some(Value::List(sizes))) => {
                let sizes: Option<Vec<_>> = sizes.iter().map(int).collect();
                let Some(sizes) = sizes else { return Ok(None) };
                (of, Argument::ints(&sizes))
            }
            _ => return Ok(None),
        };
        let weight = self.optional_operand(arguments, 2, "weight")?;
        let bias = self.optional_operand(arguments, 3, "bias")?;
        let (Some(input), Some(weight), Some(bias), Some(eps)) =
            (self.operand(arguments, 0, "input")?, weight, bias, arguments.float(4, "eps", 1e-5))
        else {
            return Ok(None);
        };
        let tensors = [("input", Some(input)), ("weight", weight), ("bias", bias)];
        let shape = self.shape(input);
        Ok(Some(self.operation(name, &tensors, vec![of, ("eps", Argument::float(eps))], shape)))
    }

    /// Images with their dimensions in another order, which `dims` has: a view.
    pub(super) fn permuted(&mut self, name: &str, arguments: &Arguments) -> Form {
        let Some(input) = arguments.tensor(0, "self") else { return Ok(None) };
        let value = self.value_of(input)?;
        let shape = self.shape(value).unwrap_or_default();
        let dims = match (name, arguments.get(1, "dims")) {
            ("permute", Some(Value::List(items))) => items.iter().map(int).collect(),
            ("transpose", Some(Value::Int(a))) => arguments.int(2, "dim1", 0).map(|b| vec![*a, b]),
            _ => None,
        };
        let rank = shape.len() as i64;
        let counted = |dim: i64| if dim < 0 { dim + rank } else { dim };
        let mut dims: Vec<i64> = dims.unwrap_or_default().into_iter().map(counted).collect();
        if name == "transpose"
            && let [a, b] = dims[..]
        {
            let swapped = |dim| {
                if dim == a {
                    b
                } else if dim == b {
                    a
                } else {
                    dim
                }
            };
            dims = (0..rank).map(swapped).collect();
        }
        // The batch stays first.
        let mut sorted = dims.clone();
        sorted.sort_unstable();
        if dims.first() != Some(&0) || !sorted.into_iter().eq(0..rank) || shape[0] != -1 {
            return Ok(None);
        }
        let shape = dims.iter().map(|&dim| shape[dim as usize]).collect();
        let others = vec![("dims", Argument::ints(&dims))];
        let known = self.operation("permute", &[("input", Some(value))], others, Some(shape));
        Ok(Some(Known { memory: Memory::Of(input), ..known }))
    }

    /// Dimensions of a value, given as an int or a list, counted from 0 and ascending; empty if they are not known or
    /// include the batch.
    fn dimensions(&self, value: usize, given: Option<&Value>) -> Vec<i64> {
        let given = match given {
            Some(Value::List(items) | Value::Tuple(items)) => &items[..],
            Some(item @ Value::Int(_)) => std::slice::from_ref(item),
            _ => &[],
        };
        let rank = self.values.shape(value).map_or(0, <[i64]>::len) as i64;
        let dims = given.iter().map(|item| match *item {
            Value::Int(dim) if dim > 0 && dim < rank => Some(dim),
            Value::Int(dim) if dim < 0 && dim > -rank => Some(dim + rank),
            _ => None,
        });
        let mut dims = dims.collect::<Option<Vec<_>>>().unwrap_or_default();
        dims.sort_unstable();
        dims
    }
}

fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        _ => None,
    }
}
