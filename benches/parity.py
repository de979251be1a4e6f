"""Speed and memory of `stitch parity` on a pair of files of 1 GB in the page cache.

Run by `make bench`. Prints the median of five runs for each case; every run checks the verdict.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

STITCH = Path(sys.argv[1]).resolve()
ELEMENTS = 250_000_000  # One float32 tensor of 1 GB.


def seconds(*arguments, code):
    start = time.perf_counter()
    done = subprocess.run([STITCH, "parity", *arguments], stdout=subprocess.DEVNULL)
    assert done.returncode == code, f"exit code {done.returncode}, {code} wanted"
    return time.perf_counter() - start


with tempfile.TemporaryDirectory() as folder:
    same, copy, other = (Path(folder) / f"{name}.safetensors" for name in ("same", "copy", "other"))
    values = np.random.default_rng(0).random(ELEMENTS, dtype=np.float32)
    save_file({"w": values}, same)
    save_file({"w": values}, copy)
    values[::1000] += 1e-6
    save_file({"w": values}, other)
    del values
    gigabytes = 2 * ELEMENTS * 4 / 1e9
    for what, port, code in (("equal", copy, 0), ("0.1 % of elements differ", other, 1)):
        times = [seconds(same, port, code=code) for _ in range(5)]
        median = statistics.median(times)
        print(
            f"parity, 1 GB against 1 GB, {what}: {median:.2f} s "
            f"({min(times):.2f} to {max(times):.2f}), {1000 * gigabytes / median:.0f} MB/s of tensor data"
        )
    # Of the largest child, in KiB on Linux.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"peak memory {peak / 1e6:.0f} MB, {peak / (ELEMENTS * 4):.2f} times the tensor")
