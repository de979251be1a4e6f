//! libtorch's CUDA library, and runs on a GPU. A test binary of its own: libtorch looks for CUDA once per process.
//! Tests that need a GPU are ignored where libtorch finds none, and say so.

#[path = "common/mod.rs"]
mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::stitch;
use libtest_mimic::{Arguments, Failed, Trial};
use stitch::libtorch::cuda;
use stitch::run_folder::{CHECKPOINTS, CONFIG, FILES, METRICS, SAFETENSORS};
use tch::Cuda;

type Test = fn(&Path) -> Result<(), Failed>;

/// Options that draw from the GPU's generator (dropout) and keep buffers and a momentum there.
const DEEP: [&str; 8] =
    ["deepcnn", "--augment", "flip", "--optimizer", "sgd", "--momentum", "0.9", "--nesterov=on"];

fn main() {
    // Before the first use of CUDA. On other systems than Linux, libtorch is linked with its CUDA library or has none.
    let loaded = cuda::load();
    let gpus = if Cuda::is_available() { Cuda::device_count() } else { 0 };
    if gpus == 0 {
        eprintln!("tests of runs on a GPU: ignored, since libtorch finds none");
    }
    let on_gpu = |name: &str, test: Test| {
        Trial::test(name, move || test(folder_with_data().path())).with_ignored_flag(gpus == 0)
    };
    let tests = [
        Trial::test("libtorch_finds_its_cuda_library", move || {
            loaded?;
            // Comes from the CUDA library, even on a machine without a GPU; without the library libtorch returns an
            // error.
            assert!(!cfg!(target_os = "linux") || tch::utils::version_cudart() >= 12_000);
            Ok(())
        }),
        Trial::test("a_gpu_that_is_not_there_is_refused", move || refused(gpus)),
        on_gpu("a_run_is_close_to_that_on_the_cpu", |folder| {
            close(folder, &["mlp"], 1e-6)?;
            close(folder, &["lenet5"], 1e-2)
        }),
        on_gpu("the_network_of_a_file_is_close_to_that_on_the_cpu", |folder| {
            let network = common::root().join("models/lenet5/torchscript.pt");
            fs::copy(network, folder.join("network.pt"))?;
            close(folder, &["network.pt"], 1e-2)
        }),
        on_gpu("a_run_of_deepcnn_is_complete", complete),
        on_gpu("a_resumed_run_continues_the_interrupted_one", resumed),
        on_gpu("weights_predict_the_same_on_both_devices", predicted),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests.into()).exit();
}

/// A temporary folder with the first images of the data set in `data`.
fn folder_with_data() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    common::small_dataset(&folder.path().join("data"), 1000, 200);
    folder
}

/// `stitch train ARGUMENTS --data data --device DEVICE --out OUT` to its end.
fn train(folder: &Path, arguments: &[&str], device: &str, out: &str) {
    let mut command = stitch(folder);
    command.arg("train").args(arguments).args(["--data", "data", "--device", device, "--out", out]);
    command.assert().success();
}

fn json(path: &Path) -> Result<serde_json::Value, Failed> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// The first GPU where there is none, or the one after the last.
fn refused(gpus: i64) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let device = format!("cuda:{gpus}");
    let sentence = if gpus == 0 { "finds no GPU" } else { "or an existing GPU" };
    let mut command = stitch(folder.path());
    let assert = command.args(["train", "mlp", "--device", &device]).assert().code(2).stdout("");
    let said = String::from_utf8_lossy(&assert.get_output().stderr);
    assert!(said.starts_with(&format!("error: --device: {device}: ")), "{said}");
    assert!(said.contains(sentence) && said.contains("Use cpu"), "{said}");
    assert_eq!(fs::read_dir(folder.path())?.count(), 0);
    Ok(())
}

/// The training loss of a run on the GPU has this relative difference to that on the CPU at most.
fn close(folder: &Path, arguments: &[&str], tolerance: f64) -> Result<(), Failed> {
    let arguments = [arguments, &["--epochs", "2"]].concat();
    let losses = ["cpu", "cuda"].map(|device| {
        let out = format!("{}-{device}", arguments[0]);
        train(folder, &arguments, device, &out);
        Ok(json(&folder.join(out).join(METRICS))?["train_loss"].as_f64().unwrap_or(f64::NAN))
    });
    let [cpu, gpu] = losses.map(|loss: Result<f64, Failed>| loss);
    let (cpu, gpu) = (cpu?, gpu?);
    assert!((gpu - cpu).abs() <= tolerance * cpu, "{arguments:?}: {cpu} on the CPU, {gpu}");
    Ok(())
}

fn complete(folder: &Path) -> Result<(), Failed> {
    let arguments = [&DEEP[..], &["--epochs", "1", "--val", "100", "--tensorboard"]].concat();
    train(folder, &arguments, "cuda", "run");
    let run = folder.join("run");
    FILES.iter().for_each(|file| assert!(run.join(file).exists(), "{file} is missing"));
    let config = json(&run.join(CONFIG))?;
    assert_eq!((&config["device"], &config["engine"]), (&"cuda:0".into(), &"eager".into()));
    Ok(())
}

/// Dropout draws from the GPU's generator, whose state is in the checkpoint.
fn resumed(folder: &Path) -> Result<(), Failed> {
    let arguments = [&DEEP[..], &["--epochs", "50"]].concat();
    let mut child = Command::new(env!("CARGO_BIN_EXE_stitch"))
        .current_dir(folder)
        .arg("train")
        .args(&arguments)
        .args(["--data", "data", "--device", "cuda", "--out", "run", "--quiet"])
        .args(["--checkpoint-every", "3steps"])
        .stderr(Stdio::null())
        .spawn()?;
    let checkpoints = folder.join("run").join(CHECKPOINTS);
    while fs::read_dir(&checkpoints).map_or(0, Iterator::count) == 0 && child.try_wait()?.is_none()
    {
        thread::sleep(Duration::from_millis(10));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    assert_eq!(child.wait()?.code(), Some(130));
    let resumed = [&arguments[..], &["--resume", "--checkpoint-every", "3steps"]].concat();
    train(folder, &resumed, "cuda", "run");
    train(folder, &arguments, "cuda", "uninterrupted");
    assert_eq!(json(&folder.join("run").join(METRICS))?["epochs_run"], 50);
    stitch(folder)
        .args(["parity", "uninterrupted/weights.safetensors", "run/weights.safetensors"])
        .assert()
        .success();
    Ok(())
}

fn predicted(folder: &Path) -> Result<(), Failed> {
    train(folder, &["lenet5", "--epochs", "1"], "cuda", "run");
    let weights = format!("run/{SAFETENSORS}");
    let [cpu, gpu] = ["cpu", "cuda"].map(|device| {
        let mut command = stitch(folder);
        command.args(["evaluate", &weights, "--data", "data", "--json", "--device", device]);
        let output = command.assert().success().get_output().stdout.clone();
        serde_json::from_slice::<serde_json::Value>(&output).expect("JSON")
    });
    assert_eq!(cpu["confusion_matrix"], gpu["confusion_matrix"]);
    Ok(())
}
