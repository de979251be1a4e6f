//! Files as PyTorch writes them, through the binary.

use predicates::prelude::*;

use super::common;

#[test]
fn half_bfloat16_and_double_weights_are_read_and_what_is_no_state_dict_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let made = common::run_python("formats/written.py", &[path.to_str().unwrap()]);
    assert_eq!(made.lines().collect::<Vec<_>>(), ["float16", "bfloat16", "float64"]);
    for stem in made.lines() {
        let [from, to] = [format!("{stem}.pt"), format!("{stem}.safetensors")];
        let export = ["export", &from, "--format", "safetensors", "-o", &to];
        common::stitch(path).args(export).assert().success();
        let parity = ["parity", &format!("{stem}-float32.pt"), &to];
        let equal = predicate::str::contains("PARITY: EQUAL (bit for bit)");
        common::stitch(path).args(parity).assert().success().stdout(equal);
    }
    for (file, wanted) in [
        ("legacy.pt", "before 1.6"),
        ("model.pt", "refused: global lenet5.LeNet5"),
        ("empty.pt", "lenet5 wants conv1.weight"),
    ] {
        let refused = predicate::str::contains(file).and(predicate::str::contains(wanted));
        common::stitch(path).args(["evaluate", file]).assert().code(2).stderr(refused);
    }
}

#[test]
fn what_tchs_var_store_saves_is_read_under_the_notebooks_names() {
    use tch::nn::{self, Module};
    let folder = tempfile::tempdir().unwrap();
    let vs = nn::VarStore::new(tch::Device::Cpu);
    let root = vs.root();
    let conv = nn::ConvConfig { padding: 2, ..Default::default() };
    let _ = nn::conv2d(&root / "conv1", 1, 6, 5, conv);
    let _ = nn::conv2d(&root / "conv2", 6, 16, 5, Default::default());
    let _ = nn::linear(&root / "fc1", 400, 120, Default::default());
    let _ = nn::linear(&root / "fc2", 120, 84, Default::default());
    let fc3 = nn::linear(&root / "fc3", 84, 10, Default::default());
    assert_eq!(fc3.forward(&tch::Tensor::zeros([1, 84], tch::kind::FLOAT_CPU)).size(), [1, 10]);
    for name in ["store.pt", "store.safetensors"] {
        vs.save(folder.path().join(name)).unwrap();
    }
    let equal = predicate::str::contains("PARITY: EQUAL (bit for bit)");
    let parity = ["parity", "store.safetensors", "store.pt"];
    common::stitch(folder.path()).args(parity).assert().success().stdout(equal);
}
