"""Unpacks the data set for contenders that cannot read .gz files."""

import gzip
import shutil
import subprocess
from pathlib import Path

FILES = [f"{half}-{what}" for half in ("train", "t10k") for what in ("images-idx3-ubyte", "labels-idx1-ubyte")]


def unpack(stitch, folder):
    """Unpacks the four files of the data set that `stitch` finds into `folder`."""
    output = subprocess.run([stitch, "data"], capture_output=True, text=True, check=True).stdout
    found = Path(output.splitlines()[0].split(" (")[0])
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in FILES:
        packed = found / f"{name}.gz"
        with gzip.open(packed) if packed.exists() else open(found / name, "rb") as content:
            with open(Path(folder) / name, "wb") as file:
                shutil.copyfileobj(content, file)
