//! Networks of TorchScript files: trained as in Python, evaluated, and refused.

use std::fs;
use std::path::Path;
use std::process::Command;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};

use crate::{common, refused, stdout_of, stitch, temporary_folder};

mod exported;
mod pictures;
mod refusals;

/// Runs Python in `folder`, with the networks of this test importable; panics with its output if it fails.
fn python(folder: &Path, arguments: &[&str]) {
    let output = Command::new(common::python())
        .args(arguments)
        .env("PYTHONPATH", common::root().join("tests/cli/own_network"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// Runs a script from a file: TorchScript reads the source of classes.
fn run_script(folder: &Path, script: &str) {
    fs::write(folder.join("script.py"), script).unwrap();
    python(folder, &["-W", "ignore", "script.py"]);
}

/// A folder with a small data set in `data`, and the networks that `script` saves.
fn folder_with(script: &str) -> tempfile::TempDir {
    let folder = temporary_folder();
    common::small_dataset(&folder.path().join("data"), 200, 60);
    run_script(folder.path(), script);
    folder
}

/// Saves one of the networks, with the initial values of seed 7.
fn folder_with_network(name: &str) -> tempfile::TempDir {
    folder_with(&format!(
        "import torch; from networks import NETWORKS; torch.manual_seed(7)\n\
         torch.jit.script(NETWORKS['{name}']()).save('model.pt')"
    ))
}

/// `stitch train model.pt --data data --epochs 2 --threads 1`
fn train(folder: &Path) -> assert_cmd::Command {
    let mut command = stitch(folder);
    command.args(["train", "model.pt", "--data", "data", "--epochs", "2", "--threads", "1"]);
    command
}

/// The settings of the trainings that are compared: in Python, and the flags.
fn settings() -> Vec<(Value, Vec<&'static str>)> {
    vec![
        (
            json!({
                "setting": "a", "seed": 0, "batch_size": 37, "threads": 1,
                "optimizer": "AdamW", "options": { "lr": 1e-3 },
            }),
            vec!["--batch-size", "37", "--threads", "1", "--optimizer", "adamw"],
        ),
        (
            json!({
                "setting": "b", "seed": 1, "batch_size": 64, "threads": 2, "optimizer": "SGD",
                "options": { "lr": 0.01, "momentum": 0.9, "nesterov": true, "weight_decay": 1e-4 },
            }),
            "--seed 1 --batch-size 64 --threads 2 --optimizer sgd --lr 0.01 --momentum 0.9 --nesterov --weight-decay 1e-4"
                .split(' ')
                .collect(),
        ),
    ]
}

const NETWORKS: [&str; 8] =
    ["residual", "depthwise", "groups", "patches", "attention", "recurrent", "tied", "classic"];

#[test]
fn networks_of_eight_kinds_have_the_bits_of_the_same_loop_in_python() {
    let folder = temporary_folder();
    common::small_dataset(&folder.path().join("data"), 410, 300);
    let loss = |network: &str| match network {
        "recurrent" | "classic" => ["NLLLoss", "nll"],
        _ => ["CrossEntropyLoss", "cross-entropy"],
    };
    let run = |network: &&str, setting: &Value| {
        let mut run = setting.clone();
        (run["network"], run["loss"]) = ((*network).into(), loss(network)[0].into());
        run
    };
    let runs: Vec<Value> = NETWORKS
        .iter()
        .flat_map(|network| settings().into_iter().map(move |(setting, _)| run(network, &setting)))
        .collect();
    let twin = common::root().join("tests/cli/own_network/twin.py");
    python(folder.path(), &[twin.to_str().unwrap(), "data", &json!(runs).to_string()]);
    for network in NETWORKS {
        for (setting, flags) in settings() {
            let name = format!("{network}-{}", setting["setting"].as_str().unwrap());
            let file = format!("{network}.pt");
            let train = ["train", &file, "--data", "data", "--epochs", "2", "--out", &name];
            let loss = ["--loss", loss(network)[1]];
            stitch(folder.path()).args(train).args(&flags).args(loss).assert().code(0);
            let exact = ["--engine", "exact", "--out", "exact", "--force"];
            stitch(folder.path())
                .args(&train[..6])
                .args(&flags)
                .args(loss)
                .args(exact)
                .assert()
                .code(0);
            let expected = format!("{name}-python.pt");
            let files = ["state_dict.pt", "weights.safetensors", "torchscript.pt"];
            let files = files.map(|file| format!("{name}/{file}")).into_iter();
            for found in files.chain(["exact/state_dict.pt".into()]) {
                stitch(folder.path())
                    .args(["parity", &expected, &found])
                    .assert()
                    .code(0)
                    .stdout(contains("PARITY: EQUAL (bit for bit)"));
            }
            let read = |path: String| fs::read_to_string(folder.path().join(path)).unwrap();
            let predictions = read(format!("{name}/predictions.csv"));
            let predicted =
                predictions.lines().skip(1).map(|line| line.rsplit(',').next().unwrap());
            assert!(predicted.eq(read(format!("{name}-predicted.txt")).lines()), "{name}");
        }
    }
}

#[test]
fn the_example_of_the_documentation_is_true() {
    let page = fs::read_to_string(common::root().join("docs/own-network.md")).unwrap();
    let block = |language: &str| {
        let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    };
    let folder = temporary_folder();
    let data = folder.path().join("data/fashion-mnist");
    common::small_dataset(&data, 300, 50);
    for file in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"] {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &fs::read(data.join(file)).unwrap()).unwrap();
        fs::write(data.join(format!("{file}.gz")), encoder.finish().unwrap()).unwrap();
    }
    run_script(folder.path(), &block("python"));
    for line in block("sh").lines() {
        let words = line.strip_prefix("stitch ").unwrap().split(' ');
        stitch(folder.path()).args(words).assert().code(0);
    }
}

#[test]
fn a_run_is_traced_repeated_and_reported_like_any_other() {
    let folder = folder_with_network("depthwise");
    train(folder.path()).args(["--trace", "--out", "runs/a"]).assert().code(0);
    train(folder.path()).args(["--trace", "--out", "runs/b"]).assert().code(0);
    let same = ["parity", "runs/a", "runs/b"];
    stitch(folder.path()).args(same).assert().code(0).stdout(contains("conv.weight").not());
    let config = ["train", "--config", "runs/a", "--data", "data", "--out", "runs/c"];
    stitch(folder.path()).args(config).assert().code(0);
    let weights = |run: &str| fs::read(folder.path().join(run).join("torchscript.pt")).unwrap();
    assert!(weights("runs/a") == weights("runs/c"));
    let report = ["report", "runs/c", "--data", "data", "-o", "page.html"];
    stitch(folder.path()).args(report).assert().code(0);
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.contains("A network of a TorchScript file, model.pt"), "{page}");
    // The file of the run is another one now.
    fs::copy(folder.path().join("runs/a/torchscript.pt"), folder.path().join("model.pt")).unwrap();
    refused(
        stitch(folder.path()).args(["train", "--config", "runs/a", "--data", "data", "--force"]),
        2,
        &["model.pt has the SHA-256", "the file has changed"],
    );
}

#[test]
fn a_trained_network_is_evaluated_predicts_and_is_exported() {
    let folder = folder_with_network("residual");
    train(folder.path()).args(["--out", "run"]).assert().code(0);
    let read = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
    let evaluate = ["evaluate", "run/torchscript.pt", "--data", "data", "--out", "evaluated"];
    stitch(folder.path()).args(evaluate).assert().code(0);
    assert_eq!(read("evaluated/predictions.csv"), read("run/predictions.csv"));
    let images = "data/t10k-images-idx3-ubyte";
    let predict =
        ["predict", "run/torchscript.pt", images, "--index", "0", "--csv", "--top-k", "1"];
    let assert = stitch(folder.path()).args(predict).assert().code(0);
    let first =
        read("run/predictions.csv").lines().nth(1).unwrap().rsplit(',').next().unwrap().to_owned();
    let line = stdout_of(&assert).lines().nth(1).unwrap();
    assert_eq!(line.split(',').nth(3), Some(first.as_str()), "{line}");
    for (format, extension) in
        [("npz", "npz"), ("safetensors", "safetensors"), ("state-dict", "pth")]
    {
        let path = format!("exported.{extension}");
        let export = ["export", "run/torchscript.pt", "--format", format, "-o", &path];
        stitch(folder.path()).args(export).assert().code(0);
        stitch(folder.path()).args(["parity", "run/state_dict.pt", &path]).assert().code(0);
    }
}

/// A network with a hook and a buffer that each forward pass changes, and its training in Python.
const HOOKED: &str = "
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.register_buffer('calls', torch.zeros(()))
    def forward(self, x):
        self.calls += 1
        return self.fc(x.flatten(1)) + self.calls

def halve(self, input: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
    return output / 2

model = Net()
model.register_forward_hook(halve)
torch.jit.script(model).save('model.pt')
pixels = np.fromfile('data/train-images-idx3-ubyte', np.uint8, offset=16).reshape(-1, 1, 28, 28)
labels = np.fromfile('data/train-labels-idx1-ubyte', np.uint8, offset=8)
data = TensorDataset(torch.tensor(pixels / 255.0, dtype=torch.float32), torch.tensor(labels).long())
torch.manual_seed(0)
torch.set_num_threads(1)
loader = DataLoader(data, batch_size=64, shuffle=True)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(2):
    for xs, ys in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(xs), ys).backward()
        optimizer.step()
torch.save(model.state_dict(), 'python.pt')
";

#[test]
fn hooks_run_and_an_evaluation_changes_no_buffer() {
    let folder = folder_with(HOOKED);
    train(folder.path()).args(["--out", "run"]).assert().code(0);
    let parity = ["parity", "python.pt", "run/state_dict.pt"];
    stitch(folder.path()).args(parity).assert().code(0);
}

#[test]
fn a_run_with_validation_keeps_the_network_of_its_best_epoch() {
    let folder = folder_with_network("residual");
    train(folder.path()).args(["--val", "40", "--out", "run"]).assert().code(0);
    let evaluate = ["evaluate", "run/best_torchscript.pt", "--data", "data", "--out", "best"];
    stitch(folder.path()).args(evaluate).assert().code(0);
    let read = |path: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.path().join(path)).unwrap()).unwrap()
    };
    assert_eq!(
        read("best/metrics.json")["test_accuracy"],
        read("run/metrics.json")["validation"]["best_test_accuracy"]
    );
    for weights in ["state_dict.pt", "best_weights.safetensors"] {
        let evaluate = ["evaluate", &format!("run/{weights}"), "--data", "data"];
        let beside =
            if weights.starts_with("best") { "best_torchscript.pt" } else { "torchscript.pt" };
        let parts = [&format!("is in run/{beside}: give that file")[..]];
        refused(stitch(folder.path()).args(evaluate), 2, &parts);
    }
    let best = ["parity", "run/best_state_dict.pt", "run/best_torchscript.pt"];
    stitch(folder.path()).args(best).assert().code(0);
}

#[test]
fn the_path_of_a_file_does_not_matter_to_its_runs() {
    let folder = folder_with_network("tied");
    train(folder.path()).args(["--out", "runs/a"]).assert().code(0);
    fs::rename(folder.path().join("model.pt"), folder.path().join("moved.pt")).unwrap();
    let repeat = ["train", "moved.pt", "--config", "runs/a", "--data", "data", "--out", "runs/b"];
    stitch(folder.path()).args(repeat).assert().code(0);
    stitch(folder.path()).args(["parity", "runs/a", "runs/b"]).assert().code(0);
    fs::copy(folder.path().join("runs/a/torchscript.pt"), folder.path().join("moved.pt")).unwrap();
    refused(stitch(folder.path()).args(repeat).arg("--force"), 2, &["the model is moved.pt, but"]);
}
