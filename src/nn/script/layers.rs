//! The one form of layers' operations: `linear`, `conv2d`, poolings, `batch_norm`, `add`.

use super::interpreter::{Interpreter, Refusal};
use super::operators::{Arguments, Known, Memory};
use super::values::{Argument, Value, What};
use crate::nn::conv2d::{Conv2dConfig, Conv2dOp};
use crate::nn::{LinearOp, Operation};

type Form = Result<Option<Known>, Refusal>;

impl Interpreter<'_> {
    /// `linear(x, w, b)`, which is `addmm(b, x, w.t())` and `matmul(x, w.t()) + b`.
    pub(super) fn linear(&mut self, name: &str, arguments: &Arguments) -> Form {
        match name {
            "linear" => {
                let tensors =
                    [(0, "input"), (1, "weight")].map(|(at, name)| arguments.tensor(at, name));
                let ([Some(input), Some(weight)], Some(bias)) =
                    (tensors, arguments.optional_tensor(2, "bias"))
                else {
                    return Ok(None);
                };
                let weight = self.value_of(weight)?;
                let bias = bias.map(|bias| self.value_of(bias)).transpose()?;
                self.linear_of(self.value_of(input)?, weight, bias)
            }
            "addmm" => {
                let [bias, input, matrix] = [(0, "self"), (1, "mat1"), (2, "mat2")]
                    .map(|(at, name)| arguments.tensor(at, name));
                let (Some(bias), Some(input), Some(matrix)) = (bias, input, matrix) else {
                    return Ok(None);
                };
                let are_one = arguments.float(3, "beta", 1.0) == Some(1.0)
                    && arguments.float(4, "alpha", 1.0) == Some(1.0);
                match self.untransposed(matrix)? {
                    Some(weight) if are_one => {
                        self.linear_of(self.value_of(input)?, weight, Some(self.value_of(bias)?))
                    }
                    _ => Ok(None),
                }
            }
            "matmul" | "mm" => {
                let [input, matrix] =
                    [(0, "self"), (1, "other")].map(|(at, name)| arguments.tensor(at, name));
                let (Some(input), Some(matrix)) = (input, matrix) else { return Ok(None) };
                match self.untransposed(matrix)? {
                    Some(weight) => self.linear_of(self.value_of(input)?, weight, None),
                    None => Ok(None),
                }
            }
            _ => self.add(arguments),
        }
    }

    fn add(&mut self, arguments: &Arguments) -> Form {
        let [a, b] = [(0, "self"), (1, "other")].map(|(at, name)| arguments.tensor(at, name));
        let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
        if arguments.float(2, "alpha", 1.0) != Some(1.0) {
            return Ok(None);
        }
        let (a_value, b_value) = (self.value_of(a)?, self.value_of(b)?);
        for (product, bias) in [(a_value, b_value), (b_value, a_value)] {
            if let Some([input, weight]) = self.without_bias(product)
                && matches!(self.values.what(bias), What::State(_))
                && self.values.shape(bias).map(<[i64]>::len) == Some(1)
            {
                return self.linear_of(input, weight, Some(bias));
            }
        }
        let (a_shape, b_shape) = (self.shape(a)?, self.shape(b)?);
        let shape = a_shape.filter(|shape| Some(shape) == b_shape.as_ref());
        // The order does not matter.
        let (a, b) = if a_value <= b_value { (a, b) } else { (b, a) };
        self.operation("add", &[("", Some(a)), ("", Some(b))], Vec::new(), shape)
    }

    fn linear_of(&mut self, input: usize, weight: usize, bias: Option<usize>) -> Form {
        let shape = match [input, weight].map(|value| self.values.shape(value)) {
            [Some(input), Some(weight)] if weight.len() == 2 => {
                LinearOp.shape(&[input, weight]).ok()
            }
            _ => None,
        };
        let list = vec![
            ("input".to_string(), Argument::Value(input)),
            ("weight".to_string(), Argument::Value(weight)),
            ("bias".to_string(), bias.map_or(Argument::None, Argument::Value)),
        ];
        let value = self.values.number(What::Operation("linear".into(), list), shape);
        Ok(Some(Known { value, memory: Memory::Own }))
    }

    /// The matrix that a tensor is the transposed one of.
    fn untransposed(&self, tensor: usize) -> Result<Option<usize>, Refusal> {
        Ok(match self.values.what(self.value_of(tensor)?) {
            What::Operation(name, arguments) if name == "transpose" => match arguments[0].1 {
                Argument::Value(matrix) => Some(matrix),
                _ => None,
            },
            _ => None,
        })
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
        let [input, weight] =
            [(0, "input"), (1, "weight")].map(|(at, name)| arguments.tensor(at, name));
        let (Some(input), Some(weight), Some(bias)) =
            (input, weight, arguments.optional_tensor(2, "bias"))
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
        let weight_shape = self.shape(weight)?;
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
        let operation =
            Conv2dOp(Conv2dConfig { stride, padding, dilation, groups, bias: bias.is_some() });
        let shape = match (self.shape(input)?, weight_shape) {
            (Some(input), Some(weight)) => operation.shape(&[&input, &weight]).ok(),
            _ => None,
        };
        let others = vec![
            ("stride", Argument::ints(&stride)),
            ("padding", Argument::ints(&padding)),
            ("dilation", Argument::ints(&dilation)),
            ("groups", Argument::Int(groups)),
        ];
        let tensors = [("input", Some(input)), ("weight", Some(weight)), ("bias", bias)];
        self.operation("conv2d", &tensors, others, shape)
    }

    /// In evaluation mode the momentum does not matter.
    pub(super) fn batch_norm(&mut self, arguments: &Arguments) -> Form {
        let names = ["weight", "bias", "running_mean", "running_var"];
        let [weight, bias, mean, variance] =
            [0, 1, 2, 3].map(|i| arguments.optional_tensor(i + 1, names[i]));
        let (Some(input), Some(weight), Some(bias), Some(mean), Some(variance)) =
            (arguments.tensor(0, "input"), weight, bias, mean, variance)
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
        let shape = self.shape(input)?;
        self.operation("batch_norm", &tensors, others, shape)
    }
}

/// The padding that "same" and "valid" stand for, where it is equal on both sides.
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
