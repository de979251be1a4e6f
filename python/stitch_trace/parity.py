"""Compares two traces, runs or files of weights with `stitch parity`."""

import os
import shutil
import subprocess

TOLERANCES = ("atol", "rtol", "ulp")


def find_stitch(stitch=None):
    """The program: `stitch` if it is given, else `$STITCH`, else from PATH."""
    name = os.fspath(stitch or os.environ.get("STITCH") or "stitch")
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError(
            f"cannot run {name}: it is not there or not executable. Build stitch, then pass stitch=PATH, set $STITCH "
            "to its path, or add its folder to PATH"
        )
    return found


def assert_parity(reference, candidate, *, tolerance=None, flags=(), stitch=None):
    """Runs `stitch parity REFERENCE CANDIDATE` and returns what it prints.

    `tolerance` replaces bit equality, such as `{"atol": 1e-6, "rtol": 1e-5, "ulp": 4}`, of which each key is optional, or
    `"torch"` for the tolerances by dtype of `torch.testing.assert_close`.

    `flags` are further flags of `stitch parity`, such as `["--map", "map.toml"]`.

    Raises `AssertionError` with the verdict if the two differ, `RuntimeError` with the message of stitch if they cannot
    be compared.
    """
    __tracebackhide__ = True
    if tolerance == "torch":
        tolerance = {"tolerance": "torch"}
    elif isinstance(tolerance, str):
        raise ValueError(f"tolerance is {tolerance!r}; expected a dict or 'torch'")
    elif unknown := set(tolerance or {}) - set(TOLERANCES):
        raise ValueError(f"tolerance has unknown keys: {', '.join(sorted(unknown))}; expected {', '.join(TOLERANCES)}")
    flags = [*flags, *(f"--{key}={value}" for key, value in (tolerance or {}).items())]
    command = [find_stitch(stitch), "parity", "--quiet", "--color=never", *flags, "--", reference, candidate]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if ended.returncode == 1:
        raise AssertionError(ended.stdout.strip())
    if ended.returncode != 0:
        raise RuntimeError((ended.stderr or ended.stdout).strip() or f"stitch ended with {ended.returncode}")
    return ended.stdout
