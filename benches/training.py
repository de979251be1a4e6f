"""Measures training: seconds, seconds of the whole process, peak memory, and equality of the weights.

Run by `make bench`. In each setting the contenders alternate (A B C A B C …). Exact contenders must have the notebook's
weights in every round, or the benchmark fails. Each round measures the speed of large matrix products, too; the seconds are
reported as a multiple of what the arithmetic alone takes at that speed. Each run is written as a row of benches/results/training.csv.
`--only NAME` measures the settings whose names start with NAME, and keeps the rows of the others.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from arithmetic import flop_per_image, peak_gflops
from data import unpack
from results import VERSIONS, Results, cpu, machine, root
from safetensors.numpy import load_file

# Makes glibc keep freed memory; stitch sets this itself.
KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "2147483647", "MALLOC_TOP_PAD_": "16777216"}
PYTHON = [sys.executable, "-W", "ignore"]
NOTEBOOK = [*PYTHON, "tests/reference/notebook.py", "--model", "MODEL"]
STITCH = ["STITCH", "--quiet", "train", "MODEL"]
VARIANTS = ["whole", "foreach", "fused", "channels-last", "compile", "compile-channels-last"]
# candle takes almost a minute per epoch: it trains on a twentieth of one, and its seconds are multiplied by 20.
CANDLE_IMAGES = 3000
BOUNDS = {"mlp": 1e-12, "lenet5": 0.0, "deepcnn": 0.0}


@dataclass(frozen=True)
class Contender:
    command: list
    exact: bool = False
    environment: dict = field(default_factory=dict)
    images: int = 60_000  # of each epoch


def variant(name):
    command = [*PYTHON, "benches/contenders/pytorch.py", name, "MODEL"]
    return Contender(command, exact=name in ("whole", "foreach"), environment=KEEP)


CONTENDERS = {
    "notebook": Contender(NOTEBOOK, exact=True),
    "notebook, memory kept": Contender(NOTEBOOK, exact=True, environment=KEEP),
    **{f"PyTorch {name}": variant(name) for name in VARIANTS},
    "candle": Contender(["CANDLE", "--images", str(CANDLE_IMAGES)], environment=KEEP, images=CANDLE_IMAGES),
    "stitch": Contender(STITCH, exact=True),
    "stitch --fast": Contender([*STITCH, "--fast"]),
}
MLP = ["notebook", "notebook, memory kept", "stitch"]
WHOLE = ["notebook", "stitch", "stitch --fast"]
DEEP = [
    *("notebook", "notebook, memory kept", "PyTorch foreach", "PyTorch channels-last"),
    *("PyTorch compile", "PyTorch compile-channels-last", "stitch", "stitch --fast"),
]
SWEEP = ["notebook", "PyTorch channels-last", "candle", "stitch", "stitch --fast"]


@dataclass(frozen=True)
class Setting:
    name: str
    model: str
    batch_size: int
    epochs: int
    threads: int
    contenders: list
    seconds: int  # approximate duration of a round on two cores
    lr: float = 1e-3
    options: tuple = ()  # further flags

    def title(self):
        what = f"{self.model}, batch size {self.batch_size}, epochs {self.epochs}, threads {self.threads}"
        return " ".join([f"{self.name}: {what}", *self.options])


SETTINGS = [
    Setting("mlp", "mlp", 200, 20, 2, MLP, 35),
    Setting("lenet5-32", "lenet5", 32, 5, 2, WHOLE, 55, lr=2e-3),  # the defaults
    Setting("lenet5-64", "lenet5", 64, 5, 2, WHOLE, 40),
    Setting("lenet5-1024", "lenet5", 1024, 5, 2, WHOLE, 45),
    Setting("all-64", "lenet5", 64, 1, 2, list(CONTENDERS), 80),
    Setting("deepcnn-64", "deepcnn", 64, 1, 2, DEEP, 180),
    Setting("deepcnn-augment", "deepcnn", 64, 1, 2, WHOLE, 40, options=("--augment", "crop,flip")),
    Setting("all-1024", "lenet5", 1024, 1, 2, list(CONTENDERS), 80),
    *(
        Setting(f"sweep-{size}-{threads}", "lenet5", size, 1, threads, SWEEP, {16: 40}.get(size, 30))
        for size in (16, 64, 256, 1024)
        for threads in (1, 2)
    ),
]

COLUMNS = [
    *("setting", "contender", "model", "batch_size", "threads", "epochs", "round"),
    *("train_seconds", "compile_seconds", "whole_seconds", "cpu_seconds", "others_cpu_seconds"),
    *("peak_gflops", "peak_rss_mb", "process_peak_rss_mb", "test_accuracy", "weights_sha256"),
    *VERSIONS,
]


def log(text):
    print(text, file=sys.stderr, flush=True)


def busy_seconds():
    """Returns the seconds that all cores have been busy since the machine started."""
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, open("/proc/stat").readline().split()[1:])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def execute(command, environment):
    """Runs a process, and returns its times and peak memory."""
    start, busy = time.perf_counter(), busy_seconds()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=root, env={**os.environ, **environment})
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"error: exit code {child.returncode} of {' '.join(command)}")
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return {
        "whole_seconds": time.perf_counter() - start,
        "cpu_seconds": cpu_seconds,
        "others_cpu_seconds": max(busy_seconds() - busy - cpu_seconds, 0.0),
        "process_peak_rss_mb": usage.ru_maxrss * 1024 / 1e6,  # KiB on Linux
    }


def run(contender, setting, paths, out):
    """Runs a contender once, and returns its row."""
    names = {"MODEL": setting.model, "STITCH": paths["stitch"], "CANDLE": paths["candle"]}
    command = [names.get(word, word) for word in contender.command]
    for flag in ("epochs", "batch_size", "lr", "threads"):
        command += [f"--{flag.replace('_', '-')}", str(getattr(setting, flag))]
    command += [*setting.options, "--data", paths["data"], "--out", str(out)]
    threads = {"RAYON_NUM_THREADS": str(setting.threads), "TORCHINDUCTOR_CACHE_DIR": paths["compiled"]}
    cost = execute(command, {**threads, **contender.environment})
    metrics = json.loads((out / "metrics.json").read_text())
    return {
        "model": setting.model,
        "batch_size": setting.batch_size,
        "threads": setting.threads,
        "epochs": setting.epochs * contender.images / 60_000,
        "train_seconds": metrics["train_seconds"],
        "compile_seconds": metrics.get("compile_seconds", ""),
        "peak_rss_mb": metrics["peak_rss_bytes"] / 1e6,
        "test_accuracy": metrics["test_accuracy"],
        **cost,
    }


def weights(out):
    path = out / "weights.safetensors"
    return load_file(path) if path.exists() else {}


def digest(tensors):
    sha256 = hashlib.sha256()
    for name in sorted(tensors):
        sha256.update(name.encode() + tensors[name].tobytes())
    return sha256.hexdigest() if tensors else ""


def check(setting, name, tensors, reference):
    """Exits if an exact contender has other weights than the notebook."""
    for key, expected in reference.items():
        bound, found = BOUNDS[setting.model], tensors.get(key)
        if found is None or found.shape != expected.shape:
            sys.exit(f"error: {setting.name}: {name} has no {key} of the notebook's shape")
        if found.tobytes() != expected.tobytes() and not (bound and np.abs(found - expected).max() <= bound):
            worst = np.abs(found - expected).max()
            sys.exit(f"error: {setting.name}: {key} of {name} differs from the notebook's by up to {worst:.3g}")


def measure(setting, pairs, paths, results, versions):
    """Measures all rounds of a setting, and returns the rows by contender."""
    rows = {name: [] for name in setting.contenders}
    for number in range(1, pairs + 1):
        reference = None
        peak = peak_gflops(setting.model, setting.threads)
        for name in setting.contenders:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "run"
                row = run(CONTENDERS[name], setting, paths, out)
                tensors = weights(out)
            if CONTENDERS[name].exact:
                if not tensors:
                    sys.exit(f"error: {setting.name}: {name} has written no weights")
                reference = reference or tensors
                check(setting, name, tensors, reference)
            row |= {"setting": setting.name, "contender": name, "round": number, "peak_gflops": peak}
            results.add({**row, "weights_sha256": digest(tensors), **versions})
            rows[name].append(row)
            others = row["others_cpu_seconds"] / row["whole_seconds"]
            warning = f" (other processes took {others:.0%} of a core)" if others > 0.1 else ""
            log(f"  {setting.name} {number}/{pairs} {name}: {row['train_seconds']:.2f} s{warning}")
    return rows


def report(setting, rows, pairs):
    """Prints the medians of a setting, one line per contender."""
    print(f"\n{setting.title()} (medians of {pairs})")
    print(f"{'':30}training, s (from - to)    whole, s  memory, MB  /notebook  /PyTorch  /arithmetic  weights")
    # Extrapolated to all epochs if only a part was run.
    seconds = {
        name: [row["train_seconds"] * setting.epochs / row["epochs"] for row in of] for name, of in rows.items()
    }
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    arithmetic = flop_per_image(setting.model) * 60_000 * setting.epochs / 1e9
    fastest = min((medians[name] for name in rows if "PyTorch" in name), default=None)
    for name, of in rows.items():
        whole, memory = (statistics.median(row[key] for row in of) for key in ("whole_seconds", "peak_rss_mb"))
        contender, values = CONTENDERS[name], seconds[name]
        part = contender.images < 60_000
        print(
            f"{name + (' (from a twentieth)' if part else ''):30}"
            f"{medians[name]:7.2f} ({min(values):.2f} - {max(values):.2f})".ljust(57)
            + (f"{'-':>8}" if part else f"{whole:8.2f}")
            + f"{memory:12.0f}{medians[name] / medians['notebook']:11.2f}"
            + (f"{medians[name] / fastest:10.2f}" if fastest else f"{'-':>10}")
            + f"{statistics.median(s * row['peak_gflops'] for s, row in zip(values, of)) / arithmetic:13.2f}"
            + (f"  equal{' within 1e-12' if BOUNDS[setting.model] else ''}" if contender.exact else "  its own"),
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stitch", type=Path)
    parser.add_argument("candle", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", default="", metavar="NAME")
    args = parser.parse_args()
    settings = [setting for setting in SETTINGS if setting.name.startswith(args.only)]
    if not settings:
        sys.exit(f"error: --only {args.only} names none of {', '.join(setting.name for setting in SETTINGS)}")
    stitch = str(args.stitch.resolve())
    minutes = args.pairs * sum(setting.seconds for setting in settings) / 60
    log(f"{len(settings)} settings, {args.pairs} rounds each: about {minutes:.0f} minutes on two cores")
    names = {setting.name for setting in settings}
    here = cpu(stitch)
    results = Results("training.csv", COLUMNS, lambda row: row["setting"] in names and row["cpu"] == here)
    with tempfile.TemporaryDirectory() as folder:
        unpack(stitch, Path(folder) / "data")
        paths = {name: str(Path(folder) / name) for name in ("data", "compiled")}
        paths |= {"stitch": stitch, "candle": str(args.candle.resolve())}
        for setting in settings:
            report(setting, measure(setting, args.pairs, paths, results, machine(stitch)), args.pairs)


main()
