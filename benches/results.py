"""Reads and writes the raw results, CSV files in benches/results/; each row is written as soon as it is measured."""

import csv
import json
import os
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

root = Path(__file__).resolve().parent.parent
FOLDER = root / "benches/results"
VERSIONS = ["cpu", "cores", "stitch", "torch", "scikit-learn", "candle"]


def cpu(stitch):
    """Returns the name of the CPU and the level of its kernels: CPUs of one name may have AVX-512 or not."""
    command = [stitch, "--version", "--verbose", "--json"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return f"{found['cpu']} ({found['cpu_capability']})"


def machine(stitch):
    """Returns the columns of every row about the machine and the versions."""
    candle = tomllib.loads((root / "benches/candle/Cargo.toml").read_text())["dependencies"]["candle-core"]
    output = subprocess.run([stitch, "--version"], capture_output=True, text=True, check=True).stdout
    values = [cpu(stitch), os.cpu_count(), output.split()[1], version("torch"), version("scikit-learn"), candle.lstrip("=")]
    return dict(zip(VERSIONS, values))


def read(name):
    """Returns all rows, as dicts of strings; none if nothing was measured."""
    path = FOLDER / name
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def read_latest(name):
    """Returns the rows of the machine that was measured last."""
    rows = read(name)
    return [row for row in rows if row["cpu"] == rows[-1]["cpu"]]


class Results:
    """Writes the results to the file `name`; old rows for which `replaced` is true are removed first."""

    def __init__(self, name, columns, replaced=lambda row: True):
        self.path, self.columns = FOLDER / name, columns
        kept = [row for row in read(name) if not replaced(row)]
        FOLDER.mkdir(exist_ok=True)
        part = self.path.with_suffix(".part")
        with open(part, "w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept)
        part.replace(self.path)

    def add(self, row):
        with open(self.path, "a", newline="") as file:
            csv.DictWriter(file, self.columns, restval="", lineterminator="\n").writerow(row)
