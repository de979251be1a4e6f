//! What a convolution or a pooling slides over its input, in ONNX.

use torchscript_forward::shapes::Window;

use super::OnnxNodes;
use crate::formats::onnx::Attribute;

/// `pads` and `ceil_mode` of a pooling in ONNX. There, `ceil_mode` keeps a last window that begins in the
/// padding, which PyTorch drops; then `pads` end where PyTorch's last windows do.
pub(super) fn onnx_pads(window: &Window, nodes: &OnnxNodes) -> (Vec<i64>, bool) {
    let &Window { kernel_size, stride, padding, dilation, ceil_mode } = window;
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
pub(super) fn onnx(window: &Window, pads: Vec<i64>) -> Vec<Attribute> {
    vec![
        ("kernel_shape", window.kernel_size.to_vec().into()),
        ("strides", window.stride.to_vec().into()),
        ("pads", pads.into()),
    ]
}
