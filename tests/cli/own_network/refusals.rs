//! Files that are not trained, or not even loaded: each with what is wrong and what to do.

use std::fs;

use super::{folder_with, run_script, train};
use crate::{refused, stitch, temporary_folder};

/// Saves `Net`, whose `forward(self, x)` has this body, and whose linear layer is `fc`, as model.pt.
pub fn network(body: &str) -> String {
    format!(
        "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n\
         class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n\
         \x20       self.fc, self.bn = nn.Linear(784, 10), nn.BatchNorm1d(784)\n\
         \x20       self.drop = nn.Dropout(0.5)\n\
         \x20       self.register_buffer('count', torch.ones((), dtype=torch.int64))\n\
         \x20       self.register_buffer('x1', torch.ones(10))\n\
         \x20   def forward(self, x):\n        {body}\n\
         net = torch.jit.script(Net())\nnet.save('model.pt')\n"
    )
}

#[test]
fn networks_that_do_not_suit_the_data_are_refused() {
    for (body, parts) in [
        ("return self.fc(x)", &["[1, 28, 28]", "cannot be multiplied"][..]),
        ("return self.fc(x.flatten(1))[:, :7]", &["Net has 7 classes", "label 9", "at least 10"]),
        ("return self.fc(x.flatten(1)).sum()", &["output", "[2, classes]"]),
        ("return self.fc(x.flatten(1)).argmax(1)", &["output", "Int64"]),
        ("return self.fc(x.flatten(1)), x", &["forward(self, x: Tensor) -> Tuple[Tensor, Tensor]"]),
    ] {
        let folder = folder_with(&network(body));
        refused(&mut train(folder.path()), 2, parts);
    }
}

#[test]
fn a_forward_pass_that_raises_is_an_error_with_its_message() {
    let body = "if self.training and bool(x.mean() > 0.0):\n            raise ValueError('too bright')\n        \
                return self.fc(x.flatten(1))";
    let folder = folder_with(&network(body));
    refused(&mut train(folder.path()), 2, &["epoch 1, step 1", "raised", "too bright"]);
    refused(train(folder.path()).arg("--dry-run"), 2, &["raised", "too bright"]);
    // Batch normalization of the last batch, of one image.
    let folder = folder_with(&network("return self.fc(self.bn(x.flatten(1)))"));
    let parts = ["epoch 1, step 2", "Expected more than 1 value per channel"];
    refused(train(folder.path()).args(["--batch-size", "199"]), 2, &parts);
    let diverged = folder_with(&network("return self.fc(x.flatten(1)) * 1e38"));
    refused(&mut train(diverged.path()), 1, &["loss"]);
}

#[test]
fn state_that_no_file_has_is_refused() {
    let class = "import torch\nfrom torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n        \
                 super().__init__()\n        self.fc, self.calls = nn.Linear(784, 10), 0\n        \
                 self.kept, self.pair = [torch.zeros(1)], (PAIR, 1)\n";
    let end = "torch.jit.script(Net()).save('model.pt')\n";
    for (pair, body, said) in [
        ("1", "self.calls += 1", "its forward changes calls, which is no buffer"),
        ("1", "self.kept.append(x)", "its forward changes kept, which is no buffer"),
        ("self.fc.weight", "x = x * 1", "its attribute pair shares memory with fc.weight"),
    ] {
        let forward = format!(
            "    def forward(self, x):\n        {body}\n        return self.fc(x.flatten(1))\n"
        );
        let folder = folder_with(&[&class.replace("PAIR", pair), &forward, end].concat());
        refused(&mut train(folder.path()), 2, &[said]);
    }
}

#[test]
fn every_batch_has_an_output_for_each_image() {
    let body =
        "y = self.fc(x.flatten(1))\n        return y if len(x) == 2 else y.mean(0, keepdim=True)";
    let folder = folder_with(&network(body));
    let said = "its output for 64 images has the shape [1, 10], where [64, 10] is expected";
    refused(&mut train(folder.path()), 2, &["epoch 1, step 1", said]);
    refused(
        stitch(folder.path()).args(["evaluate", "model.pt", "--data", "data"]),
        2,
        &["[60, 10]"],
    );
}

#[test]
fn a_part_that_was_saved_in_training_mode_is_evaluated_in_evaluation_mode() {
    let save = "net.eval()\nnet.drop.train()\nnet.save('model.pt')\n";
    let folder = folder_with(&(network("return self.fc(self.drop(x.flatten(1)))") + save));
    let logits = || {
        let predict = ["predict", "model.pt", "data/t10k-images-idx3-ubyte", "--csv"];
        crate::stdout_of(&stitch(folder.path()).args(predict).assert().code(0)).to_owned()
    };
    let first = logits();
    run_script(
        folder.path(),
        "import torch; m = torch.jit.load('model.pt'); m.eval(); m.save('model.pt')",
    );
    assert_eq!(logits(), first);
}

#[test]
fn traced_and_frozen_files_are_evaluated_but_not_trained() {
    let body = "return self.fc(self.drop(self.bn(x.flatten(1))))";
    let traced =
        "traced = torch.jit.trace(Net(), torch.zeros(2, 1, 28, 28))\ntraced.save('model.pt')\n";
    let frozen = "torch.jit.freeze(net.eval()).save('model.pt')\n";
    for (save, parts) in [
        (traced, &["traced", "torch.batch_norm", "torch.jit.script(model)"][..]),
        (frozen, &["no parameters", "torch.jit.freeze"]),
    ] {
        let folder = folder_with(&(network(body) + save));
        refused(&mut train(folder.path()), 2, parts);
        let evaluate = ["evaluate", "model.pt", "--data", "data"];
        stitch(folder.path()).args(evaluate).assert().code(0);
    }
}

#[test]
fn code_that_does_more_than_arithmetic_is_refused_before_it_is_loaded() {
    let save = "torch.save([x], 'written.bin'); return self.fc(x.flatten(1))";
    let read = "return self.fc(x.flatten(1)) + torch.from_file('secret', False, 10)";
    let folder = temporary_folder();
    for (body, operation) in [(save, "torch.save"), (read, "torch.from_file")] {
        let folder = folder_with(&network(body));
        let parts = ["model.pt", operation, "only operations on tensors are allowed"];
        refused(&mut train(folder.path()), 2, &parts);
        let evaluate = ["evaluate", "model.pt", "--data", "data"];
        refused(stitch(folder.path()).args(evaluate), 2, &parts);
        let predict = ["predict", "model.pt", "data/t10k-images-idx3-ubyte"];
        refused(stitch(folder.path()).args(predict), 2, &parts);
        // Its weights are read without its code.
        let export = ["export", "model.pt", "--format", "npz", "-o", "weights.npz"];
        stitch(folder.path()).args(export).assert().code(0);
        assert!(!folder.path().join("written.bin").exists());
    }
    // Code that runs when the file is loaded.
    run_script(folder.path(), SETSTATE);
    crate::cut_to(&folder.path().join("data"), 200, 60);
    refused(&mut train(folder.path()), 2, &["model.pt", "torch.save"]);
    assert!(!folder.path().join("written.bin").exists());
}

/// A network that writes a file when it is loaded.
const SETSTATE: &str = "
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
    @torch.jit.export
    def __getstate__(self):
        return self.fc.weight, self.training
    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]):
        torch.save(state[0], 'written.bin')
        self.training = state[1]
    def forward(self, x):
        return self.fc(x.flatten(1))
torch.jit.script(Net()).save('model.pt')
";

#[test]
fn options_of_other_models_and_other_files_are_refused() {
    let folder = folder_with(&network("return self.fc(x.flatten(1))"));
    let refused_with = |flags: &[&str], parts: &[&str]| {
        refused(train(folder.path()).args(flags), 2, parts);
    };
    refused_with(&["--dropout", "0.5"], &["--dropout", "omitted for model.pt"]);
    refused_with(&["--classes", "7"], &["--classes", "omitted for model.pt"]);
    refused_with(&["--engine", "fast"], &["--engine is fast", "eager or exact for model.pt"]);
    refused_with(&["--fast"], &["eager or exact for model.pt"]);
    fs::write(folder.path().join("model.pt"), "no archive").unwrap();
    refused_with(&[], &["model.pt"]);
    fs::remove_file(folder.path().join("model.pt")).unwrap();
    refused_with(&[], &["model.pt cannot be read", "No such file"]);
    run_script(folder.path(), "import torch; torch.save({'a': torch.zeros(3)}, 'model.pt')");
    refused_with(&[], &["model.pt"]);
}
