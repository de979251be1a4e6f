//! Shapes of the outputs of layers, as PyTorch computes them. -1 stands for the batch size.
//!
//! ```
//! use torchscript_forward::shapes::{self, Window};
//!
//! let window = Window { padding: [2, 2], ..Window::of([5, 5]) };
//! assert_eq!(window.convolved(&[-1, 1, 28, 28], &[6, 1, 5, 5], 1)?, [-1, 6, 28, 28]);
//! let window = Window { stride: [2, 2], ..Window::of([2, 2]) };
//! assert_eq!(window.pooled(&[-1, 6, 28, 28])?, [-1, 6, 14, 14]);
//! assert_eq!(shapes::linear(&[-1, 400], &[120, 400])?, [-1, 120]);
//! # Ok::<(), shapes::ShapeError>(())
//! ```

/// Largest size, kernel size, stride, padding and dilation: more than any image has rows. Sums of such numbers do not
/// overflow.
const MOST: i64 = 1 << 30;

/// Arguments of a layer that do not fit its input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The input has another number of dimensions.
    #[error("the input has the shape {input:?}; {expected} dimensions are expected")]
    Dimensions {
        /// Shape of the input.
        input: Vec<i64>,
        /// Number of dimensions that the layer takes.
        expected: usize,
    },
    /// The weight has another number of dimensions.
    #[error("the weight has the shape {weight:?}; {expected} dimensions are expected")]
    Weight {
        /// Shape of the weight.
        weight: Vec<i64>,
        /// Number of dimensions that it must have.
        expected: usize,
    },
    /// The input of a convolution has another number of channels than its weight.
    #[error("the input has the shape {input:?}; in_channels is {in_channels}")]
    Channels {
        /// Shape of the input.
        input: Vec<i64>,
        /// Channels that the convolution takes.
        in_channels: i64,
    },
    /// The input of a linear layer has another number of features than its weight.
    #[error("the input has the shape {input:?}; in_features is {in_features}")]
    Features {
        /// Shape of the input.
        input: Vec<i64>,
        /// Features that the layer takes.
        in_features: i64,
    },
    /// The padding of a pooling is larger than half of its window.
    #[error("padding must be at most half of kernel_size")]
    Padding,
    /// An argument is 0 or negative.
    #[error("kernel_size, stride and dilation must be at least 1, padding at least 0")]
    TooSmall,
    /// An argument or a size is larger than 2^30.
    #[error("sizes, kernel_size, stride, padding and dilation must be at most {MOST}")]
    TooLarge,
    /// The window is larger than the padded input.
    #[error("a window of {kernel_size} does not fit into {size} with padding {padding}")]
    Window {
        /// Size of the window in this dimension.
        kernel_size: i64,
        /// Size of the input in this dimension.
        size: i64,
        /// Padding on each side.
        padding: i64,
    },
    /// The inputs of an operation on several tensors do not fit each other.
    #[error("the inputs have the shapes {0:?}, which do not fit each other")]
    Inputs(Vec<Vec<i64>>),
}

/// The sliding window of a convolution or a pooling. Pairs are (rows, columns).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Size of the window in elements.
    pub kernel_size: [i64; 2],
    /// Distance from one window to the next.
    pub stride: [i64; 2],
    /// Elements added to the input on each side.
    pub padding: [i64; 2],
    /// Distance from one element of a window to the next.
    pub dilation: [i64; 2],
    /// Whether the last window may extend beyond the padding. It never starts in the padding at the end.
    pub ceil_mode: bool,
}

impl Window {
    /// A window of this size with stride 1, no padding and dilation 1.
    pub fn of(kernel_size: [i64; 2]) -> Self {
        let (stride, padding, dilation) = ([1, 1], [0, 0], [1, 1]);
        Self { kernel_size, stride, padding, dilation, ceil_mode: false }
    }

    /// The output shape of a convolution. `input` is (N, C, H, W), `weight` (out channels, in channels / groups, rows,
    /// columns).
    ///
    /// # Errors
    /// [`ShapeError`] when the arguments do not fit each other.
    pub fn convolved(
        &self,
        input: &[i64],
        weight: &[i64],
        groups: i64,
    ) -> Result<Vec<i64>, ShapeError> {
        expect_dimensions(input, 4)?;
        if weight.len() != 4 {
            return Err(ShapeError::Weight { weight: weight.into(), expected: 4 });
        }
        let channels = weight[1].saturating_mul(groups);
        if input[1] != channels {
            return Err(ShapeError::Channels { input: input.into(), in_channels: channels });
        }
        Ok([&[input[0], weight[0]], &self.output(&input[2..])?[..]].concat())
    }

    /// The output shape of a pooling of (N, C, H, W), as `pooling_output_shape` in `aten/src/ATen/native/Pool.h` computes
    /// it.
    ///
    /// # Errors
    /// [`ShapeError`] when the arguments do not fit each other.
    pub fn pooled(&self, input: &[i64]) -> Result<Vec<i64>, ShapeError> {
        expect_dimensions(input, 4)?;
        if (0..2).any(|i| self.padding[i] > self.kernel_size[i] / 2) {
            return Err(ShapeError::Padding);
        }
        Ok([&input[..2], &self.output(&input[2..])?].concat())
    }

    /// Rows and columns of the output, given those of the input.
    fn output(&self, input: &[i64]) -> Result<Vec<i64>, ShapeError> {
        (0..2).map(|i| self.output_size(i, input[i])).collect()
    }

    fn output_size(&self, i: usize, size: i64) -> Result<i64, ShapeError> {
        let [kernel, stride, padding, dilation] =
            [self.kernel_size, self.stride, self.padding, self.dilation].map(|pair| pair[i]);
        if kernel < 1 || stride < 1 || dilation < 1 || padding < 0 {
            return Err(ShapeError::TooSmall);
        }
        if [kernel, stride, padding, dilation, size].iter().any(|&argument| argument > MOST) {
            return Err(ShapeError::TooLarge);
        }
        let span = size + 2 * padding - dilation * (kernel - 1) - 1;
        let extra = if self.ceil_mode { stride - 1 } else { 0 };
        let mut count = (span + extra).div_euclid(stride) + 1;
        if self.ceil_mode && (count - 1) * stride >= size + padding {
            count -= 1;
        }
        // With `ceil_mode` a single window may be larger than the input.
        if count < 1 {
            return Err(ShapeError::Window { kernel_size: kernel, size, padding });
        }
        Ok(count)
    }
}

/// The output shape of a linear layer. `input` is (N, …, in features), `weight` (out features, in features).
///
/// # Errors
/// [`ShapeError`] when the two do not fit each other.
pub fn linear(input: &[i64], weight: &[i64]) -> Result<Vec<i64>, ShapeError> {
    match (input, weight) {
        ([batch @ .., features], &[out, expected])
            if !batch.is_empty() && *features == expected =>
        {
            Ok([batch, &[out]].concat())
        }
        (_, &[_, in_features]) => Err(ShapeError::Features { input: input.into(), in_features }),
        _ => Err(ShapeError::Weight { weight: weight.into(), expected: 2 }),
    }
}

/// The output shape of an operation on the elements of two inputs, of which one may be repeated along dimensions that it
/// does not have or that have the size 1. Only the first dimension of the output may be the batch.
///
/// # Errors
/// [`ShapeError::Inputs`] when the two do not fit each other.
pub fn broadcast(a: &[i64], b: &[i64]) -> Result<Vec<i64>, ShapeError> {
    let rank = a.len().max(b.len());
    let size =
        |shape: &[i64], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    let sizes = (0..rank).map(|i| match (size(a, i), size(b, i)) {
        (size, 1) | (1, size) if size != -1 || i == 0 => Some(size),
        (a, b) if a == b && (a != -1 || i == 0) => Some(a),
        _ => None,
    });
    sizes.collect::<Option<_>>().ok_or_else(|| ShapeError::Inputs(vec![a.into(), b.into()]))
}

/// The output shape of a mean over dimensions.
pub fn reduced(input: &[i64], dims: &[i64], keepdim: bool) -> Vec<i64> {
    let sizes = input.iter().enumerate();
    let sizes = sizes.map(|(i, &size)| (dims.contains(&(i as i64)), size));
    sizes
        .filter(|(is_reduced, _)| keepdim || !is_reduced)
        .map(|(is_reduced, size)| if is_reduced { 1 } else { size })
        .collect()
}

/// The output shape of inputs that are joined along the dimension `dim`.
///
/// # Errors
/// [`ShapeError::Inputs`] when their other sizes differ.
pub fn joined(inputs: &[&[i64]], dim: usize) -> Result<Vec<i64>, ShapeError> {
    let wrong = || ShapeError::Inputs(inputs.iter().map(|shape| shape.to_vec()).collect());
    let mut joined = inputs.first().filter(|first| dim < first.len()).ok_or_else(wrong)?.to_vec();
    for input in &inputs[1..] {
        let fits = input.len() == joined.len()
            && (0..input.len()).all(|i| i == dim || input[i] == joined[i]);
        let size = if fits { joined[dim].checked_add(input[dim]) } else { None };
        joined[dim] = size.ok_or_else(wrong)?;
    }
    Ok(joined)
}

/// Checks that an input has so many dimensions.
///
/// # Errors
/// [`ShapeError::Dimensions`] when it has another number.
pub fn expect_dimensions(input: &[i64], expected: usize) -> Result<(), ShapeError> {
    match input.len() == expected {
        true => Ok(()),
        false => Err(ShapeError::Dimensions { input: input.into(), expected }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_several_inputs_and_of_means_are_those_of_torch() {
        assert_eq!(broadcast(&[-1, 3, 1], &[3, 4]), Ok(vec![-1, 3, 4]));
        assert_eq!(broadcast(&[1, 5], &[-1, 5]), Ok(vec![-1, 5]));
        assert_eq!(broadcast(&[], &[-1, 5]), Ok(vec![-1, 5]));
        assert_eq!(joined(&[&[-1, 3, 2], &[-1, 4, 2]], 1), Ok(vec![-1, 7, 2]));
        assert_eq!(reduced(&[-1, 3, 4, 5], &[2, 3], false), [-1, 3]);
        assert_eq!(reduced(&[-1, 3, 4, 5], &[1], true), [-1, 1, 4, 5]);
    }

    #[test]
    fn arguments_that_do_not_fit_are_typed_errors() {
        let window = Window::of([5, 5]);
        let input = vec![-1, 1, 4, 4];
        for (shape, expected) in [
            (window.convolved(&input, &[6, 5, 5], 1), "the weight has the shape [6, 5, 5]"),
            (window.convolved(&input, &[6, 3, 5, 5], 1), "in_channels is 3"),
            (window.convolved(&input, &[6, 1, 5, 5], 1), "a window of 5 does not fit into 4"),
            (window.pooled(&[-1, 4, 4]), "4 dimensions are expected"),
            (Window { padding: [3, 0], ..window }.pooled(&input), "at most half"),
            (Window { stride: [0, 1], ..window }.pooled(&input), "at least 1"),
            (Window { stride: [MOST + 1, 1], ..window }.pooled(&input), "at most 1073741824"),
            (linear(&[-1, 3], &[2, 4]), "in_features is 4"),
            (linear(&[-1, 3], &[3]), "the weight has the shape [3]"),
            (broadcast(&[-1, 3], &[2, 3]), "[[-1, 3], [2, 3]], which do not fit"),
            (broadcast(&[-1, 3], &[2, 1, 3]), "do not fit"),
            (joined(&[&[-1, 3, 2], &[-1, 3]], 1), "do not fit"),
            (joined(&[&[-1, 3, 2], &[-1, 3, 4]], 1), "do not fit"),
            (joined(&[], 1), "do not fit"),
        ] {
            let error = shape.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
