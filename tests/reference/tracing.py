"""Traces a training run for `stitch parity`: what it computed, in causal order.

The format is described in docs/trace-format.md. Any PyTorch loop is traced by a few added lines:

    from tracing import Trace

    trace = Trace("runs/mine/trace", "lenet5")
    trace.data(train_images, train_labels, test_images, test_labels)
    trace.parameters("init", model)
    trace.watch_order(loader)
    for epoch in range(epochs):
        for xs, ys in loader:
            ...
            optimizer.step()
            trace.step(xs, ys, logits, loss, model, optimizer)
        trace.epoch(mean_loss)
    trace.final(model.state_dict(), test_logits)
    trace.answers(y_pred, confusion_matrix, accuracy)
    trace.close()

Each record is flushed to disk immediately: if a run ends early, what was recorded until then can
be read. Needs numpy; PyTorch is never imported here. Tracing reads and changes nothing.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

STEPS = {1, 2, 3, 10, 100}
KEPT_BYTES = 1 << 20


def elements(tensor):
    """Name of the dtype, shape, elements as bytes (row-major, little-endian) and number of NaN of a tensor,
    an array or a number; the last is None for types that numpy and PyTorch have no NaN for."""
    if hasattr(tensor, "detach"):
        # Bytes, since numpy lacks some of PyTorch's types, such as bfloat16.
        torch = sys.modules["torch"]
        tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        dtype = str(tensor.dtype).removeprefix("torch.")
        raw = tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b""
        nan = int(tensor.isnan().sum()) if dtype in FLOATS else None
        return dtype, list(tensor.shape), raw, nan
    array = np.asarray(tensor)
    if array.dtype.kind not in "biufcV" or array.dtype.names or array.dtype.hasobject:
        raise TypeError(f"an array of {array.dtype} cannot be recorded: its elements are no numbers")
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    dtype = array.dtype.name
    nan = int(np.isnan(array).sum()) if dtype in FLOATS else None
    # A copy only when it has to be: `tobytes` of the training images would be another one.
    return dtype, list(np.shape(tensor)), array.reshape(-1).view(np.uint8).data, nan


FLOATS = {"float16", "bfloat16", "float32", "float64"}


def labels(values):
    """Integers as int64, as PyTorch's losses take them; anything else, such as the targets of a regression,
    as it is."""
    if hasattr(values, "detach"):
        return values
    array = np.asarray(values)
    return array.astype(np.int64) if array.dtype.kind in "iu" else array


class Trace:
    """A trace in the folder `folder`; `model` tells parity which tolerances apply."""

    def __init__(self, folder, model):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.lines = open(folder / "trace.jsonl", "w", encoding="utf-8")
        self.elements = open(folder / "trace.bin", "wb")
        self.line({"format": "stitch-trace", "version": 2, "model": model})
        self.keys = set()
        self.steps = 0
        self.epochs = 0
        self.steps_in_epoch = None

    def line(self, value):
        self.lines.write(json.dumps(value) + "\n")
        self.lines.flush()

    def record(self, stage, name, tensor, epoch=None, step=None):
        """One tensor."""
        key = (stage, name, epoch, step)
        if key in self.keys:
            raise ValueError(f"{stage} of {name} was recorded before (epoch {epoch}, step {step})")
        dtype, shape, raw, nan = elements(tensor)
        record = {
            "stage": stage,
            "name": name,
            "epoch": epoch,
            "step": step,
            "dtype": dtype,
            "shape": shape,
            "sha256": hashlib.sha256(raw).hexdigest(),
        }
        if nan is not None:
            record["nan"] = nan
        if len(raw) <= KEPT_BYTES:
            record["offset"] = self.elements.tell()
            self.elements.write(raw)
            self.elements.flush()
        self.keys.add(key)
        self.line(record)

    def data(self, train_images, train_labels, test_images, test_labels):
        """Normalised images and labels, as the model takes them."""
        self.record("data", "train.images", train_images)
        self.record("data", "train.labels", labels(train_labels))
        self.record("data", "test.images", test_images)
        self.record("data", "test.labels", labels(test_labels))

    def parameters(self, stage, model, step=None):
        """Every parameter of a PyTorch module, or of a dict of arrays, in its order."""
        named = model.items() if isinstance(model, dict) else model.named_parameters()
        for name, value in named:
            self.record(stage, name, value, step=step)

    def watch_order(self, loader):
        """From now on records the order in which each epoch of a DataLoader visits the samples."""
        trace, sampler = self, loader.batch_sampler.sampler

        class Watched:
            def __iter__(self):
                order = list(sampler)
                trace.order(order)
                return iter(order)

            def __len__(self):
                return len(sampler)

        loader.batch_sampler.sampler = Watched()
        self.steps_in_epoch = len(loader)

    def order(self, order):
        """The order of the epoch that begins."""
        self.record("permutation", "order", np.asarray(order, np.int64), epoch=self.epochs + 1)

    def wants_step(self):
        """Counts a step; whether its tensors are to be recorded."""
        self.steps += 1
        last = self.steps_in_epoch and self.steps % self.steps_in_epoch == 0
        return bool(self.steps in STEPS or last)

    def step(self, images, labels, logits, loss, model, optimizer):
        """A step of a PyTorch loop, after `optimizer.step()`."""
        if not self.wants_step():
            return
        self.record("batch", "images", images, step=self.steps)
        self.record("batch", "labels", labels, step=self.steps)
        self.record("logits", "logits", logits, step=self.steps)
        self.record("loss", "loss", loss, step=self.steps)
        # Frozen parameters have no gradient and no state.
        named = [(name, p) for name, p in model.named_parameters() if p.grad is not None]
        self.parameters("gradient", {name: p.grad for name, p in named}, self.steps)
        # The optimizer's tensors by their own names: exp_avg, momentum_buffer, ... Its count of steps is
        # the record's own.
        states = {name: optimizer.state.get(p, {}) for name, p in named}
        kinds = dict.fromkeys(kind for state in states.values() for kind in state if kind != "step")
        for kind in kinds:
            values = {name: state.get(kind) for name, state in states.items()}
            tensors = {name: value for name, value in values.items() if hasattr(value, "detach")}
            self.parameters(kind, tensors, self.steps)
        self.parameters("parameter", model, self.steps)
        self.parameters("buffer", dict(model.named_buffers()), self.steps)

    def epoch(self, loss):
        """The mean loss of the epoch that ends."""
        self.epochs += 1
        self.record("epoch_loss", "loss", np.float64(loss), epoch=self.epochs)

    def final(self, state_dict, test_logits):
        """The trained parameters and the logits of the test images."""
        self.parameters("final", dict(state_dict))
        self.record("test_logits", "logits", test_logits)

    def answers(self, y_pred, confusion_matrix, accuracy):
        """Predicted classes, confusion matrix and accuracy on the test images."""
        self.record("predictions", "y_pred", labels(y_pred))
        self.record("confusion_matrix", "counts", np.asarray(confusion_matrix, dtype=np.int64))
        self.record("accuracy", "accuracy", np.float64(accuracy))

    def close(self):
        """Adds the end marker, without which the trace counts as truncated."""
        self.line({"end": "stitch-trace", "records": len(self.keys)})
        self.lines.close()
        self.elements.close()

    def watch_mlp(self, classifier):
        """A class like scikit-learn's `MLPClassifier` that traces its own `fit`.

        scikit-learn keeps weights as (in, out); the trace has them as (out, in), and by the keys of
        `torch.nn.Sequential(Linear, ReLU, Linear)`.
        """
        import sklearn.neural_network._multilayer_perceptron as module

        trace = self

        def named(weights, biases):
            arrays = {}
            for key, weight, bias in zip(("0", "2"), weights, biases):
                arrays[f"{key}.weight"] = np.ascontiguousarray(weight.T)
                arrays[f"{key}.bias"] = bias
            return arrays

        class Adam(module.AdamOptimizer):
            def update_params(self, params, grads):
                super().update_params(params, grads)
                if trace.wanted:
                    for stage, values in (
                        ("gradient", grads),
                        ("exp_avg", self.ms),
                        ("exp_avg_sq", self.vs),
                        ("parameter", params),
                    ):
                        trace.parameters(stage, named(values[:2], values[2:]), trace.steps)

        class Traced(classifier):
            def _fit_stochastic(self, X, y, *rest, **more):
                n = len(X)
                size = min(200, n) if self.batch_size == "auto" else min(self.batch_size, n)
                trace.steps_in_epoch = -(-n // size)
                trace.parameters("init", named(self.coefs_, self.intercepts_))
                plain, plain_shuffle = module.AdamOptimizer, module.shuffle

                def shuffle(order, random_state):
                    order = plain_shuffle(order, random_state=random_state)
                    trace.order(order)
                    return order

                module.AdamOptimizer, module.shuffle = Adam, shuffle
                try:
                    return super()._fit_stochastic(X, y, *rest, **more)
                finally:
                    module.AdamOptimizer, module.shuffle = plain, plain_shuffle

            def _forward_pass(self, activations):
                activations = super()._forward_pass(activations)
                trace.hidden = activations[1].copy()
                return activations

            def _backprop(self, X, y, *rest):
                # Before the update: the logits of these weights.
                weights, bias = self.coefs_[1].copy(), self.intercepts_[1].copy()
                loss, coef_grads, intercept_grads = super()._backprop(X, y, *rest)
                trace.wanted = trace.wants_step()
                if trace.wanted:
                    trace.record("batch", "images", X, step=trace.steps)
                    labels = np.argmax(y, axis=1).astype(np.int64)
                    trace.record("batch", "labels", labels, step=trace.steps)
                    trace.record("logits", "logits", trace.hidden @ weights + bias, step=trace.steps)
                    trace.record("loss", "loss", np.float64(loss), step=trace.steps)
                return loss, coef_grads, intercept_grads

            def _update_no_improvement_count(self, *rest):
                trace.epoch(self.loss_curve_[-1])
                return super()._update_no_improvement_count(*rest)

        Traced.__name__ = classifier.__name__
        return Traced
