//! Fashion-MNIST (the crate [`fashion_mnist`]) and `DataLoader`'s order and batches.

pub mod loader;

pub use fashion_mnist::*;
