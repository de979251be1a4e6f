//! Fashion-MNIST (re-exported from the crate [`fashion_mnist`]), and `DataLoader`.

#[cfg(feature = "libtorch")]
pub mod loader;
#[cfg(feature = "libtorch")]
pub mod transforms;

pub use fashion_mnist::*;
