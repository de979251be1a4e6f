"""Scripts and traces the networks of networks.py, and variants of the notebook's LeNet-5 and MLP.

Each variant says whether its forward pass is that of the original; its outputs are the witnesses.
"""

import importlib.util
import json
import sys
import warnings
from pathlib import Path

import torch
import torch.nn as nn

sys.path.append(str(Path(__file__).resolve().parents[1]))
from networks import NETWORKS  # noqa: E402

warnings.filterwarnings("ignore")  # torch.jit is deprecated in 2.13, and says so at each call.
torch.set_num_threads(1)
folder = Path(sys.argv[1])
files = []


def save(module, network, name, equal, inputs, train=False):
    """Both kinds of TorchScript. A trace is made in evaluation mode; a script may be saved in training mode."""
    scripted = torch.jit.script(module.train(train))
    traced = torch.jit.trace(module.eval(), inputs)
    for kind, program in (("script", scripted), ("trace", traced)):
        path = f"{network}.{name}.{kind}.pt"
        program.save(folder / path)
        files.append({"file": path, "network": network, "equal": equal})


for name, network in NETWORKS.items():
    module = network.make()
    inputs = torch.randn(3, *network.input, dtype=network.dtype)
    save(module, name, "eval", True, inputs)
    torch.jit.script(module.train()).save(folder / f"{name}.train.pt")
    files.append({"file": f"{name}.train.pt", "network": name, "equal": True})

LAYERS = """
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)
"""
CONV1 = "x = F.avg_pool2d(F.relu(self.conv1(x)), 2)"
CONV2 = "x = F.avg_pool2d(F.relu(self.conv2(x)), 2)"
VIEW = "x = x.view(-1, 400)"
FC1 = "x = F.relu(self.fc1(x))"
FC2 = "x = F.relu(self.fc2(x))"
FC3 = "return self.fc3(x)"
# Name, whether it is equal, and what is replaced by what in the notebook's forward.
VARIANTS = [
    ("notebook", True, {}),
    ("torch.relu in place", True, {FC1: "x = torch.relu_(self.fc1(x))", CONV1: "x = F.avg_pool2d(self.conv1(x).relu_(), [2, 2], 2)"}),
    ("clamp", True, {FC1: "x = self.fc1(x).clamp(min=0)"}),
    ("flatten", True, {VIEW: "x = torch.flatten(x, 1)"}),
    ("reshape of the batch", True, {VIEW: "x = x.reshape(x.size(0), -1)"}),
    ("view of a view", True, {VIEW: "x = x.view(-1, 80, 5).view(x.shape[0], 400)"}),
    ("helper of the tutorial", True, {VIEW: "x = x.view(-1, self.num_flat_features(x))"}),
    ("dropout in eval mode", True, {FC3: "return self.fc3(F.dropout(x, 0.3, self.training))"}),
    ("addmm", True, {FC2: "x = torch.addmm(self.fc2.bias, x, self.fc2.weight.t()).relu()"}),
    ("matmul", True, {FC2: "x = F.relu(x @ self.fc2.weight.t() + self.fc2.bias)"}),
    ("adaptive pooling", True, {CONV1: "x = F.adaptive_avg_pool2d(F.relu(self.conv1(x)), 14)"}),
    ("arguments without effect", True, {CONV2: "x = F.avg_pool2d(F.relu(self.conv2(x)), 2, 2, 0, True, False, 4)"}),
    ("padding before", True, {CONV1: "x = F.avg_pool2d(F.relu(F.conv2d(F.pad(x, [2, 2, 2, 2]), self.conv1.weight, self.conv1.bias)), 2)"}),
    ("in place on a view", True, {FC2: "x = self.fc2(x).view(-1, 84).relu_()"}),
    ("unused computation", True, {FC2: "y = torch.tanh(self.fc2(x))\n        x = F.relu(self.fc2(x))"}),
    ("a branch on the shape", True, {CONV1: "if x.dim() == 3:\n            x = x.unsqueeze(1)\n        " + CONV1}),
    ("a loop", True, {VIEW: "for i in range(2):\n            x = x.flatten(1)"}),
    ("a size as an attribute", True, {VIEW: "x = x.view(-1, self.features)"}),
    ("max pooling", False, {CONV1: CONV1.replace("avg", "max"), CONV2: CONV2.replace("avg", "max")}),
    ("tanh", False, {FC1: "x = torch.tanh(self.fc1(x))"}),
    ("leaky relu", False, {FC1: "x = F.leaky_relu(self.fc1(x))"}),
    ("missing relu", False, {FC2: "x = self.fc2(x)"}),
    ("relu behind", False, {CONV2: "x = F.relu(F.avg_pool2d(self.conv2(x), 2))"}),
    ("reflecting padding", False, {CONV1: "x = F.avg_pool2d(F.relu(F.conv2d(F.pad(x, [2, 2, 2, 2], 'reflect'), self.conv1.weight, self.conv1.bias)), 2)"}),
    ("padding of one side", False, {CONV1: "x = F.avg_pool2d(F.relu(F.conv2d(F.pad(x, [4, 0, 4, 0]), self.conv1.weight, self.conv1.bias)), 2)"}),
    ("padding of ones", False, {CONV1: "x = F.avg_pool2d(F.relu(F.conv2d(F.pad(x, [2, 2, 2, 2], value=1.0), self.conv1.weight, self.conv1.bias)), 2)"}),
    ("overlapping pooling", False, {CONV2: "x = F.avg_pool2d(F.relu(self.conv2(x)), 3, 2, 1)"}),
    ("padding not counted", False, {CONV2: "x = F.avg_pool2d(F.relu(self.conv2(x)), 2, 2, 1, False, False)[:, :, :5, :5].contiguous()"}),
    ("divisor", False, {CONV2: "x = F.avg_pool2d(F.relu(self.conv2(x)), 2, divisor_override=3)"}),
    ("scaled input", False, {CONV1: "x = x / 255\n        " + CONV1}),
    ("scaled output", False, {FC3: "return self.fc3(x) * 0.5"}),
    ("softmax", False, {FC3: "return F.softmax(self.fc3(x), 1)"}),
    ("log_softmax", False, {FC3: "return F.log_softmax(self.fc3(x), dim=1)"}),
    ("transposed features", False, {VIEW: "x = x.transpose(2, 3).reshape(-1, 400)"}),
    ("mixed images", False, {VIEW: "x = x.permute(1, 0, 2, 3).reshape(-1, 400)"}),
    ("without a bias", False, {FC3: "return F.linear(x, self.fc3.weight)"}),
    ("a bias twice", False, {FC3: "return self.fc3(x) + self.fc3.bias"}),
    ("residual connection", False, {FC2: "x = F.relu(self.fc2(x))\n        x = x + x.flip(1)"}),
    ("a view that is changed", False, {FC2: "y = self.fc2(x)\n        x = y.view(-1, 84)\n        y.tanh_()"}),
    ("flipped kernel", False, {CONV1: "w = self.conv1.weight.flip(3)\n        x = F.avg_pool2d(F.relu(F.conv2d(x, w, self.conv1.bias, padding=2)), 2)"}),
    ("another bias", False, {FC3: "return F.linear(x, self.fc3.weight, self.fc1.bias[:10])"}),
    ("its own scale", False, {FC3: "return self.fc3(x) * self.scale"}),
]  # fmt: skip
CLASS = """
class Net(nn.Module):
    classes: list[str]

    def __init__(self):
        super().__init__(){layers}
        self.classes = ["T-shirt/top", "Trouser"]
        self.features, self.scale, self.best, self.note = 400, 0.5, None, "a note"

    def num_flat_features(self, x):
        size = x.size()[1:]
        features = 1
        for s in size:
            features *= s
        return features

    def forward(self, x):
        {forward}
"""


def compiled(name, source):
    """The class of a source text; torch.jit.script reads it from the file again."""
    path = folder / f"{name.replace(' ', '_').replace('.', '_')}.py"
    path.write_text("import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n" + source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Net


def forward(changes):
    lines = [changes.get(line, line) for line in (CONV1, CONV2, VIEW, FC1, FC2, FC3)]
    return CLASS.replace("{layers}", LAYERS).replace("{forward}", "\n        ".join(lines))


def add(original, module, network, name, equal, inputs):
    """The outputs agree with the original's exactly where it says so."""
    module.load_state_dict(original.state_dict())
    expected, found = original.eval()(inputs), module.eval()(inputs)
    same = expected.shape == found.shape and torch.allclose(expected, found, rtol=1e-5, atol=1e-6)
    assert same == equal, f"{name}: equal is {equal}, but the outputs say {same}"
    save(module, network, name, equal, inputs, train=True)


images = torch.rand(4, 1, 28, 28)
torch.manual_seed(1)
notebook = compiled("notebook", forward({}))()
for name, equal, changes in VARIANTS:
    add(notebook, compiled(name, forward(changes))(), "the model lenet5", name, equal, images)


class Sequentials(nn.Module):
    """Layers as modules, of which some have no parameters."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding="same"), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)
        self.after = nn.Sequential(nn.ReLU(inplace=True), nn.AvgPool2d(2, 2), nn.Identity())
        self.flatten, self.dropout = nn.Flatten(), nn.Dropout()
        self.activation = nn.ReLU()

    def convolve(self, x):
        return self.after(self.conv2(self.after(self.conv1(x))))

    def forward(self, x):
        x = self.flatten(self.convolve(x))
        x = self.dropout(self.activation(self.fc1(x)))
        return self.fc3(self.dropout(self.activation(self.fc2(x))))


add(notebook, Sequentials(), "the model lenet5", "modules", True, images)
wrapped = nn.Sequential()
wrapped.add_module("module", Sequentials())
save(wrapped, "the model lenet5", "wrapped", True, images)

pixels = torch.rand(4, 784, dtype=torch.float64)
layers = {"relu": nn.ReLU(), "tanh": nn.Tanh(), "gelu": nn.GELU()}
mlps = {name: nn.Sequential(nn.Linear(784, 64), layer, nn.Linear(64, 10)).double() for name, layer in layers.items()}
mlps["softmax"] = nn.Sequential(*mlps["relu"], nn.Softmax(1))
for name, mlp in mlps.items():
    add(mlps["relu"], mlp, "the model mlp", name, name == "relu", pixels)

for name, momentum, eps, equal in (("momentum", 0.5, 1e-5, True), ("eps", 0.1, 1e-3, False)):
    network = NETWORKS["batch_norm2d"]
    channels = network.make().num_features
    batch_norm = nn.BatchNorm2d(channels, eps=eps, momentum=momentum)
    save(batch_norm, "batch_norm2d", name, equal, torch.randn(3, *network.input))
(folder / "files.json").write_text(json.dumps(files))
