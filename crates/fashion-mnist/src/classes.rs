//! The names of the ten classes.

use super::CLASSES;

/// Class names of Fashion-MNIST as its authors list them; the index is the label.
pub const NAMES: [&str; CLASSES] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];
