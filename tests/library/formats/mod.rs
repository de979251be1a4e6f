//! Files of tensors between this project and PyTorch, safetensors and NumPy: what one writes, the other reads.
//! What needs no Python is in `crates/tensor-files/tests`.

mod python;
mod pytorch;

use crate::common;
