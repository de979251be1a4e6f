//! Sets the number of threads within the limits of OpenMP's variables.

use std::env;

use anyhow::{Result, ensure};

/// Variables by which OpenMP gives an operation fewer threads than requested. oneDNN then waits forever for the
/// missing ones, and sums depend on the number of threads.
const LIMIT: &str = "OMP_THREAD_LIMIT";
const LEVELS: &str = "OMP_MAX_ACTIVE_LEVELS";
const DYNAMIC: &str = "OMP_DYNAMIC";

/// Sets libtorch's number of threads; by default libtorch's own choice, or fewer if OpenMP allows only fewer.
///
/// # Errors
/// When OpenMP allows fewer threads than `asked`, or may use fewer.
pub fn set(asked: Option<u32>) -> Result<()> {
    let value = |name: &str| env::var(name).map(|value| value.trim().to_lowercase());
    let limit = value(LIMIT).ok().and_then(|value| value.parse().ok()).filter(|&n: &u32| n > 0);
    let limit = limit.map(|n| (LIMIT, n));
    // No parallel region at all.
    let levels = value(LEVELS).is_ok_and(|value| value == "0").then_some((LEVELS, 1));
    let limit = levels.or(limit);
    let own = u32::try_from(tch::get_num_threads()).unwrap_or(1);
    let threads = asked.unwrap_or_else(|| limit.map_or(own, |(_, most)| own.min(most)));
    if let Some((name, most)) = limit {
        ensure!(
            threads <= most,
            "{threads} threads exceed {name}, which allows {most}. Unset {name}, or give --threads {most}"
        );
    }
    let is_dynamic =
        value(DYNAMIC).is_ok_and(|value| ["true", "1", "yes"].contains(&value.as_str()));
    ensure!(
        threads == 1 || !is_dynamic,
        "{DYNAMIC}: OpenMP may use fewer than {threads} threads, and results depend on their number. Unset it, or give \
         --threads 1"
    );
    tch::set_num_threads(i32::try_from(threads)?);
    Ok(())
}
