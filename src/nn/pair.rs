//! Arguments that may be a number or a pair, such as `kernel_size`.

/// A number that applies to rows and columns, or a pair (rows, columns).
///
/// ```
/// use stitch::nn::IntoPair;
///
/// assert_eq!(5.into_pair(), [5, 5]);
/// assert_eq!([5, 3].into_pair(), [5, 3]);
/// ```
pub trait IntoPair {
    /// Converts to (rows, columns).
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
