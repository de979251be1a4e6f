//! The names of the ten classes, in label order, as the data set's authors list them.

use super::CLASSES;

/// Class names of Fashion-MNIST; the index is the label.
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
