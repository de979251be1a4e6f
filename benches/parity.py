"""Measures speed and memory of `stitch parity` on two files of 1 GB, and on two traces of 1 GB, in the page cache.

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

# Tensors of 40 MB and of 40 kB, all with their elements; each is hashed and checked.
MAKE_TRACES = """
import sys
import numpy as np
from stitch_trace import Writer
values = np.random.default_rng(0).random(int(sys.argv[1]) // 2, dtype=np.float32)
for folder, change in zip(sys.argv[2:], (0, 0, 1e-3)):
    with Writer(folder, keep=1 << 40) as trace:
        for length in (10_000_000, 10_000):
            for i, begin in enumerate(range(0, len(values), length)):
                trace.record("parameter", f"{length}.{i}", values[begin : begin + length] + np.float32(change), step=1)
"""

with tempfile.TemporaryDirectory() as folder:
    same, copy, sparse, dense = files = [str(Path(folder) / f"{i}.safetensors") for i in range(4)]
    # In a separate process: a child's peak memory includes that of its parent at the fork.
    subprocess.run([sys.executable, "-c", MAKE_FILES, str(ELEMENTS), *files], check=True)
    traces = [str(Path(folder) / f"trace{i}") for i in range(3)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "python")}
    make = [sys.executable, "-c", MAKE_TRACES, str(ELEMENTS), *traces]
    subprocess.run(make, check=True, env=environment)
    CASES = (
        ("files of 1 GB, equal", same, copy, 0),
        ("files of 1 GB, 0.1 % of elements differ", same, sparse, 1),
        ("files of 1 GB, every element differs", same, dense, 1),
        ("traces of 1 GB, equal", traces[0], traces[1], 0),
        ("traces of 1 GB, every element differs", traces[0], traces[2], 1),
    )
    gigabytes = 2 * ELEMENTS * 4 / 1e9
    for what, reference, port, code in CASES:
        times = [seconds(reference, port, code=code) for _ in range(5)]
        median = statistics.median(times)
        print(
            f"parity, {what}: {median:.2f} s ({min(times):.2f} to {max(times):.2f}), "
            f"{1000 * gigabytes / median:.0f} MB/s of both sides"
        )
    peak = max(peaks)
    print(f"peak memory {peak / 1e6:.0f} MB, {peak / (ELEMENTS * 4):.2f} times the data of a side")
