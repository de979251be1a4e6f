//! A step that never returns, and a process that gets no more memory or threads.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{LEARNERS, Place, common, hang, said};

/// A run whose first step hangs.
fn hanging(place: &Place) -> Child {
    let mut command = place.train(LEARNERS[0], "run", &[]);
    let mark = place.path("hangs");
    let _ = fs::remove_file(&mark);
    command.env("LD_PRELOAD", hang()).env("HANG_MARK", &mark);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while !mark.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before the first step");
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
    assert!(said(&ended).contains("did not stop within 10 s of the signal"), "{}", said(&ended));
    assert!(start.elapsed() >= Duration::from_secs(10), "it ended too early");
    assert_eq!(fs::read_dir(place.path("run")).unwrap().count(), 0, "something was written");
}

/// The output of the first convolution alone is more than a gigabyte for all images at once.
#[test]
fn without_memory_it_ends_with_a_sentence_and_exit_code_2() {
    let place = Place::new();
    let data = common::dataset();
    common::write_dataset(&place.path("all"), &data.train, &data.test);
    let mut command = Command::new("sh");
    command.current_dir(place.0.path()).env_remove("FASHION_MNIST_DIR");
    command.args(["-c", "ulimit -v 1300000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_stitch")]);
    command.args([
        "train",
        "lenet5",
        "--engine",
        "eager",
        "--batch-size",
        "60000",
        "--epochs",
        "1",
    ]);
    // Each thread has a stack and memory of its own, and the machine may have many cores.
    command.args(["--threads", "2"]).env("OMP_NUM_THREADS", "2");
    let output = command.args(["--data", "all", "--out", "run"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("error: out of memory: "), "{}", said(&output));
    assert_eq!(fs::read_dir(place.path("run")).unwrap().count(), 0, "something was written");
}
