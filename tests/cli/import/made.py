"""Writes data sets in several forms to FOLDER, and beside each the pixels and labels that torchvision, pandas and numpy read.

python made.py FOLDER DATA: DATA is a folder with Fashion-MNIST in IDX format; the CSV and .npz files hold its first images.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

folder, data = Path(sys.argv[1]), Path(sys.argv[2])
rng = np.random.default_rng(0)


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def expect(form, *steps, of=None):
    """The bytes of both halves, (N, H, W, C), as `ImageFolder` and `ToTensor` give them."""
    for half in ("train", "test"):
        images = ImageFolder(folder / (of or form) / half, transforms.Compose([*steps, transforms.ToTensor()]))
        pixels, labels = next(iter(DataLoader(images, batch_size=len(images))))
        pixels = (pixels * 255).round().numpy().astype(np.uint8).transpose(0, 2, 3, 1)
        (folder / f"{form}.{half}.pixels").write_bytes(pixels.tobytes())
        (folder / f"{form}.{half}.labels").write_bytes(labels.numpy().astype(np.uint8).tobytes())


def noise(*shape):
    return rng.integers(0, 256, shape, dtype=np.uint8)


# Every lossless format and mode, in classes whose order is that of code points, and in folders within.
colours, size = folder / "colours", (9, 13)
for half, count in (("train", 3), ("test", 2)):
    for name in ("a", "B", "é", "10", "2"):
        for i in range(count):
            of = colours / half / name
            save(of / f"{i}.png", Image.fromarray(noise(*size, 3)))
            save(of / f"{i}.PNG", Image.fromarray(noise(*size, 4)))
            save(of / f"{i}.bmp", Image.fromarray(noise(*size, 3)))
            save(of / f"{i}.webp", Image.fromarray(noise(*size, 3)), lossless=True)
            save(of / f"b/{i}.jpg", Image.fromarray(noise(*size, 3)), format="PNG")
            save(of / f"b-c/{i}.png", Image.fromarray(noise(*size)))
            grey_alpha = np.dstack([noise(*size), noise(*size)])
            save(of / f"b/c/{i}.png", Image.fromarray(grey_alpha, "LA"))
            palette = Image.fromarray(noise(*size) % 16, "P")
            palette.putpalette(noise(48).tobytes())
            save(of / f"palette{i}.png", palette)
            save(of / f"transparent{i}.png", palette, transparency=3)
            save(of / f"gif{i}.jpeg", palette, format="GIF")
            save(of / f"see-through{i}.jpeg", palette, format="GIF", transparency=3)
            save(of / f"bit{i}.png", Image.fromarray(noise(*size) > 127))
        # What stands on its side stays so: ImageFolder ignores the orientation.
        exif = Image.Exif()
        exif[0x0112] = 6
        save(colours / half / name / "turned.png", Image.fromarray(noise(*size, 3)), exif=exif)
expect("colours")
expect("luma", transforms.Grayscale(1), of="colours")
for height, width in ((4, 5), (9, 30), (28, 28), (3, 13)):
    expect(f"{height}x{width}", transforms.Resize((height, width)), of="colours")
expect("luma7x6", transforms.Grayscale(1), transforms.Resize((7, 6)), of="colours")

for half, count in (("train", 4), ("val", 2)):
    for name in ("x", "y"):
        for i in range(count):
            save(folder / "grey" / half / name / f"{i}.png", Image.fromarray(noise(28, 28)))
            equal = np.dstack([noise(28, 28)] * 3)
            save(folder / "grey" / half / name / f"rgb{i}.png", Image.fromarray(equal))

# The first images of the real data set.
halves = {}
for half, official, count in (("train", "train", 200), ("test", "t10k", 50)):
    pixels = np.fromfile(data / f"{official}-images-idx3-ubyte", np.uint8, offset=16)[: count * 784]
    labels = np.fromfile(data / f"{official}-labels-idx1-ubyte", np.uint8, offset=8)[:count]
    halves[half] = pixels.reshape(-1, 28, 28), labels
(folder / "csv").mkdir()
for half, (pixels, labels) in halves.items():
    table = pd.DataFrame(pixels.reshape(-1, 784), columns=[f"pixel{i + 1}" for i in range(784)])
    table.insert(784 if half == "test" else 0, "label", labels)
    table.to_csv(folder / "csv" / f"fashion-mnist_{half}.csv", index=False)
(x, y), (x_test, y_test) = halves["train"], halves["test"]
np.savez(folder / "keras.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
np.savez_compressed(
    folder / "med.npz", train_images=x, train_labels=y[:, None].astype(np.int64), val_images=x_test, val_labels=y_test,
    test_images=np.asfortranarray(x_test[..., None]), test_labels=y_test.astype(">i2"),
)  # fmt: skip
