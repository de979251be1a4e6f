//! Changes of a tensor's layout and dtype: permute, concatenate, slice, convert. Elements are row-major, little-endian.

use std::io;

use tensor_files::{Dtype, Overflow, convert, permute};

/// One change of the elements of one tensor, or of several that become one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Output dimension `i` is input dimension `axes[i]`, as in `torch.permute`.
    Permute(Vec<usize>),
    /// The tensors one after the other along a dimension, as in `torch.cat`.
    Concatenate(usize),
    /// `length` indices of a dimension from `start`, as in `torch.narrow`.
    Slice { dim: usize, start: usize, length: usize },
    /// To another dtype, as in `Tensor.to`.
    Convert(Dtype),
}

/// The elements of a tensor, its dtype and its shape.
pub(crate) struct Elements<'a> {
    pub bytes: Vec<u8>,
    pub dtype: Dtype,
    pub shape: &'a [usize],
}

/// Applies a step; every step but [`Step::Concatenate`] takes one tensor.
///
/// # Errors
/// When the bytes do not fit the shape, or a value does not fit an integer type.
pub(crate) fn apply(step: &Step, parts: &[Elements]) -> io::Result<Vec<u8>> {
    for Elements { bytes, dtype, shape } in parts {
        if byte_count(shape, *dtype) != Some(bytes.len()) {
            let text = format!("{} bytes do not fit {dtype} {shape:?}", bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
    }
    let [Elements { bytes, dtype, shape }, ..] = parts else { return Ok(Vec::new()) };
    if parts.iter().all(|part| part.bytes.is_empty()) {
        return Ok(Vec::new());
    }
    match step {
        Step::Permute(axes) => Ok(permute(bytes, shape, axes, dtype.size())),
        &Step::Concatenate(dim) => Ok(concatenate(parts, dim)),
        &Step::Slice { dim, start, length } => {
            let inner = shape[dim + 1..].iter().product::<usize>() * dtype.size();
            let rows = bytes.chunks_exact((shape[dim] * inner).max(1));
            Ok(rows
                .flat_map(|row| &row[start * inner..(start + length) * inner])
                .copied()
                .collect())
        }
        &Step::Convert(to) => convert(bytes, *dtype, to, Overflow::Infinity)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

/// Bytes of the elements of a tensor; `None` if they do not fit a `usize`.
pub(crate) fn byte_count(shape: &[usize], dtype: Dtype) -> Option<usize> {
    shape.iter().try_fold(dtype.size(), |bytes, &n| bytes.checked_mul(n))
}

/// Number of elements of a shape; `None` if it does not fit a `usize`.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n))
}

fn concatenate(parts: &[Elements], dim: usize) -> Vec<u8> {
    let outer: usize = parts[0].shape[..dim].iter().product();
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.bytes.len()).sum());
    for i in 0..outer {
        for part in parts {
            let row = part.bytes.len() / outer;
            out.extend_from_slice(&part.bytes[i * row..(i + 1) * row]);
        }
    }
    out
}

/// Whether elements of `from` can be converted to `to`: numbers to floating-point types, integers to integers.
pub(crate) fn converts(from: Dtype, to: Dtype) -> bool {
    tensor_files::converts(from, to) && (to.is_float() || from.is_integer() || from == to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn one(step: Step, values: &[f32], shape: &[usize]) -> Vec<u8> {
        apply(&step, &[Elements { bytes: floats(values), dtype: Dtype::F32, shape }]).unwrap()
    }

    #[test]
    fn permuted_elements_are_at_the_permuted_index() {
        let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
        assert_eq!(
            one(Step::Permute(vec![1, 0]), &values[..6], &[2, 3]),
            floats(&[0., 3., 1., 4., 2., 5.])
        );
        let permuted = one(Step::Permute(vec![2, 0, 1]), &values, &[2, 3, 4]);
        let at = |i: usize, j: usize, k: usize| values[(j * 3 + k) * 4 + i];
        let indices = (0..24).map(|n| (n / 6, n / 3 % 2, n % 3));
        let expected: Vec<f32> = indices.map(|(i, j, k)| at(i, j, k)).collect();
        assert_eq!(permuted, floats(&expected));
        assert_eq!(one(Step::Permute(vec![]), &[7.0], &[]), floats(&[7.0]));
        assert!(one(Step::Permute(vec![1, 0]), &[], &[0, 3]).is_empty());
    }

    #[test]
    fn slices_along_a_dimension_concatenate_to_the_whole() {
        let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
        for (dim, length) in [(0, 1), (1, 1), (2, 2)] {
            let mut shape = [2, 3, 4];
            let parts: Vec<Vec<u8>> = (0..shape[dim] / length)
                .map(|i| one(Step::Slice { dim, start: i * length, length }, &values, &shape))
                .collect();
            shape[dim] = length;
            let parts: Vec<Elements> = parts
                .into_iter()
                .map(|bytes| Elements { bytes, dtype: Dtype::F32, shape: &shape })
                .collect();
            assert_eq!(apply(&Step::Concatenate(dim), &parts).unwrap(), floats(&values));
        }
    }

    #[test]
    fn bytes_that_do_not_fit_the_shape_are_an_error() {
        let part = Elements { bytes: vec![0; 8], dtype: Dtype::F32, shape: &[3] };
        assert!(apply(&Step::Permute(vec![0]), &[part]).is_err());
    }

    #[test]
    fn only_conversions_that_keep_the_kind_of_number_are_accepted() {
        assert!(converts(Dtype::Bool, Dtype::I64) && converts(Dtype::I64, Dtype::F16));
        assert!(!converts(Dtype::F32, Dtype::I32) && !converts(Dtype::C64, Dtype::F32));
    }
}
