# %% [markdown]
# # Fashion-MNIST: an MLP against LeNet-5
#
# Two classifiers on 28x28 pictures of clothes: scikit-learn's `MLPClassifier` with one hidden
# layer of 64, and a LeNet-5 in PyTorch; then a deeper network, and options of both networks, the
# paper's future work. This is the original that `stitch` is compared with. It opens as a notebook
# (jupytext percent format) and runs as a script:
#
#     python tests/reference/notebook.py --model lenet5 --epochs 1 --out runs/notebook
#
# It leaves the same files as `stitch train` does. Nothing of stitch is imported.

# %%
import argparse
import gzip
import hashlib
import json
import os
import platform
import shutil
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix

FASHION_MNIST = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip

# %% [markdown]
# ## Settings
#
# Cells that compute something are skipped when this file is imported as a module: `__name__` is
# `"__main__"` in Jupyter and in a script.
#
# The MLP's are the paper's. For LeNet-5 the paper gives 5 epochs, Adam and cross-entropy; batch
# size, learning rate and seed are not given: docs/study.md says how they were chosen. The deeper
# network is not in the paper: its architecture and settings are chosen here.

# %%
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The notebook that stitch is a port of.")
    parser.add_argument("--model", choices=["mlp", "lenet5", "deepcnn"], default="lenet5")
    parser.add_argument("--epochs", type=int, help="default: mlp 20, lenet5 5, deepcnn 10")
    parser.add_argument("--batch-size", type=int, help="default: mlp 200, lenet5 32, deepcnn 64")
    parser.add_argument("--lr", type=float, help="default: mlp 1e-3, lenet5 2e-3, deepcnn 1e-3")
    parser.add_argument("--seed", type=int, default=0)
    # For the PyTorch models:
    parser.add_argument("--batch-norm", choices=["on", "off"], help="default: on for deepcnn")
    parser.add_argument("--dropout", type=float, metavar="P", help="default: 0.5 for deepcnn, else 0")
    parser.add_argument("--classes", type=int, default=10, help="outputs of the last layer")
    parser.add_argument(
        "--augment", default="none", help="transforms such as crop:2,flip:0.5,erase:0.1"
    )
    parser.add_argument("--init", type=Path, metavar="FILE", help="weights to start from")
    parser.add_argument("--normalize", default="none", metavar="MEAN,STD", help="after --augment")
    parser.add_argument("--shuffle", choices=["on", "off"], default="on")
    parser.add_argument("--drop-last", action="store_true", help="leave out a short last batch")
    parser.add_argument(
        "--optimizer", choices=["adam", "adamw", "sgd", "adadelta", "rmsprop"], default="adam"
    )
    parser.add_argument("--momentum", type=float, default=0.0, help="of sgd and rmsprop")
    parser.add_argument("--nesterov", action="store_true", help="of sgd")
    parser.add_argument("--weight-decay", type=float, help="default: 0; adamw 0.01")
    parser.add_argument("--loss", choices=["cross-entropy", "nll"], default="cross-entropy")
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument(
        "--lr-schedule", default="none", help="none, step:EVERY,GAMMA, cosine or onecycle"
    )
    parser.add_argument("--threads", type=int, help="default: the library's choice, one per core")
    parser.add_argument("--data", type=Path, help="folder with the four files, .gz or unpacked")
    parser.add_argument("--out", type=Path, help="default: runs/notebook-<model>")
    parser.add_argument("--trace", action="store_true", help="write OUT/trace for `stitch parity`")
    parser.add_argument(
        "--trace-layers",
        action="store_true",
        help="with the output of each layer and its gradient, as `stitch train --engine eager` records them",
    )
    in_jupyter = "ipykernel" in sys.modules
    args = parser.parse_args([] if in_jupyter else None)
    if args.epochs is None:
        args.epochs = {"mlp": 20, "lenet5": 5, "deepcnn": 10}[args.model]
    if args.batch_size is None:
        args.batch_size = {"mlp": 200, "lenet5": 32, "deepcnn": 64}[args.model]
    if args.lr is None:
        args.lr = {"mlp": 1e-3, "lenet5": 2e-3, "deepcnn": 1e-3}[args.model]
    if args.batch_norm is None:
        args.batch_norm = "on" if args.model == "deepcnn" else "off"
    if args.dropout is None:
        args.dropout = 0.5 if args.model == "deepcnn" else 0.0
    options = {
        "batch_norm": args.batch_norm == "on",
        "dropout": args.dropout,
        "classes": args.classes,
        "init": args.init and {
            "file": str(args.init),
            "sha256": hashlib.sha256(args.init.read_bytes()).hexdigest(),
        },
        "augment": args.augment,
        "normalize": args.normalize,
        "shuffle": args.shuffle == "on",
        "drop_last": args.drop_last,
        "optimizer": args.optimizer,
        "momentum": args.momentum,
        "nesterov": args.nesterov,
        "weight_decay": args.weight_decay,
        "loss": args.loss,
        "label_smoothing": args.label_smoothing,
        "lr_schedule": args.lr_schedule,
    }
    # Options that are off are not written to config.json, nor is the optimizer's own weight decay.
    off = {"classes": 10, "augment": "none", "normalize": "none", "shuffle": True}
    off |= {"optimizer": "adam", "loss": "cross-entropy", "lr_schedule": "none"}
    off["weight_decay"] = 0.01 if args.optimizer == "adamw" else 0
    options = {
        name: it for name, it in options.items() if it is not None and it != off.get(name, 0)
    }
    if args.model == "mlp" and options:
        sys.exit(f"error: scikit-learn's MLP has no {', '.join(options)}")
    args.out = args.out or Path("runs") / f"notebook-{args.model}"
    args.out.mkdir(parents=True, exist_ok=True)
    # config.json is written last: while it is missing, the folder holds no complete run.
    (args.out / "config.json").unlink(missing_ok=True)
    shutil.rmtree(args.out / "trace", ignore_errors=True)

# %% [markdown]
# ## Data
#
# Four IDX files: a header of 16 or 8 bytes, then one byte per pixel or label. Pixels are divided
# by 255, which gives float64. Another data set has its class names in classes.txt, or numbers.

# %%
if __name__ == "__main__":
    USUAL_PLACES = [
        "data/fashion-mnist",
        "/usr/share/datasets/fashion-mnist",
        Path.home() / ".keras/datasets/fashion-mnist",
        "data/FashionMNIST/raw",
    ]
    named = args.data or os.environ.get("FASHION_MNIST_DIR")
    places = [Path(named)] if named else [Path(place) for place in USUAL_PLACES]
    found = [place for place in places if any(place.glob("train-images-idx3-*"))]
    if not found:
        missing = ", ".join(map(str, places))
        sys.exit(f"error: Fashion-MNIST is in none of {missing}: name it with --data")
    data_dir = found[0]
    sha256 = {}


def read_idx(name, header):
    packed = data_dir / f"{name}.gz"
    content = gzip.open(packed).read() if packed.exists() else (data_dir / name).read_bytes()
    sha256[name] = hashlib.sha256(content).hexdigest()
    return np.frombuffer(content, np.uint8, offset=header)


if __name__ == "__main__":
    trace = None
    if args.trace:
        # The package need not be installed; a notebook's kernel is started in the project's root.
        root = Path.cwd() if in_jupyter else Path(__file__).resolve().parents[2]
        sys.path.append(str(root / "python"))
        from stitch_trace import Trace

    X_train = read_idx("train-images-idx3-ubyte", 16).reshape(-1, 784) / 255.0
    y_train = read_idx("train-labels-idx1-ubyte", 8)
    X_test = read_idx("t10k-images-idx3-ubyte", 16).reshape(-1, 784) / 255.0
    y_test = read_idx("t10k-labels-idx1-ubyte", 8)

    OFFICIAL = {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    }
    if (data_dir / "classes.txt").exists():
        class_names = (data_dir / "classes.txt").read_text(encoding="utf-8").split("\n")
        class_names = [name.strip() for name in class_names if name.strip()]
        if len(class_names) == max(y_train.max(), y_test.max()):
            class_names.insert(0, "N/A")  # the labels start at 1, like those of EMNIST's letters
    elif any(sha256[name] == OFFICIAL[name] for name in OFFICIAL):
        class_names = FASHION_MNIST
    else:
        class_names = [str(label) for label in range(max(y_train.max(), y_test.max()) + 1)]
    data = {"official": sha256 == OFFICIAL, "sha256": sha256}
    if class_names != FASHION_MNIST:
        data["classes"] = class_names
    # A network may have more outputs than there are labels.
    class_names = class_names + [str(label) for label in range(len(class_names), args.classes)]
    metadata = {"format": "pt", "classes": json.dumps(class_names)}

# %% [markdown]
# ## The MLP (scikit-learn)

# %%
def peak_rss_bytes():
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__" and args.model == "mlp":
    import sklearn
    from safetensors.numpy import save_file
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_info, threadpool_limits

    threadpool_limits(args.threads)
    threads = max(pool["num_threads"] for pool in threadpool_info())
    classifier = MLPClassifier
    if args.trace:
        from stitch_trace.sklearn import watch_mlp

        trace = Trace(args.out / "trace", name="mlp")
        # int64, as PyTorch's losses take labels.
        trace.data(X_train, y_train.astype(np.int64), X_test, y_test.astype(np.int64))
        classifier = watch_mlp(trace, MLPClassifier)
    mlp = classifier(
        hidden_layer_sizes=(64,),
        activation="relu",
        solver="adam",
        max_iter=args.epochs,
        batch_size=args.batch_size,
        learning_rate_init=args.lr,
        random_state=args.seed,
    )
    start = time.perf_counter()
    mlp.fit(X_train, y_train)
    train_seconds = time.perf_counter() - start
    y_pred = mlp.predict(X_test)
    # Measured before torch is imported, which this run needs for its files only.
    peak_rss = peak_rss_bytes()

    # scikit-learn tells the loss of each iteration, but not its time.
    losses, seconds = mlp.loss_curve_, [None] * mlp.n_iter_
    rates = [args.lr] * mlp.n_iter_
    # Its weights are (in, out), in float64; those of torch.nn.Linear are (out, in).
    state_dict = {
        "0.weight": np.ascontiguousarray(mlp.coefs_[0].T),
        "0.bias": mlp.intercepts_[0],
        "2.weight": np.ascontiguousarray(mlp.coefs_[1].T),
        "2.bias": mlp.intercepts_[1],
    }
    save_file(state_dict, args.out / "weights.safetensors", metadata=metadata)
    versions = {"scikit-learn": sklearn.__version__}
    if trace:
        hidden = np.maximum(X_test @ mlp.coefs_[0] + mlp.intercepts_[0], 0)
        trace.final(hidden @ mlp.coefs_[1] + mlp.intercepts_[1], state_dict)

# %% [markdown]
# ## LeNet-5 and the deeper network (PyTorch)
#
# An option that is off leaves an identity, which has no parameters. Another program can import the
# classes, without training anything: `from notebook import LeNet5`.

# %%
import torch  # noqa: E402
import torch.nn as nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402


class LeNet5(nn.Module):
    def __init__(self, batch_norm=False, dropout=0.0, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.bn1 = nn.BatchNorm2d(6) if batch_norm else nn.Identity()
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.bn2 = nn.BatchNorm2d(16) if batch_norm else nn.Identity()
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x):
        x = F.avg_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.avg_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = x.view(-1, 400)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(self.dropout(x))


class DeepCNN(nn.Module):
    def __init__(self, batch_norm=True, dropout=0.5, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16) if batch_norm else nn.Identity()
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(32) if batch_norm else nn.Identity()
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1)
        self.bn3 = nn.BatchNorm2d(64) if batch_norm else nn.Identity()
        self.fc1 = nn.Linear(64 * 3 * 3, 128)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.fc2 = nn.Linear(128, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = F.max_pool2d(F.relu(self.bn3(self.conv3(x))), 2)
        x = torch.flatten(x, 1)
        x = self.dropout(F.relu(self.fc1(x)))
        return self.fc2(x)


# %% [markdown]
# ## Training of these two

# %%
if __name__ == "__main__" and args.model != "mlp":
    from safetensors.torch import save_file
    from torch.utils.data import DataLoader, TensorDataset

    if args.threads:
        torch.set_num_threads(args.threads)
    threads = torch.get_num_threads()

    def as_images(X):
        return torch.tensor(X, dtype=torch.float32).view(-1, 1, 28, 28)

    def as_labels(y):
        return torch.tensor(y, dtype=torch.int64)

    train_images, train_labels = as_images(X_train), as_labels(y_train)
    train_set = TensorDataset(train_images, train_labels)
    del X_train

    versions = {"torch": torch.__version__}
    transforms = []
    if (args.augment, args.normalize) != ("none", "none"):
        import torchvision
        from torchvision.transforms import v2

        versions["torchvision"] = torchvision.__version__
    if args.augment != "none":

        def transform(text):
            name, _, value = text.partition(":")
            return {
                "crop": lambda: v2.RandomCrop(28, padding=int(value or 2)),
                "flip": lambda: v2.RandomHorizontalFlip(float(value or 0.5)),
                "erase": lambda: v2.RandomErasing(float(value or 0.1)),
            }[name]()

        transforms += [transform(text) for text in args.augment.split(",")]

    def normalize(images):
        return images

    if args.normalize != "none":
        numbers = [float(number) for number in args.normalize.split(",")]
        channels = len(numbers) // 2
        normalize = v2.Normalize(numbers[:channels], numbers[channels:])
        transforms.append(normalize)
    if transforms:
        transform_image = v2.Compose(transforms)

        class Transformed(torch.utils.data.Dataset):
            def __len__(self):
                return len(train_images)

            def __getitem__(self, i):
                return transform_image(train_images[i]), train_labels[i]

        train_set = Transformed()

    torch.manual_seed(args.seed)
    network = {"lenet5": LeNet5, "deepcnn": DeepCNN}[args.model]
    model = network(args.batch_norm == "on", args.dropout, args.classes)
    if args.init:
        from safetensors.torch import load_file

        load = load_file if args.init.suffix == ".safetensors" else torch.load
        model.load_state_dict(load(args.init))
    shuffle = args.shuffle == "on"
    loader = DataLoader(
        train_set, batch_size=args.batch_size, shuffle=shuffle, drop_last=args.drop_last
    )
    if not len(loader):
        sys.exit("error: --drop-last leaves out the only batch")
    decay = {} if args.weight_decay is None else {"weight_decay": args.weight_decay}
    if args.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            model.parameters(), lr=args.lr, momentum=args.momentum, nesterov=args.nesterov, **decay
        )
    elif args.optimizer == "rmsprop":
        optimizer = torch.optim.RMSprop(
            model.parameters(), lr=args.lr, momentum=args.momentum, **decay
        )
    else:
        classes = {"adam": "Adam", "adamw": "AdamW", "adadelta": "Adadelta"}
        optimizer_class = getattr(torch.optim, classes[args.optimizer])
        optimizer = optimizer_class(model.parameters(), lr=args.lr, **decay)
    per_step = args.lr_schedule == "onecycle"
    scheduler = None
    if args.lr_schedule.startswith("step:"):
        every, gamma = args.lr_schedule.removeprefix("step:").split(",")
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, int(every), float(gamma))
    elif args.lr_schedule == "cosine":
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)
    elif per_step:
        steps = args.epochs * len(loader)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps)
    if args.loss == "nll":
        criterion = nn.NLLLoss()
    else:
        criterion = nn.CrossEntropyLoss(label_smoothing=args.label_smoothing)
    test_images = normalize(as_images(X_test))
    if args.trace:
        # The port's exact engine computes some layers together, and does not record their outputs.
        skip = [] if args.trace_layers else ["forward", "backward"]
        trace = Trace(
            args.out / "trace", model, optimizer, loader=loader, name=args.model, skip=skip
        )
        trace.data(normalize(train_images), train_labels, test_images, as_labels(y_test))
        criterion.register_forward_hook(lambda module, inputs, loss: trace.loss(loss))

    losses, rates, seconds = [], [], []
    for epoch in range(args.epochs):
        start = time.perf_counter()
        total, seen = 0.0, 0
        for xs, ys in loader:
            if trace:
                trace.batch(xs, ys)
            optimizer.zero_grad()
            logits = model(xs)
            loss = criterion(logits, ys)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(ys)
            seen += len(ys)
            rate = optimizer.param_groups[0]["lr"]
            if per_step:
                scheduler.step()
        rates.append(rate)
        if scheduler and not per_step:
            scheduler.step()
        losses.append(total / seen)
        if trace:
            trace.epoch(losses[-1])
        seconds.append(time.perf_counter() - start)
        print(f"epoch {epoch + 1}/{args.epochs}: loss {losses[-1]:.6f}, {seconds[-1]:.2f} s")
    train_seconds = sum(seconds)

    model.eval()
    with torch.no_grad():
        test_logits = model(test_images)
        y_pred = test_logits.argmax(dim=1).numpy()
    state_dict = model.state_dict()
    if trace:
        trace.final(test_logits)
    save_file(state_dict, args.out / "weights.safetensors", metadata=metadata)
    peak_rss = peak_rss_bytes()

# %% [markdown]
# ## Results

# %%
if __name__ == "__main__":
    accuracy = accuracy_score(y_test, y_pred)
    labels = range(len(class_names))
    matrix = confusion_matrix(y_test, y_pred, labels=labels)
    report = classification_report(
        y_test, y_pred, labels=labels, target_names=class_names, output_dict=True, zero_division=0
    )
    print(f"{args.model}: test accuracy {accuracy:.4f}, trained in {train_seconds:.1f} s")
    print(pd.DataFrame(matrix, index=class_names, columns=class_names))

    if trace:
        trace.answers(y_pred.astype(np.int64), matrix, accuracy)
        trace.close()

# %% [markdown]
# ## The run folder


# %%
def average(name):
    scores = report[name]
    return {"precision": scores["precision"], "recall": scores["recall"], "f1": scores["f1-score"]}


if __name__ == "__main__":
    config = {
        "program": "notebook.py",
        "model": args.model,
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "lr": args.lr,
        "seed": args.seed,
        "threads": threads,
        "device": "cpu",
        **options,
        "versions": {"python": platform.python_version(), "numpy": np.__version__, **versions},
        "data": data,
    }
    metrics = {
        "test_accuracy": accuracy,
        "macro_avg": average("macro avg"),
        "weighted_avg": average("weighted avg"),
        "train_loss": losses[-1],
        "epochs_run": len(losses),
        "train_seconds": train_seconds,
        "peak_rss_bytes": peak_rss,
    }
    (args.out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    history = pd.DataFrame(
        {"epoch": range(1, len(losses) + 1), "loss": losses, "lr": rates, "seconds": seconds}
    )
    history.to_csv(args.out / "history.csv", index=False)
    predictions = pd.DataFrame({"index": range(len(y_test)), "y_true": y_test, "y_pred": y_pred})
    predictions.to_csv(args.out / "predictions.csv", index=False)
    named_matrix = pd.DataFrame(matrix, index=class_names, columns=class_names)
    named_matrix.to_csv(args.out / "confusion_matrix.csv")
    pd.DataFrame(report).T.to_csv(args.out / "classification_report.csv")

# %%
if __name__ == "__main__":
    config["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    tensors = {name: torch.as_tensor(value) for name, value in state_dict.items()}
    torch.save(tensors, args.out / "state_dict.pt")
    if args.model == "mlp":
        model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)).double()
        model.load_state_dict(tensors)
    with warnings.catch_warnings():
        # TorchScript is deprecated in PyTorch 2.13 in favour of torch.export; C++ still reads it.
        warnings.simplefilter("ignore")
        torch.jit.script(model.eval()).save(args.out / "torchscript.pt")
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
