//! Shapes of the activations of a block of images.

/// The shape (channels, height, width) of an activation of one block. In memory, each row has `margin` columns of zeros
/// on both sides, and each element is a vector with one image per lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planes {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub margin: usize,
}

impl Planes {
    /// The number of vectors of a row.
    pub fn stride(self) -> usize {
        self.width + 2 * self.margin
    }

    /// The number of vectors of a channel.
    pub fn plane(self) -> usize {
        self.height * self.stride()
    }

    /// The number of vectors of all channels.
    pub fn len(self) -> usize {
        self.channels * self.plane()
    }

    /// The same shape with another margin.
    pub fn with_margin(self, margin: usize) -> Self {
        Self { margin, ..self }
    }
}
