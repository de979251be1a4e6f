"""Runs the Python recipes of docs/formats.md in a folder as its reader has it, and checks what they give."""

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import torch
from safetensors.torch import load_file
from sklearn.neural_network import MLPClassifier

warnings.filterwarnings("ignore")  # torch.jit is deprecated in 2.13, and says so at each load.
torch.set_num_threads(1)
os.chdir(sys.argv[1])
pixels = np.fromfile("data/t10k-images-idx3-ubyte", np.uint8)[16:] / 255.0
images = pixels.reshape(-1, 1, 28, 28).astype(np.float32)


def run(name, **names):
    """The names that a recipe leaves, after it was given those that its reader has."""
    exec(compile(Path(name).read_text(), name, "exec"), names)
    return names


def predictions(model):
    return pd.read_csv(f"runs/reproduce/{model}/predictions.csv")["y_pred"].to_numpy()


model = run("state_dict.py")["model"]
for key, value in load_file("runs/reproduce/lenet5/weights.safetensors").items():
    assert torch.equal(model.state_dict()[key], value), f"state_dict: {key}"
expected = model(torch.from_numpy(images)).detach()
assert (expected.argmax(1).numpy() == predictions("lenet5")).all(), "state_dict: predictions"

run("picture.py")
header, picture = b"P5\n28 28\n255\n", Path("picture.pgm").read_bytes()
assert picture.startswith(header) and len(picture) == len(header) + 784, "picture"
assert max(picture[len(header) :]) > 128 > picture[len(header)], "picture: light on dark"

logits = run("torchscript.py", torch=torch, images=torch.from_numpy(images))["logits"]
assert torch.equal(logits, expected), "torchscript: logits"

logits = run("onnx.py", onnxruntime=onnxruntime, images=images)["logits"]
assert np.abs(logits - expected.numpy()).max() <= 1e-5 * expected.abs().max(), "onnx: logits"
assert (logits.argmax(1) == predictions("lenet5")).all(), "onnx: predictions"

mlp = run("sklearn.py", np=np, MLPClassifier=MLPClassifier)["mlp"]
assert (mlp.predict(pixels.reshape(-1, 784)) == predictions("mlp")).all(), "scikit-learn: predictions"
print("every recipe works")
