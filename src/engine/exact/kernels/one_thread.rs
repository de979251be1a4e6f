//! Operations of libtorch on one thread, where it gives the bits of all threads.
//!
//! Next to a busy process, this thread runs all parts of the loops of this crate itself (`libtorch::waiting`), since waiting for
//! another thread takes longer. libtorch sums in an order that may depend on the number of threads, so that its operations run on one
//! thread only if that was found to give the same bits.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tch::{Device, Tensor};

use super::noise::{noise, same_bits};
use crate::libtorch::{on_one_thread, runs_in_turn};

/// The variants of an operation that have libtorch's bits on one thread, by the shapes of its inputs and the number of threads.
#[derive(Debug)]
pub struct OneThread<V>(Mutex<BTreeMap<Key, Option<V>>>);

type Key = (Vec<Vec<i64>>, i32);

impl<V: Copy> OneThread<V> {
    /// Nothing is known yet.
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// If this thread runs its loops in turn, on the CPU: the first of `variants` that computes, on one thread, the bits of the first variant
    /// on all threads; `None` if none does. Found by computing with noise of the shapes of `inputs`, once per shapes and number of
    /// threads; only floating-point inputs are replaced.
    pub fn find<const N: usize>(
        &self,
        inputs: [&Tensor; N],
        variants: &[V],
        compute: impl Fn([&Tensor; N], V) -> Vec<Tensor>,
    ) -> Option<V> {
        if !runs_in_turn() || inputs.iter().any(|input| input.device() != Device::Cpu) {
            return None;
        }
        // A panic in `compute` does not change the map, so a poisoned lock is harmless.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (inputs.map(Tensor::size).into(), tch::get_num_threads());
        *known.entry(key).or_insert_with(|| {
            let noise = inputs.map(|input| {
                let noise = || noise(&input.size()).to_kind(input.kind());
                if input.is_floating_point() { noise() } else { input.shallow_clone() }
            });
            let inputs = noise.each_ref();
            let expected = compute(inputs, *variants.first()?);
            variants.iter().copied().find(|&variant| {
                let actual = on_one_thread(|| compute(inputs, variant));
                expected.iter().zip(&actual).all(|(expected, actual)| same_bits(expected, actual))
            })
        })
    }
}

/// Calls `compute` with the variant that [`OneThread::find`] has found, on one thread, or else with `other`, on all.
pub fn run<V, T>(found: Option<V>, other: V, compute: impl FnOnce(V) -> T) -> T {
    match found {
        Some(variant) => on_one_thread(|| compute(variant)),
        None => compute(other),
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
        let first = |[xs]: [&Tensor; 1], _: i32| vec![xs.shallow_clone()];
        assert_eq!(OneThread::new().find([&xs], &[1, 2], first), None, "loops run in parallel");
        run_in_turn(true);
        let found = [
            OneThread::new().find([&xs], &[1, 2], first),
            OneThread::new().find([&xs], &[1, 2], depends_on_threads),
            OneThread::new().find([&xs], &[1, 3], depends_on_threads),
        ];
        run_in_turn(false);
        assert_eq!(found, [Some(1), Some(2), None]);
    }
}
