//! Runs work on libtorch's thread pool, so that no second pool competes with it for the cores.

use std::cell::Cell;
use std::ffi::c_void;
use std::ops::Range;
use std::slice;

unsafe extern "C" {
    /// In `parallel.cpp`.
    fn stitch_parallel_for(
        count: i64,
        grain: i64,
        work: unsafe extern "C" fn(*mut c_void, i64, i64),
        context: *mut c_void,
    );

    /// In `parallel.cpp`.
    fn stitch_wait_in_threads(
        threads: i32,
        wait: unsafe extern "C" fn(*mut c_void),
        context: *mut c_void,
    );

    /// In `parallel.cpp`.
    fn stitch_set_threads_of_caller(threads: i32) -> i32;
}

thread_local! {
    /// Whether this thread runs all parts of its calls of [`parallel_for`].
    static IN_TURN: Cell<bool> = const { Cell::new(false) };
}

/// Sets whether this thread runs all parts of its calls of [`parallel_for`] itself, one after the other. The parts, and so the
/// results, stay the same.
pub fn run_in_turn(in_turn: bool) {
    IN_TURN.set(in_turn);
}

/// Whether this thread runs all parts of its calls of [`parallel_for`], see [`run_in_turn`].
pub fn is_in_turn() -> bool {
    IN_TURN.get()
}

/// Calls `work`, during which libtorch (OpenMP and MKL) uses only the calling thread. Other threads are not affected.
pub fn on_one_thread<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(i32);

    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: it changes only the calling thread's settings.
            unsafe { stitch_set_threads_of_caller(self.0) };
        }
    }

    // SAFETY: as above.
    let _restore = Restore(unsafe { stitch_set_threads_of_caller(1) });
    work()
}

/// Calls `wait` with `context` in so many OpenMP threads that, with `threads` others, they are more than the CPUs. Returns when
/// all have returned.
///
/// SAFETY: `wait` may be called with `context` in several threads at once, until this returns.
pub(super) unsafe fn wait_in_threads(
    threads: i32,
    wait: unsafe extern "C" fn(*mut c_void),
    context: *mut c_void,
) {
    // SAFETY: as the caller promises.
    unsafe { stitch_wait_in_threads(threads, wait, context) }
}

/// Splits the slices into parts and calls `work` with each part, on libtorch's threads.
///
/// Each slice holds `count` items; an item is one or more elements, the same number for every item of
/// a slice. A part is a range of consecutive items, the same in every slice, of at least `grain` items if there are that
/// many. The result of an item must not depend on the part that contains it, so that results do not depend on the number
/// of threads.
///
/// # Panics
/// If the length of a slice is not a multiple of `count`.
pub fn in_parts<T: Send, U: Sync, const M: usize, const N: usize>(
    (count, grain): (usize, usize),
    written: [&mut [T]; M],
    read: [&[U]; N],
    work: impl Fn([&mut [T]; M], [&[U]; N]) + Sync,
) {
    let lengths =
        written.iter().map(|slice| slice.len()).chain(read.iter().map(|slice| slice.len()));
    lengths.for_each(|length| {
        assert!(
            length.is_multiple_of(count.max(1)),
            "a slice of {length} elements cannot be divided into {count} items of equal length"
        )
    });
    if count == 0 {
        return;
    }
    let written = written.map(|slice| (WritePointer(slice.as_mut_ptr()), slice.len() / count));
    let part = |start: usize, end: usize| {
        let written = written.each_ref().map(|&(WritePointer(pointer), unit)| {
            // SAFETY: the range is within the slice, since `end` is at most `count`. libtorch passes each item to only
            // one thread, and the slices are borrowed until all threads are done.
            unsafe { slice::from_raw_parts_mut(pointer.add(start * unit), (end - start) * unit) }
        });
        let read = read.map(|slice| {
            let unit = slice.len() / count;
            &slice[start * unit..end * unit]
        });
        work(written, read);
    };
    parallel_for(count, grain, &part);
}

/// The start of a slice whose parts several threads write.
#[derive(Clone, Copy)]
struct WritePointer<T>(*mut T);

// SAFETY: each thread writes a different part.
unsafe impl<T: Send> Sync for WritePointer<T> {}

/// The ranges into which `at::parallel_for` divides `0..count`.
pub fn ranges(count: usize, grain: usize, threads: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = count.div_ceil(grain.max(1)).clamp(1, threads.max(1));
    let size = count.div_ceil(parts).max(1);
    (0..count).step_by(size).map(move |start| start..count.min(start + size))
}

/// `at::parallel_for`: calls `part` with disjoint ranges that cover `0..count`, each of at least `grain` items if there are that
/// many, in parallel, or in turn after [`run_in_turn`]. A `grain` of 0 counts as 1. A panic in `part` aborts the process.
pub fn parallel_for<F: Fn(usize, usize) + Sync>(count: usize, grain: usize, part: &F) {
    unsafe extern "C" fn call<F: Fn(usize, usize)>(context: *mut c_void, start: i64, end: i64) {
        // SAFETY: `parallel_for` passes a reference to an F, which outlives the call.
        let part = unsafe { &*context.cast_const().cast::<F>() };
        part(start as usize, end as usize);
    }
    let context: *mut c_void = std::ptr::from_ref(part).cast_mut().cast();
    if IN_TURN.get() {
        for range in ranges(count, grain, tch::get_num_threads() as usize) {
            // SAFETY: `context` is a reference to an F.
            unsafe { call::<F>(context, range.start as i64, range.end as i64) };
        }
        return;
    }
    // SAFETY: `part` is Sync and lives until the call returns, after all threads are done.
    // A panic in `part` aborts the process: it cannot unwind out of `call`.
    unsafe { stitch_parallel_for(count as i64, grain.max(1) as i64, call::<F>, context) };
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn parts_are_the_same_in_turn() {
        let parts = |count, grain| {
            let parts = Mutex::new(Vec::new());
            parallel_for(count, grain, &|start, end| parts.lock().unwrap().push(start..end));
            let mut parts = parts.into_inner().unwrap();
            parts.sort_by_key(|part| part.start);
            parts
        };
        for threads in [1, 2, 3] {
            let _threads = crate::libtorch::threads::of_test(threads);
            for count in [0, 1, 2, 3, 7, 64, 10_001] {
                for grain in [0, 1, 2, 3, 32, 64, 10_000] {
                    let expected = parts(count, grain);
                    run_in_turn(true);
                    let actual = parts(count, grain);
                    run_in_turn(false);
                    let case = format!("{count} items, at least {grain}, {threads} threads");
                    assert_eq!(actual, expected, "{case}");
                    assert!(threads == 1 || count < 64 || grain > 2 || actual.len() > 1, "{case}");
                }
            }
        }
    }

    unsafe extern "C" {
        /// In `parallel.cpp`.
        safe fn stitch_mkl_threads() -> i32;
    }

    #[test]
    fn one_thread_is_used_until_the_work_ends() {
        let _threads = crate::libtorch::threads::of_test(2);
        let threads = || {
            let parts = Mutex::new(0);
            parallel_for(100, 1, &|_, _| *parts.lock().unwrap() += 1);
            [parts.into_inner().unwrap(), tch::get_num_threads(), stitch_mkl_threads()]
        };
        // libtorch of PyTorch's wheels has MKL.
        assert_eq!(threads(), [2, 2, 2]);
        assert_eq!(on_one_thread(threads), [1, 1, 1]);
        assert_eq!(threads(), [2, 2, 2]);
        let panics = || on_one_thread(|| panic!("expected by the test"));
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(threads(), [2, 2, 2]);
        let of_others = on_one_thread(|| std::thread::spawn(tch::get_num_threads).join().unwrap());
        assert_eq!(of_others, 2);
        // The first operation of a thread.
        let first = || {
            on_one_thread(|| {
                let _ = tch::Tensor::zeros(1 << 20, tch::kind::FLOAT_CPU).sqrt();
                tch::get_num_threads()
            })
        };
        assert_eq!(std::thread::spawn(first).join().unwrap(), 1);
    }

    #[test]
    fn every_item_is_processed_once() {
        for count in [0, 1, 2, 7, 64, 10_001] {
            let mut doubled = vec![0u64; 2 * count];
            let numbers: Vec<u32> = (0..count as u32).collect();
            in_parts((count, 3), [&mut doubled], [&numbers], |[doubled], [numbers]| {
                for (pair, &number) in doubled.chunks_exact_mut(2).zip(numbers) {
                    pair.iter_mut().for_each(|x| *x += u64::from(number) + 1);
                }
            });
            let expected: Vec<u64> = (1..=count as u64).flat_map(|n| [n, n]).collect();
            assert_eq!(doubled, expected);
        }
    }
}
