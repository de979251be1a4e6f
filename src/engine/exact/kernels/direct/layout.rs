//! Conversions of memory layouts: zero padding, NCHW and NHWC, and permutations of conv2's weight.

use tch::Tensor;

use super::shape::{C1, C2, Filters, H1, K, PADDED, PADDING};

/// Copies an image (28, 28) into the middle of `padded` (32, 32), whose border the caller has zeroed.
#[inline(always)]
pub fn pad(image: &[f32], padded: &mut [f32]) {
    let rows = padded.chunks_exact_mut(PADDED).skip(PADDING);
    for (row, pixels) in rows.zip(image.chunks_exact(H1)) {
        row[PADDING..PADDING + H1].copy_from_slice(pixels);
    }
}

/// Copies (N, C, H, W) to (N, H, W, C).
pub fn nchw_to_nhwc(xs: &Tensor) -> Tensor {
    xs.permute([0, 2, 3, 1]).contiguous()
}

/// Copies (N, H, W, C) to (N, C, H, W).
pub fn nhwc_to_nchw(xs: &Tensor) -> Tensor {
    xs.permute([0, 3, 1, 2]).contiguous()
}

/// conv2's weight with the output channels last: (5, 5, C, O).
pub type Hwio = [[[[f32; C2]; C1]; K]; K];

/// Copies conv2's weight (O, C, 5, 5) to (5, 5, C, O).
pub fn oihw_to_hwio(weight: &Filters<f32, C2, C1>) -> Hwio {
    let mut hwio = [[[[0.0; C2]; C1]; K]; K];
    for (o, filter) in weight.iter().enumerate() {
        for (c, plane) in filter.iter().enumerate() {
            for (ky, row) in plane.iter().enumerate() {
                row.iter().enumerate().for_each(|(kx, &value)| hwio[ky][kx][c][o] = value);
            }
        }
    }
    hwio
}

/// conv2's weight with the input channels last: (5, 5, O, C).
pub type Hwoi = [[[[f32; C1]; C2]; K]; K];

/// Copies conv2's weight (O, C, 5, 5) to (5, 5, O, C).
pub fn oihw_to_hwoi(weight: &Filters<f32, C2, C1>) -> Hwoi {
    let mut hwoi = [[[[0.0; C1]; C2]; K]; K];
    for (ky, hwoi) in hwoi.iter_mut().enumerate() {
        for (kx, hwoi) in hwoi.iter_mut().enumerate() {
            for (hwoi, filter) in hwoi.iter_mut().zip(weight) {
                *hwoi = filter.each_ref().map(|plane| plane[ky][kx]);
            }
        }
    }
    hwoi
}
