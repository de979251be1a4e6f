//! Canonical forms of layers: `linear`, `conv2d`, `batch_norm`, `add`.

use super::arguments::Arguments;
use super::error::Refusal;
use super::interpreter::Interpreter;
use super::operators::Known;
use super::pooling::PAD;
use super::shapes::{self, Window};
use super::values::{Argument, Value, What};

type Form = Result<Option<Known>, Refusal>;

impl Interpreter<'_> {
    /// `linear(x, w, b)`; also `addmm(b, x, w.t())` and `matmul(x, w.t()) + b`.
    pub(super) fn linear(&mut self, name: &str, arguments: &Arguments) -> Form {
        let operand = |position, name| self.operand(arguments, position, name);
        match name {
            "linear" => {
                let bias = self.optional_operand(arguments, 2, "bias")?;
                let (Some(input), Some(weight), Some(bias)) =
                    (operand(0, "input")?, operand(1, "weight")?, bias)
                else {
                    return Ok(None);
                };
                Ok(Some(self.linear_of(input, weight, bias)))
            }
            "addmm" => {
                let are_one = arguments.float(3, "beta", 1.0) == Some(1.0)
                    && arguments.float(4, "alpha", 1.0) == Some(1.0);
                let weight = operand(2, "mat2")?.and_then(|matrix| self.untransposed(matrix));
                match (operand(0, "self")?, operand(1, "mat1")?, weight) {
                    (Some(bias), Some(input), Some(weight)) if are_one => {
                        Ok(Some(self.linear_of(input, weight, Some(bias))))
                    }
                    _ => Ok(None),
                }
            }
            "matmul" | "mm" => {
                let matrix = operand(1, if name == "mm" { "mat2" } else { "other" })?;
                let weight = matrix.and_then(|matrix| self.untransposed(matrix));
                match (operand(0, "self")?, weight) {
                    (Some(input), Some(weight)) => Ok(Some(self.linear_of(input, weight, None))),
                    _ => Ok(None),
                }
            }
            _ => self.add(arguments),
        }
    }

    fn add(&mut self, arguments: &Arguments) -> Form {
        let operand = |position, name| self.operand(arguments, position, name);
        let is_scaled = arguments.float(2, "alpha", 1.0) != Some(1.0);
        let (Some(a), Some(b), false) = (operand(0, "self")?, operand(1, "other")?, is_scaled)
        else {
            return self.arithmetic("add", arguments);
        };
        for (product, bias) in [(a, b), (b, a)] {
            if let Some([input, weight]) = self.without_bias(product)
                && matches!(self.values.what(bias), What::State(_))
                && self.values.shape(bias).map(<[i64]>::len) == Some(1)
            {
                return Ok(Some(self.linear_of(input, weight, Some(bias))));
            }
        }
        self.arithmetic("add", arguments)
    }

    fn linear_of(&mut self, input: usize, weight: usize, bias: Option<usize>) -> Known {
        let shape = match [input, weight].map(|value| self.values.shape(value)) {
            [Some(input), Some(weight)] => shapes::linear(input, weight).ok(),
            _ => None,
        };
        let operands = [("input", Some(input)), ("weight", Some(weight)), ("bias", bias)];
        self.operation("linear", &operands, Vec::new(), shape)
    }

    /// The matrix whose transpose a value is.
    fn untransposed(&self, value: usize) -> Option<usize> {
        self.first_operand(value, "transpose")
    }

    /// The source of a padded input, and the sum of both paddings; otherwise the input and the padding as they are.
    fn with_padding(&self, input: usize, [rows, columns]: [i64; 2]) -> (usize, [i64; 2]) {
        let (Some(source), What::Operation(_, arguments)) =
            (self.first_operand(input, PAD), self.values.what(input))
        else {
            return (input, [rows, columns]);
        };
        let sum = |before: &[Argument]| match *before {
            [Argument::Int(top), Argument::Int(left)] => {
                Some([rows.checked_add(top)?, columns.checked_add(left)?])
            }
            _ => None,
        };
        match arguments.get(1) {
            Some((name, Argument::List(before))) if name == "padding" => {
                sum(before).map_or((input, [rows, columns]), |padding| (source, padding))
            }
            _ => (input, [rows, columns]),
        }
    }

    /// Input and weight of a `linear` without a bias.
    fn without_bias(&self, value: usize) -> Option<[usize; 2]> {
        match self.values.what(value) {
            What::Operation(name, arguments) if name == "linear" => match arguments[..] {
                [
                    (_, Argument::Value(input)),
                    (_, Argument::Value(weight)),
                    (_, Argument::None),
                ] => Some([input, weight]),
                _ => None,
            },
            _ => None,
        }
    }

    /// `conv2d(input, weight, bias, stride, padding, dilation, groups)`, which a trace writes as `_convolution`.
    pub(super) fn conv2d(&mut self, name: &str, arguments: &Arguments) -> Form {
        let bias = self.optional_operand(arguments, 2, "bias")?;
        let operand = |position, name| self.operand(arguments, position, name);
        let (Some(input), Some(weight), Some(bias)) =
            (operand(0, "input")?, operand(1, "weight")?, bias)
        else {
            return Ok(None);
        };
        let of_a_trace = matches!(name, "_convolution" | "convolution");
        if of_a_trace
            && (arguments.bool(6, "transposed", true) != Some(false)
                || arguments.pair(7, "output_padding", [0, 0]) != Some([0, 0]))
        {
            return Ok(None);
        }
        let weight_shape = self.shape(weight);
        let Some(&[_, _, rows, columns]) = weight_shape.as_deref() else { return Ok(None) };
        let stride = arguments.pair(3, "stride", [1, 1]);
        let dilation = arguments.pair(5, "dilation", [1, 1]);
        let groups = arguments.int(if of_a_trace { 8 } else { 6 }, "groups", 1);
        let (Some(stride), Some(dilation), Some(groups)) = (stride, dilation, groups) else {
            return Ok(None);
        };
        let padding = match arguments.get(4, "padding") {
            Some(Value::Text(text)) => named_padding(text, [rows, columns], stride, dilation),
            _ => arguments.pair(4, "padding", [0, 0]),
        };
        let Some(padding) = padding else { return Ok(None) };
        let (input, padding) = self.with_padding(input, padding);
        let kernel_size = [rows, columns];
        let window = Window { kernel_size, stride, padding, dilation, ceil_mode: false };
        let shape = match (self.shape(input), weight_shape) {
            (Some(input), Some(weight)) => window.convolved(&input, &weight, groups).ok(),
            _ => None,
        };
        let others = vec![
            ("stride", Argument::ints(&stride)),
            ("padding", Argument::ints(&padding)),
            ("dilation", Argument::ints(&dilation)),
            ("groups", Argument::Int(groups)),
        ];
        let tensors = [("input", Some(input)), ("weight", Some(weight)), ("bias", bias)];
        Ok(Some(self.operation("conv2d", &tensors, others, shape)))
    }

    /// `batch_norm`; its momentum has no effect in evaluation mode.
    pub(super) fn batch_norm(&mut self, arguments: &Arguments) -> Form {
        let names = ["weight", "bias", "running_mean", "running_var"];
        let [weight, bias, mean, variance] =
            [0, 1, 2, 3].map(|i| self.optional_operand(arguments, i + 1, names[i]));
        let (Some(input), Some(weight), Some(bias), Some(mean), Some(variance)) =
            (self.operand(arguments, 0, "input")?, weight?, bias?, mean?, variance?)
        else {
            return Ok(None);
        };
        let training = arguments.bool(5, "training", false);
        let (Some(training), Some(eps)) = (training, arguments.float(7, "eps", f64::NAN)) else {
            return Ok(None);
        };
        let tensors = [
            ("input", Some(input)),
            ("weight", weight),
            ("bias", bias),
            ("running_mean", mean),
            ("running_var", variance),
        ];
        let others = vec![("training", Argument::Bool(training)), ("eps", Argument::float(eps))];
        let shape = self.shape(input);
        Ok(Some(self.operation("batch_norm", &tensors, others, shape)))
    }
}

/// The padding that "same" or "valid" stands for, if it is equal on both sides.
fn named_padding(
    name: &str,
    kernel_size: [i64; 2],
    stride: [i64; 2],
    dilation: [i64; 2],
) -> Option<[i64; 2]> {
    match name {
        "valid" => Some([0, 0]),
        "same" if stride == [1, 1] => {
            let mut padding = [0, 0];
            for i in 0..2 {
                let both = dilation[i].checked_mul(kernel_size[i] - 1)?;
                padding[i] = (both % 2 == 0).then_some(both / 2)?;
            }
            Some(padding)
        }
        _ => None,
    }
}
