//! Runs libtorch's operations on one thread if that gives the same bits as all threads.
//!
//! On a busy machine, the calling thread runs all parts of this crate's loops, because waiting for another thread takes longer
//! (`libtorch::waiting`). libtorch's order of summation may depend on the number of threads, so its operations run on one thread
//! only if a probe has found the same bits.

use tch::{Device, Kind, Tensor};

use super::cache::Cache;
use super::noise::{noise, same_bits};
use crate::libtorch::{ALIGNMENT, is_in_turn, on_one_thread};

/// Factors of the noise. Several, because two orders of summation often give the same bits for a single number. None is a power of
/// 2: in float64, many sums of products of float32 numbers are exact in any order.
const FACTORS: [f64; 8] =
    [1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 11.0, 1.0 / 13.0, 1.0 / 17.0, 1.0 / 19.0, 1.0 / 23.0];

/// Finds out which variants of an operation have the same bits on one thread, once per combination of the inputs' element types and
/// shapes and the number of threads.
#[derive(Debug)]
pub struct Probe<V>(Cache<Key, Option<V>>);

type Key = (Vec<(Kind, Vec<i64>)>, i32);

impl<V: Copy> Probe<V> {
    /// A probe that has not compared anything yet.
    pub const fn new() -> Self {
        Self(Cache::new())
    }

    /// Returns the first of `variants` whose results on one thread have the bits of `default` on all threads. `None` if none has
    /// them, if an input is not contiguous, not on the CPU or not aligned like a new tensor, or if this thread does not run loops in
    /// turn ([`crate::libtorch::is_in_turn`]).
    ///
    /// The results are compared for non-negative noise, whose square roots are not NaN. Integer inputs are used unchanged: the order
    /// of summation must not depend on their values.
    pub fn find<const N: usize>(
        &self,
        inputs: [&Tensor; N],
        (default, variants): (V, &[V]),
        compute: impl Fn([&Tensor; N], V) -> Vec<Tensor>,
    ) -> Option<V> {
        let is_supported = |it: &&Tensor| {
            it.device() == Device::Cpu
                && it.is_contiguous()
                && it.data_ptr().addr().is_multiple_of(ALIGNMENT)
        };
        if !is_in_turn() || !inputs.iter().all(is_supported) {
            return None;
        }
        let types = inputs.map(|input| (input.kind(), input.size())).into();
        self.0.get((types, tch::get_num_threads()), || {
            variants.iter().copied().find(|&variant| {
                FACTORS.iter().all(|&factor| {
                    let inputs = inputs.map(|input| like(input, factor));
                    let expected = compute(inputs.each_ref(), default);
                    let actual = on_one_thread(|| compute(inputs.each_ref(), variant));
                    let mut pairs = expected.iter().zip(&actual);
                    pairs.all(|(expected, actual)| same_bits(expected, actual))
                })
            })
        })
    }
}

impl Probe<()> {
    /// Calls `compute`, on one thread if [`Probe::find`] has found the same bits.
    pub fn compute<const N: usize, const M: usize>(
        &self,
        inputs: [&Tensor; N],
        compute: impl Fn([&Tensor; N]) -> [Tensor; M],
    ) -> [Tensor; M] {
        let found = self.find(inputs, ((), &[()]), |inputs, ()| compute(inputs).into());
        run(found, (), |()| compute(inputs))
    }
}

/// Calls `compute` with the variant that [`Probe::find`] has found, on one thread; otherwise with `default`, on all threads.
pub fn run<V, T>(found: Option<V>, default: V, compute: impl FnOnce(V) -> T) -> T {
    match found {
        Some(variant) => on_one_thread(|| compute(variant)),
        None => compute(default),
    }
}

/// Non-negative noise of this shape and element type; integers are kept.
fn like(input: &Tensor, factor: f64) -> Tensor {
    if input.is_floating_point() {
        noise(&input.size()).to_kind(input.kind()).abs() * factor
    } else {
        input.shallow_clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtorch::{run_in_turn, threads};

    #[test]
    fn a_variant_is_used_if_it_has_the_bits_of_all_threads() {
        let _threads = threads::of_test(2);
        let xs = noise(&[4]);
        let depends_on_threads = |[xs]: [&Tensor; 1], variant: i32| {
            vec![xs * f64::from(tch::get_num_threads() * variant)]
        };
        let same = |[xs]: [&Tensor; 1], _: i32| vec![xs.shallow_clone()];
        assert_eq!(Probe::new().find([&xs], (1, &[1, 2]), same), None, "loops run in parallel");
        run_in_turn(true);
        let found = [
            Probe::new().find([&xs], (1, &[1, 2]), same),
            Probe::new().find([&xs], (1, &[1, 2]), depends_on_threads),
            Probe::new().find([&xs], (1, &[1, 3]), depends_on_threads),
            Probe::new().find([&xs.as_strided([2], [2], 0)], (1, &[1]), same),
            Probe::new().find([&xs.narrow(0, 1, 3)], (1, &[1]), same),
        ];
        run_in_turn(false);
        assert_eq!(found, [Some(1), Some(2), None, None, None]);
    }

    #[test]
    fn another_order_of_summation_is_noticed() {
        let _threads = threads::of_test(2);
        for kind in [Kind::Float, Kind::Double] {
            for n in [16, 784] {
                let xs = noise(&[3, n]).to_kind(kind);
                // The sum of all, or of two halves.
                let sum = |[xs]: [&Tensor; 1], parts: i64| {
                    let sum_of =
                        |xs: &Tensor| xs.matmul(&xs.new_ones([n / parts], (kind, Device::Cpu)));
                    vec![xs.split(n / parts, 1).iter().map(sum_of).reduce(|a, b| a + b).unwrap()]
                };
                run_in_turn(true);
                let found = Probe::new().find([&xs], (1, &[2]), sum);
                run_in_turn(false);
                assert_eq!(found, None, "{n} numbers, {kind:?}");
            }
        }
    }
}
