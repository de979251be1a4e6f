"""Reads a run's events with TensorBoard and compares them with its other files.

tensorboard_reader.py RUN BATCH_SIZE
"""

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run, batch_size = Path(sys.argv[1]), int(sys.argv[2])
events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
events.Reload()
tags = events.Tags()
history = list(csv.DictReader((run / "history.csv").open()))
config = json.loads((run / "config.json").read_text())
metrics = json.loads((run / "metrics.json").read_text())


def scalars(tag):
    return [(event.step, event.value) for event in events.Scalars(tag)]


def column(name):
    return [(int(row["epoch"]), float(np.float32(row[name]))) for row in history]


wanted = ["loss/step", "lr", "loss/train", "accuracy/test"]
if "val" in config:
    wanted += ["loss/val", "accuracy/val"]
    assert scalars("loss/val") == column("val_loss")
    assert scalars("accuracy/val") == column("val_accuracy")
assert sorted(tags["scalars"]) == sorted(wanted), tags
assert not tags["graph"] and not tags["meta_graph"], tags
assert scalars("loss/train") == column("loss")
assert [step for step, _ in scalars("lr")] == [step for step, _ in scalars("loss/step")]
assert scalars("lr")[-1][1] == column("lr")[-1][1]
accuracy = float(np.float32(metrics["test_accuracy"]))
assert scalars("accuracy/test") == [(len(history), accuracy)]

images = 300 - config.get("val", 0)
steps = -(-images // batch_size)
losses = scalars("loss/step")
assert [step for step, _ in losses] == list(range(1, steps * len(history) + 1))
sizes = [min(batch_size, images - start) for start in range(0, images, batch_size)]
for epoch, (_, mean) in enumerate(column("loss")):
    of_epoch = [loss for _, loss in losses[epoch * steps : (epoch + 1) * steps]]
    assert abs(np.average(of_epoch, weights=sizes) - mean) < 1e-5 * mean, (epoch, of_epoch, mean)

times = [event.wall_time for event in events.Scalars("loss/step")]
assert times == sorted(times) and times[0] > 1.7e9, times[:3]

assert tags["images"] == ["confusion_matrix"], tags
[matrix] = events.Images("confusion_matrix")
picture = Image.open(io.BytesIO(matrix.encoded_image_string))
picture.load()
assert (matrix.width, matrix.height) == picture.size and picture.format == "PNG"
assert len(picture.convert("RGB").getcolors(1 << 24)) > 5, "an empty picture"
