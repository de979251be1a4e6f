"""Networks of several layers. stacks.rs has their twins."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def mlp():
    return nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 8, bias=False), nn.Tanh(), nn.Linear(8, 10))


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.act = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(96, 10)

    def forward(self, x):
        x = self.pool(self.act(self.norm(self.conv(x))))
        return self.fc(self.drop(self.flatten(x)))


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4, momentum=None), nn.ReLU()),
            nn.Sequential(nn.Dropout2d(0.4), nn.Conv2d(4, 4, 3, groups=2), nn.ReLU(), nn.AvgPool2d(2)),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(36, 10))

    def forward(self, x):
        return self.head(self.features(x))


class Residual(nn.Module):
    """relu(x + bn(conv(dropout2d(relu(bn(conv(x)))))))."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.drop = nn.Dropout2d(0.2)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels, momentum=0.2)

    def forward(self, x):
        y = self.drop(F.relu(self.bn1(self.conv1(x))))
        return F.relu(x + self.bn2(self.conv2(y)))


def residual():
    return nn.Sequential(Residual(4), Residual(4), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 10))


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 10)

    def forward(self, x):
        x = F.avg_pool2d(F.relu(self.conv1(x)), 2)
        x = F.avg_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.view(-1, 400))))


class TanhLeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.pool = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(4, 6, 3)
        self.act = nn.Tanh()
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        x = self.pool(self.act(self.conv1(x)))
        x = self.pool(self.act(self.conv2(x)))
        return self.fc(torch.flatten(x, 1))


class Functions(nn.Module):
    """No layer but the last: functions of torch.nn.functional."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        x = F.dropout2d(x, 0.3, training=self.training)
        x = F.max_pool2d(torch.tanh(x), (2, 1))
        x = F.avg_pool2d(F.relu(x), (1, 2))
        x = F.dropout(x, 0.2, training=self.training) + x
        return self.fc(torch.flatten(F.max_pool2d(x, 2), 1))


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.drop = nn.Dropout(0.1)
        self.out = nn.Linear(6, 10)

    def forward(self, x):
        x = self.drop(F.relu(self.fc(x)))
        return self.out(self.drop(F.relu(self.fc(x))) + x)


class Views(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.conv = nn.Conv2d(4, 3, (2, 3))
        self.out = nn.Linear(6, 10)

    def forward(self, x):
        x = F.relu(self.fc(x.view(-1, 8, 4)))
        x = torch.flatten(self.conv(x.view(-1, 4, 2, 4)), 2)
        return self.out(x.view(-1, 6))


class OwnParameters(nn.Module):
    """A parameter and a buffer of the module itself, defined after a layer: they come first in the state_dict."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.register_buffer("offset", torch.full((3,), 0.25))
        self.scale = nn.Parameter(torch.full((3,), 0.5))
        self.out = nn.Linear(3, 10)

    def forward(self, x):
        return self.out(self.fc(x) * self.scale + self.offset)


class OwnParametersWithin(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.block = OwnParameters()
        self.register_buffer("offset", torch.full((10,), 0.125))
        self.scale = nn.Parameter(torch.full((10,), 2.0))

    def forward(self, x):
        return self.block(F.relu(self.first(x))) * self.scale + self.offset


class Early(nn.Module):
    """What is computed after the logits is not returned; its dropout draws nevertheless."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 8)
        self.drop = nn.Dropout(0.5)
        self.fc2 = nn.Linear(8, 10)
        self.aside = nn.Linear(10, 4)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        logits = self.fc2(x)
        F.relu(self.aside(self.drop(logits)))
        return logits


class Unused(nn.Module):
    """A layer with parameters that forward never calls, and one whose output nobody reads."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 8)
        self.spare = nn.Linear(8, 8)
        self.aside = nn.Linear(8, 3)
        self.fc2 = nn.Linear(8, 10)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        self.aside(x)
        return self.fc2(x)


class Aside(nn.Module):
    """Returns its input; a layer is called whose output nobody reads."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        self.fc(x)
        return x
