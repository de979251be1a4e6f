//! How OpenMP's threads wait for each other.
//!
//! libgomp's threads spin for milliseconds while they wait. On an idle machine nothing is faster. Where other processes need the
//! CPUs, the spinning threads take the time of the one that they wait for, and training takes ten times as long. libgomp spins
//! much shorter while the process has more OpenMP threads than CPUs: [`adapt`] adds threads that sleep as long as the machine is
//! busy. Two threads that wait for each other on two CPUs are then still slower than one, so that the calling thread computes
//! both parts of the loops of this crate. The exact engine also runs linear layers, the loss and Adam's square root on that thread
//! alone if the bits are the same. The results do not depend on any of this.

use std::ffi::c_void;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{env, fs};

use super::parallel::{run_in_turn, wait_in_threads};

/// Time between two looks at the machine.
const INTERVAL: Duration = Duration::from_millis(50);
/// Share of the time that threads which could run wait for a CPU on an idle machine: at most this, and this per thread. Two
/// threads on two CPUs were measured to wait for 0.02 of it; next to a busy process, for 0.6 to 1.3. It is nearer to the latter,
/// since one process that runs for some milliseconds makes no machine busy.
const IDLE: [f64; 2] = [0.3, 0.03];
/// Time that a machine counts as busy after threads had to wait.
const SHORTEST: Duration = Duration::from_millis(300);
/// That time if the threads always have to wait again soon after it.
const LONGEST: Duration = Duration::from_secs(5);

/// The state of [`adapt`].
static STATE: Mutex<Option<State>> = Mutex::new(None);

struct State {
    since: Instant,
    waited: Duration,
    machine: Machine,
    sleepers: Option<Sleepers>,
    /// The CPUs that this process may use.
    cpus: usize,
}

/// Looks whether other processes need the CPUs, at most every 50 ms. Where they do, OpenMP's threads sleep while they wait, and if
/// both of two CPUs are used, the calling thread runs both parts of its loops. Loops of training and evaluation call this. A wait
/// policy in OpenMP's environment variables is not changed.
pub(crate) fn adapt() {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    let state = state.get_or_insert_with(|| State {
        since: Instant::now(),
        waited: waited(),
        machine: Machine::default(),
        sleepers: None,
        cpus: thread::available_parallelism().map_or(1, usize::from),
    });
    state.look();
    let is_both = tch::get_num_threads() == 2 && state.cpus <= 2;
    run_in_turn(is_both && state.sleepers.is_some());
}

impl State {
    fn look(&mut self) {
        let elapsed = self.since.elapsed();
        if elapsed < INTERVAL {
            return;
        }
        self.since = Instant::now();
        let threads = tch::get_num_threads();
        if threads == 1 || has_policy() {
            self.sleepers = None;
            return;
        }
        let now = waited();
        let [idle, of_thread] = IDLE;
        let limit = elapsed.mul_f64(idle + of_thread * f64::from(threads));
        let has_waited = now.saturating_sub(self.waited) > limit;
        self.waited = now;
        match (self.machine.observe(has_waited, elapsed), &self.sleepers) {
            (true, None) => self.sleepers = Sleepers::start(threads),
            (false, Some(_)) => self.sleepers = None,
            _ => {}
        }
    }
}

/// Whether the user has chosen how threads wait.
fn has_policy() -> bool {
    ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"].iter().any(|name| env::var_os(name).is_some())
}

/// The time that threads of this process which could run have waited for a CPU; 0 where the kernel does not tell it.
fn waited() -> Duration {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = threads.filter_map(|thread| {
        // Time on a CPU, time of waiting for one, number of time slices.
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Whether the machine is busy, as far as the waiting so far tells. While threads sleep, there may be none even if it is:
/// what ends too early is assumed for twice as long the next time.
#[derive(Debug, Default)]
struct Machine {
    /// Time that it still counts as busy.
    left: Duration,
    /// Time that it counts as busy after threads had to wait.
    hold: Duration,
    /// Time since it counted as busy.
    calm: Duration,
}

impl Machine {
    /// Takes an observation of the last `elapsed`; returns whether the machine is busy.
    fn observe(&mut self, has_waited: bool, elapsed: Duration) -> bool {
        if has_waited {
            if self.left.is_zero() {
                let is_soon = self.calm < self.hold;
                self.hold = if is_soon { LONGEST.min(2 * self.hold) } else { SHORTEST };
            }
            (self.left, self.calm) = (self.hold, Duration::ZERO);
        } else if self.left.is_zero() {
            self.calm += elapsed;
        } else {
            self.left = self.left.saturating_sub(elapsed);
        }
        !self.left.is_zero()
    }
}

/// OpenMP threads that sleep until this is dropped.
struct Sleepers {
    end: Arc<End>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct End {
    is_now: Mutex<bool>,
    changed: Condvar,
}

impl Sleepers {
    /// Starts so many that the process has more OpenMP threads than CPUs; `None` if no thread can be started.
    fn start(threads: i32) -> Option<Self> {
        let end = Arc::new(End::default());
        let context = Arc::clone(&end);
        let sleep = move || {
            // SAFETY: `wait` takes a shared reference to an `End`, which `context` keeps until all calls have returned.
            unsafe { wait_in_threads(threads, wait, Arc::as_ptr(&context).cast_mut().cast()) }
        };
        let thread = thread::Builder::new().name("sleepers".into()).spawn(sleep).ok()?;
        Some(Self { end, thread: Some(thread) })
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        *self.end.is_now.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.end.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed, and there is nothing else to undo.
            let _ = thread.join();
        }
    }
}

/// Sleeps until the end.
unsafe extern "C" fn wait(end: *mut c_void) {
    // SAFETY: the thread that starts the sleepers owns an `Arc` of it until all have returned.
    let end = unsafe { &*end.cast_const().cast::<End>() };
    let mut is_now = end.is_now.lock().unwrap_or_else(PoisonError::into_inner);
    while !*is_now {
        is_now = end.changed.wait(is_now).unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_counts_as_busy_longer_each_time_that_it_soon_is_again() {
        let mut machine = Machine::default();
        assert!(!machine.observe(false, INTERVAL));
        let mut busy_for = || {
            assert!(machine.observe(true, INTERVAL));
            let mut intervals = 1;
            while machine.observe(false, INTERVAL) {
                intervals += 1;
            }
            INTERVAL * intervals
        };
        assert_eq!(busy_for(), SHORTEST);
        assert_eq!(busy_for(), 2 * SHORTEST);
        for _ in 0..10 {
            busy_for();
        }
        assert_eq!(busy_for(), LONGEST);
        // Idle for longer than that: it starts again.
        assert!(!machine.observe(false, LONGEST));
        assert!(machine.observe(true, INTERVAL));
        assert_eq!(machine.left, SHORTEST);
    }

    #[test]
    fn sleepers_end_and_loops_run_beside_them() {
        for _ in 0..3 {
            let sleepers = Sleepers::start(2).unwrap();
            let mut numbers = [0u32; 1000];
            crate::libtorch::in_parts((1000, 1), [&mut numbers], [&[(); 0]; 0], |[part], []| {
                part.iter_mut().for_each(|number| *number += 1);
            });
            assert_eq!(numbers, [1; 1000]);
            drop(sleepers);
        }
    }
}
