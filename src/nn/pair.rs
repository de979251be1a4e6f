//! An argument that PyTorch takes as a number or as a pair, such as `kernel_size`.

/// A number for rows and columns alike, or one for each.
///
/// ```
/// use stitch::nn::IntoPair;
///
/// assert_eq!(5.into_pair(), [5, 5]);
/// assert_eq!([5, 3].into_pair(), [5, 3]);
/// ```
pub trait IntoPair {
    /// Rows, columns.
    fn into_pair(self) -> [i64; 2];
}

impl IntoPair for i64 {
    fn into_pair(self) -> [i64; 2] {
        [self, self]
    }
}

impl IntoPair for [i64; 2] {
    fn into_pair(self) -> [i64; 2] {
        self
    }
}
