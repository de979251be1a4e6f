//! The files of a run folder, opened by torch, safetensors and pandas.

use super::common;

#[test]
fn every_file_opens_in_python_and_the_files_agree() {
    let data = tempfile::tempdir().unwrap();
    common::small_dataset(data.path(), 300, 100);
    for model in ["mlp", "lenet5"] {
        let out = tempfile::tempdir().unwrap();
        let [data, out] = [&data, &out].map(|folder| folder.path().to_str().unwrap());
        common::stitch(std::path::Path::new(out))
            .args(["train", model, "--epochs", "2", "--data", data, "--out", out])
            .assert()
            .success();
        let said = common::run_python("library/parity/files/reference.py", &[out]);
        assert_eq!(said.trim(), "every file opened");
    }
}
