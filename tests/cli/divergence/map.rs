//! `--map` and `--suggest-map`: renamed and transposed copies of weights are equal to the original.

use std::fs;

use super::*;

/// A float32 tensor whose elements are different in each tensor.
fn tensor_of(name: &str, shape: &[usize]) -> NamedTensor {
    let seed = name.bytes().fold(0, |sum: u32, byte| sum.wrapping_mul(31) + u32::from(byte));
    let count: usize = shape.iter().product();
    let values = (0..count as u32).map(|i| (seed % 1000 + i) as f32 * 0.25);
    let data = values.flat_map(f32::to_le_bytes).collect();
    NamedTensor { name: name.into(), dtype: Dtype::F32, shape: shape.into(), data }
}

/// The tensor under another name, with its dimensions in another order.
fn copied(tensor: &NamedTensor, name: &str, axes: &[usize]) -> NamedTensor {
    let shape: Vec<usize> = axes.iter().map(|&axis| tensor.shape[axis]).collect();
    let stride = |axis: usize| tensor.shape[axis + 1..].iter().product::<usize>();
    let mut data = Vec::new();
    for i in 0..shape.iter().product() {
        let (mut rest, mut from) = (i, 0);
        for (&size, &axis) in shape.iter().zip(axes).rev() {
            from += rest % size * stride(axis);
            rest /= size;
        }
        data.extend_from_slice(&tensor.data[4 * from..4 * from + 4]);
    }
    NamedTensor { name: name.into(), dtype: Dtype::F32, shape, data }
}

/// The tensor under another name, in its layout.
fn renamed(tensor: &NamedTensor, name: &str) -> NamedTensor {
    let axes: Vec<usize> = (0..tensor.shape.len()).collect();
    copied(tensor, name, &axes)
}

fn write(path: &Path, tensors: &[NamedTensor]) {
    fs::write(path, safetensors::write(tensors, &Metadata::new()).unwrap()).unwrap();
}

fn page() -> String {
    fs::read_to_string(common::root().join("docs/parity-map.md")).unwrap()
}

/// The code blocks of the documentation in a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}\n");
    let blocks = page.split(&start).skip(1);
    blocks.map(|block| block.split_once("```").unwrap().0.to_owned()).collect()
}

/// A network as PyTorch and as JAX save it.
fn network() -> [Vec<NamedTensor>; 2] {
    let [conv, conv_bias, fc, fc_bias, square] = [
        tensor_of("conv0.weight", &[4, 3, 5, 2]),
        tensor_of("conv0.bias", &[4]),
        tensor_of("fc0.weight", &[6, 8]),
        tensor_of("fc0.bias", &[6]),
        tensor_of("fc1.weight", &[6, 6]),
    ];
    let jax = vec![
        copied(&conv_bias, "params/Conv_0/bias", &[0]),
        copied(&conv, "params/Conv_0/kernel", &[2, 3, 1, 0]),
        copied(&fc_bias, "params/Dense_0/bias", &[0]),
        copied(&fc, "params/Dense_0/kernel", &[1, 0]),
        copied(&square, "params/Dense_1/kernel", &[1, 0]),
    ];
    [vec![conv, conv_bias, fc, fc_bias, square], jax]
}

#[test]
fn the_commands_of_the_documentation_make_a_renamed_and_transposed_copy_equal() {
    let folder = tempfile::tempdir().unwrap();
    let [torch, jax] = network();
    write(&folder.path().join("torch.safetensors"), &torch);
    write(&folder.path().join("jax.safetensors"), &jax);
    let commands = blocks(&page(), "sh").concat();
    let mut said = Vec::new();
    for line in commands.lines() {
        let (command, file) = line.split_once(" > ").unwrap_or((line, ""));
        let words = command.strip_prefix("stitch ").unwrap().split(' ');
        let shown = common::stitch(folder.path()).args(words).assert().code(0);
        said.clone_from(&shown.get_output().stdout);
        if !file.is_empty() {
            fs::write(folder.path().join(file), &said).unwrap();
        }
    }
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("PARITY: EQUAL (bit for bit)\n"), "{said}");
    assert!(said.contains("map.toml changes 5 of 5 tensors"), "{said}");
}

#[test]
fn the_rules_of_the_documentation_do_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let [mut reference, mut candidate] = network();
    let qkv = tensor_of("qkv", &[6, 2]);
    let third = |i: usize, name: &str| NamedTensor {
        name: name.into(),
        dtype: Dtype::F32,
        shape: vec![2, 2],
        data: qkv.data[16 * i..16 * (i + 1)].to_vec(),
    };
    reference.extend(
        ["q", "k", "v"]
            .iter()
            .enumerate()
            .map(|(i, part)| third(i, &format!("block7.{part}.weight"))),
    );
    candidate.push(renamed(&qkv, "block7.attn.qkv.weight"));
    candidate.extend(
        ["q", "k", "v"].iter().enumerate().map(|(i, part)| third(i, &format!("self_attn.{part}"))),
    );
    reference.push(renamed(&qkv, "in_proj_weight"));
    let flat = tensor_of("embedding", &[12]);
    reference.push(NamedTensor { shape: vec![2, 6], ..renamed(&flat, "embedding") });
    let values = (0..12).map(|i| f64::from(get_f32(&flat, i)));
    let data = values.flat_map(f64::to_le_bytes).collect();
    candidate.push(NamedTensor { dtype: Dtype::F64, data, ..renamed(&flat, "embedding") });
    write(&path("reference"), &reference);
    write(&path("candidate"), &candidate);
    fs::write(path("map.toml"), blocks(&page(), "toml").concat()).unwrap();
    let sides = [path("reference"), path("candidate")];
    let with_map = || {
        let mut command = parity(&sides.each_ref().map(PathBuf::as_path));
        command.arg("--map").arg(path("map.toml"));
        command
    };
    with_map()
        .assert()
        .code(0)
        .stdout(predicate::str::contains("the float64 elements of embedding: rule 7 of "))
        .stdout(predicate::str::contains("converts them to float32"))
        .stdout(predicate::str::starts_with("PARITY: EQUAL (bit for bit)\n"));
    // One unit in the last place is found through every rule, under the reference's name.
    let before = fs::read(path("candidate")).unwrap();
    for (name, first) in [
        ("params/Conv_0/kernel", "conv0.weight[0, 1, 0, 0]"),
        ("params/Dense_0/kernel", "fc0.weight[4, 0]"),
        ("block7.attn.qkv.weight", "block7.k.weight[0, 0]"),
        ("self_attn.k", "in_proj_weight[2, 0]"),
    ] {
        fs::write(path("candidate"), &before).unwrap();
        let index = if name == "self_attn.k" { 0 } else { 4 };
        change_tensors(&path("candidate"), |tensors| {
            let tensor = tensor(tensors, name);
            set_f32(tensor, index, f32::from_bits(get_f32(tensor, index).to_bits() + 1));
        });
        let said = format!("first divergence: final value of {first}: expected ");
        with_map().assert().code(1).stdout(predicate::str::contains(said));
    }
}

#[test]
fn one_rule_covers_all_stages_of_a_trace() {
    let run = LENET5.copy();
    let path = run.path().join("trace/trace.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"fc1.weight\"", "\"linear1.w\"")).unwrap();
    let sides = [LENET5.notebook().join("trace"), run.path().join("trace")];
    let map = run.path().join("map.toml");
    let refused = |rule: &str, said: &str| {
        fs::write(&map, format!("rule = [{{ {rule} }}]")).unwrap();
        let said = format!("{}: rule 1 (match = {said}", map.display());
        let mut command = parity(&sides.each_ref().map(PathBuf::as_path));
        let refused = command.arg("--map").arg(&map).assert().code(2);
        refused.stderr(predicate::str::contains(said));
    };
    refused("match = 'linear', name = 'x'", "\"linear\"): no tensor of the candidate matches");
    refused("match = 'linear*.w', nmae = 'x'", "\"linear*.w\"): unknown field `nmae`");
    fs::write(&map, "rule = [{ match = 'linear*.w', name = 'fc*.weight' }]").unwrap();
    let mut command = parity(&sides.each_ref().map(PathBuf::as_path));
    let equal = command.arg("--map").arg(&map).assert().code(0);
    equal.stdout(predicate::str::starts_with("PARITY: EQUAL (bit for bit)\n"));
    let mut command = parity(&sides.each_ref().map(PathBuf::as_path));
    let proposed = command.args(["--suggest-map", "--json"]).assert().code(0);
    let json: serde_json::Value = serde_json::from_slice(&proposed.get_output().stdout).unwrap();
    let rule = "[[rule]] # equal contents\nmatch = \"linear1.w\"\nname = \"fc1.weight\"\n";
    assert_eq!(json["map"].as_str().unwrap().trim_end(), rule.trim_end());
    let mut command = parity(&sides.each_ref().map(PathBuf::as_path));
    let both = command.args(["--suggest-map", "--strict-stages"]).assert().code(2);
    both.stderr(predicate::str::contains("--strict-stages"));
}
