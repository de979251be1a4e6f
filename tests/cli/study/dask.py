"""distributed/dask_study.py on a scheduler and three workers; one worker is killed in mid-run and
replaced. Arguments: the stitch binary, a folder with a data set in `data`."""

import os
import pathlib
import subprocess
import sys
import time

import psutil

STITCH, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
os.environ["FASHION_MNIST_DIR"] = str(FOLDER / "data")
ROOT = pathlib.Path(__file__).parents[3]
BIN = pathlib.Path(sys.executable).parent
ROWS = 9
PATIENCE = 120


def stitch(*arguments):
    subprocess.run([STITCH, *arguments], cwd=FOLDER, check=True, capture_output=True)


def plan(study):
    stitch("study", "plan", "--model", "lenet5", "--seeds", f"0..{ROWS}", "--batch-size", "20",
           "--epochs", "30", "-o", study)


def start(*command):
    return subprocess.Popen(command, cwd=FOLDER, stderr=subprocess.DEVNULL,
                            env={**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "60s"})


def worker():
    return start(BIN / "dask", "worker", "--scheduler-file", "scheduler.json", "--nthreads", "1",
                 "--no-nanny", "--no-dashboard", "--local-directory", "scratch")


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise TimeoutError(what)


def busy(workers):
    """A worker that has a row in progress, after some are done."""
    if len(list((FOLDER / "study" / "results").glob("*.json"))) < 2:
        return None
    for process in workers:
        try:
            if any("study" in child.cmdline() for child in psutil.Process(process.pid).children()):
                return process
        except psutil.NoSuchProcess:
            pass  # The row has just ended.
    return None


def results(study):
    """Every result by its file's name, without its time."""
    found = {}
    for path in sorted((FOLDER / study / "results").iterdir()):
        lines = path.read_text().splitlines()
        found[path.name] = [line for line in lines if "train_seconds" not in line]
    return found


plan("alone")
stitch("study", "run", "alone")
plan("study")
processes = [start(BIN / "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                   "--scheduler-file", "scheduler.json")]
try:
    wait_for("the scheduler", (FOLDER / "scheduler.json").exists)
    workers = [worker() for _ in range(3)]
    processes += workers
    driver = start(sys.executable, ROOT / "distributed" / "dask_study.py", "study", "--stitch", STITCH,
                   "--scheduler-file", "scheduler.json", "--data", "data")
    processes.append(driver)
    victim = wait_for("a worker with a row in progress", lambda: busy(workers))
    victim.kill()
    victim.wait()
    assert driver.poll() is None, "the driver has ended before the worker was killed"
    processes.append(worker())
    assert driver.wait(PATIENCE) == 0, driver.returncode
finally:
    for process in processes:
        process.kill()
        process.wait()

assert len(results("alone")) == ROWS, sorted(results("alone"))
assert results("study") == results("alone"), "other results"
# The row of the killed worker ends by itself, a moment later at most.
wait_for("an empty runs", lambda: not list((FOLDER / "study" / "runs").iterdir()))
print(f"{ROWS} rows, each done once; a worker was killed and replaced")
