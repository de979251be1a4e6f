//! The sliding window of a convolution or pooling as ONNX attributes.

use torchscript_forward::shapes::Window;

use super::OnnxNodes;
use crate::formats::onnx::Attribute;

/// `pads` and `ceil_mode` of a pooling in ONNX, whose `ceil_mode` keeps a last window that starts in the padding.
/// PyTorch drops such a window; then `ceil_mode` is off, and the pads end where PyTorch's last window does.
pub(super) fn onnx_pads(window: &Window, nodes: &OnnxNodes) -> (Vec<i64>, bool) {
    let &Window { kernel_size, stride, padding, dilation, ceil_mode } = window;
    let (input, output) = (&nodes.shape(0)[2..], &nodes.output_shape()[2..]);
    let span = |i: usize| dilation[i] * (kernel_size[i] - 1) + 1;
    let is_dropped = |i: usize| {
        let last_start = input[i] + 2 * padding[i] - span(i) + stride[i] - 1;
        last_start.div_euclid(stride[i]) + 1 > output[i]
    };
    let mut end = padding;
    let drops_window = ceil_mode && (0..2).any(is_dropped);
    if drops_window {
        end = [0, 1].map(|i| {
            let needed = (output[i] - 1) * stride[i] + span(i) - input[i] - padding[i];
            needed.max(padding[i])
        });
    }
    ([padding, end].concat(), ceil_mode && !drops_window)
}

/// The attributes that convolutions and poolings share in ONNX.
pub(super) fn onnx(window: &Window, pads: Vec<i64>) -> Vec<Attribute> {
    vec![
        ("kernel_shape", window.kernel_size.to_vec().into()),
        ("strides", window.stride.to_vec().into()),
        ("pads", pads.into()),
    ]
}
