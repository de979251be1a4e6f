"""Training loops of PyTorch, recorded through hooks."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from stitch_trace import Trace


class Net(nn.Module):
    """Batch norm, dropout, an in-place module, and a module that is called twice."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.twice = nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.twice(self.twice(self.body(x))))


def data(n=20):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(n, 4, generator=generator)
    return TensorDataset(images, torch.randint(3, (n,), generator=generator))


def parts(optimizer="SGD", shuffle=True, **options):
    torch.manual_seed(0)
    model = Net()
    options = options or {"lr": 0.1}
    loader = DataLoader(data(), batch_size=8, shuffle=shuffle)
    return model, getattr(torch.optim, optimizer)(model.parameters(), **options), loader


def train(model, optimizer, loader, trace=None, epochs=2):
    for _ in range(epochs):
        for xs, ys in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(xs), ys)
            if trace:
                trace.labels(ys)
                trace.loss(loss)
            loss.backward()
            optimizer.step()


def hooks_of(model, optimizer):
    modules = torch.nn.modules.module
    found = [modules._global_forward_pre_hooks, modules._global_forward_hooks]
    found += [optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks]
    for module in model.modules():
        found += [module._forward_pre_hooks, module._forward_hooks, module._backward_hooks]
    return sum(map(len, found))


def test_a_step_in_causal_order(tmp_path, records):
    model, optimizer, loader = parts("Adam", lr=0.01)
    start = copy.deepcopy(model.state_dict())
    with Trace(tmp_path, model, optimizer, loader=loader, steps=range(1, 3)) as trace:
        train(model, optimizer, loader, trace)
    trace = records(tmp_path)
    assert trace.complete and trace.model == "Net"
    assert trace.stages() == ["init", "permutation", "final"]
    assert trace.names("init") == [name for name, _ in model.named_parameters()]
    assert (trace.array("init", "head.bias") == start["head.bias"].numpy()).all()
    assert trace.names("final") == list(model.state_dict())
    assert sorted(trace.array("permutation", "order", epoch=2)) == list(range(20))
    forward = ["body.0", "body.1", "body.2", "body.3", "body", "twice", "twice#2", "head"]
    gradients = ["head", "twice#2", "twice"]
    for step in (1, 2):
        expected = ["buffer_before", "batch", "forward", "logits", "loss", "backward", "gradient", "learning_rate"]
        assert trace.stages(step) == expected + ["exp_avg", "exp_avg_sq", "parameter", "buffer"]
        assert trace.names("batch", step) == ["images", "labels"]
        assert trace.names("forward", step) == forward
        # The dropout's output is that of `body` too: the order of these two is PyTorch's.
        assert trace.names("backward", step)[:3] == gradients
        assert sorted(trace.names("backward", step)) == sorted(forward)
        assert trace.line("forward", "body.0", step)["class"] == "Linear"
        assert trace.line("backward", "twice#2", step)["class"] == "Linear"
        assert "class" not in trace.line("logits", "logits", step)
        assert trace.array("learning_rate", "0", step) == 0.01
        buffers = [name for name, _ in model.named_buffers()]
        assert trace.names("buffer", step) == trace.names("buffer_before", step) == buffers
    order = trace.array("permutation", "order", epoch=1)
    images = loader.dataset.tensors[0].numpy()
    assert (trace.array("batch", "images", 2) == images[order[8:16]]).all()
    assert (trace.array("parameter", "head.bias", 1) != start["head.bias"].numpy()).any()


def test_values_of_forward_and_backward(tmp_path, records):
    """Against `retain_grad` of a network without in-place modules."""
    torch.manual_seed(0)
    first, second = nn.Linear(4, 5), nn.Linear(5, 2)
    model = nn.Sequential(first, nn.Tanh(), second)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    xs = torch.randn(3, 4)
    hidden = first(xs)
    hidden.retain_grad()
    output = second(torch.tanh(hidden))
    output.retain_grad()
    output.square().sum().backward()
    gradient = first.weight.grad.clone()
    model.zero_grad()
    with Trace(tmp_path, model, optimizer):
        model(xs).square().sum().backward()
        optimizer.step()
    trace = records(tmp_path)
    assert trace.names("forward", 1) == ["0", "1", "2"]
    assert trace.names("backward", 1) == ["2", "1", "0"]
    assert (trace.array("forward", "0", 1) == hidden.detach().numpy()).all()
    assert (trace.array("backward", "0", 1) == hidden.grad.numpy()).all()
    assert (trace.array("backward", "2", 1) == output.grad.numpy()).all()
    assert (trace.array("gradient", "0.weight", 1) == gradient.numpy()).all()


class Same(nn.Module):
    """Returns its input."""

    def forward(self, x):
        return x


@pytest.mark.parametrize("view", [False, True])
def test_outputs_that_are_changed_in_place(tmp_path, records, view):
    """The output is recorded before it changes, its gradient is the one of the value before, or there is none."""
    torch.manual_seed(0)
    modules = [nn.Linear(4, 6), nn.Unflatten(1, (2, 3)) if view else Same(), nn.ReLU(inplace=True)]
    model = nn.Sequential(*modules, nn.Flatten())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    xs = torch.randn(3, 4)
    before = model[0](xs).detach().clone()
    expected = 2 * before.clamp(min=0)
    with Trace(tmp_path, model, optimizer):
        model(xs).square().sum().backward()
        optimizer.step()
    trace = records(tmp_path)
    assert (trace.array("forward", "0", 1) == before.numpy()).all()
    assert (trace.array("forward", "1", 1).reshape(3, 6) == before.numpy()).all()
    assert (trace.array("forward", "2", 1).reshape(3, 6) == before.clamp(min=0).numpy()).all()
    # d/dx relu(x)^2 = 2 relu(x), at both places, since the square's gradient is 0 where ReLU's output is.
    assert (trace.array("backward", "2", 1).reshape(3, 6) == expected.numpy()).all()
    assert ("1" in trace.names("backward", 1)) == (not view)
    assert (trace.array("backward", "0", 1) == expected.numpy()).all()


def test_identity_has_no_output_of_its_own(tmp_path, records):
    model = nn.Sequential(nn.Linear(4, 2), nn.Identity())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Trace(tmp_path, model, optimizer):
        model(torch.randn(3, 4)).sum().backward()
        optimizer.step()
    assert records(tmp_path).names("forward", 1) == ["0"]


@pytest.mark.parametrize("optimizer, options", [("Adam", {"lr": 0.01}), ("SGD", {"lr": 0.1, "momentum": 0.9})])
def test_recording_changes_no_bit(tmp_path, optimizer, options):
    plain = parts(optimizer, **options)
    train(*plain)
    draw = torch.rand(1)
    traced = parts(optimizer, **options)
    with Trace(tmp_path, *traced[:2], loader=traced[2], steps={1, 2, 5}) as trace:
        train(*traced, trace)
    assert torch.rand(1) == draw
    for name, value in plain[0].state_dict().items():
        assert torch.equal(value, traced[0].state_dict()[name]), name


def test_hooks_are_there_only_while_a_step_is_recorded(tmp_path, records):
    model, optimizer, loader = parts()
    sampler = loader.batch_sampler.sampler
    with Trace(tmp_path, model, optimizer, loader=loader, steps=[2], name="net") as trace:
        assert hooks_of(model, optimizer) == 2  # the optimizer's
        train(model, optimizer, loader, trace)
        assert hooks_of(model, optimizer) == 2
        assert loader.batch_sampler.sampler is not sampler
    assert hooks_of(model, optimizer) == 0
    assert loader.batch_sampler.sampler is sampler
    assert records(tmp_path).steps("forward") == [2]
    assert records(tmp_path).model == "net"


@pytest.mark.parametrize("where", ["forward", "loop"])
def test_a_loop_that_raises_leaves_a_truncated_trace_and_no_hooks(tmp_path, records, where):
    model, optimizer, loader = parts()
    with pytest.raises(ZeroDivisionError if where == "loop" else RuntimeError):
        with Trace(tmp_path, model, optimizer, loader=loader):
            train(model, optimizer, loader, epochs=1)
            if where == "forward":
                model(torch.zeros(3, 5))
            loss = model(torch.zeros(3, 4)).sum()
            1 / 0
    assert hooks_of(model, optimizer) == 0
    trace = records(tmp_path)
    assert not trace.complete and trace.steps("parameter") == [1, 2, 3]
    assert trace.names("final") == []
    if where == "loop":
        loss.backward()  # the graph has no hooks either


def test_a_forward_pass_that_fails_and_is_repeated(tmp_path, records):
    model, optimizer, loader = parts()
    with Trace(tmp_path, model, optimizer):
        with pytest.raises(RuntimeError):
            model(torch.zeros(3, 5))
        assert hooks_of(model, optimizer) == 3  # the optimizer's, and that of all modules
        train(model, optimizer, loader, epochs=1)
    assert records(tmp_path).names("forward", 1)[:3] == ["body.0", "body.1", "body.2"]


@pytest.mark.filterwarnings("ignore:Using `torch.compile")
@pytest.mark.parametrize("root", ["compiled", "plain"])
def test_a_compiled_model_is_recorded_as_a_whole(tmp_path, records, root):
    def run(folder=None):
        model, optimizer, loader = parts("Adam", lr=0.01)
        compiled = torch.compile(model, backend="eager")
        if folder is None:
            train(compiled, optimizer, loader)
        else:
            with Trace(folder, compiled if root == "compiled" else model, optimizer) as trace:
                train(compiled, optimizer, loader, trace)
        return model.state_dict()

    traced = run(tmp_path)
    assert all(torch.equal(value, traced[name]) for name, value in run().items())
    trace = records(tmp_path)
    assert trace.names("forward", 1) == [] and trace.names("gradient", 1)
    assert trace.names("logits", 1) == (["logits"] if root == "compiled" else [])


def test_a_model_can_be_copied_pickled_and_scripted_at_any_time(tmp_path):
    model, optimizer, loader = parts()
    with Trace(tmp_path, model, optimizer, loader=loader, steps=range(1, 99)):
        train(model, optimizer, loader, epochs=1)
        copied = copy.deepcopy(model)
        copied(torch.zeros(2, 4))  # not the model's forward pass
        pickle.dumps(model), pickle.dumps(optimizer), torch.save(model, io.BytesIO())
        torch.jit.script(copied.eval())


def test_evaluation_is_no_step_and_computes_the_same(tmp_path, records):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    xs = torch.randn(2, 5, 8)

    def evaluate():
        model.eval()
        with torch.no_grad():
            return model(xs)

    plain = evaluate()
    with Trace(tmp_path, model, optimizer, steps=range(1, 9)):
        assert torch.equal(plain, evaluate())
        model(xs)
        with torch.no_grad():
            model.train()(xs)
    assert records(tmp_path).stages(1) == []


def test_functional_transforms_are_not_recorded(tmp_path, records):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loss(parameters, x):
        return torch.func.functional_call(model, parameters, (x,)).sum()

    with Trace(tmp_path, model, optimizer):
        parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
        gradients = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, torch.ones(4, 3))
        for name, parameter in model.named_parameters():
            parameter.grad = gradients[name].mean(0)
        optimizer.step()
    trace = records(tmp_path)
    assert trace.names("forward", 1) == trace.names("logits", 1) == []
    assert trace.names("gradient", 1) == ["weight", "bias"]


def test_default_steps_and_the_last_of_each_epoch(tmp_path, records):
    model, optimizer, loader = parts()
    with Trace(tmp_path, model, optimizer, loader=loader) as trace:
        train(model, optimizer, loader, trace, epochs=4)
        trace.epoch(0.25)
    trace = records(tmp_path)
    assert trace.steps("parameter") == [1, 2, 3, 6, 9, 10, 12]
    assert [line["epoch"] for line in trace.lines if line["stage"] == "permutation"] == [1, 2, 3, 4]
    assert trace.array("epoch_loss", "loss", epoch=1) == 0.25


def test_outputs_and_inputs_of_several_tensors(tmp_path, records):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(3, 4, batch_first=True)
            self.head = nn.Linear(4, 2)

        def forward(self, x, mask=None, note=None):
            states, last = self.rnn(x * mask)
            return {"all": self.head(states), "more": (last, None, 5)}

    model = Both()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Trace(tmp_path, model, optimizer, steps=[1, 2]):
        for inputs in ((torch.ones(2, 5, 3), torch.ones(3)), (torch.ones(2, 5, 3),)):
            more = {} if len(inputs) == 2 else {"mask": torch.ones(3), "note": "text"}
            out = model(*inputs, **more)
            (out["all"].sum() + out["more"][0].sum()).backward()
            optimizer.step()
    trace = records(tmp_path)
    assert trace.names("batch", 1) == ["images[0]", "images[1]"]
    assert trace.names("batch", 2) == ["images", "images[mask]"]
    assert trace.names("forward", 1) == ["rnn[0]", "rnn[1]", "head"]
    assert sorted(trace.names("backward", 1)) == ["head", "rnn[0]", "rnn[1]"]
    assert trace.names("logits", 1) == ["logits[all]", "logits[more][0]"]


def test_several_forward_and_backward_passes_of_one_step(tmp_path, records):
    model = nn.Sequential(nn.Linear(2, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Trace(tmp_path, model, optimizer) as trace:
        for _ in range(2):
            loss = model(torch.ones(1, 2)).sum()
            trace.loss(loss)
            loss.backward()
        loss = model(torch.ones(1, 2)).sum()
        loss.backward(retain_graph=True)
        loss.backward()
        optimizer.step()
    trace = records(tmp_path)
    assert trace.names("batch", 1) == ["images", "images#2", "images#3"]
    assert trace.names("forward", 1) == ["0", "0#2", "0#3"]
    assert trace.names("backward", 1) == ["0", "0#2", "0#3", "0#3~2"]
    assert trace.names("loss", 1) == ["loss", "loss#2"]


def test_gradients_of_a_closure_and_state_of_lbfgs(tmp_path, records):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=2)

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(1, 2)).square().sum()
        loss.backward()
        return loss

    with Trace(tmp_path, model, optimizer):
        optimizer.step(closure)
        optimizer.step(closure)
    trace = records(tmp_path)
    assert trace.names("gradient", 1) == trace.names("gradient", 2) == ["weight", "bias"]
    assert "images#2" in trace.names("batch", 1)


def test_gradients_are_those_before_the_optimizer_changes_them(tmp_path, records):
    class Careless(torch.optim.SGD):
        @torch.no_grad()
        def step(self):
            super().step()
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.grad.zero_()

    model = nn.Linear(2, 1)
    optimizer = Careless(model.parameters(), lr=0.1)
    with Trace(tmp_path, model, optimizer) as trace:
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        assert trace.step == 2
    assert (records(tmp_path).array("gradient", "weight", 1) == 1).all()


def test_frozen_parameters_sparse_gradients_and_rates_of_groups(tmp_path, records):
    model = nn.Sequential(nn.EmbeddingBag(5, 3, sparse=True, mode="sum"), nn.Linear(3, 2), nn.Linear(2, 2))
    model[2].requires_grad_(False)
    groups = [{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 0.5}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    with Trace(tmp_path, model, optimizer):
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.tensor([[1, 2]])).sum().backward()
            optimizer.step()
            scheduler.step()
    trace = records(tmp_path)
    assert trace.names("gradient", 1) == ["0.weight", "1.weight", "1.bias"]
    gradient = trace.array("gradient", "0.weight", 1)
    assert gradient.shape == (5, 3) and not gradient[[0, 3, 4]].any() and gradient[1].any()
    assert [float(trace.array("learning_rate", "1", step)) for step in (1, 2)] == [0.5, 0.25]


@pytest.mark.parametrize("before", [True, False])
def test_a_batch_that_the_loop_gives(tmp_path, records, before):
    """Before the forward pass, it replaces the inputs of the model."""
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = torch.zeros(3, 2), np.array([1, 2, 3], np.uint8)
    with Trace(tmp_path, model, optimizer, skip=["forward", "backward"]) as trace:
        for _ in range(2):
            if before:
                trace.batch(*batch)
            model(torch.ones(3, 2)).sum().backward()
            if not before:
                trace.batch(*batch)
        optimizer.step()
    trace = records(tmp_path)
    assert trace.names("batch", 1) == ["images", "labels", "images#2", "labels#2"]
    assert trace.array("batch", "images", 1).any() != before
    assert trace.line("batch", "labels", 1)["dtype"] == "uint8"


@pytest.mark.parametrize("kind", ["replacement", "own"])
def test_samplers_that_draw_sample_by_sample(tmp_path, records, kind):
    class Own(torch.utils.data.Sampler):
        def __iter__(self):
            return (int(torch.randint(20, ())) for _ in range(50))

        def __len__(self):
            return 50

    def run(folder=None):
        torch.manual_seed(0)
        generator = torch.Generator()
        drawn = RandomSampler(data(), replacement=True, num_samples=50, generator=generator)
        loader = DataLoader(data(), batch_size=4, sampler=Own() if kind == "own" else drawn)
        seen = []

        def loop():
            for xs, _ in loader:
                seen.append((xs, torch.rand(1), torch.rand(1, generator=generator)))

        if folder is None:
            loop()
        else:
            with Trace(folder, loader=loader):
                loop()
        return seen

    for plain, traced in zip(run(), run(tmp_path)):
        assert all(map(torch.equal, plain, traced))
    assert len(records(tmp_path).array("permutation", "order", epoch=1)) == 50


def test_loaders_without_an_order(tmp_path, records):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(torch.zeros(5, 2))

    for loader in (DataLoader(Stream(), batch_size=2), DataLoader(data(), batch_size=None), [1, 2]):
        with Trace(tmp_path, loader=loader):
            list(loader)
        assert records(tmp_path).lines == []


def test_a_loop_without_a_model_knows_the_last_step_of_each_epoch(tmp_path, records):
    trace = Trace(tmp_path, steps_in_epoch=7)
    recorded = []
    for step in range(1, 15):
        if trace.recording:
            trace.loss(np.float32(step))
            recorded.append(trace.step)
        trace.end_step()
    trace.finish()
    trace.finish()
    assert recorded == [1, 2, 3, 7, 10, 14]
    assert records(tmp_path).array("loss", "loss", step=7).dtype == np.float32
    assert '"end": "stitch-trace"' in (tmp_path / "trace.jsonl").read_text().splitlines()[-1]
