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
        (
            "return self.fc(x.flatten(1))[:, :7]",
            &["Net has 7 classes, labels 0 to 6", "the label 9"],
        ),
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
                 self.kept, self.pair = [torch.zeros(1)], (PAIR, 1)\n        \
                 self.numbers: dict[str, int] = {'a': 1}\n";
    let end = "torch.jit.script(Net()).save('model.pt')\n";
    for (pair, body, said) in [
        ("1", "self.calls += 1", "its forward changes calls, which is no buffer"),
        (
            "1",
            "if not self.training: self.calls += 1",
            "its forward changes calls, which is no buffer",
        ),
        ("1", "self.kept.append(x)", "its forward changes kept, which is no buffer"),
        (
            "1",
            "if self.training: self.kept[0].add_(1)",
            "its forward changes kept, which is no buffer",
        ),
        ("1", "self.numbers['a'] += 1", "its forward changes numbers, which is no buffer"),
        ("1", "self.fc.training = False", "its forward changes fc.training, which is no buffer"),
        ("self.fc.weight", "x = x * 1", "its attribute pair shares memory with fc.weight"),
    ] {
        let forward = format!(
            "    def forward(self, x):\n        {body}\n        return self.fc(x.flatten(1))\n"
        );
        let folder = folder_with(&[&class.replace("PAIR", pair), &forward, end].concat());
        refused(&mut train(folder.path()), 2, &[said]);
    }
}

/// Saves the network of [`network`] whose constructor ends with `line`.
fn constructed(line: &str, body: &str) -> String {
    let def = "    def forward";
    network(body).replacen(def, &format!("        {line}\n{def}"), 1)
}

#[test]
fn parameters_and_buffers_in_shared_or_transposed_memory_are_refused() {
    let forward = "return self.fc(x.flatten(1))";
    let share = "share memory, which is supported for two names of one parameter only";
    for (line, parts) in [
        ("self.register_buffer('x2', self.x1)", &["its x1 and x2", share][..]),
        ("self.register_buffer('x2', self.x1[:5])", &["its x1 and x2", share]),
        ("self.register_buffer('x2', self.fc.weight.data)", &["its x2 and fc.weight", share]),
        ("self.v = nn.Parameter(self.fc.bias.data[5:])", &["its v and fc.bias", share]),
        ("self.bn2 = self.bn", &["its bn.running_mean and bn2.running_mean", share]),
        ("self.v = nn.Parameter(torch.ones(3, 2).t())", &["its v is not contiguous"]),
        ("self.register_buffer('x2', torch.ones(1).expand(3))", &["its x2 is not contiguous"]),
        (
            "self.conv = nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)",
            &["its conv.weight is not contiguous (channels_last"],
        ),
        (
            "self.v = nn.Parameter(torch.ones(2).double())",
            &["its v has the type Double, and its fc.weight the type Float"],
        ),
        ("self.requires_grad_(False)", &["no parameter to train", "requires_grad"]),
    ] {
        let folder = folder_with(&constructed(line, forward));
        refused(&mut train(folder.path()), 2, parts);
    }
    // Parts of one memory that do not overlap are parameters like any others.
    let parts = "both = torch.ones(20)\n        \
                 self.v, self.w = nn.Parameter(both[:10]), nn.Parameter(both[10:])";
    let folder = folder_with(&constructed(parts, "return self.fc(x.flatten(1)) * self.v + self.w"));
    train(folder.path()).assert().code(0);
}

#[test]
fn gradients_that_the_optimizers_do_not_support_are_refused() {
    let sparse = "self.e = nn.Embedding(256, 10, sparse=True)";
    let body = "return self.e((x.flatten(1)[:, 300] * 255).long())";
    let folder = folder_with(&constructed(sparse, body));
    for engine in ["eager", "exact"] {
        let parts = ["epoch 1, step 1", "the gradient of e.weight is sparse", "sparse=False"];
        refused(train(folder.path()).args(["--engine", engine]), 2, &parts);
    }
    let body = "y = self.fc(x.flatten(1))\n        return y if len(x) == 64 else y + self.v";
    let folder = folder_with(&constructed("self.v = nn.Parameter(torch.ones(10))", body));
    for engine in ["eager", "exact"] {
        let parts = ["epoch 1, step 4", "the parameter v in some steps only", "sgd"];
        refused(train(folder.path()).args(["--engine", engine, "--force"]), 2, &parts);
        let sgd = ["--engine", engine, "--optimizer", "sgd", "--force"];
        train(folder.path()).args(sgd).assert().code(0);
    }
    let body = "self.x1 = self.x1 + self.fc.bias\n        return self.fc(x.flatten(1)) + self.x1";
    let folder = folder_with(&network(body));
    let parts = ["epoch 1, step 1", "computes the buffer x1 under autograd", "detach"];
    refused(&mut train(folder.path()), 2, &parts);
}

#[test]
fn arguments_that_libtorch_does_not_check_are_errors() {
    let lstm = |state: &str| {
        format!(
            "h = torch.zeros({state})\n        y, _, _ = torch.lstm(x.squeeze(1), [h, h], [torch.ones(12, 28), \
             torch.ones(12, 3)], False, 1, 0.0, False, False, True)\n        return self.fc(x.flatten(1)) + y.mean()"
        )
    };
    let evaluate = ["evaluate", "model.pt", "--data", "data"];
    let folder = folder_with(&network(&lstm("1, x.size(0), 3")));
    stitch(folder.path()).args(evaluate).assert().code(0);
    let folder = folder_with(&network(&lstm("1, 1, 3")));
    let parts = ["lstm: a state has the shape [1, 1, 3], where [1, 2, 3] is expected"];
    refused(stitch(folder.path()).args(evaluate), 2, &parts);
    let folder = folder_with(&network("return self.fc(x.flatten(1)) + 5 % (x.size(1) - 1)"));
    refused(stitch(folder.path()).args(evaluate), 2, &["the network divides an integer by 0"]);
}

#[test]
fn a_file_of_weights_is_no_network() {
    let folder = folder_with("import torch; torch.save({'a': torch.zeros(3)}, 'model.pt')");
    let parts = ["model.pt", "it has no network", "torch.jit.script(model).save(FILE)"];
    refused(&mut train(folder.path()), 2, &parts);
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
    crate::common::small_dataset(&folder.path().join("data"), 200, 60);
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
    refused_with(&[], &["it is not a TorchScript file", "torch.jit.script(model).save(FILE)"]);
    fs::rename(folder.path().join("model.pt"), folder.path().join("mdoel.pt")).unwrap();
    let hint = "did you mean mdoel.pt?";
    refused_with(&[], &["model.pt cannot be read", "No such file", hint]);
    run_script(folder.path(), "import torch; torch.save({'a': torch.zeros(3)}, 'model.pt')");
    refused_with(&[], &["model.pt"]);
}
