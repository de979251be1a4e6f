"""Records a training loop of PyTorch through hooks, without a change of the loop.

PyTorch is never imported here: a loop that has a model has imported it.
"""

import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np

from .writer import Writer

# Steps that are recorded by default, in addition to the last step of each epoch.
STEPS = {1, 2, 3, 10, 100}


def leaves(name, value):
    """Names and tensors of a tensor, or of nested tuples, lists and dicts of tensors; others are left out."""
    if isinstance(value, (Mapping, tuple, list)):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, item in items:
            yield from leaves(f"{name}[{key}]", item)
    elif hasattr(value, "__array__") or hasattr(value, "__dlpack__"):
        yield name, value


def as_array(value):
    """The value, or an array of it if it is a number or a list of numbers."""
    return value if any(leaves("", value)) else np.asarray(value)


class Trace(Writer):
    """The trace of a training loop. Recording reads tensors and changes nothing.

    A forward pass of `model` in training mode with gradients enabled belongs to the step that the next call of
    `optimizer.step()` ends. `steps` are those that are recorded: a range or numbers counted from 1; by default
    1, 2, 3, 10, 100 and the last of each epoch, which is known from `loader` or `steps_in_epoch`. `name` is the model's
    name in the header, by default the name of its class. `skip` are stages that are not recorded, such as "forward". For `keep` see `Writer`.

    Without `model`, the loop calls `record` where `recording` is true, with `step=trace.step`, and `end_step`; after the
    last step it calls `finish`, or is the body of a `with`. `steps_in_epoch` is its number of steps per epoch.
    """

    def __init__(
        self,
        folder,
        model=None,
        optimizer=None,
        *,
        loader=None,
        steps=None,
        steps_in_epoch=None,
        name=None,
        keep=1 << 20,
        skip=(),
    ):
        default = "" if model is None else type(model).__name__
        super().__init__(folder, default if name is None else name, keep)
        self.model, self.optimizer, self.skip = model, optimizer, {skip} if isinstance(skip, str) else set(skip)
        self.step, self.epochs, self.orders = 1, 0, 0
        self.steps_in_epoch = steps_in_epoch
        self._chosen = steps if steps is None or isinstance(steps, range) else set(steps)
        self._begun = self._final = False
        self._depth = 0
        # What is to be removed at the end of the trace, of a step and of a forward pass.
        self._attached, self._in_step, self._in_forward = ExitStack(), ExitStack(), ExitStack()
        self._calling = False
        if loader is not None:
            self._watch_order(loader)
        if optimizer is not None:
            self._attached.callback(optimizer.register_step_pre_hook(self._before_optimizer).remove)
            self._attached.callback(optimizer.register_step_post_hook(self._after_optimizer).remove)
        self._start_step()

    def record(self, stage, name, array, epoch=None, step=None, **fields):
        if stage not in self.skip:
            super().record(stage, name, array, epoch, step, **fields)

    # What the loop may call.

    def batch(self, images, labels=None):
        """Inputs and labels of the step. Inputs that are given before the forward pass are recorded instead of those
        that the model is called with."""
        if self.recording:
            if self._has_inputs:
                self._has_inputs = False
            else:
                self._inputs = self._values("batch", "images", as_array(images))
            if labels is not None:
                self.labels(labels)

    def labels(self, labels):
        """Labels of the step, as they are."""
        if self.recording:
            self._values("batch", "labels", as_array(labels))

    def loss(self, loss):
        """Loss of the step."""
        if self.recording:
            self.record("loss", self._numbered("loss", "loss"), loss, step=self.step)

    def epoch(self, loss):
        """Mean loss of the epoch that ends."""
        self.epochs += 1
        self.record("epoch_loss", "loss", np.float64(float(loss)), epoch=self.epochs)

    def data(self, train_images, train_labels, test_images, test_labels):
        """The data set: inputs as the model takes them, and labels."""
        for half, images, labels in (("train", train_images, train_labels), ("test", test_images, test_labels)):
            self.record("data", f"{half}.images", images)
            self.record("data", f"{half}.labels", labels)

    def final(self, test_logits=None, state_dict=None):
        """Parameters and buffers after the last step. `close` records them if this was not called."""
        self._final = True
        self.tensors("final", state_dict or self.model.state_dict())
        if test_logits is not None:
            self.record("test_logits", "logits", test_logits)

    def answers(self, y_pred, confusion_matrix, accuracy):
        """Predicted classes, confusion matrix and accuracy on the test data."""
        self.record("predictions", "y_pred", y_pred)
        self.record("confusion_matrix", "counts", np.asarray(confusion_matrix, np.int64))
        self.record("accuracy", "accuracy", np.float64(accuracy))

    def tensors(self, stage, named, step=None):
        """The arrays of a dict, in its order."""
        for name, value in named.items():
            if hasattr(value, "__array__"):
                self.record(stage, name, value, step=step)

    def close(self):
        """Records the final parameters and buffers, adds the end marker and removes all hooks."""
        try:
            if not self.closed and self.model is not None:
                self._begin()
                if not self._final:
                    self.final()
            super().close()
        finally:
            self.abort()

    def abort(self):
        self.recording = False
        for hooks in (self._in_forward, self._in_step, self._attached):
            hooks.close()
        super().abort()

    # Steps.

    def _begin(self):
        """Records the initial parameters, once."""
        if not self._begun and self.model is not None:
            self.tensors("init", dict(self.model.named_parameters()))
        self._begun = True

    def wants(self, step):
        """Whether a step, counted from 1, is recorded."""
        if self._chosen is not None:
            return step in self._chosen
        return step in STEPS or bool(self.steps_in_epoch) and step % self.steps_in_epoch == 0

    def _start_step(self):
        self.recording = self.wants(self.step)
        # The name of given inputs; whether those of the last forward pass were recorded.
        self._inputs, self._has_inputs = None, False
        # Whether the buffers before the step were recorded.
        self._has_buffers = False
        self._count = Counter()
        if self.recording and self.model is not None:
            # A hook of all modules, since those of a module have effects: a model that has some cannot be pickled or
            # scripted, and TransformerEncoder computes with other kernels in evaluation.
            modules = sys.modules["torch"].nn.modules.module
            self._in_step.callback(modules.register_module_forward_pre_hook(self._before_forward).remove)

    def end_step(self):
        """Ends the step. `optimizer.step()` calls it if the optimizer is given."""
        self._in_step.close()
        self.step += 1
        self._start_step()

    def _before_optimizer(self, optimizer, args, kwargs):
        self._begin()
        # `step` of a derived class calls that of its base: both have the hooks.
        self._depth += 1
        if self.recording and self._depth == 1:
            self._rates = [float(group["lr"]) for group in optimizer.param_groups if "lr" in group]
            # Some optimizers change gradients; a closure computes them only now.
            self._early = not any(map(callable, [*args[1:], *kwargs.values()]))
            if self._early:
                self._gradients_and_rates()

    def _after_optimizer(self, optimizer, args, kwargs):
        self._depth -= 1
        if self._depth:
            return
        if self.recording:
            if not self._early:
                self._gradients_and_rates()
            self._optimizer_state()
            if self.model is not None:
                self.tensors("parameter", dict(self.model.named_parameters()), self.step)
                self.tensors("buffer", dict(self.model.named_buffers()), self.step)
        self.end_step()

    def _trained(self):
        """Parameters with a gradient; frozen ones have none, and no state."""
        named = [] if self.model is None else self.model.named_parameters()
        return {name: parameter for name, parameter in named if parameter.grad is not None}

    def _gradients_and_rates(self):
        self.tensors("gradient", {name: parameter.grad for name, parameter in self._trained().items()}, self.step)
        for group, rate in enumerate(self._rates):
            self.record("learning_rate", str(group), np.float64(rate), step=self.step)

    def _optimizer_state(self):
        """The optimizer's tensors by their own names: exp_avg, momentum_buffer, ...; not its number of steps."""
        states = {name: self.optimizer.state.get(parameter, {}) for name, parameter in self._trained().items()}
        kinds = dict.fromkeys(kind for state in states.values() for kind in state if kind != "step")
        for kind in kinds:
            self.tensors(kind, {name: state.get(kind) for name, state in states.items()}, self.step)

    # Forward and backward.

    def _numbered(self, stage, name, sign="#"):
        """The name, with a number from the second time in a step on."""
        self._count[stage, name] += 1
        count = self._count[stage, name]
        return name if count == 1 else f"{name}{sign}{count}"

    def _values(self, stage, name, value, **fields):
        """Records each tensor of a value; returns the name with its number."""
        self._begin()
        name = self._numbered(stage, name)
        for key, leaf in leaves(name, value):
            self.record(stage, key, leaf, step=self.step, **fields)
        return name

    def _before_forward(self, module, args):
        """Watches the modules of the model until its forward pass ends."""
        torch = sys.modules["torch"]
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or module is not self.model or self._calling:
            return
        if not module.training or not torch.is_grad_enabled() or is_transformed(torch):
            return
        self._calling = True
        self._in_forward.callback(setattr, self, "_calling", False)
        given, self._inputs = self._inputs, None
        self._has_inputs = not given
        if not self._has_buffers:
            self.tensors("buffer_before", dict(module.named_buffers()), self.step)
        self._has_buffers = True
        name = given or self._values("batch", "images", args[0] if len(args) == 1 else args)

        def after_root(module, args, kwargs, output):
            self._in_forward.close()
            if not given:
                # Hooks of all modules do not get keyword arguments before the forward pass.
                for key, leaf in leaves(name, kwargs):
                    self.record("batch", key, leaf, step=self.step)
            self._values("logits", "logits", output)

        # Compiled modules are not called one by one.
        whole = hasattr(module, "_orig_mod") or {"forward", "backward"} <= self.skip
        for path, child in module.named_modules():
            # What computes nothing has no output of its own.
            is_identity = isinstance(child, sys.modules["torch"].nn.Identity)
            if child is not module and not whole and not is_identity:
                self._in_forward.callback(child.register_forward_hook(self._after_call(path)).remove)
        # Also after an exception; the output is None then.
        hook = module.register_forward_hook(after_root, with_kwargs=True, always_call=True)
        self._in_forward.callback(hook.remove)

    def _after_call(self, path):
        def hook(module, args, output):
            fields = {"class": type(module).__name__}
            name = self._values("forward", path, output, **fields)
            for key, leaf in leaves(name, output):
                if getattr(leaf, "requires_grad", False):
                    self._in_step.callback(leaf.register_hook(self._backward(key, fields)).remove)

        return hook

    def _backward(self, name, fields):
        def hook(gradient):
            self.record("backward", self._numbered("backward", name, "~"), gradient, step=self.step, **fields)

        return hook

    # The order of the samples.

    def order(self, order, epoch=None):
        """The order in which an epoch visits the samples, by default the epoch that begins."""
        self._begin()
        self.orders += epoch is None
        order = np.asarray(order)
        if order.dtype.kind in "iu":
            self.record("permutation", "order", order.astype(np.int64), epoch=epoch or self.orders)

    def _watch_order(self, loader):
        """Records the order of each epoch of a DataLoader; its samples stay as they are."""
        if self.steps_in_epoch is None:
            try:
                self.steps_in_epoch = len(loader)
            except TypeError:  # an iterable data set
                pass
        batches = getattr(loader, "batch_sampler", None)
        sampler = getattr(batches, "sampler", None)
        if hasattr(sampler, "__len__"):
            batches.sampler = WatchedSampler(self, sampler)
            self._attached.callback(setattr, batches, "sampler", sampler)


def is_transformed(torch):
    """Whether the code runs under `torch.func.grad`, `vmap` or another transform, where tensors have no elements."""
    functorch = getattr(torch._C, "_functorch", None)
    return getattr(functorch, "peek_interpreter_stack", lambda: None)() is not None


class WatchedSampler:
    """A sampler that tells a trace the order of each epoch."""

    def __init__(self, trace, sampler):
        self.trace, self.sampler = trace, sampler

    def __iter__(self):
        # PyTorch's own samplers draw the whole order when the epoch begins, except with replacement. Others may draw
        # sample by sample from a generator that the loop uses too: their order is recorded when the epoch ends.
        own = type(self.sampler).__module__.startswith("torch.utils.data.")
        if own and not getattr(self.sampler, "replacement", False):
            order = list(self.sampler)
            self.trace.order(order)
            return iter(order)
        self.trace.orders += 1
        return self._recorded_late(self.trace.orders)

    def _recorded_late(self, epoch):
        order = []
        for sample in self.sampler:
            order.append(sample)
            yield sample
        if not self.trace.closed:
            self.trace.order(order, epoch)

    def __len__(self):
        return len(self.sampler)

    def __getattr__(self, name):
        return getattr(object.__getattribute__(self, "sampler"), name)
