"""Measures speed and memory of `stitch parity` on two files of 1 GB in the page cache.

Run by `make bench`. Prints the median of five runs for each case; every run checks the verdict.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STITCH = Path(sys.argv[1]).resolve()
ELEMENTS = 250_000_000  # One float32 tensor of 1 GB.


peaks = []


def seconds(*arguments, code):
    start = time.perf_counter()
    child = subprocess.Popen([STITCH, "parity", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == code, f"exit code {child.returncode}, expected {code}"
    peaks.append(usage.ru_maxrss * 1024)  # KiB on Linux.
    return time.perf_counter() - start


MAKE_FILES = """
import sys
import numpy as np
from safetensors.numpy import save_file
same, copy, sparse, dense = sys.argv[2:]
values = np.random.default_rng(0).random(int(sys.argv[1]), dtype=np.float32)
save_file({"w": values}, same)
save_file({"w": values}, copy)
values[::1000] += 1e-6
save_file({"w": values}, sparse)
values += 1e-3
save_file({"w": values}, dense)
"""

with tempfile.TemporaryDirectory() as folder:
    same, copy, sparse, dense = files = [str(Path(folder) / f"{i}.safetensors") for i in range(4)]
    # In a separate process: a child's peak memory includes that of its parent at the fork.
    subprocess.run([sys.executable, "-c", MAKE_FILES, str(ELEMENTS), *files], check=True)
    CASES = (
        ("equal", copy, 0),
        ("0.1 % of elements differ", sparse, 1),
        ("every element differs", dense, 1),
    )
    gigabytes = 2 * ELEMENTS * 4 / 1e9
    for what, port, code in CASES:
        times = [seconds(same, port, code=code) for _ in range(5)]
        median = statistics.median(times)
        print(
            f"parity, 1 GB against 1 GB, {what}: {median:.2f} s "
            f"({min(times):.2f} to {max(times):.2f}), {1000 * gigabytes / median:.0f} MB/s of tensor data"
        )
    peak = max(peaks)
    print(f"peak memory {peak / 1e6:.0f} MB, {peak / (ELEMENTS * 4):.2f} times the tensor")
