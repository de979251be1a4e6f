//! The shapes that layers give their outputs, as PyTorch computes them. In shapes, -1 stands for the batch.
//!
//! ```
//! use torchscript_forward::shapes::{self, Window};
//!
//! let window = Window { padding: [2, 2], ..Window::of([5, 5]) };
//! assert_eq!(window.convolved(&[-1, 1, 28, 28], &[6, 1, 5, 5], 1)?, [-1, 6, 28, 28]);
//! let window = Window { stride: [2, 2], ..Window::of([2, 2]) };
//! assert_eq!(window.pooled(&[-1, 6, 28, 28])?, [-1, 6, 14, 14]);
//! assert_eq!(shapes::linear(&[-1, 400], &[120, 400])?, [-1, 120]);
//! # Ok::<(), String>(())
//! ```

/// What a convolution or a pooling slides over its input; pairs are rows, columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its size.
    pub kernel_size: [i64; 2],
    /// From one window to the next.
    pub stride: [i64; 2],
    /// What is put around the input, on each side.
    pub padding: [i64; 2],
    /// From one element of a window to the next.
    pub dilation: [i64; 2],
    /// Whether a last window may reach beyond the padding's end; it does not begin there.
    pub ceil_mode: bool,
}

impl Window {
    /// A window of this size, one at each place of the input.
    pub fn of(kernel_size: [i64; 2]) -> Self {
        let (stride, padding, dilation) = ([1, 1], [0, 0], [1, 1]);
        Self { kernel_size, stride, padding, dilation, ceil_mode: false }
    }

    /// The shape after a convolution (N, C, H, W) with a weight (out, in / groups, rows, columns).
    ///
    /// # Errors
    /// What does not fit.
    pub fn convolved(
        &self,
        input: &[i64],
        weight: &[i64],
        groups: i64,
    ) -> Result<Vec<i64>, String> {
        expect_dimensions(input, 4)?;
        expect_dimensions(weight, 4)?;
        let channels = weight[1].saturating_mul(groups);
        if input[1] != channels {
            return Err(format!("the input has the shape {input:?}; in_channels is {channels}"));
        }
        Ok([&[input[0], weight[0]], &self.output(&input[2..])?[..]].concat())
    }

    /// The shape after pooling (N, C, H, W), as `pooling_output_shape` of `aten/src/ATen/native/Pool.h` has it.
    ///
    /// # Errors
    /// What does not fit.
    pub fn pooled(&self, input: &[i64]) -> Result<Vec<i64>, String> {
        expect_dimensions(input, 4)?;
        if (0..2).any(|i| self.padding[i] > self.kernel_size[i] / 2) {
            return Err("padding must be at most half of kernel_size".into());
        }
        Ok([&input[..2], &self.output(&input[2..])?].concat())
    }

    /// Rows and columns of the output, given those of the input.
    fn output(&self, input: &[i64]) -> Result<Vec<i64>, String> {
        (0..2).map(|i| self.output_size(i, input[i])).collect()
    }

    fn output_size(&self, i: usize, size: i64) -> Result<i64, String> {
        let [kernel, stride, padding, dilation] =
            [self.kernel_size, self.stride, self.padding, self.dilation].map(|pair| pair[i]);
        if kernel < 1 || stride < 1 || dilation < 1 || padding < 0 {
            return Err(
                "kernel_size, stride and dilation must be at least 1, padding at least 0".into()
            );
        }
        /// More than any image has rows; sums of this size do not overflow.
        const MOST: i64 = 1 << 30;
        if [kernel, stride, padding, dilation, size].iter().any(|&argument| argument > MOST) {
            return Err(format!(
                "sizes, kernel_size, stride, padding and dilation must be at most {MOST}"
            ));
        }
        let span = size + 2 * padding - dilation * (kernel - 1) - 1;
        let extra = if self.ceil_mode { stride - 1 } else { 0 };
        let mut count = (span + extra).div_euclid(stride) + 1;
        if self.ceil_mode && (count - 1) * stride >= size + padding {
            count -= 1;
        }
        // With `ceil_mode` a single window may be larger than the input.
        if count < 1 {
            return Err(format!(
                "a window of {kernel} does not fit into {size} with padding {padding}"
            ));
        }
        Ok(count)
    }
}

/// The shape after `linear` (N, …, in) with a weight (out, in).
///
/// # Errors
/// What does not fit.
pub fn linear(input: &[i64], weight: &[i64]) -> Result<Vec<i64>, String> {
    match (input, weight) {
        ([batch @ .., features], &[out, wanted]) if !batch.is_empty() && *features == wanted => {
            Ok([batch, &[out]].concat())
        }
        (_, &[_, wanted]) => {
            Err(format!("the input has the shape {input:?}; in_features is {wanted}"))
        }
        _ => Err(format!("the weight has the shape {weight:?}; 2 dimensions are expected")),
    }
}

/// Checks the number of dimensions of an input.
///
/// # Errors
/// When it is another.
pub fn expect_dimensions(input: &[i64], wanted: usize) -> Result<(), String> {
    match input.len() == wanted {
        true => Ok(()),
        false => {
            Err(format!("the input has the shape {input:?}; {wanted} dimensions are expected"))
        }
    }
}
