"""Networks that torch.jit saves: those that compute with tensors only, and those that do more.

python reference.py <folder>

Writes <folder>/networks/*.pt, and <folder>/refused/*.pt with what is refused in each as <name>.txt.
"""

import pathlib
import sys
import zipfile
from enum import Enum
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
import torchvision.models
from torch import Tensor, nn

VISION = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t", "mobilenet_v2",
    "mobilenet_v3_small", "mnasnet0_5", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t",
    "swin_v2_t", "vgg11_bn", "vit_b_16",
]


class Recurrent(nn.Module):
    """A recurrent network over the rows of an image."""

    def __init__(self, kind: str):
        super().__init__()
        self.rnn = getattr(nn, kind)(28, 16, num_layers=2, batch_first=True, dropout=0.1, bidirectional=True)
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        y, _ = self.rnn(x.squeeze(1))
        return self.fc(y[:, -1])


class Cells(nn.Module):
    """Recurrent cells in a loop."""

    def __init__(self):
        super().__init__()
        self.lstm, self.gru = nn.LSTMCell(28, 16), nn.GRUCell(28, 16)

    def forward(self, x):
        h, c, g = torch.zeros(x.size(0), 16), torch.zeros(x.size(0), 16), torch.zeros(x.size(0), 16)
        for t in range(x.size(2)):
            h, c = self.lstm(x[:, 0, t], (h, c))
            g = self.gru(x[:, 0, t], g)
        return h + g


class Attention(nn.Module):
    """Attention, an encoder and a transformer over the rows of an image."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(28, 4, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(28, 4, 64, batch_first=True), 2)
        self.transformer = nn.Transformer(28, 4, 1, 1, 64, batch_first=True)

    def forward(self, x):
        x = x.squeeze(1)
        x, _ = self.attention(x, x, x, need_weights=False)
        return self.transformer(x, self.encoder(x)).mean(1)


class Color(Enum):
    """An enum in code."""

    RED = 1
    GREEN = 2


class Pair(NamedTuple):
    """A named tuple in code."""

    a: Tensor
    b: Tensor


@torch.jit.script
class Counter:
    """A class in code."""

    def __init__(self, n: int):
        self.n = n

    def step(self, k: int = 1) -> int:
        self.n += k
        return self.n


@torch.jit.interface
class Layer(nn.Module):
    """An interface in code."""

    def forward(self, input: Tensor) -> Tensor:
        pass


class Types(nn.Module):
    """Types of the language: an enum, a named tuple, a class, an interface, dicts, optional arguments."""

    layer: Layer

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(784, 10)

    def both(self, x, color: Color) -> Pair:
        return Pair(x, x * 2) if color == Color.RED else Pair(x, x)

    def forward(self, x: Tensor, mask: Optional[Tensor] = None) -> Dict[str, Tensor]:
        counter = Counter(2)
        counter.step()
        pair = self.both(self.layer.forward(x.flatten(1)), Color.RED)
        y = pair.a + pair.b + counter.n
        if mask is not None:
            y = y * mask
        result: Dict[str, Tensor] = {}
        result["out"] = y
        for key, value in result.items():
            result[key] = value + 1
        return result


class State(nn.Module):
    """Sets its attributes by a function of its own."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))

    @torch.jit.export
    def __getstate__(self):
        return (self.w, self.training)

    @torch.jit.export
    def __setstate__(self, state: Tuple[Tensor, bool]):
        self.w, self.training = state[0], state[1]

    def forward(self, x):
        return x * self.w.sum()


class Operations(nn.Module):
    """Many functions of torch, and the statements of the language."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(256, 4)
        self.w = nn.Parameter(torch.randn(4, 10))
        self.bilinear = nn.Bilinear(4, 4, 10)
        self.numbers = {"a": 1, "b": 2}
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.named = nn.ModuleDict({"x": nn.Linear(4, 4), "relu": nn.ReLU()})
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        n = x.shape[0]
        if x.dim() != 4:
            raise ValueError("4 dimensions are expected, 'not' \"{}\"\n".format(x.dim()))
        assert x.size(1) == 1, "one channel"
        e = self.embedding((x.flatten(1) * 255).clamp(0, 255).long()).mean(1)
        for layer in self.layers:
            e = F.relu(layer(e)) + e
        for _, module in self.named.items():
            e = module(e)
        y, z = torch.einsum("bi,io->bo", e, self.w), self.bilinear(e, e)
        parts = torch.chunk(y, 2, 1)
        y = torch.cat([parts[1], parts[0]], 1)
        o = torch.zeros_like(y)
        o[:, 0] = 1.0
        o[:, 1:3] += 2.0
        y = torch.where(y > 0, y, o).masked_fill(y > 3, -1.0)
        index = torch.topk(y, 3, 1)[1]
        y = y.scatter_add(1, index, torch.ones_like(index, dtype=y.dtype)) + y.gather(1, index).sum()
        numbers: List[int] = []
        t = 0
        while t < 3:
            numbers.append(t)
            t += 1
        s = F.softmax(y, 1) * scale + float(self.numbers["a"]) + float(sum(numbers))
        a, _ = torch.meshgrid(torch.arange(3), torch.arange(3), indexing="ij")
        u = F.unfold(x, 3).mean() + F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False).mean()
        grid = F.affine_grid(torch.eye(2, 3)[None].expand(n, 2, 3), [n, 1, 28, 28], align_corners=False)
        u = u + F.grid_sample(x, grid, align_corners=False).mean() + a.sum() + self.mean.sum()
        u = u + torch.fft.rfft(x.squeeze(1)).abs().mean() + torch.linalg.vector_norm(y, dim=1).sum()
        r = torch.roll(x, 1, 2).flip(3).rot90(1, [2, 3]).transpose(2, 3).permute(0, 2, 3, 1).contiguous().view(n, -1)
        q = torch.stack(list(torch.split(y, 5, 1))).var(dim=0, unbiased=False).sum() + torch.bernoulli(s.sigmoid())
        d = torch.div(y, 2.0, rounding_mode="floor") + F.one_hot(index[:, 0], 10).to(y.dtype) + torch.randn_like(y)
        d = d + torch.sort(y, 1)[0] + torch.cumsum(y, 1) + y.pow(2).add(1e-6).sqrt().log().exp() + x.new_zeros(n, 10)
        if isinstance(scale, float):
            s = s * 1.0
        return y + z + o + s + u + q + d + r.mean() + F.normalize(y, dim=1) + F.cosine_similarity(y, z)[:, None]


def stacks():
    """Networks of modules of torch.nn in a row."""
    activations = [
        nn.ReLU(), nn.ReLU6(True), nn.GELU(), nn.GELU(approximate="tanh"), nn.SiLU(), nn.Mish(), nn.ELU(), nn.CELU(), nn.SELU(),
        nn.LeakyReLU(0.1), nn.PReLU(), nn.RReLU(), nn.Hardswish(), nn.Hardsigmoid(), nn.Hardtanh(), nn.Softplus(), nn.Softsign(),
        nn.Tanh(), nn.Sigmoid(), nn.LogSigmoid(), nn.Threshold(0.1, 0.0), nn.Tanhshrink(), nn.Softshrink(), nn.Hardshrink(),
    ]
    normalizations = [
        nn.Conv2d(1, 8, 3, padding="same"), nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True, track_running_stats=True),
        nn.LocalResponseNorm(2), nn.BatchNorm2d(8), nn.LayerNorm([8, 28, 28]), nn.RMSNorm([8, 28, 28]), nn.Dropout2d(0.1),
        nn.AlphaDropout(0.1), nn.FeatureAlphaDropout(0.1), nn.Flatten(), nn.BatchNorm1d(8 * 784), nn.Dropout(0.5),
    ]
    pools = [
        nn.Conv2d(1, 8, 3, padding_mode="reflect", padding=1), nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(2),
        nn.LPPool2d(2, 2), nn.AdaptiveMaxPool2d(3), nn.AdaptiveAvgPool2d((2, 2)), nn.ZeroPad2d(1), nn.ReflectionPad2d(1),
        nn.ReplicationPad2d(1), nn.ConstantPad2d(1, 0.5), nn.CircularPad2d(1), nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.ConvTranspose2d(8, 8, 3), nn.Unfold(2), nn.Flatten(1, 2),
    ]
    return {
        "activations": nn.Sequential(*activations),
        "normalizations": nn.Sequential(*normalizations),
        "pools": nn.Sequential(*pools),
        "weight_norm": nn.utils.parametrizations.weight_norm(nn.Linear(784, 10)),
    }


def double(self, x: Tuple[Tensor], y: Tensor):
    """A forward hook."""
    return y * 2


def write_networks(folder: pathlib.Path):
    """Writes networks that compute with tensors only."""
    slow = {"init_weights": False}
    options = {"googlenet": slow, "inception_v3": slow}
    networks = {name: getattr(torchvision.models, name)(weights=None, **options.get(name, {})) for name in VISION}
    networks |= {kind.lower(): Recurrent(kind) for kind in ["LSTM", "GRU", "RNN"]}
    networks |= {"cells": Cells(), "attention": Attention(), "types": Types(), "state": State(), "operations": Operations()}
    networks |= stacks()
    networks["hooks"] = nn.Linear(784, 10)
    networks["hooks"].register_forward_hook(double)
    for name, network in networks.items():
        torch.jit.script(network).save(folder / f"{name}.pt")
    small = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 26 * 26, 10))
    x = torch.randn(2, 1, 28, 28)
    for name, network, training in [("training", small, True), ("evaluation", small, False), ("rnn", Recurrent("LSTM"), False)]:
        torch.jit.trace(network.train(training), x, check_trace=False).save(folder / f"traced_{name}.pt")
    torch.jit.freeze(torch.jit.script(small.eval())).save(folder / "frozen.pt")


class Saves(nn.Module):
    """Writes a file."""

    def forward(self, x):
        torch.save(x, "evil")
        return x


class Reads(nn.Module):
    """Reads a file, in a function that another file of the archive holds."""

    def forward(self, x):
        return x + helper(x)


def helper(x):
    """Reads a file."""
    if x.dim() == 17:
        x = torch.from_file("/etc/hostname", False, 1, dtype=torch.uint8)
    return x


class Exported(nn.Module):
    """Writes a file in a method that forward does not call."""

    @torch.jit.export
    def other(self, x):
        torch.save(x, "evil")
        return x

    def forward(self, x):
        return x


class OnLoad(nn.Module):
    """Writes a file when it is loaded."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))

    @torch.jit.export
    def __getstate__(self):
        return (self.w, self.training)

    @torch.jit.export
    def __setstate__(self, state: Tuple[Tensor, bool]):
        torch.save(state[0], "evil")
        self.w, self.training = state[0], state[1]

    def forward(self, x):
        return x


class Forks(nn.Module):
    """Computes in another thread."""

    def forward(self, x):
        return torch.jit.wait(torch.jit.fork(helper_of_fork, x))


def helper_of_fork(x):
    """A function that is forked."""
    return x + 1


class Seeds(nn.Module):
    """Sets the seed of the process."""

    def forward(self, x):
        torch.manual_seed(1)
        return x


class NoGrad(nn.Module):
    """Uses a context."""

    def forward(self, x):
        with torch.no_grad():
            return x + 1


class Quantized(nn.Module):
    """Uses an operation of another namespace."""

    def forward(self, x):
        return torch.ops.quantized.add(x, x, 1.0, 0)


def hook_that_saves(self, x: Tuple[Tensor], y: Tensor):
    """A forward hook that writes a file."""
    torch.save(y, "evil")
    return y


def write_refused(folder: pathlib.Path):
    """Writes networks that do more than compute with tensors."""
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(hook_that_saves)
    for name, (network, refused) in {
        "saves": (Saves(), "torch.save, which reads or writes a file"),
        "reads": (Reads(), "torch.from_file, which reads or writes a file"),
        "exported": (Exported(), "torch.save, which reads or writes a file"),
        "on_load": (OnLoad(), "torch.save, which reads or writes a file"),
        "hook": (hooked, "torch.save, which reads or writes a file"),
        "forks": (Forks(), "`def`"),
        "seeds": (Seeds(), "torch.manual_seed, which changes the process"),
        "no_grad": (NoGrad(), "`with`"),
        "quantized": (Quantized(), "ops.quantized.add"),
    }.items():
        torch.jit.script(network).save(folder / f"{name}.pt")
        (folder / f"{name}.txt").write_text(refused)
    write_default(folder)


def write_default(folder: pathlib.Path):
    """Writes a network with a default argument that is computed when the file is loaded."""
    source, target = folder / "saves.pt", folder / "default.pt"
    lines = '  def other(self: __torch__.Saves, x: None=torch.save(1, "evil")) -> None:\n    return x\n'
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("code/__torch__.py"):
                head, body = data.decode().split("  def forward", 1)
                data = (head + lines + "  def forward" + body.replace("torch.save", "torch.add")).encode()
            new.writestr(name, data)
    (folder / "default.txt").write_text("torch.save, which reads or writes a file")


if __name__ == "__main__":
    torch.manual_seed(0)
    for part, write in [("networks", write_networks), ("refused", write_refused)]:
        path = pathlib.Path(sys.argv[1]) / part
        path.mkdir()
        write(path)
