//! The elements of a tensor in another order of its dimensions.

use super::NamedTensor;

/// The elements of a tensor of this `shape`, of `size` bytes each, with its dimensions in another order: output dimension
/// `i` is input dimension `axes[i]`, as in `torch.permute`.
///
/// # Panics
/// If `axes` is not a permutation of the dimensions, or `bytes` has another length than the elements of the shape.
pub fn permute(bytes: &[u8], shape: &[usize], axes: &[usize], size: usize) -> Vec<u8> {
    let length = shape.iter().product::<usize>() * size;
    assert_eq!(bytes.len(), length, "the bytes of the shape {shape:?}");
    if bytes.is_empty() {
        return Vec::new();
    }
    let mut strides = vec![size; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    let mut index = vec![0; axes.len()];
    let (mut from, mut out) = (0, Vec::with_capacity(bytes.len()));
    loop {
        out.extend_from_slice(&bytes[from..from + size]);
        // The next index of the output in row-major order.
        let mut i = axes.len();
        loop {
            if i == 0 {
                return out;
            }
            i -= 1;
            index[i] += 1;
            from += strides[axes[i]];
            if index[i] < shape[axes[i]] {
                break;
            }
            from -= strides[axes[i]] * index[i];
            index[i] = 0;
        }
    }
}

impl NamedTensor {
    /// The tensor with its dimensions in reverse order: the transpose of a matrix, as numpy's `array.T`.
    ///
    /// ```
    /// use tensor_files::{Dtype, NamedTensor};
    ///
    /// let (name, dtype) = ("w".to_owned(), Dtype::U8);
    /// let matrix = NamedTensor { name, dtype, shape: vec![2, 3], data: vec![1, 2, 3, 4, 5, 6] };
    /// let transposed = matrix.transposed();
    /// assert_eq!((&transposed.shape[..], &transposed.data[..]), (&[3, 2][..], &[1, 4, 2, 5, 3, 6][..]));
    /// ```
    ///
    /// # Panics
    /// If the data do not have the length of its shape and type.
    pub fn transposed(&self) -> Self {
        let axes: Vec<usize> = (0..self.shape.len()).rev().collect();
        let data = permute(&self.data, &self.shape, &axes, self.dtype.size());
        let shape = self.shape.iter().rev().copied().collect();
        Self { name: self.name.clone(), dtype: self.dtype, shape, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;

    #[test]
    fn every_element_of_a_transposed_tensor_is_at_the_reversed_index() {
        let (name, dtype, shape) = ("w".into(), Dtype::I16, vec![2, 3, 4]);
        let data: Vec<u8> = (0..24i16).flat_map(i16::to_le_bytes).collect();
        let tensor = NamedTensor { name, dtype, shape, data };
        let transposed = tensor.transposed();
        assert_eq!(transposed.shape, [4, 3, 2]);
        let element = |of: &NamedTensor, at: usize| of.data[2 * at..2 * at + 2].to_vec();
        for (i, j, k) in (0..24).map(|n| (n / 12, n / 4 % 3, n % 4)) {
            assert_eq!(
                element(&transposed, (k * 3 + j) * 2 + i),
                element(&tensor, (i * 3 + j) * 4 + k)
            );
        }
        assert_eq!(transposed.transposed(), tensor);
        let vector = NamedTensor { shape: vec![24], ..tensor.clone() };
        assert_eq!(vector.transposed(), vector);
        for (shape, reversed) in [(vec![], vec![]), (vec![0, 3], vec![3, 0])] {
            let data = vec![7; 2 * shape.iter().product::<usize>()];
            let tensor = NamedTensor { shape, data: data.clone(), ..tensor.clone() };
            let transposed = tensor.transposed();
            assert_eq!((transposed.shape, transposed.data), (reversed, data));
        }
    }
}
