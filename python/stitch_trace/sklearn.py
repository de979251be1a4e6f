"""Records scikit-learn's `MLPClassifier` with one hidden layer."""

import numpy as np
import sklearn.neural_network._multilayer_perceptron as multilayer_perceptron


def named(weights, biases):
    """scikit-learn keeps weights as (in, out); the trace has them as (out, in), and by the keys of
    `torch.nn.Sequential(Linear, ReLU, Linear)`."""
    arrays = {}
    for key, weight, bias in zip(("0", "2"), weights, biases):
        arrays[f"{key}.weight"] = np.ascontiguousarray(weight.T)
        arrays[f"{key}.bias"] = bias
    return arrays


def watch_mlp(trace, classifier):
    """A class like `classifier`, which is `MLPClassifier`, that records its `fit` in `trace`."""

    hidden = None

    class Adam(multilayer_perceptron.AdamOptimizer):
        def update_params(self, params, grads):
            super().update_params(params, grads)
            if trace.recording:
                stages = {"gradient": grads, "exp_avg": self.ms, "exp_avg_sq": self.vs, "parameter": params}
                for stage, values in stages.items():
                    trace.tensors(stage, named(values[:2], values[2:]), trace.step)
                    if stage == "gradient":
                        rate = np.float64(self.learning_rate_init)
                        trace.record("learning_rate", "0", rate, step=trace.step)
            trace.end_step()

    class Traced(classifier):
        def _fit_stochastic(self, X, y, *rest, **more):
            n = len(X)
            size = min(200, n) if self.batch_size == "auto" else min(self.batch_size, n)
            trace.steps_in_epoch = -(-n // size)
            trace.tensors("init", named(self.coefs_, self.intercepts_))
            plain, plain_shuffle = multilayer_perceptron.AdamOptimizer, multilayer_perceptron.shuffle

            def shuffle(order, random_state):
                order = plain_shuffle(order, random_state=random_state)
                trace.order(order)
                return order

            multilayer_perceptron.AdamOptimizer, multilayer_perceptron.shuffle = Adam, shuffle
            try:
                return super()._fit_stochastic(X, y, *rest, **more)
            finally:
                multilayer_perceptron.AdamOptimizer, multilayer_perceptron.shuffle = plain, plain_shuffle

        def _forward_pass(self, activations):
            activations = super()._forward_pass(activations)
            if trace.recording:
                nonlocal hidden
                hidden = activations[1].copy()
            return activations

        def _backprop(self, X, y, *rest):
            if not trace.recording:
                return super()._backprop(X, y, *rest)
            result = super()._backprop(X, y, *rest)
            # Before the update: the logits of these weights.
            labels = np.argmax(y, axis=1) if y.shape[1] > 1 else y[:, 0]
            trace.batch(X, labels.astype(np.int64))
            logits = hidden @ self.coefs_[1] + self.intercepts_[1]
            trace.record("logits", "logits", logits, step=trace.step)
            trace.loss(np.float64(result[0]))
            return result

        def _update_no_improvement_count(self, *rest):
            trace.epoch(self.loss_curve_[-1])
            return super()._update_no_improvement_count(*rest)

    Traced.__name__ = classifier.__name__
    return Traced
