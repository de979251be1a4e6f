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

Needs numpy and safetensors; PyTorch is never imported here. Tracing reads and changes nothing.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

STEPS = {1, 2, 3, 10, 100}
KEPT_BYTES = 1 << 20


def as_array(tensor):
    """A numpy array, row-major and little-endian, of an array, a tensor or a number."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().numpy()
    array = np.asarray(tensor)
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


class Trace:
    """A trace in the folder `folder`; `model` tells parity which tolerances apply."""

    def __init__(self, folder, model):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        header = {"format": "stitch-trace", "version": 1, "model": model}
        self.lines = [json.dumps(header)]
        self.kept = {}
        self.steps = 0
        self.epochs = 0
        self.steps_in_epoch = None

    def record(self, stage, name, tensor, epoch=None, step=None):
        """One tensor."""
        array = as_array(tensor)
        # A copy only when it has to be: `tobytes` of the training images would be another one.
        sha256 = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
        record = {
            "stage": stage,
            "name": name,
            "epoch": epoch,
            "step": step,
            "dtype": array.dtype.name,
            "shape": list(array.shape),
            "sha256": sha256,
        }
        self.lines.append(json.dumps(record))
        if array.nbytes <= KEPT_BYTES:
            parts = [stage, *([f"epoch={epoch}"] if epoch else []), *([f"step={step}"] if step else [])]
            self.kept["/".join([*parts, name])] = array.copy()

    def data(self, train_images, train_labels, test_images, test_labels):
        """Normalised images and labels, as the model takes them."""
        self.record("data", "train.images", train_images)
        self.record("data", "train.labels", np.asarray(train_labels, dtype=np.int64))
        self.record("data", "test.images", test_images)
        self.record("data", "test.labels", np.asarray(test_labels, dtype=np.int64))

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
        # Frozen parameters have no gradient, and only Adam and its kin have moments.
        named = [(name, p) for name, p in model.named_parameters() if p.grad is not None]
        self.parameters("gradient", {name: p.grad for name, p in named}, self.steps)
        for moment in ("exp_avg", "exp_avg_sq"):
            states = {name: optimizer.state.get(p, {}) for name, p in named}
            values = {name: state[moment] for name, state in states.items() if moment in state}
            self.parameters(moment, values, self.steps)
        self.parameters("parameter", model, self.steps)

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
        self.record("predictions", "y_pred", np.asarray(y_pred, dtype=np.int64))
        self.record("confusion_matrix", "counts", np.asarray(confusion_matrix, dtype=np.int64))
        self.record("accuracy", "accuracy", np.float64(accuracy))

    def close(self):
        """Writes the two files."""
        save_file(self.kept, self.folder / "trace.safetensors")
        (self.folder / "trace.jsonl").write_text("\n".join(self.lines) + "\n")

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
