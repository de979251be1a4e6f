//! Fashion-MNIST (re-exported from the crate [`fashion_mnist`]), and `DataLoader`.

pub mod loader;
pub mod transforms;

pub use fashion_mnist::*;
