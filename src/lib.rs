//! **stitch**: a Rust port, on tch (libtorch), of a Python notebook that compares scikit-learn's
//! `MLPClassifier` with a LeNet-5 in PyTorch on Fashion-MNIST. It reproduces the notebook's numbers bit for bit
//! wherever floating-point allows.
//!
//! `ARCHITECTURE.md` in the repository describes the modules and which of them may use which.
//!
//! # Port your own notebook
//!
//! The example below is the model class and the training loop of a PyTorch notebook, with the same initial values,
//! order of samples and arithmetic. `examples/own_model.rs` is a complete program with all files of a separate crate;
//! `stitch parity` compares its saved weights with those of the notebook.
//!
//! ```
//! use stitch::dataset::{Split, loader::DataLoader};
//! use stitch::tensor_files::state_dict;
//! use stitch::nn::{Conv2d, Conv2dConfig, Linear, Model, Module, Scope, Value};
//! use stitch::nn::{cross_entropy, flatten, max_pool2d, relu};
//! use stitch::optim::{Adam, Optimizer};
//!
//! struct Net {
//!     conv: Conv2d, // self.conv = nn.Conv2d(1, 4, 3)
//!     fc: Linear,   // self.fc = nn.Linear(4 * 13 * 13, 10)
//! }
//!
//! impl Net {
//!     fn new(vs: &Scope) -> Self {
//!         Self {
//!             conv: Conv2d::new(vs / "conv", 1, 4, 3, Conv2dConfig::default()),
//!             fc: Linear::new(vs / "fc", 4 * 13 * 13, 10),
//!         }
//!     }
//! }
//!
//! impl Module for Net {
//!     fn forward(&self, x: Value) -> Value {
//!         let x = max_pool2d(relu(self.conv.forward(x)), 2);
//!         self.fc.forward(flatten(x, 1))
//!     }
//! }
//!
//! // The data set: dataset::source::find and load read Fashion-MNIST.
//! let pixels: Vec<u8> = (0..6u8).flat_map(|label| [40 * label; 784]).collect();
//! let train = Split::new(pixels, (0..6).collect());
//!
//! tch::manual_seed(0);
//! let model = Model::new("Net", &[1, 28, 28], tch::Kind::Float, Net::new)?;
//! let loader = DataLoader::new(&train, 4).shuffle(true);
//! let mut optimizer = Adam::new(model.parameters(), 1e-2);
//! let mut losses = Vec::new();
//! for _epoch in 0..3 {
//!     let mut total = 0.0;
//!     for (xs, ys) in loader.iter() {
//!         optimizer.zero_grad();
//!         let loss = cross_entropy(&model.forward(&xs, true), &ys);
//!         loss.backward();
//!         optimizer.step();
//!         total += loss.double_value(&[]) * ys.numel() as f64;
//!     }
//!     losses.push(total / train.len() as f64);
//! }
//! assert!(losses[2] < losses[0], "{losses:?}");
//!
//! // torch.save(model.state_dict(), "net.pt")
//! let bytes = state_dict::write(&model.state_dict())?;
//! # assert_eq!(stitch::tensor_files::read_weights(&bytes)?.len(), 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`train::Trainer`] and [`train::fit`] run the same loop with the kernels of [`engine::Exact`]; the results are
//! bit-identical.
//!
//! # libtorch at run time
//!
//! A program that depends on this crate finds libtorch without `LD_LIBRARY_PATH` if its `build.rs` has this line:
//!
//! ```no_run
//! println!("cargo::rustc-link-arg=-Wl,-rpath,{}", std::env::var("DEP_STITCH_LIBTORCH_LIB").unwrap());
//! ```

// Without libtorch the crate is empty; `src/front.rs` is the part that needs none.
#![cfg(feature = "libtorch")]

pub use stitch_run::{closest, metrics, sha256};
pub use {
    fashion_mnist, stitch_parity, stitch_run, stitch_trace, tensor_files, torchscript_forward,
};

/// The version of libtorch that the crate was built with, from libtorch's own header.
pub const LIBTORCH: &str = env!("STITCH_LIBTORCH_VERSION");

pub mod dataset;
pub mod engine;
pub mod evaluate;
pub mod export;
pub mod formats;
pub mod libtorch;
pub mod memory;
pub mod models;
pub mod nn;
pub mod optim;
pub mod parity;
pub mod report;
pub mod rng;
pub mod run;
pub mod run_folder;
pub mod study;
pub mod train;
