//! Faults in a training, each of which must be found: the first difference, and its cause.

use std::process::Command;

use crate::common;

/// For each fault of mutations.py: where the first difference is, and the likely cause.
const FOUND: [(&str, &str, &str); 38] = [
    (
        "batch-norm-momentum",
        "step 1, buffer bn1.running_mean",
        "momentum: the buffer has moved 2.0",
    ),
    ("batch-norm-epsilon", "step 1, forward of bn1", "epsilon: each channel is scaled"),
    (
        "unbiased-variance",
        "step 1, forward of bn1",
        "the candidate divides by the number of elements minus 1",
    ),
    ("evaluation-mode", "step 1, forward of bn1", "evaluation mode"),
    ("dropout-mask", "step 1, forward of drop", "another mask"),
    ("dropout-rate", "step 1, forward of drop", "the rate: elements that both keep are 0.625000"),
    (
        "dropout-scale",
        "step 1, forward of drop",
        "the mask is the same, and the rest is 0.500000 times",
    ),
    ("maximum-pooling", "step 1, forward of pool1", "the maximum instead of the average"),
    ("padding-mode", "step 1, forward of conv1", "padding: only elements at the border differ"),
    ("activation", "step 1, forward of relu1", "another activation"),
    ("gelu", "step 1, forward of act2", "the other form of GELU"),
    ("weight-layout", "initial value of fc2.weight", "the same elements in another order"),
    ("sgd", "step 1, conv1.weight", "update is -0.100000 times the gradient, as of SGD"),
    ("sgd-momentum", "step 1, conv1.weight", "the candidate that of SGD with momentum"),
    (
        "optimizer-epsilon",
        "step 1, conv1.weight",
        "about 1.0e-8 in the reference, 1.0e-4 in the candidate",
    ),
    (
        "epsilon-within-root",
        "step 1, conv1.weight",
        "epsilon of the optimizer, or where it is added: about 1.0e-8 in the reference",
    ),
    ("beta1", "step 1, first moment of conv1.weight", "beta1: the state is 2.0"),
    ("beta2", "step 1, second moment of conv1.weight", "beta2: the state is "),
    ("learning-rate", "step 1, conv1.weight", "the learning rate: 1e-3 in the reference, 2e-3"),
    ("coupled-weight-decay", "step 1, first moment of conv1.weight", "coupled weight decay"),
    ("clipped-norm", "step 1, gradient of conv1.weight", "their norm is 0.050000 instead of"),
    ("clipped-value", "step 1, gradient of conv1.weight", "clips gradients by value, at 0.001000"),
    ("label-smoothing", "step 1, loss", "label smoothing: 0.0000 in the reference, 0.1000"),
    ("sum", "step 1, loss", "the sum over the batch instead of the mean"),
    ("order", "epoch 1, permutation", "the same samples in another order"),
    (
        "dropped-sample",
        "epoch 1, permutation",
        "other samples: the epoch has [130] in the reference, [129]",
    ),
    (
        "normalization",
        "step 1, batch of images",
        "2.000000 times that of the reference, plus -1.000000",
    ),
    (
        "no-zero-grad",
        "step 2, gradient of conv1.weight",
        "the gradients of the step before are added",
    ),
    ("amsgrad", "step 2, conv1.weight", "only the candidate keeps max_exp_avg_sq"),
    ("frozen", "step 1, gradient of conv2.weight: missing", "requires_grad is False"),
    ("nested-dropout", "step 1, forward of drop", "the rate: elements that both keep are 0.98"),
    (
        "momentum",
        "step 2, momentum_buffer of conv1.weight",
        "momentum: 0.9000 in the reference, 0.8000",
    ),
    (
        "dampening",
        "step 2, momentum_buffer of conv1.weight",
        "dampening: 0.0000 in the reference, 0.5000",
    ),
    ("nesterov", "step 1, conv1.weight", "Nesterov momentum on one side only"),
    ("no-weight-decay", "step 1, conv1.weight", "decoupled weight decay"),
    ("coupled", "step 1, first moment of conv1.weight", "coupled weight decay"),
    ("tie-rule", "step 1, gradient of the output of relu1", "the tie rule of pool1 (MaxPool2d)"),
    ("schedule", "step 2, conv1.weight", "the learning rate: 1e-3 in the reference, 1e-4"),
];

#[test]
fn each_fault_in_a_training_is_found_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(common::python())
        .args(["-W", "ignore", "tests/cli/divergence/mutations.py"])
        .arg(folder.path())
        .env("PYTHONPATH", common::root().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(common::root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pairs = String::from_utf8(output.stdout).unwrap();
    let pairs: Vec<(&str, &str)> =
        pairs.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(pairs.len(), FOUND.len());
    for ((base, fault), (name, place, cause)) in pairs.into_iter().zip(FOUND) {
        assert_eq!(fault, name);
        let [base, fault] = [base, fault].map(|run| folder.path().join(run));
        let assert = super::parity(&[&base, &fault]).assert().code(1);
        let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        let line =
            |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or("");
        assert!(line("first divergence: ").starts_with(place), "{name}: {text}");
        assert!(line("likely cause: ").contains(cause), "{name}: {text}");
        if place.contains("forward of ") {
            assert!(text.contains(" inherit the difference\n"), "{name}: {text}");
            let verbose = super::parity(&[&base, &fault]).arg("--verbose").assert().code(1);
            let text = String::from_utf8(verbose.get_output().stdout.clone()).unwrap();
            let line =
                |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or("");
            let layer = line("  forward of ");
            assert!(
                layer.contains("): ") && text.contains("relative error of each layer"),
                "{name}: {text}"
            );
        }
    }
}
