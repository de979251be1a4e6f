//! Brings operations on tensors into a canonical form: different ways to write the same computation become the same
//! operation with the same operands and arguments. An unknown operation keeps its name and its arguments.

use tensor_files::Dtype;

use super::arguments::Arguments;
use super::error::{Refusal, refuse};
use super::interpreter::Interpreter;
use super::pooling;
use super::values::{Argument, Value, What};

/// Memory of the result of an operation.
pub(super) enum Memory {
    Own,
    /// Shared with this tensor.
    Of(usize),
}

/// The result of an operation in its canonical form.
pub(super) struct Known {
    /// The number of its value.
    pub value: usize,
    pub memory: Memory,
}

impl Interpreter<'_> {
    /// The result of a function of tensors.
    pub(super) fn tensor_function(
        &mut self,
        name: &str,
        first: usize,
        arguments: &Arguments,
    ) -> Result<Value, Refusal> {
        if let Some(value) = self.property(name, first, arguments) {
            return value;
        }
        let in_place = name.ends_with('_') && !name.ends_with("__");
        let base = if in_place { name.trim_end_matches('_') } else { name };
        let known = match self.known(base, arguments)? {
            Some(known) => known,
            None => self.unknown(base, arguments)?,
        };
        Ok(Value::Tensor(match (in_place, arguments.positional.first()) {
            (true, Some(&Value::Tensor(target))) => {
                if self.unknown_operation {
                    self.doubt.get_or_insert_with(|| format!("it computes {name} in place"));
                }
                self.assign(target, known.value)?;
                target
            }
            (true, _) => return refuse(format!("it computes {name}, which is not supported")),
            (false, _) => match known.memory {
                Memory::Own => self.new_tensor(known.value),
                Memory::Of(other) => self.view_of(other, known.value),
            },
        }))
    }

    /// A property of a tensor, such as its size; `None` if `name` is not one.
    fn property(
        &mut self,
        name: &str,
        tensor: usize,
        arguments: &Arguments,
    ) -> Option<Result<Value, Refusal>> {
        const NAMES: [&str; 7] =
            ["size", "dim", "len", "dtype", "device", "requires_grad", "is_contiguous"];
        if !NAMES.contains(&name) {
            return None;
        }
        if name == "device" {
            return Some(Ok(Value::Global("device".into())));
        }
        let size = |size: &i64| if *size == -1 { Value::Batch } else { Value::Int(*size) };
        let unknown = || format!("it asks for {name} of a tensor whose shape is not known");
        let value = self.value_of(tensor).and_then(|value| {
            let shape = self.values.shape(value).ok_or_else(unknown)?;
            Ok(match name {
                "size" => match arguments.get(1, "dim") {
                    None => Value::list(shape.iter().map(size).collect()),
                    Some(dim) => {
                        super::builtins::item(&Value::list(shape.iter().map(size).collect()), dim)?
                    }
                },
                "dim" => Value::Int(shape.len() as i64),
                "len" => size(shape.first().ok_or_else(unknown)?),
                "dtype" => {
                    Value::Int(self.dtype_code(value).ok_or("it asks for the dtype of a tensor")?)
                }
                "is_contiguous" => Value::Bool(true),
                _ => return refuse("it asks whether gradients are computed"),
            })
        });
        Some(value)
    }

    /// PyTorch's number of a value's element type, if it is known.
    fn dtype_code(&self, value: usize) -> Option<i64> {
        let is_known = !self.values.is_of_another_type(value);
        is_known.then(|| dtype_code(self.dtype)).flatten()
    }

    /// An operation without a canonical form: its name, and its arguments in order.
    fn unknown(&mut self, name: &str, arguments: &Arguments) -> Result<Known, Refusal> {
        const CHANGE_LISTS: [&str; 10] = [
            "append",
            "extend",
            "insert",
            "pop",
            "clear",
            "remove",
            "reverse",
            "sort",
            "_set_item",
            "Delete",
        ];
        if let Some(Value::List(_)) = arguments.positional.first()
            && CHANGE_LISTS.contains(&name)
        {
            return refuse(format!("it changes a list by torch.{name}"));
        }
        if arguments.named.iter().any(|(name, _)| name.starts_with("out")) {
            return refuse(format!("it writes the result of torch.{name} into another tensor"));
        }
        // Elementwise operations: the result has the same shape and memory of its own.
        let elementwise = matches!(
            name,
            "gelu" | "softplus" | "exp" | "abs" | "sqrt" | "log_softmax" | "softmax" | "selu"
        );
        let shape = match (elementwise, arguments.tensor(0, "self")) {
            (true, Some(input)) => self.values.shape(self.value_of(input)?).map(<[i64]>::to_vec),
            _ => None,
        };
        self.unknown_operation |= !elementwise;
        let mut list = Vec::new();
        for value in &arguments.positional {
            list.push((String::new(), self.argument(value)?));
        }
        let mut named = Vec::new();
        for (name, value) in &arguments.named {
            named.push((name.clone(), self.argument(value)?));
        }
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        list.extend(named);
        let value = self.values.number(What::Operation(name.into(), list), shape);
        self.values.set_unknown(value);
        Ok(Known { value, memory: Memory::Own })
    }

    fn argument(&mut self, value: &Value) -> Result<Argument, Refusal> {
        self.step()?;
        Ok(match value {
            Value::None => Argument::None,
            Value::Bool(value) => Argument::Bool(*value),
            Value::Int(value) => Argument::Int(*value),
            Value::Number(value) => Argument::Int(value.get()),
            Value::Batch => Argument::Batch,
            Value::Float(value) => Argument::float(*value),
            Value::Text(value) => Argument::Text(value.to_string()),
            Value::List(items) | Value::Tuple(items) => {
                let items = items.iter().map(|item| self.argument(item));
                Argument::List(items.collect::<Result<_, _>>()?)
            }
            &Value::Tensor(tensor) => Argument::Value(self.value_of(tensor)?),
            Value::Global(name) => Argument::Global(name.to_string()),
            other => return refuse(format!("it computes with {}", other.kind())),
        })
    }

    /// The operation in its canonical form, if there is one for these arguments.
    fn known(&mut self, name: &str, arguments: &Arguments) -> Result<Option<Known>, Refusal> {
        // Other arguments are given by position.
        let is_known = |(name, _): &(String, Value)| {
            matches!(name.as_str(), "alpha" | "beta" | "memory_format")
        };
        if !arguments.named.iter().all(is_known) {
            return Ok(None);
        }
        match name {
            "flatten" | "view" | "reshape" | "_unsafe_view" | "unsqueeze" | "squeeze" => {
                self.reshape(name, arguments)
            }
            "contiguous"
            | "clone"
            | "detach"
            | "alias"
            | "dropout"
            | "feature_dropout"
            | "alpha_dropout"
            | "feature_alpha_dropout"
            | "to" => self.identity(name, arguments),
            "t" | "numpy_T" | "transpose" | "permute" => match self.transposed(name, arguments)? {
                None => self.permuted(name, arguments),
                matrix => Ok(matrix),
            },
            "relu" | "relu6" | "clamp_min" | "clamp" | "threshold" => self.relu(name, arguments),
            "linear" | "addmm" | "matmul" | "mm" | "add" => self.linear(name, arguments),
            "conv2d" | "_convolution" | "convolution" | "_convolution_mode" => {
                self.conv2d(name, arguments)
            }
            "avg_pool2d" | "adaptive_avg_pool2d" => self.avg_pool2d(name, arguments),
            "max_pool2d" => self.max_pool2d(arguments),
            "pad" | "constant_pad_nd" => self.pad(name, arguments),
            "batch_norm" => self.batch_norm(arguments),
            "layer_norm" | "group_norm" => self.norm(name, arguments),
            "sub" | "mul" | "div" => self.arithmetic(name, arguments),
            "softmax" | "log_softmax" => self.softmax(name, arguments),
            "mean" => self.mean(arguments),
            "cat" => self.cat(arguments),
            _ => self.elementwise(name, arguments),
        }
    }

    /// An operation with these operands and other arguments; its result has memory of its own.
    pub(super) fn operation(
        &mut self,
        name: &str,
        operands: &[(&str, Option<usize>)],
        others: Vec<(&str, Argument)>,
        shape: Option<Vec<i64>>,
    ) -> Known {
        let operands = operands.iter().map(|&(name, operand)| {
            (name.to_string(), operand.map_or(Argument::None, Argument::Value))
        });
        let others = others.into_iter().map(|(name, argument)| (name.to_string(), argument));
        let what = What::Operation(name.into(), operands.chain(others).collect());
        Known { value: self.values.number(what, shape), memory: Memory::Own }
    }

    /// The value of a tensor among the arguments.
    pub(super) fn operand(
        &self,
        arguments: &Arguments,
        position: usize,
        name: &str,
    ) -> Result<Option<usize>, Refusal> {
        arguments.tensor(position, name).map(|tensor| self.value_of(tensor)).transpose()
    }

    /// The value of a tensor that may be None; `None` for anything else.
    pub(super) fn optional_operand(
        &self,
        arguments: &Arguments,
        position: usize,
        name: &str,
    ) -> Result<Option<Option<usize>>, Refusal> {
        match arguments.get(position, name) {
            None | Some(Value::None) => Ok(Some(None)),
            _ => Ok(self.operand(arguments, position, name)?.map(Some)),
        }
    }

    /// The input of a value that is an operation of this name in its canonical form.
    pub(super) fn first_operand(&self, value: usize, operation: &str) -> Option<usize> {
        match self.values.what(value) {
            What::Operation(name, arguments) if name == operation => match arguments.first()? {
                (name, Argument::Value(operand)) if name == "input" => Some(*operand),
                _ => None,
            },
            _ => None,
        }
    }

    /// The shape of a value, if it is known; -1 stands for the batch size.
    pub(super) fn shape(&self, value: usize) -> Option<Vec<i64>> {
        self.values.shape(value).map(<[i64]>::to_vec)
    }

    /// Each row is still one image with its elements in the same order, so only the last shape matters.
    fn reshape(&mut self, name: &str, arguments: &Arguments) -> Result<Option<Known>, Refusal> {
        let Some(input) = arguments.tensor(0, "self") else { return Ok(None) };
        let mut source = self.value_of(input)?;
        let Some(from) = self.shape(source) else { return Ok(None) };
        let Some(to) = pooling::reshaped(name, &from, arguments)? else { return Ok(None) };
        if let Some(before) = self.first_operand(source, "reshape") {
            source = before;
        }
        let memory = Memory::Of(input);
        if self.values.shape(source) == Some(&to[..]) {
            return Ok(Some(Known { value: source, memory }));
        }
        let list = vec![
            ("input".to_string(), Argument::Value(source)),
            ("shape".to_string(), Argument::ints(&to)),
        ];
        let value = self.values.number(What::Operation("reshape".into(), list), Some(to));
        Ok(Some(Known { value, memory }))
    }

    /// Operations that change no value in evaluation mode.
    fn identity(&mut self, name: &str, arguments: &Arguments) -> Result<Option<Known>, Refusal> {
        let Some(input) = arguments.tensor(0, "self").or_else(|| arguments.tensor(0, "input"))
        else {
            return Ok(None);
        };
        let value = self.value_of(input)?;
        let is_identity = match name {
            "contiguous" | "detach" | "alias" | "clone" => true,
            "to" => {
                let code = self.dtype_code(value);
                matches!(arguments.get(1, "dtype"), Some(&Value::Int(to)) if Some(to) == code)
            }
            // In training mode dropouts draw random numbers.
            _ => arguments.bool(2, "train", true) == Some(false),
        };
        let memory = if name == "clone" { Memory::Own } else { Memory::Of(input) };
        Ok(is_identity.then_some(Known { value, memory }))
    }

    /// The transpose of a matrix.
    fn transposed(&mut self, name: &str, arguments: &Arguments) -> Result<Option<Known>, Refusal> {
        let Some(input) = arguments.tensor(0, "self") else { return Ok(None) };
        let dimensions = [1, 2].map(|position| arguments.int(position, "", 0));
        let of_rows_and_columns =
            matches!(dimensions, [Some(0 | -2), Some(1 | -1)] | [Some(1 | -1), Some(0 | -2)]);
        if name == "permute" || name == "transpose" && !of_rows_and_columns {
            return Ok(None);
        }
        let value = self.value_of(input)?;
        let Some(&[rows, columns]) = self.values.shape(value) else { return Ok(None) };
        let shape = Some(vec![columns, rows]);
        let known = self.operation("transpose", &[("input", Some(value))], Vec::new(), shape);
        Ok(Some(Known { memory: Memory::Of(input), ..known }))
    }

    /// `relu`; also a lower bound of 0. With an upper bound it is `hardtanh`.
    fn relu(&mut self, name: &str, arguments: &Arguments) -> Result<Option<Known>, Refusal> {
        let Some(input) = self.operand(arguments, 0, "self")? else { return Ok(None) };
        let is_zero = |position, name| arguments.float(position, name, f64::NAN) == Some(0.0);
        let no_maximum = arguments.get(2, "max").is_none_or(Value::is_none);
        let bounds = match name {
            "relu6" => Some((0.0, 6.0)),
            "clamp" => {
                let bound = |position, name| arguments.float(position, name, f64::NAN);
                bound(1, "min").zip(bound(2, "max")).filter(|(min, max)| min <= max)
            }
            _ => None,
        };
        if let Some((min, max)) = bounds {
            return Ok(self.bounded(input, min, max));
        }
        let is_relu = match name {
            "clamp_min" => is_zero(1, "min"),
            "clamp" => is_zero(1, "min") && no_maximum,
            "threshold" => is_zero(1, "threshold") && is_zero(2, "value"),
            _ => true,
        };
        let shape = self.shape(input);
        let relu =
            |this: &mut Self| this.operation("relu", &[("input", Some(input))], Vec::new(), shape);
        Ok(is_relu.then(|| relu(self)))
    }
}

/// PyTorch's number of an element type that networks compute with.
fn dtype_code(dtype: Dtype) -> Option<i64> {
    match dtype {
        Dtype::F16 => Some(5),
        Dtype::F32 => Some(6),
        Dtype::F64 => Some(7),
        Dtype::BF16 => Some(15),
        _ => None,
    }
}
