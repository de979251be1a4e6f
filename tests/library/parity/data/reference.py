"""Bytes and normalised pixels, as the notebook reads them."""

import gzip
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

out, folder = sys.argv[1], Path(sys.argv[2])


def read(name, header):
    packed = folder / f"{name}.gz"
    content = gzip.open(packed).read() if packed.exists() else (folder / name).read_bytes()
    return np.frombuffer(content, np.uint8, offset=header)


expected = {}
for half in ("train", "t10k"):
    images = read(f"{half}-images-idx3-ubyte", 16).reshape(-1, 784)
    labels = read(f"{half}-labels-idx1-ubyte", 8)
    # One line an image, so that the whole set is compared without a copy of it.
    weights = np.arange(1, 785)
    expected[f"{half} images"] = images.astype(np.int64) @ weights
    expected[f"{half} labels"] = labels.astype(np.int64)
    scaled = images[:300] / 255.0
    expected[f"{half} float64"] = scaled
    expected[f"{half} float32"] = scaled.astype(np.float32)
save_file(expected, out)
