//! The metrics of differences, and `--tolerance torch`, against PyTorch's own, for every dtype.

use std::fs;

use serde_json::Value;

use super::*;

#[test]
fn metrics_and_tolerances_of_every_dtype_are_those_of_pytorch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    common::run_python("cli/divergence/metrics.py", &[path.to_str().unwrap()]);
    let expected = fs::read(path.join("expected.json")).unwrap();
    let expected: serde_json::Map<String, Value> = serde_json::from_slice(&expected).unwrap();
    assert_eq!(expected.len(), 28);
    let mut close = 0;
    for (name, expected) in &expected {
        let sides = ["reference", "port"].map(|side| path.join(format!("{name}-{side}.pt")));
        let with = |flags: &[&str]| {
            let mut command = parity(&sides.each_ref().map(PathBuf::as_path));
            command.arg("--json").args(flags).output().unwrap()
        };
        let is_close = expected["close"].as_bool().unwrap();
        close += usize::from(is_close);
        assert_eq!(
            with(&["--tolerance", "torch"]).status.code(),
            Some(i32::from(!is_close)),
            "{name}"
        );
        let report: Value = serde_json::from_slice(&with(&[]).stdout).unwrap();
        let found = &report["tensors"][0]["outcome"]["different"];
        for metric in ["abs", "mean", "mean_rel", "median", "p90", "p99", "cosine", "snr"] {
            let found = if metric == "abs" { &found["abs"]["value"] } else { &found[metric] };
            let [found, expected] = [found, &expected[metric]].map(|x| x.as_f64().unwrap());
            let near = (found - expected).abs() <= 1e-12 * expected.abs().max(1e-3);
            assert!(near, "{name} {metric}: {found:e}, expected {expected:e}");
        }
    }
    // Both verdicts occur.
    assert_eq!(close, 7);
}

#[test]
fn a_tolerance_of_a_stage_or_layer_is_for_its_tensors_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    common::run_python("cli/divergence/metrics.py", &[path.to_str().unwrap()]);
    let sides = ["reference", "port"].map(|side| path.join(format!("float32-10-{side}.pt")));
    let with = |tolerance: &str| {
        parity(&sides.each_ref().map(PathBuf::as_path)).args(["--tol", tolerance]).assert()
    };
    for tolerance in ["w=1", "final:w=1", "final:*=1", "*=0,1"] {
        with(tolerance).code(0).stdout(predicate::str::contains(format!(
            "--tol {}",
            tolerance.split('=').next().unwrap()
        )));
    }
    with("w=1e-9").code(1);
    with("gradient:*=1").code(2).stderr(predicate::str::contains("neither side has a tensor"));
    with("**=1").code(2).stderr(predicate::str::contains("two * follow each other"));
    let both = ["--tolerance", "torch", "--atol", "1"];
    parity(&sides.each_ref().map(PathBuf::as_path)).args(both).assert().code(2);
}
