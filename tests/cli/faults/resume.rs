//! `--resume`: what it goes on from, and what it refuses.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use stitch::stitch_run::Checkpoint;

use crate::common;

use super::{
    FLAGS, LEARNERS, Learner, Place, calls_of, ends_the_same, files, left_alone, logged, said,
};

const LENET5: super::Learner = LEARNERS[0];

/// Exit code 2, and each of `parts` on stderr.
#[track_caller]
fn refused(command: &mut Command, parts: &[&str]) {
    let output = command.output().unwrap();
    let sentence = said(&output);
    assert_eq!(output.status.code(), Some(2), "{sentence}");
    parts.iter().for_each(|part| assert!(sentence.contains(part), "no {part:?} in {sentence}"));
}

/// A run that draws for its order, its images and its dropout, and whose schedule changes rate and momentum at each step.
const DRAWING: Learner = &[
    "deepcnn",
    "--augment=crop,flip,erase:0.5",
    "--lr-schedule=onecycle",
    "--optimizer=sgd",
    "--momentum=0.9",
    "--label-smoothing=0.1",
];

/// A run with other options, whose epochs leave out their last batch.
const OTHERS: Learner = &[
    "deepcnn",
    "--val=20",
    "--loss=nll",
    "--normalize=0.286,0.353",
    "--shuffle=off",
    "--drop-last",
    "--optimizer=rmsprop",
    "--lr-schedule=onecycle",
    "--lr=0.0001",
];

/// Runs that were killed after their first, second, third and fourth renaming, each of which ends a checkpoint: their folders.
fn killed_after_checkpoints(place: &Place, learner: Learner) -> Vec<String> {
    let calls = calls_of(place, learner);
    let renames = calls.iter().filter(|call| call.name == "rename").map(|call| call.number);
    let kill = |(i, rename): (usize, usize)| {
        let out = format!("run-{i}");
        let killed = place.faulty(learner, &out, rename + 1, "kill").output().unwrap();
        assert_eq!(killed.status.code(), None, "{}", said(&killed));
        out
    };
    renames.take(4).enumerate().map(kill).collect()
}

#[test]
fn a_run_with_other_options_ends_the_same_wherever_it_is_killed() {
    let place = Place::new();
    let wanted = left_alone(OTHERS);
    // Checkpoints of steps 2, 4, 4 again (at the end of an epoch of four steps) and 6.
    for (i, out) in killed_after_checkpoints(&place, OTHERS).into_iter().enumerate() {
        if i == 1 {
            let mut other = place.train(LENET5, &out, &["--resume"]);
            refused(&mut other, &["--resume", "shuffle true instead of false"]);
        }
        ends_the_same(&place, OTHERS, &out, &wanted, &out);
    }
}

#[test]
fn a_run_that_draws_at_each_step_ends_the_same_wherever_it_is_killed() {
    let place = Place::new();
    let wanted = left_alone(DRAWING);
    // Checkpoints of steps 2, 4, 5 (the end of an epoch) and 7.
    for (i, out) in killed_after_checkpoints(&place, DRAWING).into_iter().enumerate() {
        if i == 1 {
            let mut more = Command::new(env!("CARGO_BIN_EXE_stitch"));
            let flags = FLAGS.map(|flag| if flag == "3" { "4" } else { flag });
            more.current_dir(place.0.path()).arg("train").args(DRAWING).args(flags);
            more.args(["--resume", "--out", &out]);
            refused(&mut more, &["--resume", "epochs 4 instead of 3"]);
        }
        ends_the_same(&place, DRAWING, &out, &wanted, &out);
    }
}

/// A network with dropout, batch normalization, a frozen parameter, and buffers that its forward pass replaces.
const NETWORK: &str = "
import sys, torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 4, 5, stride=3), nn.BatchNorm2d(4)
        self.conv.bias.requires_grad_(False)
        self.dropout, self.fc = nn.Dropout(0.3), nn.Linear(256, 10)
        self.register_buffer('steps', torch.zeros((), dtype=torch.int32))
        self.register_buffer('scale', torch.ones(256))
    def forward(self, x):
        x = torch.relu(self.bn(self.conv(x))).flatten(1) * self.scale
        if self.training:
            self.steps, self.scale = self.steps + 1, self.scale * 0.99
        return self.fc(self.dropout(x))
torch.manual_seed(0)
torch.jit.script(Net()).save(sys.argv[1])
";

/// A run of that network with validation, saved once.
fn own_network() -> Learner {
    static LEARNER: OnceLock<Learner> = OnceLock::new();
    LEARNER.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("resumed.pt");
        // TorchScript reads the source of classes from the file.
        let script = path.with_extension("py");
        fs::write(&script, NETWORK).unwrap();
        let mut python = Command::new(common::python());
        python.args(["-W", "ignore"]).arg(script).arg(&path);
        assert!(python.status().unwrap().success());
        let path: &'static str = Box::leak(path.to_str().unwrap().to_owned().into_boxed_str());
        Box::leak(Box::new([path, "--val=20", "--augment=crop,flip", "--tensorboard"]))
    })
}

#[test]
fn the_network_of_a_file_ends_the_same_wherever_its_run_is_killed() {
    let place = Place::new();
    let wanted = left_alone(own_network());
    for out in killed_after_checkpoints(&place, own_network()) {
        ends_the_same(&place, own_network(), &out, &wanted, &out);
    }
}

#[test]
fn other_settings_data_or_threads_are_refused_by_name_and_more_epochs_are_not() {
    let place = Place::new();
    place.killed("run", 3);
    let resumed = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stitch"));
        command.current_dir(place.0.path()).arg("train").args(flags);
        command.args(["--out", "run", "--resume"]);
        command
    };
    let flags = |model, epochs, threads, batch, seed, data| {
        let values = [model, "--epochs", epochs, "--threads", threads, "--batch-size", batch];
        [&values[..], &["--seed", seed, "--data", data]].concat()
    };
    fs::create_dir(place.path("other")).unwrap();
    for entry in fs::read_dir(place.path("data")).unwrap() {
        let from = entry.unwrap().path();
        let to = place.path("other").join(from.file_name().unwrap());
        let mut bytes = fs::read(&from).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(to, bytes).unwrap();
    }
    for (flags, part) in [
        (flags("mlp", "3", "2", "60", "0", "data"), "model mlp instead of lenet5"),
        (flags("lenet5", "2", "2", "60", "0", "data"), "epochs 2 instead of 3"),
        (flags("lenet5", "3", "1", "60", "0", "data"), "threads 1 instead of 2"),
        (flags("lenet5", "3", "2", "61", "0", "data"), "batch_size 61 instead of 60"),
        (flags("lenet5", "3", "2", "60", "7", "data"), "seed 7 instead of 0"),
        (flags("lenet5", "3", "2", "60", "0", "other"), "the data file train-images-idx3-ubyte"),
    ] {
        refused(&mut resumed(&flags), &["--resume", part, "--force"]);
    }
    let fast = [&flags("lenet5", "3", "2", "60", "0", "data")[..], &["--fast"]].concat();
    refused(&mut resumed(&fast), &["engine fast instead of exact"]);
    let mut more = resumed(&flags("lenet5", "4", "2", "60", "0", "data"));
    assert!(more.output().unwrap().status.success());
    let alone = place.train(LENET5, "alone", &["--force", "--checkpoint-every=off"]);
    let mut alone_flags: Vec<_> = alone.get_args().map(|flag| flag.to_os_string()).collect();
    let epochs = alone_flags.iter().position(|flag| flag == "--epochs").unwrap();
    alone_flags[epochs + 1] = "4".into();
    alone_flags.retain(|flag| flag != "--checkpoint-every" && flag != "2steps");
    let mut alone = Command::new(env!("CARGO_BIN_EXE_stitch"));
    alone.current_dir(place.0.path()).args(alone_flags);
    assert!(alone.output().unwrap().status.success());
    assert!(
        files(&place.path("run")) == files(&place.path("alone")),
        "other bits with more epochs"
    );
}

#[test]
fn other_kernels_of_mkl_or_onednn_are_refused_and_the_run_is_left_as_it_was() {
    let place = Place::new();
    place.killed("run", 3);
    for (name, value) in [("MKL_CBWR", "COMPATIBLE"), ("ONEDNN_MAX_CPU_ISA", "SSE41")] {
        let mut resumed = place.train(LENET5, "run", &["--resume"]);
        refused(resumed.env(name, value), &["--resume", "kernels of libtorch", name, "--force"]);
    }
    ends_the_same(&place, LENET5, "run", &left_alone(LENET5), "after the refusals");
    let mut finished = place.train(LENET5, "run", &["--resume"]);
    refused(finished.env("MKL_CBWR", "COMPATIBLE"), &["finished run", "kernels of libtorch"]);
}

#[test]
fn a_checkpoint_that_contradicts_itself_is_refused_though_its_sum_is_right() {
    let place = Place::new();
    place.killed("run", 4);
    let path = place.path("run/checkpoints/00000008.safetensors");
    let bytes = fs::read(&path).unwrap();
    type Change = fn(&mut Checkpoint);
    let changes: [(Change, &str); 7] = [
        (|it| it.state.updates = 7, "it has 7 optimizer steps, but 1 epoch and 3 steps make 8"),
        (|it| it.state.updates = 0, "it has 0 optimizer steps"),
        (|it| it.progress.steps = 2, "it has 8 optimizer steps, but 1 epoch and 2 steps make 7"),
        (|it| it.progress.steps = 8, "8 steps after epoch 1 are done"),
        (|it| it.progress.epochs.clear(), "it has 8 optimizer steps, but 0 epochs"),
        (|it| it.progress.epochs = vec![it.progress.epochs[0]; 4], "4 of 3 epochs are done"),
        (|it| it.progress.epochs[0].loss = f64::NAN, "NaN is not the loss"),
    ];
    for (change, part) in changes {
        let mut checkpoint = Checkpoint::read(&bytes).unwrap();
        change(&mut checkpoint);
        fs::write(&path, checkpoint.write().unwrap()).unwrap();
        let mut resumed = place.train(LENET5, "run", &["--resume"]);
        refused(&mut resumed, &["00000008.safetensors: it is inconsistent", part, "Remove it"]);
    }
    fs::remove_file(&path).unwrap();
    fs::write(path.with_file_name("00000009.safetensors"), &bytes).unwrap();
    let mut resumed = place.train(LENET5, "run", &["--resume"]);
    refused(&mut resumed, &["it has 8 steps, but its file name gives another number"]);
    fs::remove_file(path.with_file_name("00000009.safetensors")).unwrap();
    ends_the_same(&place, LENET5, "run", &left_alone(LENET5), "from the previous checkpoint");
}

#[test]
fn a_damaged_newest_checkpoint_is_said_and_the_one_before_it_used() {
    let wanted = left_alone(LENET5);
    let damage: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes[400_000] ^= 1,
        |bytes| bytes.truncate(500_000),
        |bytes| bytes.clear(),
        |bytes| *bytes = b"PK\x03\x04 something else".to_vec(),
    ];
    for damage in damage {
        let place = Place::new();
        place.killed("run", 4);
        let folder = place.path("run/checkpoints");
        let mut bytes = fs::read(folder.join("00000008.safetensors")).unwrap();
        damage(&mut bytes);
        fs::write(folder.join("00000008.safetensors"), bytes).unwrap();
        let resumed = place.train(LENET5, "run", &["--resume"]).output().unwrap();
        let told = said(&resumed);
        assert!(resumed.status.success(), "{told}");
        assert!(told.contains("warning: ") && told.contains("00000008.safetensors: "), "{told}");
        assert!(told.contains("from ") && told.contains("00000006.safetensors"), "{told}");
        assert!(files(&place.path("run")) == wanted, "other bits");
    }
}

#[test]
fn without_an_intact_checkpoint_it_is_refused_and_force_begins_anew() {
    let place = Place::new();
    place.killed("run", 4);
    for entry in fs::read_dir(place.path("run/checkpoints")).unwrap() {
        fs::write(entry.unwrap().path(), "nothing").unwrap();
    }
    refused(
        &mut place.train(LENET5, "run", &["--resume"]),
        &["none of the checkpoints", "--force"],
    );
    let done = place.train(LENET5, "run", &["--force"]).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    assert!(files(&place.path("run")) == left_alone(LENET5), "other bits");
}

#[test]
fn a_run_that_was_broken_off_is_not_written_over_unasked() {
    let place = Place::new();
    place.killed("run", 2);
    let parts = ["an interrupted run", "--resume", "--force"];
    refused(&mut place.train(LENET5, "run", &[]), &parts);
    ends_the_same(&place, LENET5, "run", &left_alone(LENET5), "after the refusal");
}

#[test]
fn with_nothing_to_resume_it_begins_and_a_finished_run_is_left_as_it_is() {
    let place = Place::new();
    let begun = place.train(LENET5, "run", &["--resume"]).output().unwrap();
    assert!(
        begun.status.success() && said(&begun).contains("nothing to resume"),
        "{}",
        said(&begun)
    );
    let before = fs::read(place.path("run/history.csv")).unwrap();
    let again = place.train(LENET5, "run", &["--resume"]).output().unwrap();
    assert!(
        again.status.success() && said(&again).contains("is finished already"),
        "{}",
        said(&again)
    );
    assert!(String::from_utf8_lossy(&again.stdout).contains("test accuracy"));
    assert!(fs::read(place.path("run/history.csv")).unwrap() == before, "it was changed");
    let mut other = place.train(LENET5, "run", &["--resume", "--seed", "1"]);
    refused(&mut other, &["seed 1 instead of 0"]);
}

#[test]
fn both_models_runs_are_continued_wherever_they_were_killed() {
    let place = Place::new();
    let mut alone = place.reproduce("alone", &[]);
    place.preload(&mut alone, "alone", 0, "kill");
    let calls = logged(&place, &mut alone, "alone");
    let both =
        |out: &str| ["mlp", "lenet5"].map(|model| files(&place.path(&format!("{out}/{model}"))));
    let wanted = both("alone");
    for (out, part) in [("first", "mlp/checkpoints/"), ("second", "lenet5/checkpoints/")] {
        let writes: Vec<_> =
            calls.iter().filter(|call| call.name == "write" && call.path.contains(part)).collect();
        let mut killed = place.reproduce(out, &[]);
        place.preload(&mut killed, out, writes[writes.len() / 2].number, "kill");
        assert_eq!(killed.output().unwrap().status.code(), None);
        let resumed = place.reproduce(out, &["--resume"]).output().unwrap();
        let told = said(&resumed);
        assert!(resumed.status.success(), "{told}");
        assert!(told.contains("resumed after") && told.contains(part), "{told}");
        assert_eq!(told.contains("mlp: the run in "), out == "second", "{told}");
        assert!(both(out) == wanted, "{out}: other bits, or other files");
    }
}

#[test]
fn two_processes_never_have_one_folder_and_the_lock_ends_with_its_holder() {
    let place = Place::new();
    fs::create_dir(place.path("run")).unwrap();
    let held = fs::File::open(place.path("run")).unwrap();
    held.lock().unwrap();
    for flags in [&["--resume"][..], &["--force"], &[]] {
        refused(
            &mut place.train(LENET5, "run", flags),
            &["another process is writing a run there"],
        );
    }
    // Not dropped: a child that another test is starting holds a copy.
    held.unlock().unwrap();
    ends_the_same(&place, LENET5, "run", &left_alone(LENET5), "after the lock");
}

#[test]
fn a_traced_run_writes_no_checkpoints_and_says_so() {
    let place = Place::new();
    let mut both = place.train(LENET5, "run", &["--resume", "--trace"]);
    refused(&mut both, &["--resume", "--trace"]);
    let traced = place.train(LENET5, "run", &["--trace"]).output().unwrap();
    assert!(said(&traced).contains("a traced run writes no checkpoints"), "{}", said(&traced));
    assert!(!place.path("run/checkpoints").exists());
}

#[test]
fn a_checkpoint_interval_that_is_none_is_refused() {
    let place = Place::new();
    for text in ["5", "0", "-1s", "0s", "0steps", "s", "1h", "99999999999999999999s"] {
        let flag = format!("--checkpoint-every={text}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_stitch"));
        command.current_dir(place.0.path()).args(["train", "mlp", &flag]);
        refused(&mut command, &["--checkpoint-every", "500steps"]);
    }
}

#[test]
fn results_that_stdout_does_not_take_are_an_error_and_the_run_is_whole() {
    let place = Place::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = place.train(LENET5, "run", &[]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("stdout"), "{}", said(&output));
    assert!(files(&place.path("run")) == left_alone(LENET5), "the run is not whole");
    let mut closed = Command::new("sh");
    let line = "exec \"$0\" train mlp --data data --epochs 1 --out closed >&- 2>&-";
    closed.current_dir(place.0.path()).args(["-c", line, env!("CARGO_BIN_EXE_stitch")]);
    assert!(closed.status().unwrap().success());
    assert_eq!(files(&place.path("closed")).len(), 13);
}
