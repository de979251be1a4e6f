//! The long part, `make faults`: every call, 50 kills at random moments, full disks, 300 epochs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rand_mt::Mt;

use super::{LEARNERS, Place, calls, ends_the_same, left_alone, said};

#[test]
#[ignore = "minutes: make faults"]
fn killed_or_failed_at_any_call_nothing_is_lost() {
    for learner in LEARNERS {
        println!("{learner:?}: {} faults, nothing lost", calls::faults(learner, 1));
    }
}

/// The flags of the runs that are killed: a checkpoint a step, so most moments are within one.
const EVERY_STEP: [&str; 4] = ["--resume", "--checkpoint-every=1steps", "--epochs=40", "--quiet"];

/// `stitch train` with these flags alone, on the cut data.
fn train(place: &Place, model: &str, out: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stitch"));
    command.current_dir(place.0.path()).args(["train", model, "--data", "data", "--threads", "2"]);
    command.args(EVERY_STEP).args(["--batch-size", "60", "--out", out]);
    command.stdout(Stdio::null());
    command
}

#[test]
#[ignore = "minutes: make faults"]
fn killed_at_50_random_moments_the_run_has_the_same_bits() {
    let mut random = Mt::new(1);
    for model in ["lenet5", "mlp"] {
        let place = Place::new();
        assert!(train(&place, model, "alone").status().unwrap().success());
        let (mut kills, mut runs, mut stray) = (0, 0, 0);
        while kills < 50 {
            let out = format!("run-{runs}");
            loop {
                let mut child = train(&place, model, &out).spawn().unwrap();
                thread::sleep(Duration::from_millis(u64::from(random.next_u32() % 1500)));
                let ended = child.try_wait().unwrap().is_some();
                child.kill().unwrap();
                let status = child.wait().unwrap();
                if ended {
                    assert!(status.success(), "{model} {out}");
                    break;
                }
                kills += 1;
                stray += temporary_files(&place.path(&out));
                if kills >= 50 {
                    assert!(train(&place, model, &out).status().unwrap().success());
                    break;
                }
            }
            let [alone, resumed] = ["alone", &out].map(|run| super::files(&place.path(run)));
            assert!(alone == resumed, "{model} {out}: other bits, or other files");
            runs += 1;
        }
        println!("{model}: {kills} kills over {runs} runs, {stray} within a write; the same bits");
    }
}

/// Files that a write was killed over.
fn temporary_files(run: &Path) -> usize {
    let folders = [run.to_path_buf(), run.join("checkpoints")];
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".stitch-")).count()
}

/// A file system that is unmounted at the end.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
#[ignore = "root: make faults"]
fn on_a_full_file_system_the_last_checkpoint_is_intact() {
    let place = Place::new();
    fs::create_dir(place.path("small")).unwrap();
    let mount = |options: &str| {
        let options = format!("size={options}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(place.path("small"));
        mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if !mount("1m") {
        println!("no root: no small file system could be mounted; a limit on file sizes is next");
        return;
    }
    let _mounted = Mounted(place.path("small"));
    // One checkpoint of 744 kB fits, a second one does not.
    let full = place.train(LEARNERS[0], "small/run", &[]).output().unwrap();
    assert_eq!(full.status.code(), Some(2), "{}", said(&full));
    assert!(said(&full).contains("No space left on device"), "{}", said(&full));
    assert!(place.path("small/run/checkpoints/00000002.safetensors").exists());
    assert_eq!(temporary_files(&place.path("small/run")), 0);
    assert!(mount("16m,remount"));
    ends_the_same(&place, LEARNERS[0], "small/run", &left_alone(LEARNERS[0]), "with room again");
}

#[test]
fn a_limit_on_the_size_of_files_is_a_sentence_and_the_run_goes_on_without_it() {
    let place = Place::new();
    let stitch = place.train(LEARNERS[0], "run", &[]);
    let mut limited = Command::new("sh");
    limited.current_dir(place.0.path()).args(["-c", "ulimit -f 500; exec \"$0\" \"$@\""]);
    let limited = limited.arg(stitch.get_program()).args(stitch.get_args()).output().unwrap();
    assert_eq!(limited.status.code(), Some(2), "{}", said(&limited));
    assert!(said(&limited).contains("File too large"), "{}", said(&limited));
    ends_the_same(&place, LEARNERS[0], "run", &left_alone(LEARNERS[0]), "without the limit");
}

/// `Place::train` into `run`, of so many epochs instead of 3.
fn many_epochs(place: &Place, learner: super::Learner, epochs: &str) -> Command {
    let stitch = place.train(learner, "run", &[]);
    let flags = stitch.get_args().map(|flag| if flag == "3" { epochs.as_ref() } else { flag });
    let mut command = Command::new(stitch.get_program());
    command.current_dir(place.0.path()).args(flags);
    command
}

#[test]
fn a_folder_that_is_removed_or_replaced_in_mid_run_is_said() {
    for replaced in [false, true] {
        let place = Place::new();
        let mut command = many_epochs(&place, LEARNERS[0], "3000");
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("epoch 1/3000")));
        fs::rename(place.path("run"), place.path("moved")).unwrap();
        if replaced {
            fs::create_dir(place.path("run")).unwrap();
            fs::write(place.path("run/config.json"), "another run's").unwrap();
        }
        let (status, last) = (child.wait().unwrap(), lines.last());
        assert_eq!(status.code(), Some(2), "{last:?}");
        assert!(last.as_ref().is_some_and(|line| line.starts_with("error: ")), "{last:?}");
        if replaced {
            assert_eq!(fs::read_dir(place.path("run")).unwrap().count(), 1);
            assert_eq!(fs::read(place.path("run/config.json")).unwrap(), b"another run's");
        }
    }
}

#[test]
#[ignore = "a minute: make faults"]
fn three_hundred_epochs_take_no_more_memory_than_ten() {
    for learner in LEARNERS {
        let place = Place::new();
        let mut command = many_epochs(&place, learner, "300");
        // So small that scikit-learn's stopping rule does not end it before.
        command.args(["--lr", "1e-4"]);
        command.stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut resident = |epoch: &str| -> f64 {
            assert!(lines.any(|line| line.contains(epoch)), "{learner:?}: no {epoch}");
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
        };
        let (tenth, last) = (resident("epoch 10/300"), resident("epoch 290/300"));
        let growth = 100.0 * (last / tenth - 1.0);
        println!("{learner:?}: {tenth} kB after 10 epochs, {last} kB after 290: {growth:+.2} %");
        assert!(growth < 1.0, "{learner:?}: {growth:.2} %");
        child.wait().unwrap();
    }
}
