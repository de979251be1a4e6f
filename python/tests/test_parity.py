"""`assert_parity` and the recorder of scikit-learn."""

import numpy as np
import pytest

import stitch_trace
from stitch_trace import Trace, Writer


def write(folder, value):
    with Writer(folder, "net") as trace:
        trace.record("init", "w", np.float32([1.0, value]))
    return folder


@pytest.fixture
def pair(tmp_path):
    return write(tmp_path / "a", 2.0), write(tmp_path / "b", np.nextafter(np.float32(2), np.float32(3)))


def test_a_difference_is_an_assertion_with_the_verdict(pair, stitch, assert_parity):
    with pytest.raises(AssertionError, match=r"^PARITY: DIFFERENT \(1 of 1\)\nfirst divergence: .*w\[1\]"):
        assert_parity(*pair)
    for tolerance in ({"ulp": 1}, {"atol": 1e-6}, {"atol": 0.0, "rtol": 1e-6}):
        assert "PARITY: EQUAL within tolerance" in assert_parity(*pair, tolerance=tolerance)
    assert assert_parity(*pair, tolerance="torch").startswith("PARITY: EQUAL within tolerance")
    assert_parity(pair[0], pair[0], stitch=stitch)
    assert_parity(*pair, flags=["--tol", "w=1e-6"])


def test_what_cannot_be_compared_is_another_error(pair, stitch, assert_parity, tmp_path):
    with pytest.raises(RuntimeError, match="missing"):
        assert_parity(pair[0], tmp_path / "missing")
    with pytest.raises(ValueError, match="unknown keys: abs; expected atol"):
        assert_parity(*pair, tolerance={"abs": 1})
    with pytest.raises(ValueError, match="expected a dict or 'torch'"):
        assert_parity(*pair, tolerance="Torch")


def test_a_program_that_is_missing_is_named(pair, monkeypatch):
    monkeypatch.delenv("STITCH", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="cannot run stitch: .*STITCH"):
        stitch_trace.assert_parity(*pair)
    with pytest.raises(FileNotFoundError, match="/nowhere/stitch"):
        stitch_trace.assert_parity(*pair, stitch="/nowhere/stitch")


def test_the_mlp_of_scikit_learn(tmp_path, records):
    neural_network = pytest.importorskip("sklearn.neural_network")
    from stitch_trace.sklearn import watch_mlp

    X = np.random.default_rng(0).normal(size=(50, 4))
    y = np.arange(50) % 3
    settings = {"hidden_layer_sizes": (5,), "batch_size": 20, "max_iter": 2, "random_state": 0}
    with pytest.warns(UserWarning, match="Maximum iterations"):
        plain = neural_network.MLPClassifier(**settings).fit(X, y)
        with Trace(tmp_path, name="mlp") as trace:
            traced = watch_mlp(trace, neural_network.MLPClassifier)(**settings).fit(X, y)
    assert all(map(np.array_equal, plain.coefs_, traced.coefs_))
    trace = records(tmp_path)
    assert trace.stages() == ["init", "permutation", "epoch_loss"]
    stages = ["batch", "logits", "loss", "gradient", "learning_rate", "exp_avg", "exp_avg_sq", "parameter"]
    assert trace.stages(6) == stages
    assert trace.steps("loss") == [1, 2, 3, 6]
    assert (trace.array("parameter", "2.weight", 6) == traced.coefs_[1].T).all()
