//! What a convolution or a pooling slides over its input.

use super::OnnxNodes;
use super::operation::expect_dimensions;
use crate::formats::onnx::Attribute;

/// A window and its steps; pairs are rows, columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub kernel_size: [i64; 2],
    pub stride: [i64; 2],
    pub padding: [i64; 2],
    pub dilation: [i64; 2],
    /// Whether a last window may reach beyond the padding's end; it does not begin there.
    pub ceil_mode: bool,
}

impl Window {
    /// Rows and columns of the output, given those of the input, as PyTorch computes them for convolutions
    /// and poolings.
    pub fn output(&self, input: &[i64]) -> Result<Vec<i64>, String> {
        (0..2).map(|i| self.output_size(i, input[i])).collect()
    }

    /// The shape after pooling (N, C, H, W), as `pooling_output_shape` of `aten/src/ATen/native/Pool.h` has it.
    pub fn pooled_shape(&self, input: &[i64]) -> Result<Vec<i64>, String> {
        expect_dimensions(input, 4)?;
        if (0..2).any(|i| self.padding[i] > self.kernel_size[i] / 2) {
            return Err("padding must be at most half of kernel_size".into());
        }
        Ok([&input[..2], &self.output(&input[2..])?].concat())
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
        if [kernel, stride, padding, dilation].iter().any(|&argument| argument > MOST) {
            return Err(format!(
                "kernel_size, stride, padding and dilation must be at most {MOST}"
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

    /// `pads` and `ceil_mode` of a pooling in ONNX. There, `ceil_mode` keeps a last window that begins in the
    /// padding, which PyTorch drops; then `pads` end where PyTorch's last windows do.
    pub fn onnx_pads(&self, nodes: &OnnxNodes) -> (Vec<i64>, bool) {
        let &Self { kernel_size, stride, padding, dilation, ceil_mode } = self;
        let (input, output) = (&nodes.shape(0)[2..], &nodes.output_shape()[2..]);
        let span = |i: usize| dilation[i] * (kernel_size[i] - 1) + 1;
        let is_dropped = |i: usize| {
            let room = input[i] + 2 * padding[i] - span(i) + stride[i] - 1;
            room.div_euclid(stride[i]) + 1 > output[i]
        };
        let mut end = padding;
        let exact = ceil_mode && (0..2).any(is_dropped);
        if exact {
            end = [0, 1].map(|i| {
                let reach = (output[i] - 1) * stride[i] + span(i) - input[i] - padding[i];
                reach.max(padding[i])
            });
        }
        ([padding, end].concat(), ceil_mode && !exact)
    }

    /// The attributes that ONNX's convolutions and poolings have in common.
    pub fn onnx(&self, pads: Vec<i64>) -> Vec<Attribute> {
        vec![
            ("kernel_shape", self.kernel_size.to_vec().into()),
            ("strides", self.stride.to_vec().into()),
            ("pads", pads.into()),
        ]
    }
}
