"""Networks of different kinds, for images of 28x28 pixels and ten classes."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(x + self.bn2(self.conv2(y)))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))


class Depthwise(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.pointwise = nn.Conv2d(16, 24, 1)
        self.act = nn.Hardswish()
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        x = F.hardtanh(self.bn(self.conv(x)), 0.0, 6.0)
        x = self.act(self.pointwise(self.depthwise(x)))
        return self.fc(self.dropout(F.adaptive_avg_pool2d(x, 1).flatten(1)))


class Groups(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 5, stride=2)
        self.norm = nn.GroupNorm(3, 12)
        self.conv2 = nn.Conv2d(12, 12, 3)
        self.act = nn.GELU()
        self.fc = nn.Linear(12 * 5 * 5, 10)

    def forward(self, x):
        x = F.silu(self.norm(self.conv1(x)))
        return self.fc(F.max_pool2d(self.act(self.conv2(x)), 2).flatten(1))


class Patches(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(49, 32)
        self.norm = nn.LayerNorm(32)
        self.mix = nn.Linear(16, 16)
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = F.unfold(x, 7, stride=7).transpose(1, 2)
        x = self.norm(F.gelu(self.embed(x)))
        x = x + self.mix(x.transpose(1, 2)).transpose(1, 2)
        return self.fc(x.mean(1))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(28, 32)
        self.position = nn.Parameter(torch.zeros(1, 28, 32))
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.norm = nn.LayerNorm(32)
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = self.embed(x.squeeze(1)) + self.position
        y, _ = self.attention(x, x, x, need_weights=False)
        return self.fc(self.norm(x + y).mean(1))


class Recurrent(nn.Module):
    """Its LSTM has its weights in a list, too."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(28, 24, batch_first=True)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        y, _ = self.lstm(x.squeeze(1))
        return F.log_softmax(self.fc(y[:, -1]), 1)


class Tied(nn.Module):
    """Two names of one weight, a frozen weight, and buffers that forward replaces, also by another one."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(784, 64)
        self.fc1 = nn.Linear(64, 64)
        self.fc2 = nn.Linear(64, 64)
        self.fc2.weight = self.fc1.weight
        self.fc3 = nn.Linear(64, 10)
        self.embed.weight.requires_grad_(False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int32))
        self.register_buffer("scale", torch.full((64,), 0.5))
        self.register_buffer("latest", torch.zeros(64))
        self.register_buffer("previous", torch.ones(64))

    def forward(self, x):
        if self.training:
            self.steps = self.steps + 1
            self.scale = self.scale * 1.01
        x = torch.tanh(self.embed(x.flatten(1))) * self.scale + self.previous
        if self.training:
            self.previous, self.latest = self.latest, x.detach().mean(0)
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))


class Classic(nn.Module):
    """The network of PyTorch's MNIST example, narrower."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, 1)
        self.conv2 = nn.Conv2d(8, 16, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(2304, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = self.dropout1(F.max_pool2d(x, 2))
        x = self.dropout2(F.relu(self.fc1(torch.flatten(x, 1))))
        return F.log_softmax(self.fc2(x), dim=1)


NETWORKS = {
    "residual": Residual,
    "depthwise": Depthwise,
    "groups": Groups,
    "patches": Patches,
    "attention": Attention,
    "recurrent": Recurrent,
    "tied": Tied,
    "classic": Classic,
}
