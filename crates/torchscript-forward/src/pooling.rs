//! Canonical forms of poolings and paddings, and the output shapes of `view`, `flatten` and the like.

use super::arguments::Arguments;
use super::error::{Refusal, refuse};
use super::interpreter::Interpreter;
use super::operators::Known;
use super::shapes::Window;
use super::values::{Argument, Value};

/// Name of the operation that adds zeros on both sides.
pub(super) const PAD: &str = "pad";

type Form = Result<Option<Known>, Refusal>;

impl Interpreter<'_> {
    /// `avg_pool2d` and `adaptive_avg_pool2d`. Arguments without effect on this shape have their defaults.
    pub(super) fn avg_pool2d(&mut self, name: &str, arguments: &Arguments) -> Form {
        let Some(input) = self.operand(arguments, 0, "self")? else { return Ok(None) };
        let input_shape = self.shape(input);
        let average = match name {
            "avg_pool2d" => Average::of(arguments),
            _ => input_shape.as_deref().and_then(|shape| Average::adaptive(arguments, shape)),
        };
        let Some(mut average) = average else { return Ok(None) };
        let Average { kernel_size, stride, padding, .. } = average;
        let output = |ceil_mode| {
            let shape = input_shape.as_deref()?;
            let dilation = [1, 1];
            Window { kernel_size, stride, padding, dilation, ceil_mode }.pooled(shape).ok()
        };
        let shape = output(average.ceil_mode);
        if shape.is_some() && shape == output(false) {
            average.ceil_mode = false;
        }
        // No window extends beyond the image.
        if padding == [0, 0] && !average.ceil_mode {
            let size = kernel_size[0].checked_mul(kernel_size[1]);
            average.count_include_pad = true;
            average.divisor = average.divisor.filter(|&divisor| Some(divisor) != size);
        }
        let others = vec![
            ("kernel_size", Argument::ints(&kernel_size)),
            ("stride", Argument::ints(&stride)),
            ("padding", Argument::ints(&padding)),
            ("ceil_mode", Argument::Bool(average.ceil_mode)),
            ("count_include_pad", Argument::Bool(average.count_include_pad)),
            ("divisor_override", average.divisor.map_or(Argument::None, Argument::Int)),
        ];
        Ok(Some(self.operation("avg_pool2d", &[("input", Some(input))], others, shape)))
    }

    /// Zeros around an image, equally many on both sides. A convolution adds them to its own padding.
    pub(super) fn pad(&mut self, name: &str, arguments: &Arguments) -> Form {
        let Some(input) = self.operand(arguments, 0, "self")? else { return Ok(None) };
        let Some(Value::List(sizes)) = arguments.get(1, "pad") else { return Ok(None) };
        let [Value::Int(left), Value::Int(right), Value::Int(top), Value::Int(bottom)] = sizes[..]
        else {
            return Ok(None);
        };
        let value = match name {
            "pad" => {
                let mode = arguments.get(2, "mode");
                let constant = mode
                    .is_none_or(|mode| matches!(mode, Value::Text(mode) if **mode == *"constant"));
                if !constant {
                    return Ok(None);
                }
                arguments.get(3, "value")
            }
            _ => arguments.get(2, "value"),
        };
        let is_zero = match value {
            None | Some(Value::None | Value::Int(0)) => true,
            Some(Value::Float(value)) => *value == 0.0,
            Some(_) => false,
        };
        let Some(shape) = self.shape(input) else { return Ok(None) };
        if !is_zero || left != right || top != bottom || left < 0 || top < 0 || shape.len() != 4 {
            return Ok(None);
        }
        let padded =
            |size: i64, both: i64| both.checked_mul(2).and_then(|both| both.checked_add(size));
        let (Some(rows), Some(columns)) = (padded(shape[2], top), padded(shape[3], left)) else {
            return Ok(None);
        };
        let others = vec![("padding", Argument::ints(&[top, left]))];
        let shape = vec![shape[0], shape[1], rows, columns];
        Ok(Some(self.operation(PAD, &[("input", Some(input))], others, Some(shape))))
    }

    /// `max_pool2d`.
    pub(super) fn max_pool2d(&mut self, arguments: &Arguments) -> Form {
        let (Some(input), Some(kernel_size)) =
            (self.operand(arguments, 0, "self")?, arguments.pair(1, "kernel_size", [0, 0]))
        else {
            return Ok(None);
        };
        let pairs = [
            arguments.pair(2, "stride", kernel_size),
            arguments.pair(3, "padding", [0, 0]),
            arguments.pair(4, "dilation", [1, 1]),
        ];
        let ([Some(stride), Some(padding), Some(dilation)], Some(mut ceil_mode)) =
            (pairs, arguments.bool(5, "ceil_mode", false))
        else {
            return Ok(None);
        };
        let input_shape = self.shape(input);
        let output = |ceil_mode| {
            let shape = input_shape.as_deref()?;
            Window { kernel_size, stride, padding, dilation, ceil_mode }.pooled(shape).ok()
        };
        let shape = output(ceil_mode);
        if shape.is_some() && shape == output(false) {
            ceil_mode = false;
        }
        let others = vec![
            ("kernel_size", Argument::ints(&kernel_size)),
            ("stride", Argument::ints(&stride)),
            ("padding", Argument::ints(&padding)),
            ("dilation", Argument::ints(&dilation)),
            ("ceil_mode", Argument::Bool(ceil_mode)),
        ];
        Ok(Some(self.operation("max_pool2d", &[("input", Some(input))], others, shape)))
    }
}

/// The arguments of `avg_pool2d`.
struct Average {
    kernel_size: [i64; 2],
    stride: [i64; 2],
    padding: [i64; 2],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: Option<i64>,
}

impl Average {
    /// The arguments of `avg_pool2d`.
    fn of(arguments: &Arguments) -> Option<Self> {
        let kernel_size = arguments.pair(1, "kernel_size", [0, 0])?;
        let divisor = match arguments.get(6, "divisor_override") {
            None | Some(Value::None) => None,
            Some(&Value::Int(divisor)) => Some(divisor),
            Some(_) => return None,
        };
        Some(Self {
            kernel_size,
            stride: arguments.pair(2, "stride", kernel_size)?,
            padding: arguments.pair(3, "padding", [0, 0])?,
            ceil_mode: arguments.bool(4, "ceil_mode", false)?,
            count_include_pad: arguments.bool(5, "count_include_pad", true)?,
            divisor,
        })
    }

    /// `adaptive_avg_pool2d` of an image whose size is a multiple of the output size.
    fn adaptive(arguments: &Arguments, shape: &[i64]) -> Option<Self> {
        let (output, &[_, _, rows, columns]) = (arguments.pair(1, "output_size", [0, 0])?, shape)
        else {
            return None;
        };
        let mut kernel_size = [0, 0];
        for (i, size) in [rows, columns].into_iter().enumerate() {
            kernel_size[i] = (output[i] > 0 && size % output[i] == 0).then(|| size / output[i])?;
        }
        Some(Self {
            kernel_size,
            stride: kernel_size,
            padding: [0, 0],
            ceil_mode: false,
            count_include_pad: true,
            divisor: None,
        })
    }
}

/// The output shape of `flatten`, `view`, `unsqueeze` or `squeeze` for an input of the shape `from` and any batch size,
/// which stays the first size; `None` if the arguments are not known.
pub(super) fn reshaped(
    name: &str,
    from: &[i64],
    arguments: &Arguments,
) -> Result<Option<Vec<i64>>, Refusal> {
    let dimension = |position, argument, default, count: usize| {
        let dimension = arguments.int(position, argument, default)?;
        let dimension = if dimension < 0 { dimension + count as i64 } else { dimension };
        usize::try_from(dimension).ok().filter(|&dimension| dimension < count)
    };
    if from.first() != Some(&-1) {
        // A parameter.
        return Ok(None);
    }
    match name {
        "flatten" => {
            let start = dimension(1, "start_dim", 0, from.len());
            let end = dimension(2, "end_dim", -1, from.len());
            let (Some(start), Some(end)) = (start, end) else { return Ok(None) };
            if start == 0 && end > 0 {
                return refuse("it flattens the images of a batch together");
            }
            match start <= end {
                true => {
                    let flattened = product(&from[start..=end]);
                    let to = |product| [&from[..start], &[product], &from[end + 1..]].concat();
                    Ok(flattened.map(to))
                }
                false => Ok(None),
            }
        }
        "unsqueeze" => Ok(dimension(1, "dim", -1, from.len() + 1).filter(|&at| at > 0).map(|at| {
            let mut to = from.to_vec();
            to.insert(at, 1);
            to
        })),
        "squeeze" if arguments.get(1, "dim").is_none() => Ok(None),
        "squeeze" => Ok(dimension(1, "dim", 0, from.len()).filter(|&at| at > 0).map(|at| {
            let mut to = from.to_vec();
            if to[at] == 1 {
                to.remove(at);
            }
            to
        })),
        _ => match arguments.get(1, if name == "view" { "size" } else { "shape" }) {
            Some(Value::List(sizes) | Value::Tuple(sizes)) => viewed(from, sizes),
            _ => Ok(None),
        },
    }
}

fn product(sizes: &[i64]) -> Option<i64> {
    sizes.iter().try_fold(1i64, |product, &size| product.checked_mul(size))
}

/// The output shape of `view`: the batch size, or -1 for it, and then the sizes of one image.
fn viewed(from: &[i64], sizes: &[Value]) -> Result<Option<Vec<i64>>, Refusal> {
    let Some(elements) = product(&from[1..]) else { return Ok(None) };
    let mut known = 1i64;
    let mut to = Vec::new();
    for size in sizes {
        to.push(match size {
            Value::Batch => None,
            Value::Int(-1) => Some(-1),
            &Value::Int(size) if size > 0 => {
                known = known.saturating_mul(size);
                Some(size)
            }
            _ => return Ok(None),
        });
    }
    let inferred = to.iter().filter(|size| **size == Some(-1)).count();
    let batches = to.iter().filter(|size| size.is_none()).count();
    let shown = || {
        let shown = to.iter().map(|size| size.map_or("N".into(), |size| size.to_string()));
        shown.collect::<Vec<_>>().join(", ")
    };
    let shape = |rest: i64| -> Vec<i64> {
        let sizes = to.iter().map(|size| match size {
            None => -1,
            Some(-1) => rest,
            Some(size) => *size,
        });
        sizes.collect()
    };
    match (batches, inferred, to.first()) {
        // (N, …) and (-1, …).
        (1, 0, Some(None)) | (0, 1, Some(Some(-1))) if known == elements => Ok(Some(shape(-1))),
        // (N, …, -1, …).
        (1, 1, Some(None)) if known > 0 && elements % known == 0 => {
            Ok(Some(shape(elements / known)))
        }
        (0, 0, _) => refuse(format!(
            "it views a batch of images as [{}], which fits one number of images only",
            shown()
        )),
        _ => refuse(format!(
            "it views images of {elements} elements as [{}], which mixes them",
            shown()
        )),
    }
}
