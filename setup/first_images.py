"""Writes the first COUNT training and test images of the data set to FOLDER, as IDX files: FOLDER COUNT."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

folder, count = Path(sys.argv[1]), int(sys.argv[2])
folder.mkdir(parents=True)
shown = subprocess.run(["target/release/stitch", "data", "--json"], stdout=subprocess.PIPE, check=True)
for file in json.loads(shown.stdout)["files"]:
    path = Path(file["path"])
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as idx:
        # Magic number, number of items, and for images their height and width.
        header = idx.read(16 if "images" in file["name"] else 8)
        items = idx.read(count * (28 * 28 if "images" in file["name"] else 1))
    (folder / file["name"]).write_bytes(header[:4] + count.to_bytes(4, "big") + header[8:] + items)
