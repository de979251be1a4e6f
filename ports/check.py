"""Runs the commands of docs/ports.md, except those of C++, and compares the first divergence and the verdict of each
`stitch parity` with the document. `make ports` runs it in the project's root.
"""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

DATA = Path("runs/ports/data")
PROGRAMS = ("cargo ", ".venv/bin/python ", "target/")
# What is compared of the output: these lines, without positions and values, and the cause if the document shows it.
ALWAYS, IF_SHOWN = ("first divergence: ", "PARITY: "), "likely cause: "
VALUES, NUMBERS = re.compile(r"\[[^\]]*\]|: expected .*| \(\d.*"), re.compile(r"-?\d[\d.e-]*")
# Without a tolerance, the first divergence depends on the kernels of the CPU. The document shows those with AVX-512.
AVX512 = "avx512f" in Path("/proc/cpuinfo").read_text()


def unpack_data():
    listed = subprocess.run(["target/release/stitch", "data", "--json"], stdout=subprocess.PIPE, check=True)
    DATA.mkdir(parents=True, exist_ok=True)
    for file in json.loads(listed.stdout)["files"]:
        content = Path(file["path"]).read_bytes()
        (DATA / file["name"]).write_bytes(gzip.decompress(content) if file["path"].endswith(".gz") else content)


def blocks():
    """The indented blocks outside the section on C++, as lists of lines without their indent."""
    for section in Path("docs/ports.md").read_text().split("\n## "):
        if not section.startswith("C++"):
            for block in re.findall(r"(?:^    .*\n)+", section, re.MULTILINE):
                yield [line[4:] for line in block.replace("\\\n", "").splitlines()]


def commands(block):
    """The commands of a block, and the lines that each prints according to the document."""
    found = []
    for line in block:
        if line.removeprefix("$ ").startswith(PROGRAMS):
            found.append((line.removeprefix("$ "), []))
        elif found:
            found[-1][1].append(line)
    return found


def run(command, shown):
    """Runs a command; returns what it printed and the document does not show, or the reverse."""
    print(f"$ {command}", flush=True)
    environment = os.environ | {"NO_COLOR": "1"}
    line = command.replace("data/fashion-mnist", str(DATA))
    done = subprocess.run(line, shell=True, stdout=subprocess.PIPE, text=True, env=environment)
    parity = " parity " in command
    if done.returncode not in ((0, 1) if parity else (0,)):
        sys.exit(f"error: exit code {done.returncode}")
    if not parity:
        return []
    compared = (*ALWAYS, *[IF_SHOWN for line in shown if line.startswith(IF_SHOWN)])
    expected, printed = (
        [(NUMBERS if line.startswith(IF_SHOWN) else VALUES).sub("", line) for line in lines if line.startswith(compared)]
        for lines in (shown, done.stdout.splitlines())
    )
    print("\n".join(printed))
    if not AVX512 and not re.search("--[ar]tol", command):
        print("not compared with docs/ports.md: this CPU has no AVX-512")
        return []
    return [f"{command}\n  docs/ports.md: {expected}\n  printed:       {printed}"] if expected != printed else []


def quoted_from_nowhere(block):
    """Lines of a block of code that are in no source of a port."""
    sources = [path.read_text() for pattern in ("*/src/*.rs", "*/*.toml") for path in Path("ports").glob(pattern)]
    lines = {line.strip() for source in sources for line in source.splitlines()}
    return [f"no source in ports/ has the line {line.strip()!r}" for line in block if line.strip() not in lines]


unpack_data()
failures = []
for block in blocks():
    if found := commands(block):
        for command, shown in found:
            failures += run(command, shown)
    elif not block[0].startswith("gunzip "):
        failures += quoted_from_nowhere(block)
if failures:
    sys.exit("\n".join(["error: docs/ports.md shows something else:", *failures]))
print("docs/ports.md shows what the ports do")
