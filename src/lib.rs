//! **stitch**: a Rust port, on tch (libtorch), of a Python notebook that compares scikit-learn's
//! `MLPClassifier` with a LeNet-5 in PyTorch on Fashion-MNIST, with the same numbers as the
//! notebook to the last bit where the arithmetic allows it.
//!
//! | module | what is in it |
//! |---|---|
//! | [`checkpoint`] | a run between two steps, and going on from there |
//! | [`closest`] | the closest match to a misspelled name |
//! | [`events`] | a run's TensorBoard events, written while it goes on |
//! | [`dataset`] | IDX bytes; finding, checking and fetching the files; class names; `DataLoader` |
//! | [`rng`] | numpy's `RandomState` and torch's `Generator`, draw for draw |
//! | [`nn`] | `torch.nn`: layers, and what is derived from a network's `forward` |
//! | [`models`] | the registry of models, each defined in a file; weights in and out |
//! | [`engine`] | how a training step is computed: eager, exact or fast |
//! | [`libtorch`] | what tch does not bind: tensor memory as slices, the thread pool, gradients, generators, loading CUDA |
//! | [`optim`] | Adam as PyTorch and as scikit-learn compute it |
//! | [`train`] | the loop, and a step of each model's training |
//! | [`evaluate`](mod@evaluate) | predictions on the test images |
//! | [`metrics`] | confusion matrix and classification report |
//! | [`formats`] | state_dict, TorchScript, safetensors, npz, ONNX, CSV, TensorBoard: bytes in, bytes out |
//! | [`picture`] | a user's PNG, JPEG, BMP, GIF or WebP as 28x28 bytes |
//! | [`parity`] | traces of runs, and what differs first between two |
//! | [`report`] | figures of a run |
//! | [`memory`] | how the process holds on to memory |
//! | [`run_folder`] | the files that a run leaves, written whole or not at all |
//! | [`sha256`](mod@sha256) | SHA-256 in hex |
//! | [`study`] | many runs: a grid of settings, and what each came to |
//!
//! Dependencies point one way: the binary's `commands` → {`events`, `report`} → {`checkpoint`, `study`,
//! `parity`} → `run_folder` → `train` → `evaluate` → `engine` → {`models`, `optim`} → `nn` → {`formats`,
//! `picture`} → `metrics` → `dataset` → {`rng`, `libtorch`, `closest`, `sha256`}. `metrics`, `rng`, `picture`,
//! `dataset::idx` and `formats` know neither tch nor clap; `models` knows no files; `train` knows
//! no paths and prints nothing.

pub mod checkpoint;
pub mod closest;
pub mod dataset;
pub mod engine;
pub mod evaluate;
pub mod events;
pub mod formats;
pub mod libtorch;
pub mod memory;
pub mod metrics;
pub mod models;
pub mod nn;
pub mod optim;
pub mod parity;
pub mod picture;
pub mod report;
pub mod rng;
pub mod run_folder;
pub mod sha256;
pub mod study;
pub mod train;
