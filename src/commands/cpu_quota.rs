//! The CPU time that the control group of this process may use.

use std::fs;
use std::path::Path;

/// The quota of the control group, in CPUs (`cpu.max` of cgroup v2); `None` without one.
pub fn of_process() -> Option<f64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let path = Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/'));
    // A parent's quota applies, too.
    let quotas = path.ancestors().take_while(|path| path.starts_with("/sys/fs/cgroup"));
    let quotas = quotas.filter_map(|path| cpus(&fs::read_to_string(path.join("cpu.max")).ok()?));
    quotas.min_by(f64::total_cmp)
}

/// The CPUs that `cpu.max` allows: quota divided by period; `None` for `max`.
fn cpus(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_number_of_cpus() {
        assert_eq!(cpus("150000 100000\n"), Some(1.5));
        assert_eq!(cpus("max 100000\n"), None);
        assert_eq!(cpus(""), None);
    }
}
