//! Changes of a tensor's layout and dtype: permute, concatenate, slice, convert. Elements are row-major, little-endian.

use std::io;

use tensor_files::Dtype;

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
        &Step::Convert(to) => convert(bytes, *dtype, to),
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

/// `bytes` is not empty, so no dimension is 0.
fn permute(bytes: &[u8], shape: &[usize], axes: &[usize], size: usize) -> Vec<u8> {
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
    from == to || from.is_integer() || (from.is_float() && to.is_float())
}

fn convert(bytes: &[u8], from: Dtype, to: Dtype) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() / from.size() * to.size());
    for (i, element) in bytes.chunks_exact(from.size()).enumerate() {
        let mut all = [0; 8];
        all[..element.len()].copy_from_slice(element);
        let bits = u64::from_le_bytes(all);
        let converted = match to.is_integer() {
            true => integer(integer_value(from, bits), to),
            false => Some(float(from, bits, to)),
        };
        let Some(converted) = converted else {
            let value = integer_value(from, bits);
            let text = format!("element {i} is {value}, which does not fit {to}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        };
        out.extend_from_slice(&converted.to_le_bytes()[..to.size()]);
    }
    Ok(out)
}

fn integer_value(dtype: Dtype, bits: u64) -> i128 {
    match dtype {
        Dtype::U64 => bits.into(),
        Dtype::I64 => (bits as i64).into(),
        // Exact: at most 32 bits.
        _ => dtype.number(bits) as i128,
    }
}

/// The bits of a value in an integer type; `None` if it does not fit.
fn integer(value: i128, to: Dtype) -> Option<u64> {
    let bits = 8 * to.size() as u32;
    let (least, greatest) = match to {
        Dtype::Bool => (0, 1),
        Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => {
            (-(1i128 << (bits - 1)), (1 << (bits - 1)) - 1)
        }
        _ => (0, (1i128 << bits) - 1),
    };
    (least..=greatest).contains(&value).then_some(value as u64)
}

/// The bits of a value in a floating-point type, rounded to nearest, ties to even. 16-bit types are rounded from
/// float32, as PyTorch does.
fn float(from: Dtype, bits: u64, to: Dtype) -> u64 {
    let single = match from {
        Dtype::I64 => bits as i64 as f32,
        Dtype::U64 => bits as f32,
        _ => from.number(bits) as f32,
    };
    match to {
        Dtype::F64 => from.number(bits).to_bits(),
        Dtype::F32 => single.to_bits().into(),
        Dtype::BF16 => bfloat16(single).into(),
        _ => float16(single).into(),
    }
}

fn bfloat16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return 0x7fc0;
    }
    // The upper half, rounded by the lower: a carry into the exponent is right, up to infinity.
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

fn float16(value: f32) -> u16 {
    let sign = ((value.to_bits() >> 16) & 0x8000) as u16;
    let magnitude = f64::from(value.abs());
    if value.is_nan() {
        return sign | 0x7e00;
    }
    // 65520 lies halfway between the largest number, 65504, and the next power of two.
    if magnitude >= 65520.0 {
        return sign | 0x7c00;
    }
    // The distance of two neighbors; below 2^-14 it does not shrink any more.
    let exponent = (((magnitude.to_bits() >> 52) as i32) - 1023).max(-14);
    let steps = (magnitude * 2f64.powi(10 - exponent)).round_ties_even() as u16;
    // A normal number has 1024 to 2047 steps; 1024 of them are its exponent's implicit bit.
    sign | ((((exponent + 14) as u16) << 10) + steps)
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
    fn every_16_bit_float_is_converted_to_itself_and_ties_go_to_even() {
        for bits in 0..=u16::MAX {
            for dtype in [Dtype::F16, Dtype::BF16] {
                let value = dtype.number(bits.into());
                if !value.is_nan() {
                    assert_eq!(
                        float(Dtype::F64, value.to_bits(), dtype),
                        u64::from(bits),
                        "{bits:#x}"
                    );
                }
            }
        }
        for (value, half) in [
            (2049.0, 0x6800),
            (2051.0, 0x6802),
            (65519.0, 0x7bff),
            (65520.0, 0x7c00),
            (2f32.powi(-25), 0x0000),
            (1.5 * 2f32.powi(-24), 0x0002),
            (-2f32.powi(-14) + 2f32.powi(-26), 0x8400),
        ] {
            assert_eq!(float16(value), half, "{value}");
        }
        assert_eq!(bfloat16(1.0 + 2f32.powi(-8)), 0x3f80);
        assert_eq!(bfloat16(1.0 + 3.0 * 2f32.powi(-8)), 0x3f82);
        assert_eq!(bfloat16(f32::MAX), 0x7f80);
        assert!(Dtype::F16.number(float16(f32::NAN).into()).is_nan());
    }

    #[test]
    fn integers_are_converted_if_they_fit() {
        let bytes = (-1i64).to_le_bytes();
        assert_eq!(convert(&bytes, Dtype::I64, Dtype::I8).unwrap(), [255]);
        assert_eq!(convert(&bytes, Dtype::I64, Dtype::F32).unwrap(), (-1f32).to_le_bytes());
        let error = convert(&bytes, Dtype::I64, Dtype::U8).unwrap_err();
        assert_eq!(error.to_string(), "element 0 is -1, which does not fit uint8");
        assert_eq!(
            convert(&2f64.to_le_bytes(), Dtype::F64, Dtype::F32).unwrap(),
            2f32.to_le_bytes()
        );
        assert!(converts(Dtype::Bool, Dtype::I64) && !converts(Dtype::F32, Dtype::I32));
        assert!(!converts(Dtype::C64, Dtype::F32));
    }
}
