//! Maps: what they rename and lay out, what stays unknown, and what is an error.

use std::path::Path;

use stitch_parity::{
    Dtype, Map, Options, Outcome, Place, Report, RuleError, Side, compare, stage, suggest,
};
use stitch_trace::Writer;

/// Elements 0, 1, 2, … of a shape, times a factor.
fn counted(shape: &[usize]) -> Vec<f32> {
    (0..shape.iter().product()).map(|i: usize| i as f32).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// A side with the same tensors in several stages.
fn side(tensors: &[(&str, &[usize], Vec<f32>)]) -> Side {
    let mut side = Side::new(Path::new("side"));
    for (stage, place) in [(stage::INIT, Place::RUN), (stage::GRADIENT, Place::step(1))] {
        for (name, shape, values) in tensors {
            side.push(stage, place, name, Dtype::F32, shape, bytes(values)).unwrap();
        }
    }
    side
}

fn map(text: &str) -> Map {
    Map::parse(text, Path::new("map.toml")).unwrap()
}

fn mapped(text: &str, reference: &mut Side, candidate: &mut Side) -> Report {
    map(text).apply(candidate).unwrap();
    compare(reference, candidate, &Options::default()).unwrap()
}

/// The tensor with its two dimensions swapped.
fn transposed(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect()
}

#[test]
fn one_rule_renames_and_transposes_a_weight_in_every_stage() {
    let weight = counted(&[2, 3]);
    let mut reference =
        side(&[("fc1.weight", &[2, 3], weight.clone()), ("fc1.bias", &[2], vec![1.0, 2.0])]);
    let mut candidate = side(&[
        ("params/Dense_1/bias", &[2], vec![1.0, 2.0]),
        ("params/Dense_1/kernel", &[3, 2], transposed(&weight, [2, 3])),
    ]);
    let text = r#"
        [[rule]]
        match = "params/Dense_*/kernel"
        name = "fc*.weight"
        transpose = true
        [[rule]]
        match = "params/Dense_*/bias"
        name = "fc*.bias""#;
    let report = mapped(text, &mut reference, &mut candidate);
    assert_eq!(
        (report.verdict().as_str(), report.tensors.len()),
        ("PARITY: EQUAL (bit for bit)", 4)
    );
    assert_eq!(report.notes, ["side: map.toml changes 4 of 4 tensors"]);
}

#[test]
fn layouts_split_merge_and_reshape() {
    let conv = counted(&[2, 3, 1, 1]);
    let qkv = counted(&[6, 2]);
    let mut reference = side(&[
        ("conv.weight", &[2, 3, 1, 1], conv.clone()),
        ("0.q", &[2, 2], qkv[..4].to_vec()),
        ("0.k", &[2, 2], qkv[4..8].to_vec()),
        ("0.v", &[2, 2], qkv[8..].to_vec()),
        ("0.in_proj", &[6, 2], qkv.clone()),
        ("flat", &[2, 3], conv.clone()),
    ]);
    let mut candidate = side(&[
        ("conv.kernel", &[1, 1, 3, 2], transposed(&conv, [2, 3])),
        ("layer0.qkv", &[6, 2], qkv.clone()),
        ("layer0.query", &[2, 2], qkv[..4].to_vec()),
        ("layer0.key", &[2, 2], qkv[4..8].to_vec()),
        ("layer0.value", &[2, 2], qkv[8..].to_vec()),
        ("flat", &[6], conv),
    ]);
    let text = r#"
        rule = [
            { match = "*.kernel", name = "*.weight", permute = [3, 2, 0, 1] },
            { match = "layer*.qkv", split = { names = ["*.q", "*.k", "*.v"] } },
            { merge = ["layer*.query", "layer*.key", "layer*.value"], name = "*.in_proj" },
            { match = "flat", reshape = [2, 3] },
        ]"#;
    let report = mapped(text, &mut reference, &mut candidate);
    assert!(report.is_equal(), "{:?}", report.tensors);
    assert_eq!(report.tensors.len(), 12);
}

#[test]
fn a_rule_of_a_stage_applies_to_it_alone() {
    let mut reference = side(&[("w", &[1], vec![1.0])]);
    let mut candidate = side(&[("v", &[1], vec![1.0])]);
    let text = "rule = [{ match = 'v', stage = ['gradient'], name = 'w' }]";
    let report = mapped(text, &mut reference, &mut candidate);
    assert_eq!(report.verdict(), "PARITY: DIFFERENT (2 of 3)");
}

#[test]
fn a_conversion_is_applied_and_listed_as_not_compared() {
    let mut reference = side(&[("w", &[2], vec![1.0, 0.1])]);
    let mut candidate = Side::new(Path::new("side"));
    for (stage, place) in [(stage::INIT, Place::RUN), (stage::GRADIENT, Place::step(1))] {
        let values: Vec<u8> = [1.0, 0.1f64].iter().flat_map(|x| x.to_le_bytes()).collect();
        candidate.push(stage, place, "w", Dtype::F64, &[2], values).unwrap();
    }
    let text = "rule = [{ match = 'w', dtype = 'float32' }]";
    let report = mapped(text, &mut reference, &mut candidate);
    assert!(report.is_equal(), "{:?}", report.tensors);
    let said = "side: the float64 elements of w: rule 1 of map.toml converts them to float32";
    assert_eq!(report.not_compared[0], said);
}

#[test]
fn without_elements_another_layout_is_unknown_and_a_reshape_compares_the_hash() {
    let folder = tempfile::tempdir().unwrap();
    let trace = |name: &str| {
        let path = folder.path().join(name);
        let mut writer = Writer::create(&path, "net").unwrap();
        let elements = bytes(&counted(&[2, 2]));
        writer.record(stage::INIT, "w", Place::RUN, Dtype::F32, &[2, 2], &elements).unwrap();
        writer.finish().unwrap();
        path
    };
    let (with, without) = (trace("with"), trace("without"));
    let records = without.join("trace.jsonl");
    let text = std::fs::read_to_string(&records).unwrap();
    let dropped = text.replace(", \"offset\": 0", "").replace(",\"offset\":0", "");
    assert_ne!(text, dropped);
    std::fs::write(&records, dropped).unwrap();
    std::fs::write(without.join("trace.bin"), b"").unwrap();
    let open = |path: &Path| {
        let mut side = Side::new(path);
        side.add_trace(path).unwrap();
        side
    };
    let outcome = |rule: &str, reference: &Path| {
        let (mut reference, mut candidate) = (open(reference), open(&without));
        let report = mapped(&format!("rule = [{rule}]"), &mut reference, &mut candidate);
        assert_eq!(report.is_equal(), report.tensors[0].outcome == Outcome::Equal);
        report.tensors[0].outcome.clone()
    };
    for reference in [&with, &without] {
        assert_eq!(outcome("{ match = 'w', transpose = true }", reference), Outcome::Unknown);
        assert_eq!(outcome("{ match = 'w', reshape = [2, 2] }", reference), Outcome::Equal);
    }
}

#[test]
fn a_damaged_trace_is_found_through_a_map() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), "net").unwrap();
    let elements = bytes(&counted(&[2, 2]));
    writer.record(stage::INIT, "w", Place::RUN, Dtype::F32, &[2, 2], &elements).unwrap();
    writer.finish().unwrap();
    let path = folder.path().join("trace.bin");
    let mut damaged = std::fs::read(&path).unwrap();
    damaged[0] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let [mut reference, mut candidate] = [(); 2].map(|()| {
        let mut side = Side::new(folder.path());
        side.add_trace(folder.path()).unwrap();
        side
    });
    reference.items[0].key.name = "other".into();
    map("rule = [{ match = 'w', name = 'other', transpose = true }]")
        .apply(&mut candidate)
        .unwrap();
    let error = compare(&mut reference, &mut candidate, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("contradict their record"), "{error}");
}

#[test]
fn invalid_maps_name_the_file_and_the_rule() {
    let good = "{ match = 'a', name = 'b' }";
    for (rule, said) in [
        ("{ match = 'a', nam = 'b' }", "unknown field `nam`"),
        ("{ match = 'a', permute = [0, -1] }", "invalid value: integer `-1`"),
        ("{ match = 'a', stage = 3 }", "stage is neither a name nor a list of names"),
        (
            "{ match = 'a', permute = [0, 2] }",
            "permute = [0, 2] does not have each dimension from 0 once",
        ),
        ("{ match = 'a', permute = [0, 0, 1] }", "does not have each dimension"),
        ("{ match = 'a**', name = 'b' }", "\"a**\" is no valid pattern: two * follow each other"),
        ("{ match = '*.w', name = '*.*' }", "the new name has 2 *, the pattern only 1"),
        ("{ match = 'a', dtype = 'double' }", "dtype = \"double\" is unknown"),
        ("{ match = 'a' }", "it changes nothing"),
        ("{ name = 'a' }", "either match or merge is expected"),
        ("{ merge = ['a', 'b'] }", "merge needs at least two names, and name"),
        ("{ merge = ['a', 'b*'], name = 'c' }", "different numbers of *"),
        ("{ match = 'a', dim = 1, name = 'c' }", "dim is given without merge"),
        (
            "{ match = 'a', name = 'c', split = { names = ['d', 'e'] } }",
            "name and split are both given",
        ),
        ("{ match = 'a', split = { names = ['d'] } }", "split needs at least two names"),
        ("{ match = 'a', transpose = true, permute = [1, 0] }", "keep one"),
    ] {
        let text = format!("rule = [{good}, {rule}]");
        let error = Map::parse(&text, Path::new("map.toml")).unwrap_err().to_string();
        assert!(error.starts_with("map.toml: rule 2") && error.contains(said), "{rule}: {error}");
    }
    for (text, said) in [("rules = []", "unknown field `rules`"), ("rule = [", "TOML parse error")]
    {
        let error = Map::parse(text, Path::new("map.toml")).unwrap_err().to_string();
        assert!(error.starts_with("map.toml: ") && error.contains(said), "{error}");
    }
    let error = Map::read(Path::new("missing.toml")).unwrap_err().to_string();
    assert!(error.starts_with("missing.toml cannot be read: "), "{error}");
}

#[test]
fn rules_that_do_not_fit_the_tensors_name_them() {
    for (rule, said) in [
        (
            "{ match = 'fc1.wieght', name = 'x' }",
            "no tensor of the candidate matches; closest matches: fc1.weight, ",
        ),
        (
            "{ match = 'v', stage = 'exp_avg', name = 'x' }",
            "matches: it has none, or none of this stage",
        ),
        ("{ match = 'v', name = 'b' }", "two tensors are called b after it: v and b"),
        (
            "{ match = 'v', transpose = true }",
            "v has the shape [3]: transpose needs two dimensions",
        ),
        (
            "{ match = 'fc1.weight', permute = [2, 1, 0] }",
            "has the shape [2, 3], permute = [2, 1, 0] is for 3 dimensions",
        ),
        (
            "{ match = 'v', reshape = [2, 2] }",
            "v has the shape [3], which cannot be reshaped to [2, 2]",
        ),
        (
            "{ match = 'v', split = { names = ['p', 'q'] } }",
            "dimension 0 of which cannot be split into 2 equal parts",
        ),
        ("{ match = 'v', split = { dim = 1, names = ['p', 'q'] } }", "dimension 1 of which"),
        ("{ merge = ['v', 'x'], name = 'y' }", "there is no x to merge in the stage "),
        ("{ merge = ['v', 'fc1.weight'], name = 'y' }", "cannot be merged along dimension 0"),
        ("{ match = 'v', dtype = 'int64' }", "v is float32, which is not converted to int64"),
    ] {
        let mut candidate = side(&[
            ("v", &[3], counted(&[3])),
            ("b", &[3], counted(&[3])),
            ("fc1.weight", &[2, 3], counted(&[2, 3])),
        ]);
        let error = map(&format!("rule = [{rule}]")).apply(&mut candidate).unwrap_err().to_string();
        assert!(
            error.starts_with("map.toml: rule 1 (m") && error.contains(said),
            "{rule}: {error}"
        );
    }
    assert_eq!(
        RuleError::Dtype("double".into()).to_string(),
        "dtype = \"double\" is unknown: PyTorch's names are expected, such as float32"
    );
}

/// Values that no other tensor and no other layout of the same tensor has.
fn distinct(seed: usize, shape: &[usize]) -> Vec<f32> {
    counted(shape).iter().map(|x| x * 0.5 + 1000.0 * seed as f32).collect()
}

#[test]
fn a_suggested_map_makes_a_renamed_and_transposed_copy_equal() {
    let mut reference = side(&[
        ("conv.weight", &[2, 3, 1, 1], distinct(1, &[2, 3])),
        ("conv.bias", &[2], vec![0.0; 2]),
        ("fc1.weight", &[3, 3], distinct(2, &[3, 3])),
        ("fc1.bias", &[2], vec![0.0; 2]),
        ("fc2.weight", &[3, 3], distinct(3, &[3, 3])),
        ("same", &[2, 2], distinct(4, &[2, 2])),
        ("flat", &[2, 3], distinct(5, &[2, 3])),
        ("kept", &[1], vec![1.0]),
    ]);
    let sources = [
        // Alphabetic order, as JAX has it.
        ("Conv_*0/bias", &[2][..], vec![0.0; 2]),
        ("Conv_*0/kernel", &[1, 1, 3, 2], transposed(&distinct(1, &[2, 3]), [2, 3])),
        ("Dense_\"0\"/bias", &[2], vec![0.0; 2]),
        ("Dense_0/kernel", &[3, 3], transposed(&distinct(3, &[3, 3]), [3, 3])),
        ("Dense_1/kernel", &[3, 3], transposed(&distinct(2, &[3, 3]), [3, 3])),
        ("flat", &[3, 2], distinct(5, &[2, 3])),
        ("kept", &[1], vec![1.0]),
        // A square matrix under its own name: only the contents tell that it is transposed.
        ("same", &[2, 2], transposed(&distinct(4, &[2, 2]), [2, 2])),
    ];
    let mut candidate = side(&sources);
    let text = suggest(&mut reference, &mut candidate).unwrap().to_string();
    let report = mapped(&text, &mut reference, &mut candidate);
    assert_eq!(report.verdict(), "PARITY: EQUAL (bit for bit)", "{text}");
    assert_eq!(report.tensors.len(), 16);
    let rules = text.matches("[[rule]]").count();
    assert_eq!((rules, text.matches("# equal contents\n").count()), (7, 7), "{text}");
    let same = "match = \"same\"\ntranspose = true\n";
    assert!(text.contains(same) && text.contains("reshape = [2, 3]"), "{text}");
}

#[test]
fn fused_tensors_are_suggested_to_be_split_and_merged() {
    let parts = [1, 2, 3].map(|seed| distinct(seed, &[2, 4]));
    let whole = |order: [usize; 3]| order.map(|i| parts[i].clone()).concat();
    let part = |name, i: usize| (name, &[2, 4][..], parts[i].clone());
    let (q, k, v) = (part("attn.q.weight", 0), part("attn.k.weight", 1), part("attn.v.weight", 2));
    let separate = [k, q, v];
    let fused = [("attn.in_proj_weight", &[6, 4][..], whole([0, 1, 2]))];
    for (one, other, rule) in [
        (
            &fused[..],
            &separate[..],
            "merge = [\"attn.q.weight\", \"attn.k.weight\", \"attn.v.weight\"]",
        ),
        (
            &separate[..],
            &fused[..],
            "split = { names = [\"attn.q.weight\", \"attn.k.weight\", \"attn.v.weight\"] }",
        ),
    ] {
        let (mut reference, mut candidate) = (side(one), side(other));
        let text = suggest(&mut reference, &mut candidate).unwrap().to_string();
        assert!(text.contains(rule) && text.contains("# equal contents\n"), "{text}");
        let report = mapped(&text, &mut reference, &mut candidate);
        assert_eq!(report.verdict(), "PARITY: EQUAL (bit for bit)", "{text}");
    }
    // A part of one fusion is not the whole of another.
    let [p, q] = [distinct(7, &[1, 4]), distinct(8, &[1, 4])];
    let x = [p.clone(), q.clone()].concat();
    let mut reference = side(&[
        ("a", &[4, 4], [x.clone(), parts[1].clone()].concat()),
        ("c.p.v", &[1, 4], p),
        ("c.q.v", &[1, 4], q),
    ]);
    let mut candidate = side(&[("c.x.v", &[2, 4], x), ("c.y.v", &[2, 4], parts[1].clone())]);
    let text = suggest(&mut reference, &mut candidate).unwrap().to_string();
    assert_eq!(text.matches("[[rule]]").count(), 1, "{text}");
    map(&text).apply(&mut candidate).unwrap();
    // Without equal contents in the order of the candidate, to be checked; parts that do not fit are left.
    let other = [("attn.in_proj_weight", &[6, 4][..], counted(&[6, 4]))];
    let text = suggest(&mut side(&other), &mut side(&separate)).unwrap().to_string();
    assert!(
        text.contains("alone: check it\nmerge = [\"attn.k.weight\", \"attn.q.weight\""),
        "{text}"
    );
    let other = [("attn.in_proj_weight", &[7, 4][..], counted(&[7, 4]))];
    let text = suggest(&mut side(&other), &mut side(&separate)).unwrap().to_string();
    assert!(!text.contains("merge = ") && text.contains("# only in the reference"), "{text}");
}

#[test]
fn without_equal_contents_shapes_and_names_are_suggested_to_be_checked() {
    let mut reference = side(&[
        ("layer1.weight", &[4, 2], distinct(1, &[4, 2])),
        ("layer2.weight", &[4, 2], distinct(2, &[4, 2])),
        ("extra", &[7], distinct(3, &[7])),
    ]);
    let mut candidate = side(&[
        ("layer2/kernel", &[2, 4], distinct(4, &[4, 2])),
        ("layer1/kernel", &[2, 4], distinct(5, &[4, 2])),
        ("other", &[9], distinct(6, &[9])),
    ]);
    let text = suggest(&mut reference, &mut candidate).unwrap().to_string();
    assert_eq!(
        text,
        r#"[[rule]] # by shape and name alone: check it
match = "layer2/kernel"
name = "layer2.weight"
transpose = true

[[rule]] # by shape and name alone: check it
match = "layer1/kernel"
name = "layer1.weight"
transpose = true

# only in the reference: "extra"
# only in the candidate: "other"
"#
    );
    map(&text).apply(&mut candidate).unwrap();
    let text = suggest(&mut reference, &mut reference_copy()).unwrap().to_string();
    assert!(text.starts_with("# No rules: "), "{text}");
}

fn reference_copy() -> Side {
    side(&[("extra", &[7], distinct(3, &[7]))])
}

#[test]
fn a_square_matrix_that_differs_by_its_hash_is_suggested_to_be_transposed() {
    let folder = tempfile::tempdir().unwrap();
    let trace = |name: &str, tensor: &str, values: &[f32]| {
        let path = folder.path().join(name);
        let mut writer = Writer::create(&path, "net").unwrap();
        let step = Place::step(1);
        writer.record("count", tensor, step, Dtype::F32, &[], &bytes(&[1.0])).unwrap();
        writer.record(stage::PARAMETER, tensor, step, Dtype::F32, &[3, 3], &bytes(values)).unwrap();
        writer.finish().unwrap();
        let mut side = Side::new(&path);
        side.add_trace(&path).unwrap();
        side
    };
    let values = distinct(1, &[3, 3]);
    let mut reference = trace("reference", "weight", &values);
    let candidate = |name: &str| trace(name, "kernel", &transposed(&values, [3, 3]));
    let text = suggest(&mut reference, &mut candidate("kept")).unwrap().to_string();
    assert!(text.contains("# equal contents\n") && text.contains("transpose"), "{text}");
    let mut hashed = candidate("hashed");
    let records = folder.path().join("hashed/trace.jsonl");
    let lines = std::fs::read_to_string(&records).unwrap();
    let line =
        lines.lines().find(|line| line.contains("[3,3]") || line.contains("[3, 3]")).unwrap();
    let (before, _) = line.rsplit_once(",").unwrap();
    assert!(line.contains("offset"), "{line}");
    std::fs::write(&records, lines.replace(line, &format!("{before}}}"))).unwrap();
    hashed.items.clear();
    hashed.add_trace(&folder.path().join("hashed")).unwrap();
    let text = suggest(&mut reference, &mut hashed).unwrap().to_string();
    let reason = "# by shape and name alone, and another layout has this shape: check it\n";
    assert!(text.contains(reason) && text.contains("transpose"), "{text}");
}
