//! Simple relations between lists of numbers.

/// Greatest relative residual of a relation that holds but for the rounding of float32.
const EXACT: f64 = 1e-4;

/// The Euclidean norm.
pub(crate) fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The element-wise difference `a - b`.
pub(crate) fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// The coefficients of the sum of multiples of `columns` that is closest to `y`, if it is equal to `y` but for rounding; none
/// of the columns may be dispensable.
pub(crate) fn fit<const N: usize>(columns: [&[f64]; N], y: &[f64]) -> Option<[f64; N]> {
    fit_within(EXACT, columns, y)
}

/// The same for a difference `y` of two float32 tensors of the size of `of`, whose rounding weighs more in it.
pub(crate) fn fit_difference<const N: usize>(
    columns: [&[f64]; N],
    y: &[f64],
    of: &[f64],
) -> Option<[f64; N]> {
    let rounding = f64::from(f32::EPSILON) * norm(of) / norm(y);
    fit_within((EXACT + rounding).min(0.05), columns, y)
}

fn fit_within<const N: usize>(residual: f64, columns: [&[f64]; N], y: &[f64]) -> Option<[f64; N]> {
    let scales = columns.map(norm);
    // A trace may have tensors of other sizes under the same name.
    let is_other_size = columns.iter().any(|column| column.len() != y.len());
    if is_other_size || scales.contains(&0.0) || y.len() <= N || !norm(y).is_normal() {
        return None;
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // The normal equations of columns of norm 1, and their right side.
    let mut rows: [([f64; N], f64); N] = std::array::from_fn(|i| {
        let row = |j: usize| dot(columns[i], columns[j]) / scales[i] / scales[j];
        (std::array::from_fn(row), dot(columns[i], y) / scales[i])
    });
    for i in 0..N {
        let best = (i..N).max_by(|&a, &b| rows[a].0[i].abs().total_cmp(&rows[b].0[i].abs()))?;
        rows.swap(i, best);
        if rows[i].0[i].abs() < 1e-9 {
            return None;
        }
        for j in (0..N).filter(|&j| j != i) {
            let factor = rows[j].0[i] / rows[i].0[i];
            let (row, right) = rows[i];
            rows[j].0.iter_mut().zip(row).for_each(|(x, y)| *x -= factor * y);
            rows[j].1 -= factor * right;
        }
    }
    let coefficients: [f64; N] = std::array::from_fn(|i| rows[i].1 / rows[i].0[i] / scales[i]);
    let sum = |k: usize| (0..N).map(|i| coefficients[i] * columns[i][k]).sum::<f64>();
    let rest: Vec<f64> = (0..y.len()).map(|k| y[k] - sum(k)).collect();
    (norm(&rest) <= residual * norm(y)).then_some(coefficients)
}

/// The number that `b` is times `a`, if there is one other than 1.
pub(crate) fn factor(a: &[f64], b: &[f64]) -> Option<f64> {
    let [factor] = fit([a], b)?;
    ((factor - 1.0).abs() > EXACT / 10.0).then_some(factor)
}

/// `[scale, offset]` such that `b = scale * a + offset`, if there are and they are not 1 and 0.
pub(crate) fn affine(a: &[f64], b: &[f64]) -> Option<[f64; 2]> {
    let [scale, offset] = fit([a, &vec![1.0; a.len()]], b)?;
    let moved = offset.abs() * (a.len() as f64).sqrt() > EXACT * norm(b);
    (moved || (scale - 1.0).abs() > EXACT / 10.0).then_some([scale, offset])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_multiples_are_found() {
        let (a, b) = ([1.0, 2.0, -3.0, 0.5], [0.0, 1.0, 1.0, -2.0]);
        let y: Vec<f64> = a.iter().zip(b).map(|(a, b)| 3.0 * a - 0.25 * b).collect();
        let [x, z] = fit([&a, &b], &y).unwrap();
        assert!((x - 3.0).abs() < 1e-12 && (z + 0.25).abs() < 1e-12);
        assert_eq!(fit([&a], &y), None);
        assert_eq!(fit([&a, &a], &y), None);
        assert_eq!(fit([&a[..3]], &y), None);
        assert_eq!(fit([&a], &[f64::NAN; 4]), None);
        assert_eq!(factor(&a, &a), None);
        assert_eq!(factor(&a, &a.map(|x| -x)), Some(-1.0));
        let [scale, offset] = affine(&a, &a.map(|x| 2.0 * x + 5.0)).unwrap();
        assert!((scale - 2.0).abs() < 1e-12 && (offset - 5.0).abs() < 1e-12);
    }
}
