//! Sets the number of threads within the limits of OpenMP's variables.

use std::env;

/// Variables by which OpenMP gives an operation fewer threads than requested. oneDNN then waits forever for the
/// missing ones, and sums depend on the number of threads.
const LIMIT: &str = "OMP_THREAD_LIMIT";
const LEVELS: &str = "OMP_MAX_ACTIVE_LEVELS";
const DYNAMIC: &str = "OMP_DYNAMIC";

/// Threads that OpenMP does not give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThreadsError {
    /// OpenMP allows fewer.
    #[error(
        "{threads} threads exceed {variable}, which allows {most}. Unset {variable}, or use {most}"
    )]
    Limit {
        /// Threads asked for.
        threads: usize,
        /// The environment variable.
        variable: &'static str,
        /// Threads that it allows.
        most: usize,
    },
    /// OpenMP may use fewer.
    #[error(
        "{DYNAMIC}: OpenMP may use fewer than {0} threads, and results depend on their number. Unset it, or use 1"
    )]
    Dynamic(usize),
}

/// Sets libtorch's number of threads, and returns it; `None` is libtorch's own choice, or fewer if OpenMP allows
/// only fewer.
///
/// # Errors
/// When OpenMP allows fewer threads than `asked`, or may use fewer.
pub fn set(asked: Option<usize>) -> Result<usize, ThreadsError> {
    let value = |name: &str| env::var(name).map(|value| value.trim().to_lowercase());
    let limit = value(LIMIT).ok().and_then(|value| value.parse().ok()).filter(|&n: &usize| n > 0);
    let limit = limit.map(|n| (LIMIT, n));
    // No parallel region at all.
    let levels = value(LEVELS).is_ok_and(|value| value == "0").then_some((LEVELS, 1));
    let limit = levels.or(limit);
    let own = usize::try_from(tch::get_num_threads()).unwrap_or(1);
    let threads = asked.unwrap_or_else(|| limit.map_or(own, |(_, most)| own.min(most)));
    if let Some((variable, most)) = limit.filter(|&(_, most)| threads > most) {
        return Err(ThreadsError::Limit { threads, variable, most });
    }
    let is_dynamic =
        value(DYNAMIC).is_ok_and(|value| ["true", "1", "yes"].contains(&value.as_str()));
    if threads > 1 && is_dynamic {
        return Err(ThreadsError::Dynamic(threads));
    }
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    Ok(threads)
}
