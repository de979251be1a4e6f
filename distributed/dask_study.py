"""Runs the rows of a stitch study on a Dask cluster.

    python distributed/dask_study.py STUDY --scheduler tcp://HOST:8786

A row is a task: `stitch study run STUDY --row K` on some worker. STUDY, the binary and the data set must
have the same paths on every worker, as on a shared file system; give each worker as many threads
(`dask worker --nthreads 1`) as rows that it is to run at the same time. A worker that is lost has its row
done by another, which goes on from the row's checkpoint. Rows that are done are not run again, so the
command may be repeated. Exit codes: 0 all rows are done, 1 some failed (which is recorded), 2 some could
not be run.
"""

import argparse
import csv
import pathlib
import subprocess
import sys
import tempfile

from distributed import Client, as_completed


def run_row(stitch, study, row, data):
    """Runs one row where this function runs; its exit code, 0 or 1."""
    command = [stitch, "study", "run", study, "--row", str(row), "--worker", "--quiet"]
    if data is not None:
        command += ["--data", data]
    with tempfile.TemporaryFile() as said:
        # Its stdin stays open as long as this process lives: when the worker is killed, the row ends.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
        )
        try:
            code = process.wait()
        finally:
            process.stdin.close()
        if code not in (0, 1):
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise RuntimeError(f"row {row} ended with {code}: {lines[-1] if lines else ''}")
    return code


def missing_rows(study):
    """The numbers of the rows of plan.csv without a result."""
    with open(study / "plan.csv", newline="") as plan:
        rows = list(csv.DictReader(plan))
    there = {path.stem for path in (study / "results").glob("*.json")}
    return [int(row["row"]) for row in rows if row["id"] not in there]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", type=pathlib.Path, help="folder of the study, with its plan.csv")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--scheduler", metavar="ADDRESS", help="such as tcp://127.0.0.1:8786")
    where.add_argument("--scheduler-file", metavar="FILE", help="as `dask scheduler` writes it")
    parser.add_argument("--stitch", default="target/release/stitch", help="the binary")
    parser.add_argument("--data", help="folder of the data set [default: where stitch finds it]")
    args = parser.parse_args()
    study, stitch = args.study.resolve(), str(pathlib.Path(args.stitch).resolve())
    data = args.data and str(pathlib.Path(args.data).resolve())

    rows = missing_rows(study)
    print(f"{len(rows)} rows to do", flush=True)
    failed = broken = 0
    with Client(args.scheduler, scheduler_file=args.scheduler_file) as client:
        futures = client.map(
            lambda row: run_row(stitch, str(study), row, data), rows, key=[f"row-{k}" for k in rows],
            pure=False, retries=2,
        )
        numbers = dict(zip(futures, rows))
        for count, future in enumerate(as_completed(futures), 1):
            if future.status == "finished":
                failed += future.result() == 1
                came_to = "failed" if future.result() == 1 else "done"
            else:
                broken += 1
                came_to = f"could not be run: {future.exception()}"
            print(f"{count}/{len(rows)}: row {numbers[future]}: {came_to}", flush=True)
    sys.exit(2 if broken else 1 if failed else 0)


if __name__ == "__main__":
    main()
