//! Files as PyTorch writes them, through the binary.

use std::path::Path;

use predicates::prelude::*;

use super::common;

#[test]
fn half_bfloat16_and_double_weights_are_read_and_what_is_no_state_dict_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let made = common::run_python("library/formats/written.py", &[path.to_str().unwrap()]);
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
        ("model.pt", "an object of the class lenet5.LeNet5"),
        (
            "wrong.pt",
            "missing key fc3.bias; unexpected key head.weight; fc1.bias has the shape [7], where [120]",
        ),
        (
            "wrong-wrapped.pt",
            "(after removing the prefix model. from all names): missing key fc3.bias",
        ),
        ("several.pt", "its key: model, ema. Choose with --key, such as --key model"),
        ("single.pt", "the file holds tensor [2, 3], none of which is a tensor of mlp"),
    ] {
        let refused = predicate::str::contains(file).and(predicate::str::contains(wanted));
        common::stitch(path).args(["evaluate", file]).assert().code(2).stderr(refused);
    }
    let named = predicate::str::contains("empty.pt is a TorchScript file without named weights");
    let export = ["export", "empty.pt", "--format", "npz", "-o", "empty.npz"];
    common::stitch(path).args(export).assert().code(2).stderr(named);
}

#[test]
fn weights_are_found_in_a_checkpoint_and_under_a_wrapper_s_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    common::run_python("library/formats/written.py", &[path.to_str().unwrap()]);
    let key = "using the weights with the key ";
    for (file, note) in [
        ("legacy.pt", ""),
        ("net.pt", &format!("{key}net")[..]),
        ("nested.pt", &format!("{key}model.state_dict")),
        ("lightning.ckpt", "all names begin with model., which is left out"),
        ("wrapped.pt", "all names begin with module._orig_mod., which is left out"),
        ("averaged.pt", "all names but n_averaged begin with module.; both are left out"),
        ("mixed.pt", "skipped epoch (int)"),
    ] {
        let out = format!("{file}.safetensors");
        let export = ["export", file, "--format", "safetensors", "-o", &out];
        let noted = predicate::str::contains(note);
        common::stitch(path).args(export).assert().success().stderr(noted);
        is_equal(path, "float32.safetensors", &out);
    }
    let export = ["export", "several.pt", "--format", "safetensors", "-o", "ema", "--key", "ema"];
    common::stitch(path).args(export).assert().success();
    is_equal(path, "ema.safetensors", "ema");
    let evaluate = ["evaluate", "several.pt", "--key", "eam"];
    let refused = predicate::str::contains(
        "--key: several.pt: it holds no dict of tensors under the key eam",
    );
    common::stitch(path).args(evaluate).assert().code(2).stderr(refused);
    let predict = ["predict", "--key", "ema", "picture.png"];
    let refused = predicate::str::contains("--key: requires a weights FILE");
    common::stitch(path).args(predict).assert().code(2).stderr(refused);
}

fn is_equal(folder: &Path, expected: &str, actual: &str) {
    let equal = predicate::str::contains("PARITY: EQUAL (bit for bit)");
    common::stitch(folder).args(["parity", expected, actual]).assert().success().stdout(equal);
}

#[test]
fn what_tchs_var_store_saves_is_read_under_the_notebooks_names() {
    use tch::nn::{self, Module};
    let folder = tempfile::tempdir().unwrap();
    let _libtorch = common::libtorch(1);
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
