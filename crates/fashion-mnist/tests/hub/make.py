"""Writes the Parquet files of this folder, in the layout of the Hugging Face hub. Run by hand; needs pyarrow and Pillow.

The value of channel c at (y, x) of image i is (31 i + 7 y + 3 x + 50 c) mod 256; the label is i mod 3.
"""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

HEIGHT, WIDTH = 4, 5
NAMES = ["cat", "dog", "maple tree"]
image = {"_type": "Image"}
label = {"names": NAMES, "_type": "ClassLabel"}
features = {"image": image, "label": label, "coarse": {"dtype": "int64", "_type": "Value"}}


def encoded(i):
    y, x, c = np.mgrid[:HEIGHT, :WIDTH, :3]
    file = io.BytesIO()
    Image.fromarray(((31 * i + 7 * y + 3 * x + 50 * c) % 256).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def write(name, images, compression):
    schema = pa.schema(
        [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64()), ("coarse", pa.int64())],
        {"huggingface": json.dumps({"info": {"features": features}})},
    )
    table = pa.table(
        {
            "image": [{"bytes": encoded(i), "path": None} for i in images],
            "label": [i % 3 for i in images],
            "coarse": [i % 2 for i in images],
        },
        schema,
    )
    folder = Path(__file__).parent / "data"
    folder.mkdir(exist_ok=True)
    pq.write_table(table, folder / name, compression=compression, row_group_size=4)


write("train-00000-of-00002.parquet", range(10), "snappy")
write("train-00001-of-00002.parquet", range(10, 13), "zstd")
write("test-00000-of-00001.parquet", range(13, 19), "gzip")
