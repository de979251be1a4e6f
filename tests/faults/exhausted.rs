//! A step that never returns, and a process that gets no more memory or threads.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{LEARNERS, Place, compiled, said};

/// A run whose first step hangs, and which hears signals.
fn hanging(place: &Place) -> Child {
    let mut command = place.train(LEARNERS[0], "run", &[]);
    command.env("LD_PRELOAD", compiled("hang.c")).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let hears = || {
        let threads = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().flatten();
        threads
            .map(|it| fs::read_to_string(it.path().join("comm")).unwrap_or_default())
            .any(|name| name.trim() == "signals")
    };
    while !hears() {
        thread::sleep(Duration::from_millis(10));
    }
    child
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

#[test]
fn a_second_signal_ends_a_step_that_never_returns() {
    let place = Place::new();
    for (name, code) in [("-TERM", 143), ("-INT", 130)] {
        let child = hanging(&place);
        signal(&child, name);
        // Two that wait at the same time are one.
        thread::sleep(Duration::from_millis(500));
        signal(&child, name);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{}", said(&ended));
    }
}

#[test]
fn ten_seconds_after_the_first_signal_a_step_that_never_returns_is_ended() {
    let place = Place::new();
    let child = hanging(&place);
    let start = Instant::now();
    signal(&child, "-TERM");
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(143), "{}", said(&ended));
    assert!(said(&ended).contains("has not ended 10 s after the signal"), "{}", said(&ended));
    assert!(start.elapsed() >= Duration::from_secs(10), "it ended too early");
    assert_eq!(fs::read_dir(place.path("run")).unwrap().count(), 0, "something was written");
}

#[test]
fn without_memory_or_threads_it_ends_with_a_sentence_and_exit_code_2() {
    let place = Place::new();
    let under = |kibibytes: u32, more: &[&str]| {
        let train = place.train(LEARNERS[0], &format!("run-{kibibytes}"), more);
        let mut command = Command::new("sh");
        command.current_dir(place.0.path()).env_remove("FASHION_MNIST_DIR");
        command.args(["-c", &format!("ulimit -v {kibibytes}; exec \"$0\" \"$@\"")]);
        command.arg(train.get_program()).args(train.get_args()).output().unwrap()
    };
    let mut refused = 0;
    // From less than libtorch's libraries take to load to more than the run does.
    for kibibytes in (250_000..1_000_000).step_by(50_000) {
        let output = under(kibibytes, &["--engine", "eager"]);
        let told = said(&output);
        match output.status.code() {
            Some(0) => {}
            // The system's loader.
            Some(127) => assert!(told.contains("shared libraries"), "{kibibytes} KiB: {told}"),
            Some(2) => {
                refused += 1;
                assert!(told.contains("error: "), "{kibibytes} KiB: {told}");
            }
            code => panic!("{kibibytes} KiB: {code:?}: {told}"),
        }
    }
    assert!(refused > 0, "no limit was one of the run's memory");
}
