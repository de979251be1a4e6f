//! One thing changed in a trace, and real traces of both sides.

use std::fs;
use stitch::sha256;

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::*;

/// The lines of a run's trace: header, records, end marker.
fn lines(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("trace/trace.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Puts lines back, with an end marker that counts them.
fn write_lines(run: &Path, lines: &[Value]) {
    let mut lines = lines.to_vec();
    if let Some(last) = lines.iter().position(|line| line.get("end").is_some()) {
        let records = lines.len() - 2;
        let mut end = lines.remove(last);
        end["records"] = records.into();
        lines.push(end);
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(run.join("trace/trace.jsonl"), text).unwrap();
}

/// The record of a stage, step (or epoch) and name.
fn record<'a>(lines: &'a mut [Value], stage: &str, step: Option<u64>, name: &str) -> &'a mut Value {
    let is_it = |line: &&mut Value| {
        line["stage"] == stage
            && line["name"] == name
            && (step.is_none() || line["step"].as_u64().or(line["epoch"].as_u64()) == step)
    };
    lines.iter_mut().find(is_it).unwrap()
}

/// Changes the elements of a record in `trace.bin`, and not the record.
fn change_elements(run: &Path, record: &Value, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let path = run.join("trace/trace.bin");
    let mut all = fs::read(&path).unwrap();
    let size = if record["dtype"] == "int64" || record["dtype"] == "float64" { 8 } else { 4 };
    let count: u64 =
        record["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).product();
    let start = record["offset"].as_u64().unwrap() as usize;
    let elements = &mut all[start..start + count as usize * size];
    change(elements);
    let changed = elements.to_vec();
    fs::write(&path, all).unwrap();
    changed
}

/// A copy in whose trace a kept tensor is changed, with its SHA-256, as a port with that fault would
/// have left it.
fn with_changed(
    (stage, step, name): (&str, Option<u64>, &str),
    change: impl FnOnce(&mut [u8]),
) -> TempDir {
    let port = LENET5.copy();
    let mut lines = lines(port.path());
    let record = record(&mut lines, stage, step, name);
    let changed = change_elements(port.path(), record, change);
    record["sha256"] = sha256::of(&changed).into();
    write_lines(port.path(), &lines);
    port
}

/// Moves a float32 by one unit in the last place.
fn one_ulp(elements: &mut [u8], index: usize) {
    let place: &mut [u8; 4] = (&mut elements[4 * index..4 * index + 4]).try_into().unwrap();
    *place = (u32::from_le_bytes(*place) + 1).to_le_bytes();
}

/// Both runs with the records that `keep` wants, and no others.
fn reduced(keep: impl Fn(&Value) -> bool) -> [TempDir; 2] {
    [LENET5.copy(), LENET5.copy()].map(|run| {
        let mut kept = lines(run.path());
        kept.retain(|line| line.get("stage").is_none() || keep(line));
        write_lines(run.path(), &kept);
        run
    })
}

#[test]
fn real_traces_of_three_seeds_are_equal_to_the_last_record() {
    let folder = tempfile::tempdir().unwrap();
    for (model, verdict) in
        [("lenet5", "PARITY: EQUAL (bit for bit)\n"), ("mlp", "PARITY: EQUAL within tolerance\n")]
    {
        for seed in ["0", "1", "2"] {
            let [notebook, port] = ["notebook", "port"]
                .map(|side| folder.path().join(format!("{side}-{model}-{seed}")));
            let data = LENET5.data();
            let shared = ["--epochs", "1", "--seed", seed, "--threads", "1", "--trace"];
            let data = ["--data", data.to_str().unwrap(), "--out"];
            let flags = [&["--model", model], &shared[..], &data, &[notebook.to_str().unwrap()]];
            common::run_python("reference/notebook.py", &flags.concat());
            let flags = [&["train", model], &shared[..], &data, &[port.to_str().unwrap()]];
            common::stitch(folder.path()).args(flags.concat()).assert().success();
            assert_eq!(lines(&notebook).len(), lines(&port).len());
            parity(&[&notebook, &port])
                .assert()
                .code(0)
                .stdout(predicate::str::starts_with(verdict));
            // The folder of the trace alone is a side too.
            parity(&[&notebook.join("trace"), &port.join("trace")]).assert().code(0);
        }
    }
}

#[test]
fn the_eager_engine_records_the_layers_of_the_notebook() {
    let folder = tempfile::tempdir().unwrap();
    let [notebook, port] = ["notebook", "port"].map(|side| folder.path().join(side));
    let data = LENET5.data();
    let shared = "--epochs 1 --batch-size 64 --threads 1 --dropout 0.3 --batch-norm on --trace";
    let shared: Vec<&str> = shared.split(' ').collect();
    for model in ["lenet5", "deepcnn"] {
        let data = ["--data", data.to_str().unwrap(), "--out"];
        let of_notebook = [notebook.to_str().unwrap(), "--trace-layers"];
        let flags = [&["--model", model], &shared[..], &data, &of_notebook];
        common::run_python("reference/notebook.py", &flags.concat());
        let of_port = [port.to_str().unwrap(), "--engine", "eager", "--force"];
        let flags = [&["train", model], &shared[..], &data, &of_port];
        common::stitch(folder.path()).args(flags.concat()).assert().success();
        let layers = lines(&port).into_iter().filter(|line| line["stage"] == "forward");
        assert!(layers.filter(|line| line["class"] == "BatchNorm2d").count() > 2, "{model}");
        assert_equal(&notebook, &port);
    }
}

#[test]
fn tracing_changes_no_bit_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = LENET5.data();
    for model in ["mlp", "lenet5"] {
        let run = |out: &str, more: &[&str]| {
            let flags =
                ["train", model, "--epochs", "2", "--data", data.to_str().unwrap(), "--out"];
            common::stitch(folder.path()).args(flags).arg(out).args(more).assert().success();
            fs::read(folder.path().join(out).join("weights.safetensors")).unwrap()
        };
        let [plain, traced] = [format!("{model}-plain"), format!("{model}-traced")];
        assert!(run(&plain, &[]) == run(&traced, &["--trace"]), "{model}");
    }
}

#[test]
fn a_weight_one_ulp_off_after_a_step_is_found_there() {
    let port = with_changed(("parameter", Some(3), "conv2.weight"), |weight| one_ulp(weight, 554));
    let first = "step 3, conv2.weight[3, 4, 0, 4] after the optimizer step: expected ";
    assert_diverges(&LENET5.notebook(), port.path(), first);
}

#[test]
fn a_scalar_has_no_place() {
    let port = with_changed(("loss", Some(1), "loss"), |loss| one_ulp(loss, 0));
    let shown = assert_diverges(&LENET5.notebook(), port.path(), "step 1, loss: expected ");
    let said = String::from_utf8(shown.get_output().stdout.clone()).unwrap();
    assert!(!said.contains("at :") && said.contains("greatest distance 1 ULP\n"), "{said}");
}

#[test]
fn a_swapped_epoch_order_is_found_at_the_permutation() {
    let port = with_changed(("permutation", Some(1), "order"), |order| order.rotate_left(8));
    assert_diverges(&LENET5.notebook(), port.path(), "epoch 1, permutation[0]: expected ");
}

#[test]
fn a_changed_answer_is_shown_with_the_margins_of_both_sides() {
    let port = with_changed(("predictions", None, "y_pred"), |answers| {
        let answer = &mut answers[8 * 5];
        *answer = (*answer + 1) % 10;
    });
    assert_diverges(&LENET5.notebook(), port.path(), "predictions[5]: expected ")
        .stdout(predicate::str::contains("best logit ahead by "));
}

#[test]
fn a_large_tensor_that_differs_is_known_by_its_hash() {
    let port = LENET5.copy();
    let mut lines = lines(port.path());
    let images = record(&mut lines, "data", None, "train.images");
    assert!(images.get("offset").is_none());
    let mut blocks: Vec<String> = serde_json::from_value(images["blocks"].clone()).unwrap();
    blocks[2] = "0".repeat(64);
    let sums = blocks.iter().flat_map(|hash| HEXLOWER.decode(hash.as_bytes()).unwrap());
    images["sha256"] = sha256::of(sums.collect::<Vec<u8>>()).into();
    images["blocks"] = blocks.into();
    write_lines(port.path(), &lines);
    let first = "data of train.images: its SHA-256 differs (the elements were not kept on both sides); 1 of 4 blocks differ, \
                 the first has the elements [668, 0, 20, 16] to ";
    assert_diverges(&LENET5.notebook(), port.path(), first)
        .stdout(predicate::str::contains("likely cause: a different data set or normalization"));
}

#[test]
fn what_only_hashes_are_there_of_is_said_to_be_compared_by_them_alone() {
    parity(&[&LENET5.notebook(), LENET5.copy().path()])
        .assert()
        .code(0)
        .stdout(predicate::str::contains("not compared: the elements of data of train.images"));
}

#[test]
fn elements_that_their_hash_does_not_fit_are_refused_on_either_side() {
    for stage in ["init", "logits", "final"] {
        let port = LENET5.copy();
        let mut all = lines(port.path());
        let name = if stage == "logits" { "logits" } else { "fc1.bias" };
        let record = record(&mut all, stage, None, name).clone();
        change_elements(port.path(), &record, |elements| elements[0] ^= 1);
        for sides in [[&LENET5.notebook(), port.path()], [port.path(), &LENET5.notebook()]] {
            let refused = parity(&sides).assert().code(2);
            refused.stderr(predicate::str::contains("contradict their record"));
        }
        // Also where the other side has the hash alone.
        let other = LENET5.copy();
        let mut all = lines(other.path());
        self::record(&mut all, stage, None, name).as_object_mut().unwrap().remove("offset");
        write_lines(other.path(), &all);
        let refused = parity(&[other.path(), port.path()]).assert().code(2);
        refused.stderr(predicate::str::contains("contradict their record"));
    }
}

#[test]
fn a_changed_tensor_with_its_old_hash_is_not_equal_to_a_hash() {
    let (reference, port) = (LENET5.copy(), LENET5.copy());
    for run in [&reference, &port] {
        let mut all = lines(run.path());
        record(&mut all, "init", None, "fc1.bias")["sha256"] = "".into();
        write_lines(run.path(), &all);
    }
    let refused = parity(&[reference.path(), port.path()]).assert().code(2);
    refused
        .stderr(predicate::str::contains("has the sha256 \"\", where 64 lower-case hexadecimal"));
}

#[test]
fn nan_of_which_only_the_hash_is_there_equals_nothing_unless_it_is_asked_for() {
    let sides = [LENET5.copy(), LENET5.copy()];
    for run in &sides {
        let mut all = lines(run.path());
        record(&mut all, "data", None, "train.images")["nan"] = 3.into();
        write_lines(run.path(), &all);
    }
    let [reference, port] = sides.each_ref().map(|run| run.path());
    let first = "data of train.images: the bits are equal, and 3 elements are NaN";
    assert_diverges(reference, port, first);
    parity(&[reference, port, Path::new("--equal-nan")]).assert().code(0);
}

#[test]
fn a_trace_that_contradicts_itself_is_refused() {
    let port = LENET5.copy();
    let mut all = lines(port.path());
    all.insert(8, all[7].clone());
    write_lines(port.path(), &all);
    let refused = parity(&[&LENET5.notebook(), port.path()]).assert().code(2);
    refused.stderr(predicate::str::contains(" twice"));
}

#[test]
fn a_bare_trace_is_compared_with_the_trace_of_a_run_folder() {
    let (run, bare) = (LENET5.notebook(), LENET5.notebook().join("trace"));
    assert_equal(&run, &bare);
    assert_equal(&bare, &run);
    assert_equal(&bare, &run.join("predictions.csv"));
    // A folder that holds nothing but the folder of a trace.
    let folder = tempfile::tempdir().unwrap();
    copy_folder(&bare, &folder.path().join("trace"));
    assert_equal(&run, folder.path());
    assert_equal(folder.path(), &bare);
    assert_equal(&run.join("weights.safetensors"), &bare);
    let port = LENET5.copy();
    fs::remove_dir_all(port.path().join("trace")).unwrap();
    let refused = parity(&[&bare, port.path()]).assert().code(2);
    refused.stderr(predicate::str::contains("run it with --trace"));
}

#[test]
fn a_dropped_record_is_missing() {
    let port = LENET5.copy();
    let mut all = lines(port.path());
    let dropped = all.iter().position(|line| line["stage"] == "gradient").unwrap();
    all.remove(dropped);
    write_lines(port.path(), &all);
    let first = "step 1, gradient of conv1.weight: missing in the candidate";
    assert_diverges(&LENET5.notebook(), port.path(), first);
}

#[test]
fn stages_of_any_name_are_compared() {
    let renamed = |to: &str, changed: bool| {
        let port = match changed {
            true => with_changed(("exp_avg", Some(2), "fc2.bias"), |state| one_ulp(state, 7)),
            false => LENET5.copy(),
        };
        let mut all = lines(port.path());
        for line in all.iter_mut().filter(|line| line["stage"] == "exp_avg") {
            line["stage"] = to.into();
        }
        write_lines(port.path(), &all);
        port
    };
    let reference = renamed("momentum_buffer", false);
    assert_equal(reference.path(), renamed("momentum_buffer", false).path());
    let port = renamed("momentum_buffer", true);
    let first = "step 2, momentum_buffer of fc2.bias[7]: expected ";
    assert_diverges(reference.path(), port.path(), first);
    // Names that would reach the terminal are written out.
    let (reference, port) = (renamed("\x1b]0;title\x07", false), LENET5.copy());
    for (strict, code) in [(&["--strict-stages"][..], 1), (&[], 0)] {
        let shown = parity(&[reference.path(), port.path()]).args(strict).assert().code(code);
        let said = String::from_utf8(shown.get_output().stdout.clone()).unwrap();
        assert!(!said.contains('\x1b') && said.contains("\\u{1b}]0;title\\u{7}"), "{said}");
    }
}

#[test]
fn a_stage_that_one_trace_never_records_is_not_compared_unless_stages_are_strict() {
    let bare = |stage: &str| {
        let mut all = lines(&LENET5.notebook());
        all.retain(|line| line["stage"] != stage);
        let run = LENET5.copy();
        write_lines(run.path(), &all);
        run
    };
    let (whole, part) = (LENET5.notebook().join("trace"), bare("exp_avg"));
    let part = part.path().join("trace");
    for sides in [[&whole, &part], [&part, &whole]] {
        let sides = sides.map(PathBuf::as_path);
        parity(&sides)
            .assert()
            .code(0)
            .stdout(predicate::str::contains(" only: exp_avg ("))
            .stdout(predicate::str::starts_with(
                "PARITY: EQUAL (bit for bit), not compared: exp_avg\n",
            ));
        let strict = parity(&sides).arg("--strict-stages").assert().code(1);
        strict.stdout(predicate::str::contains("first divergence: step 1, first moment of "));
    }
}

#[test]
fn steps_between_records_are_named_where_the_cause_must_lie_in_them() {
    let port = with_changed(("logits", Some(10), "logits"), |logits| one_ulp(logits, 3));
    assert_diverges(&LENET5.notebook(), port.path(), "step 10, logits[0, 3]: expected ").stdout(
        predicate::str::contains(
            "likely cause: there is no record between step 3 and step 10: the cause lies in one of \
             the steps 4 to 10",
        ),
    );
    // What follows from records of the same step or from the data has its own cause.
    let port = with_changed(("loss", Some(10), "loss"), |loss| one_ulp(loss, 0));
    assert_diverges(&LENET5.notebook(), port.path(), "step 10, loss: expected ")
        .stdout(predicate::str::contains("or: the logits match but the loss differs"));
    let [reference, port] = reduced(|line| line["step"].is_null() || line["step"] == 2);
    parity(&[reference.path(), port.path()])
        .assert()
        .code(0)
        .stdout(predicate::str::contains("not compared: steps without a record: 1"));
}

#[test]
fn a_trace_that_was_cut_is_compared_up_to_there_and_is_not_equal() {
    let cut = |bytes: usize| {
        let run = LENET5.copy();
        let path = run.path().join("trace/trace.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - bytes]).unwrap();
        run
    };
    let end = lines(&LENET5.notebook()).last().unwrap().to_string().len();
    // In the end marker, right before it, and in the last record: everything that is there is equal.
    for bytes in [2, end + 3, end + 30] {
        let [reference, port] = [cut(bytes), cut(bytes)];
        parity(&[reference.path(), port.path()])
            .assert()
            .code(1)
            .stdout(predicate::str::contains("has no end marker"))
            .stdout(predicate::str::starts_with("PARITY: INCOMPLETE (a trace is truncated; "));
    }
    // The last record is missing on one side.
    parity(&[&LENET5.notebook(), cut(end + 30).path()])
        .assert()
        .code(1)
        .stdout(predicate::str::contains(
            "not compared: 1 tensor after the end of the truncated trace",
        ))
        .stdout(predicate::str::starts_with("PARITY: INCOMPLETE ("));
}

#[test]
fn what_is_no_trace_of_a_known_version_cannot_be_read() {
    let port = LENET5.copy();
    let path = port.path().join("trace/trace.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let newer = text.replacen("\"version\": 2", "\"version\": 3", 1);
    assert_ne!(newer, text);
    for (changed, said) in [
        (text.replacen("\"stage\"", "\"stages\"", 1), "is not a record of a trace"),
        (newer, "it is a trace of version 3"),
        (String::new(), "line 1 is not the header of a trace"),
    ] {
        fs::write(&path, changed).unwrap();
        parity(&[&LENET5.notebook(), port.path()])
            .assert()
            .code(2)
            .stderr(predicate::str::contains(said));
    }
}

#[test]
fn a_trace_of_version_1_is_read_and_what_it_lacks_is_named() {
    let port = LENET5.copy();
    let folder = port.path().join("trace");
    let all = lines(port.path());
    let elements = fs::read(folder.join("trace.bin")).unwrap();
    let (mut tensors, mut records) = (Vec::new(), vec![all[0].clone()]);
    records[0]["version"] = 1.into();
    for line in &all[1..all.len() - 1] {
        let mut record = line.clone();
        let fields = record.as_object_mut().unwrap();
        fields.remove("nan");
        if let Some(offset) = fields.remove("offset") {
            let dtype = Dtype::from_name(line["dtype"].as_str().unwrap()).unwrap();
            let shape: Vec<usize> = serde_json::from_value(line["shape"].clone()).unwrap();
            let start = offset.as_u64().unwrap() as usize;
            let data = elements[start..][..shape.iter().product::<usize>() * dtype.size()].to_vec();
            let place = ["epoch", "step"].map(|key| match line[key].as_u64() {
                Some(n) => format!("/{key}={n}"),
                None => String::new(),
            });
            let (stage, name) = (line["stage"].as_str().unwrap(), line["name"].as_str().unwrap());
            let name = format!("{stage}{}/{name}", place.concat());
            tensors.push(NamedTensor { name, dtype, shape, data });
        }
        records.push(record);
    }
    let write = |tensors: &[NamedTensor]| {
        let bytes = safetensors::write(tensors, &Metadata::new()).unwrap();
        fs::write(folder.join("trace.safetensors"), bytes).unwrap();
    };
    write(&tensors);
    fs::remove_file(folder.join("trace.bin")).unwrap();
    write_lines(port.path(), &records);
    assert_equal(&LENET5.notebook(), port.path());
    parity(&[port.path(), port.path()]).assert().code(0).stdout(predicate::str::contains(
        "not compared: whether an element is NaN, which was not recorded: data of train.images",
    ));
    // A tensor that no record speaks of.
    tensors[0].name = "init/other".into();
    write(&tensors);
    let refused = parity(&[&LENET5.notebook(), port.path()]).assert().code(2);
    refused.stderr(predicate::str::contains("init/other has no record in trace.jsonl"));
}

#[test]
fn a_trace_on_one_side_only_compares_the_files_and_says_so() {
    let port = LENET5.copy();
    fs::remove_dir_all(port.path().join("trace")).unwrap();
    parity(&[&LENET5.notebook(), port.path()])
        .assert()
        .code(0)
        .stderr(predicate::str::contains("only REFERENCE has a trace"))
        .stdout(predicate::str::contains("its trace: the other side has none"));
}
