"""Runs the rows of a stitch study on a Dask cluster.

    python distributed/dask_study.py STUDY --scheduler tcp://HOST:8786

Each row is a task: a worker runs `stitch study run STUDY --row K`. STUDY, the binary (with stitch-engine next to it) and the
data set must have the same paths on every worker, for example on a shared file system. A worker runs as many rows at the
same time as it has threads (`dask worker --nthreads 1`). If a worker is lost, another one resumes its row from the last checkpoint. Rows
that are done are not run again, so the command can be repeated. Exit codes: 0 all rows are done, 1 some failed (which
is recorded), 2 some could not be run.
"""

import argparse
import csv
import pathlib
import subprocess
import sys
import tempfile

from distributed import Client, as_completed


def run_row(stitch, study, row, data):
    """Runs one row on this worker, and returns its exit code, 0 or 1."""
    command = [stitch, "study", "run", study, "--row", str(row), "--worker", "--quiet"]
    if data is not None:
        command += ["--data", data]
    with tempfile.TemporaryFile() as errors:
        # The row ends when its stdin is closed, so also when the worker is killed.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors
        )
        try:
            code = process.wait()
        finally:
            process.stdin.close()
        if code not in (0, 1):
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
            raise RuntimeError(f"row {row}: exit code {code}: {lines[-1] if lines else ''}")
    return code


def missing_rows(study):
    """Returns the numbers of the rows in plan.csv that have no result."""
    with open(study / "plan.csv", newline="") as plan:
        rows = list(csv.DictReader(plan))
    finished = {path.stem for path in (study / "results").glob("*.json")}
    return [int(row["row"]) for row in rows if row["id"] not in finished]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", type=pathlib.Path, help="folder of the study, with plan.csv")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--scheduler", metavar="ADDRESS", help="address, such as tcp://127.0.0.1:8786")
    where.add_argument("--scheduler-file", metavar="FILE", help="scheduler file of `dask scheduler`")
    parser.add_argument("--stitch", default="target/release/stitch", help="the stitch binary")
    parser.add_argument("--data", help="folder of the data set [default: where stitch finds it]")
    args = parser.parse_args()
    study, stitch = args.study.resolve(), str(pathlib.Path(args.stitch).resolve())
    data = args.data and str(pathlib.Path(args.data).resolve())

    rows = missing_rows(study)
    print(f"{len(rows)} rows to do", flush=True)
    failed = not_run = 0
    with Client(args.scheduler, scheduler_file=args.scheduler_file) as client:
        futures = client.map(
            lambda row: run_row(stitch, str(study), row, data), rows, key=[f"row-{k}" for k in rows],
            pure=False, retries=2,
        )
        numbers = dict(zip(futures, rows))
        for count, future in enumerate(as_completed(futures), 1):
            if future.status == "finished":
                failed += future.result() == 1
                outcome = "failed" if future.result() == 1 else "done"
            else:
                not_run += 1
                outcome = f"could not be run: {future.exception()}"
            print(f"{count}/{len(rows)}: row {numbers[future]}: {outcome}", flush=True)
    sys.exit(2 if not_run else 1 if failed else 0)


if __name__ == "__main__":
    main()
