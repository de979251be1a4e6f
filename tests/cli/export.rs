//! `stitch export` of tensors of any network: formats, names, types, transposed matrices. The readers and the reference of
//! conversions are PyTorch, safetensors and NumPy (`exported.py`).

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::str::contains;
use serde_json::{Value, json};
use stitch::run_folder::{SAFETENSORS, STATE_DICT};
use stitch::sha256;
use stitch::tensor_files::{Dtype, TensorFile, read_weights};
use tempfile::TempDir;

use crate::{common, finished_run, put, refused, stderr_of, stdout_of, stitch, temporary_folder};

/// A folder with the files of `exported.py`.
fn written() -> TempDir {
    let folder = temporary_folder();
    python("write", folder.path());
    folder
}

fn python(command: &str, folder: &Path) -> String {
    common::run_python("cli/exported.py", &[command, folder.to_str().unwrap()])
}

fn export(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = stitch(folder);
    command.arg("export").args(arguments);
    command
}

#[test]
fn tensors_of_any_network_are_converted_to_every_format_of_tensors() {
    let folder = written();
    let files = ["unknown.pt", "unknown.safetensors"];
    for source in files {
        for extension in ["pt", "npz"] {
            let to = format!("{}.{extension}", if source == files[0] { "net" } else { "again" });
            export(folder.path(), &[source, "-o", &to]).assert().code(0);
        }
    }
    export(folder.path(), &[files[1], "-o", "net.safetensors"]).assert().code(0);
    export(folder.path(), &["one.pt", "-o", "one.npy"]).assert().code(0);
    python("formats", folder.path());
    // Every format is read again; the file of one tensor has lost its name.
    for from in ["net.pt", "net.safetensors", "net.npz"] {
        export(folder.path(), &[from, "-f", "safetensors", "-o", "back", "--force"])
            .assert()
            .code(0);
        let bytes =
            |file: &str| read_weights(&fs::read(folder.path().join(file)).unwrap()).unwrap();
        assert_eq!(bytes("back"), bytes("net.safetensors"), "{from}");
    }
    export(folder.path(), &["one.npy", "-o", "back.pt"]).assert().code(0);
    let [back] = &read_weights(&fs::read(folder.path().join("back.pt")).unwrap()).unwrap()[..]
    else {
        panic!("one tensor")
    };
    assert_eq!((&*back.name, &back.shape[..]), ("tensor", &[2, 3][..]));
}

#[test]
fn the_document_has_no_model_and_the_text_counts_the_tensors() {
    let folder = written();
    let assert = export(folder.path(), &["unknown.pt", "-o", "a.npz", "--json"]).assert().code(0);
    let found: Value = serde_json::from_str(stdout_of(&assert)).unwrap();
    let bytes = fs::read(folder.path().join("a.npz")).unwrap();
    let expected = json!({
        "file": "unknown.pt", "model": null, "format": "npz", "output": "a.npz",
        "bytes": bytes.len(), "sha256": sha256::of(&bytes),
    });
    assert_eq!(found, expected);
    let said = format!("7 tensors: {} bytes written to b.npz\n", bytes.len());
    export(folder.path(), &["unknown.pt", "-o", "b.npz"]).assert().code(0).stdout(said).stderr("");
}

#[test]
fn every_conversion_has_the_bits_of_pytorch() {
    let folder = written();
    let types = [
        "float16", "bfloat16", "float32", "float64", "bool", "uint8", "int8", "uint16", "int16",
        "uint32", "int32", "uint64", "int64",
    ];
    let rules = types.map(|dtype| format!("*.to.{dtype}={dtype}"));
    let mut command = export(folder.path(), &["values.safetensors", "-o", "converted.safetensors"]);
    rules.iter().for_each(|rule| {
        command.args(["--dtype", rule]);
    });
    command.assert().code(0);
    // 15 types, with two of 8-bit floats, to 13.
    assert_eq!(python("conversions", folder.path()).trim(), (15 * 13).to_string());
}

#[test]
fn names_types_and_dimensions_change_by_rules() {
    let folder = written();
    let rules = [
        "--dtype",
        "bfloat16",
        "--dtype",
        "body.0.weight=float64",
        "--dtype",
        "steps=int32",
        "--transpose",
        "*.weight",
        "--rename",
        "body.1.*=head",
        "--rename",
        "body.*=layers.*",
    ];
    export(folder.path(), &["unknown.pt", "-o", "changed.pt"]).args(rules).assert().code(0);
    python("changed", folder.path());
}

#[test]
fn rules_that_do_not_fit_the_tensors_are_refused() {
    let folder = written();
    for (rules, parts) in [
        (
            &["--rename", "bdy.0.weight=x"][..],
            &["--rename: bdy.0.weight=x: no tensor matches", "body.0.weight"][..],
        ),
        (
            &["--dtype", "head.*=float16"],
            &["--dtype: head.*=float16: no tensor matches; closest matches: "],
        ),
        (&["--transpose", "wieght"], &["--transpose: wieght: no tensor matches"]),
        (
            &["--rename", "*.weight=weight"],
            &[
                "--rename: *.weight=weight: two tensors are called weight",
                "stem.weight and body.0.weight",
            ],
        ),
        (&["--rename", "steps=mask"], &["two tensors are called mask after it: steps and mask"]),
        (&["--rename", "a=*"], &["--rename", "the new name has 1 *, the pattern only 0"]),
        (&["--rename", "a"], &["--rename", "GLOB=REPLACEMENT"]),
        (&["--rename", "a="], &["--rename", "a=: the new name is empty"]),
        (
            &["--dtype", "flaot16"],
            &["--dtype", "unknown dtype \"flaot16\"", "did you mean float16?"],
        ),
        (
            &["--dtype", "float8_e5m2"],
            &["--dtype", "stem.weight: float32 cannot be converted to float8_e5m2"],
        ),
    ] {
        let mut command = export(folder.path(), &["unknown.pt", "-o", "x.pt"]);
        let assert = command.args(rules).assert().code(2).stdout("");
        let error = stderr_of(&assert);
        assert!(parts.iter().all(|part| error.contains(part)), "{rules:?}: {error}");
        assert!(!folder.path().join("x.pt").exists());
    }
    let large = ["large.pt", "-o", "x.pt", "--dtype", "float16"];
    let parts =
        ["--dtype", "large: element 1 is 1.0000000150474662e30, which does not fit float16"];
    refused(&mut export(folder.path(), &large), 2, &parts);
    for format in ["torchscript", "onnx"] {
        let rules = ["--transpose", "*"];
        let mut command = export(folder.path(), &["unknown.pt", "-f", format, "-o", "x"]);
        refused(command.args(rules), 2, &["--transpose", format, "unchanged tensors", "npz"]);
    }
}

#[test]
fn numpy_has_neither_bfloat16_nor_8_bit_floats_and_npy_holds_one_tensor() {
    let folder = written();
    for format in ["npz", "npy"] {
        let one = ["small.pt", "-o", "x", "-f", format, "--dtype", "b=float32"];
        let mut command = export(folder.path(), &one);
        let parts = match format {
            "npz" => ["--format npz", "a is of the type bfloat16", "--dtype a=float32"],
            _ => ["npy", "exactly one tensor, and these are 2", "npz"],
        };
        refused(&mut command, 2, &parts);
    }
    let parts = ["b is of the type float8_e5m2", "--dtype b=float32"];
    let rules = ["small.pt", "-o", "x.npz", "--dtype", "a=float32"];
    refused(&mut export(folder.path(), &rules), 2, &parts);
    export(folder.path(), &["small.pt", "-o", "x.npz", "--dtype", "float32"]).assert().code(0);
    let tensors = read_weights(&fs::read(folder.path().join("x.npz")).unwrap()).unwrap();
    assert!(tensors.iter().all(|tensor| tensor.dtype == Dtype::F32));
}

#[test]
fn the_extension_gives_the_format() {
    let folder = written();
    for (output, parts) in [
        (
            "x.bin",
            &[
                "--output x.bin: no format has the extension .bin",
                "--format: state-dict, torchscript, ",
            ][..],
        ),
        ("x", &["--output x has no extension", "--format: state-dict, "]),
        ("-", &["--output -: stdout has no extension", "--format: "]),
    ] {
        refused(&mut export(folder.path(), &["unknown.pt", "-o", output]), 2, parts);
    }
    let contradiction = ["unknown.pt", "-f", "npz", "-o", "x.npy"];
    refused(&mut export(folder.path(), &contradiction), 2, &["extension .npy is for npy", "npz"]);
    export(folder.path(), &["unknown.pt", "-o", "x.PTH"]).assert().code(0);
    let assert = export(folder.path(), &["unknown.pt", "-o", "-", "-f", "npz"]).assert().code(0);
    assert_eq!(read_weights(&assert.get_output().stdout).unwrap().len(), 7);
    let error = export(folder.path(), &["unknown.pt", "-o", "x.onnx"]).assert().code(2);
    let error = stderr_of(&error);
    let said =
        "unknown.pt: --format onnx requires the weights of a known model (mlp, lenet5, deepcnn)";
    assert!(error.contains(said) && error.trim_end().lines().count() == 1, "{error}");
    let model = ["unknown.pt", "-o", "x.npz", "--model", "lenet5"];
    refused(&mut export(folder.path(), &model), 2, &["unknown.pt", "lenet5"]);
    refused(&mut export(folder.path(), &["unknown.pt", "-o", "x.PTH"]), 2, &["exists", "--force"]);
}

#[test]
fn a_known_model_keeps_its_names_order_and_metadata() {
    let folder = temporary_folder();
    put(finished_run("lenet5"), &folder.path().join("run"));
    let path = |name: &str| folder.path().join(name);
    let order = |file: &str| -> Vec<String> {
        let tensors = read_weights(&fs::read(path(file)).unwrap()).unwrap();
        tensors.into_iter().map(|tensor| tensor.name).collect()
    };
    // From a file that is sorted by size and name, under the names of a wrapper.
    let wrap = ["run/weights.safetensors", "--rename", "*=module.*", "-o", "wrapped.safetensors"];
    export(folder.path(), &wrap).assert().code(0);
    let unwrap = export(folder.path(), &["wrapped.safetensors", "-o", "a.pt"]).assert().code(0);
    unwrap.stderr(contains("all names begin with module., which is left out"));
    assert_eq!(order("a.pt"), order(&format!("run/{STATE_DICT}")));
    let metadata = |file: &str| {
        let file = fs::File::open(path(file)).unwrap();
        TensorFile::open(std::io::BufReader::new(file)).unwrap().metadata().clone()
    };
    let mut of_run = metadata(&format!("run/{SAFETENSORS}"));
    assert_eq!(metadata("wrapped.safetensors"), of_run);
    export(folder.path(), &["run/state_dict.pt", "-o", "b.safetensors", "--dtype", "float16"])
        .assert()
        .code(0);
    // The accuracy was measured with other elements.
    of_run.remove("test_accuracy").unwrap();
    assert_eq!(metadata("b.safetensors"), of_run);
    // The type of the definition, unless another one is asked for.
    let noted = export(folder.path(), &["b.safetensors", "-o", "c.pt"]).assert().code(0);
    noted.stderr(contains("float16 converted to float32, the type of lenet5; --dtype float16"));
    for (file, dtype) in [("b.safetensors", Dtype::F16), ("c.pt", Dtype::F32)] {
        let tensors = read_weights(&fs::read(path(file)).unwrap()).unwrap();
        assert!(tensors.iter().all(|tensor| tensor.dtype == dtype), "{file}");
    }
    let said = |arguments: &[&str]| {
        let assert = export(folder.path(), arguments).arg("--force").assert().code(0);
        stdout_of(&assert).to_owned()
    };
    // Other names, another shape or exchanged names: the tensors are not those of the model any more.
    for rule in [["--rename", "fc3.*=head.*"], ["--transpose", "fc1.weight"]] {
        let printed = said(&["run/state_dict.pt", "-o", "d.safetensors", rule[0], rule[1]]);
        assert!(printed.starts_with("10 tensors: "), "{printed}");
        let found = metadata("d.safetensors");
        assert!(!found.contains_key("model") && !found.contains_key("test_accuracy"), "{found:?}");
        assert_eq!(found["seed"], of_run["seed"]);
    }
    let unwrapped = ["wrapped.safetensors", "-o", "e.safetensors", "--rename", "module.*=*"];
    assert!(said(&unwrapped).starts_with("lenet5: "));
    assert_eq!(metadata("e.safetensors"), metadata("wrapped.safetensors"));
    let sklearn = ["run/state_dict.pt", "-o", "x.npz", "--sklearn", "--dtype", "float16"];
    refused(&mut export(folder.path(), &sklearn), 2, &["--sklearn", "--dtype"]);
}

#[test]
fn names_that_numpy_does_not_find_are_refused_and_names_are_escaped() {
    let folder = written();
    for (file, parts) in [
        (
            "nul.safetensors",
            [r"a\0b cannot be the name of a tensor in an .npz file", r"--rename $'a\x00b=NAME'"],
        ),
        ("pair.safetensors", ["numpy.load returns the tensor x for it", "--rename x.npy=NAME"]),
        (
            "hostile.safetensors",
            [r"a\u{1b}[2J\nb is of the type", r"--dtype $'a\x1b[2J\x0ab=float32'"],
        ),
    ] {
        let mut command = export(folder.path(), &[file, "-o", "x.npz"]);
        refused(&mut command, 2, &parts);
        let assert = command.arg("--json").assert().code(2);
        let document: Value = serde_json::from_str(stdout_of(&assert)).unwrap();
        assert!(!document["error"].as_str().unwrap().contains(char::is_control), "{document}");
    }
    let renamed = ["pair.safetensors", "-o", "x.npz", "--rename", "x.npy=y"];
    export(folder.path(), &renamed).assert().code(0);
    let metadata = ["unknown.pt", "-o", "x.safetensors", "--rename", "steps=__metadata__"];
    refused(&mut export(folder.path(), &metadata), 2, &["__metadata__", "--rename steps=NAME"]);
    let rule = format!("steps={}", "n".repeat(1025));
    let long = ["unknown.pt", "-o", "x.pt", "--rename", &rule];
    refused(&mut export(folder.path(), &long), 2, &["1025 bytes; at most 1024 are read"]);
    // The type that the command line asks for.
    let types = ["small.pt", "-o", "y.npz", "--dtype", "*=float32", "--dtype", "a=bfloat16"];
    let parts = ["a is of the type bfloat16", "--dtype a=float32 instead of a=bfloat16"];
    refused(&mut export(folder.path(), &types), 2, &parts);
    let assert = export(folder.path(), &["unknown.pt", "-o", "o\x1b[31m\n.npz"]).assert().code(0);
    let said = stdout_of(&assert);
    assert!(said.ends_with("written to o\\u{1b}[31m\\n.npz\n"), "{said:?}");
}

#[test]
fn bytes_of_bool_that_are_neither_0_nor_1_are_true() {
    let folder = written();
    for dtype in ["bool", "uint8", "float32"] {
        let (rule, to) = (format!("*={dtype}"), format!("flags.{dtype}.npy"));
        export(folder.path(), &["flags.npy", "--dtype", &rule, "-o", &to]).assert().code(0);
    }
    python("flags", folder.path());
}

#[cfg(unix)]
#[test]
fn a_pipe_beside_the_weights_is_not_opened() {
    let folder = written();
    let made = Command::new("mkfifo").arg(folder.path().join(SAFETENSORS)).unwrap();
    assert!(made.status.success());
    let mut command = export(folder.path(), &["unknown.pt", "-o", "x.npz"]);
    command.timeout(std::time::Duration::from_secs(60)).assert().code(0);
}

#[test]
fn notes_name_the_dict_that_is_used_and_what_is_not() {
    let folder = written();
    for (arguments, parts) in [
        (
            &["mixed.npz"][..],
            &[
                "note: mixed.npz: skipped text (an array of the type '<U1'), objects (an array of the type '|O')",
            ][..],
        ),
        (
            &["beside.pt"],
            &[
                "with the key a\n",
                "warning: beside.pt: skipped tensors that are not in the dict: a.b (a tensor)",
            ],
        ),
        (&["below.pt", "--key", "c"], &["with the key c.d\n", "skipped epoch (int)"]),
        (&["shared.pt"], &["with the key model\n", "skipped ema (the same dict as model)"]),
    ] {
        let mut command = export(folder.path(), arguments);
        let assert = command.args(["-o", "x.pt", "--force"]).assert().code(0);
        let error = stderr_of(&assert);
        assert!(parts.iter().all(|part| error.contains(part)), "{arguments:?}: {error}");
    }
    let quiet = export(folder.path(), &["below.pt", "--key", "c.d", "-o", "y.pt"]).assert().code(0);
    assert!(!stderr_of(&quiet).contains("using"), "{}", stderr_of(&quiet));
    for key in [&[][..], &["--key", "x.y"]] {
        let parts = ["same.pt", "2 dicts of tensors have the key x.y, since a key with a dot"];
        refused(export(folder.path(), &["same.pt", "-o", "z.pt"]).args(key), 2, &parts);
    }
}
