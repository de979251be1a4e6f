"""Checks the goals against the medians in benches/results/. Run last by `make bench`.

    .venv/bin/python benches/goals.py
"""

import statistics

from results import read_latest

TRAINING = read_latest("training.csv")
EVALUATION = [{"setting": row["model"], **row} for row in read_latest("evaluation.csv")]
EXACT_LOOPS = ["notebook", "notebook, memory kept", "PyTorch whole", "PyTorch foreach"]
LOOPS = [*EXACT_LOOPS, *(f"PyTorch {name}" for name in ("fused", "channels-last", "compile", "compile-channels-last"))]


def rounds(rows, setting, contender, column):
    """Returns the values by round, without those that were not measured."""
    of = [row for row in rows if (row["setting"], row["contender"]) == (setting, contender)]
    return {row["round"]: float(row[column]) for row in of if row[column]}


def ratio(port, original):
    """Returns the ratio of the medians, and the least and greatest ratio of a round; None if one was not measured."""
    if not port or not original:
        return None
    each = [port[key] / original[key] for key in port.keys() & original.keys()]
    return statistics.median(port.values()) / statistics.median(original.values()), min(each), max(each), len(each)


def to_notebook(setting, column="train_seconds"):
    return ratio(*(rounds(TRAINING, setting, name, column) for name in ("stitch", "notebook")))


def memory(setting):
    """Returns the ratio of the peak memory of the port's process to that of the notebook before it writes its files."""
    port = rounds(TRAINING, setting, "stitch", "process_peak_rss_mb")
    return ratio(port, rounds(TRAINING, setting, "notebook", "peak_rss_mb"))


def to_fastest(setting, contender, loops):
    seconds = [rounds(TRAINING, setting, loop, "train_seconds") for loop in loops]
    measured = [values for values in seconds if values]
    fastest = min(measured, key=lambda values: statistics.median(values.values()), default=None)
    return ratio(rounds(TRAINING, setting, contender, "train_seconds"), fastest)


def goals():
    """Yields the description, the ratio, and its upper bound."""
    yield "LeNet-5, batches of 64: training to the notebook's", to_notebook("lenet5-64"), 0.45
    yield "LeNet-5, batches of 1,024: training to the notebook's", to_notebook("lenet5-1024"), 0.30
    for size in (64, 1024):
        what = f"LeNet-5, batches of {size:,}: training to the fastest exact loop's"
        yield what, to_fastest(f"all-{size}", "stitch", EXACT_LOOPS), 1.0
    yield "MLP: training to scikit-learn's", to_notebook("mlp"), 0.45
    yield "deepcnn, batches of 64: training to the notebook's", to_notebook("deepcnn-64"), 0.50
    yield "deepcnn with crop and flip: training to the notebook's", to_notebook("deepcnn-augment"), 0.40
    for setting in ("mlp", "lenet5-64", "lenet5-1024", "deepcnn-64", "deepcnn-augment"):
        yield f"peak memory of the whole process, {setting}", memory(setting), 0.40
    pair = (rounds(EVALUATION, "lenet5", name, "seconds") for name in ("stitch", "PyTorch"))
    yield "LeNet-5: evaluation of 10,000 images to eager PyTorch's", ratio(*pair), 0.50
    yield "LeNet-5, 1 epoch: whole process", to_notebook("all-64", "whole_seconds"), 0.45
    for size in (64, 1024):
        what = f"LeNet-5, batches of {size:,}: --fast to the fastest PyTorch loop's"
        yield what, to_fastest(f"all-{size}", "stitch --fast", LOOPS), 0.50
    what = "deepcnn, batches of 64: --fast to the fastest PyTorch loop's"
    yield what, to_fastest("deepcnn-64", "stitch --fast", LOOPS), 0.60


def main():
    for what, found, bound in goals():
        result = "not measured"
        if found:
            value, low, high, count = found
            result = f"{value:.2f} ({low:.2f} - {high:.2f} in {count} rounds): {'met' if value <= bound else 'MISSED'}"
        print(f"{what:66} at most {bound:.2f}, is {result}")
    busy = sum(float(row["others_cpu_seconds"]) > 0.1 * float(row["whole_seconds"]) for row in TRAINING)
    if busy:
        print(f"other processes took more than a tenth of a core in {busy} of {len(TRAINING)} runs of training")


main()
