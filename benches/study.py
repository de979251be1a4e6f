"""Measures the runs per hour of a study: one row per core with one thread each, compared with the same rows one after
the other on all threads. Also measures the overhead of a row besides its training, and its memory.

Run by `make bench`. The two alternate on the whole data set; the raw numbers are written to benches/results/study.csv.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import psutil
from results import VERSIONS, Results, machine

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("stitch", type=Path)
parser.add_argument("--pairs", type=int, default=3)
args = parser.parse_args()
root = Path(__file__).resolve().parent.parent
stitch = args.stitch.resolve()
cores = os.cpu_count()
ROWS = 2 * cores


class Memory(threading.Thread):
    """Records the peak memory of a row's process in bytes, without shared memory (libtorch's file, the data set)."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.most, self.ended = process, 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.1):
            try:
                for child in self.process.children():
                    memory = child.memory_info()
                    self.most = max(self.most, memory.rss - memory.shared)
            except psutil.Error:
                pass


def study(folder, model, threads, jobs):
    """Returns the seconds of all rows, the seconds of their training, and the peak memory of a row."""
    plan = ["study", "plan", "--model", *model, "--seeds", f"0..{ROWS}", "--threads", str(threads), "-o", folder]
    subprocess.run([stitch, *plan], check=True, stdout=subprocess.DEVNULL)
    start = time.perf_counter()
    run = subprocess.Popen(
        [stitch, "study", "run", folder, "--jobs", str(jobs), "--quiet"], cwd=root, stdout=subprocess.DEVNULL
    )
    memory = Memory(psutil.Process(run.pid))
    memory.start()
    assert run.wait() == 0
    seconds = time.perf_counter() - start
    memory.ended.set()
    memory.join()
    rows = [json.loads(path.read_text())["train_seconds"] for path in (folder / "results").iterdir()]
    return seconds, sum(rows), memory.most


def report(model, results):
    for way, measured in results.items():
        seconds = statistics.median(it[0] for it in measured)
        jobs = WAYS[way][1]
        overhead = statistics.median((it[0] * jobs - it[1]) / ROWS for it in measured)
        most = max(it[2] for it in measured) / 1e6
        print(
            f"{model}, {way}: {ROWS} rows in {seconds:.1f} s, {3600 * ROWS / seconds:.0f} per hour;"
            f" per row {overhead:.2f} s besides its training, and {most:.0f} MB of unshared memory"
        )
    ratios = [one[0] / side[0] for side, one in zip(results["side by side"], results["one by one"])]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} rounds"
    print(f"{model}: side by side {statistics.median(ratios):.2f} times the runs per hour ({spread})", flush=True)


MODELS = {"mlp": ["mlp"], "lenet5": ["lenet5"], "lenet5 --fast": ["lenet5", "--fast"]}
WAYS = {"side by side": (1, cores), "one by one": (cores, 1)}
results = Results("study.csv", ["model", "way", "round", "rows", "seconds", "train_seconds", "row_bytes", *VERSIONS])
for name, model in MODELS.items():
    by_way = {way: [] for way in WAYS}
    for number in range(1, args.pairs + 1):
        for way, (threads, jobs) in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                measured = study(Path(folder), model, threads, jobs)
            by_way[way].append(measured)
            row = dict(zip(["seconds", "train_seconds", "row_bytes"], measured))
            results.add({"model": name, "way": way, "round": number, "rows": ROWS, **row, **machine(stitch)})
    report(name, by_way)
