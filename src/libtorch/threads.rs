//! Sets libtorch's number of threads within the limits of OpenMP's environment variables.

use std::{env, thread};

/// Variables that make OpenMP use fewer threads than requested. oneDNN would then wait forever for the missing threads,
/// and sums depend on the number of threads.
const LIMIT: &str = "OMP_THREAD_LIMIT";
const LEVELS: &str = "OMP_MAX_ACTIVE_LEVELS";
const DYNAMIC: &str = "OMP_DYNAMIC";

/// A number of threads that OpenMP's variables do not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThreadsError {
    /// A variable limits the number of threads.
    #[error(
        "{threads} threads exceed {variable}, which allows {limit}. Unset {variable}, or use {limit}"
    )]
    Limit {
        /// Requested number of threads.
        threads: usize,
        /// Name of the environment variable that limits threads.
        variable: &'static str,
        /// Number of threads that it allows.
        limit: usize,
    },
    /// OpenMP chooses the number of threads dynamically.
    #[error(
        "with {DYNAMIC}, OpenMP may use fewer than {0} threads, and results depend on their number. Unset it, or use 1 thread"
    )]
    Dynamic(usize),
}

/// libtorch's default, at most the CPUs that affinity and the quota of the control group leave to this process: threads beyond
/// them would wait for each other. libtorch respects the affinity alone.
fn default_threads() -> usize {
    let default = usize::try_from(tch::get_num_threads()).unwrap_or(1);
    let cpus = thread::available_parallelism().map_or(default, usize::from);
    if env::var_os("OMP_NUM_THREADS").is_some() { default } else { default.min(cpus) }
}

/// Sets libtorch's number of threads and returns it. `None` keeps libtorch's default, or lowers it to OpenMP's limit, and to the
/// CPUs of this process unless `OMP_NUM_THREADS` is set.
///
/// # Errors
/// [`ThreadsError`] if OpenMP's limit is lower than `requested`, or OpenMP may use fewer threads.
pub fn set(requested: Option<usize>) -> Result<usize, ThreadsError> {
    let value = |name: &str| env::var(name).map(|value| value.trim().to_lowercase());
    let limit = value(LIMIT).ok().and_then(|value| value.parse().ok()).filter(|&n: &usize| n > 0);
    let limit = limit.map(|n| (LIMIT, n));
    // 0 levels: OpenMP has no parallel regions.
    let levels = value(LEVELS).is_ok_and(|value| value == "0").then_some((LEVELS, 1));
    let limit = levels.or(limit);
    let default = default_threads();
    let threads = requested.unwrap_or_else(|| limit.map_or(default, |(_, n)| default.min(n)));
    if let Some((variable, limit)) = limit.filter(|&(_, limit)| threads > limit) {
        return Err(ThreadsError::Limit { threads, variable, limit });
    }
    let is_dynamic =
        value(DYNAMIC).is_ok_and(|value| ["true", "1", "yes"].contains(&value.as_str()));
    if threads > 1 && is_dynamic {
        return Err(ThreadsError::Dynamic(threads));
    }
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    Ok(threads)
}

/// Sets libtorch's number of threads for a unit test. Bits depend on it, and it belongs to the whole process: other tests that set
/// it wait until the guard is dropped.
#[cfg(test)]
pub(crate) fn of_test(threads: i32) -> std::sync::MutexGuard<'static, ()> {
    static THREADS: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let guard = THREADS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    tch::set_num_threads(threads);
    guard
}
