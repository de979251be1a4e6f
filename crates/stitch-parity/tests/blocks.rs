//! Traces of large tensors: their SHA-256 sums by blocks, and where they differ without elements.

use std::fs;
use std::path::Path;

use stitch_parity::{Blocks, Dtype, Options, Outcome, Place, Report, Side, SideError, compare};
use stitch_trace::{BLOCK, ELEMENTS, RECORDS, Trace, Writer};
use tempfile::TempDir;

/// Elements of the tensor: two blocks and a half.
const COUNT: usize = BLOCK / 4 * 5 / 2;

fn values(change: Option<usize>) -> Vec<u8> {
    let mut values: Vec<f32> = (0..COUNT).map(|i| i as f32).collect();
    if let Some(i) = change {
        values[i] = -1.0;
    }
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// A trace of one tensor, whose elements are kept or not.
fn trace(bytes: &[u8], kept: bool) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut trace = Writer::create(folder.path(), "net").unwrap();
    trace.keep_up_to(if kept { usize::MAX } else { 0 });
    trace.record("w", "w", Place::RUN, Dtype::F32, &[COUNT / 64, 64], bytes).unwrap();
    trace.finish().unwrap();
    folder
}

/// The same with the SHA-256 of the whole tensor, as other writers may record it.
fn whole(bytes: &[u8], kept: bool) -> TempDir {
    let folder = trace(bytes, kept);
    let path = folder.path().join(RECORDS);
    let text = fs::read_to_string(&path).unwrap();
    let sha256 = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(bytes));
    let lines = text.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        if line["blocks"].is_array() {
            line.as_object_mut().unwrap().remove("blocks");
            line["sha256"] = sha256.clone().into();
        }
        format!("{line}\n")
    });
    fs::write(&path, lines.collect::<String>()).unwrap();
    folder
}

fn compared(one: &Path, other: &Path) -> Result<Report, SideError> {
    let [mut one, mut other] = [one, other].map(|path| {
        let mut side = Side::new(path);
        side.add_trace(path).unwrap();
        side
    });
    compare(&mut one, &mut other, &Options::default())
}

#[test]
fn a_trace_has_the_sums_of_blocks_and_statistics_in_place_of_elements() {
    let folder = trace(&values(None), false);
    let opened = Trace::open(folder.path()).unwrap();
    let record = &opened.records()[0];
    assert_eq!(record.blocks.as_ref().map(Vec::len), Some(3));
    let statistics = record.statistics.unwrap();
    let last = COUNT as f64 - 1.0;
    assert_eq!((statistics.min, statistics.max, statistics.inf), (Some(0.0), Some(last), 0));
    assert!((statistics.mean.unwrap() - last / 2.0).abs() < 1e-6);
    let squares = last * (last + 1.0) * (2.0 * last + 1.0) / 6.0;
    assert!((statistics.norm.unwrap() / squares.sqrt() - 1.0).abs() < 1e-12);
}

#[test]
fn every_combination_of_sums_and_elements_is_compared_where_it_can_be() {
    let make: [fn(&[u8], bool) -> TempDir; 2] = [trace, whole];
    let all = |bytes: &[u8]| {
        let kinds = [(0, true), (0, false), (1, true), (1, false)];
        kinds.map(|(kind, kept)| (kind, kept, make[kind](bytes, kept)))
    };
    let (same, other) = (all(&values(None)), all(&values(Some(COUNT - 1))));
    for (kind, kept, one) in &same {
        for (other_kind, other_kept, two) in &same {
            let report = compared(one.path(), two.path()).unwrap();
            let comparable = kind == other_kind || *kept || *other_kept;
            assert_eq!(report.is_equal(), comparable, "{kind} {kept} {other_kind} {other_kept}");
        }
        for (other_kind, other_kept, two) in &other {
            let report = compared(one.path(), two.path()).unwrap();
            assert_eq!(report.different(), 1, "{kind} {kept} {other_kind} {other_kept}");
        }
    }
}

#[test]
fn a_difference_without_elements_is_placed_to_the_block() {
    let changed = trace(&values(Some(BLOCK / 4 + 5)), false);
    let report = compared(trace(&values(None), true).path(), changed.path()).unwrap();
    let Outcome::HashDiffers { blocks: Some(blocks), .. } = report.tensors[0].outcome else {
        panic!("{:?}", report.tensors[0].outcome);
    };
    assert_eq!(blocks, Blocks { differing: 1, of: 3, first: BLOCK / 4, elements: BLOCK / 4 });
    let report = compared(trace(&values(None), false).path(), changed.path()).unwrap();
    let said = report.tensors[0].to_string();
    let expected = "1 of 3 blocks differ, the first has the elements [4096, 0] to [8191, 63]; expected min 0e0";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn damaged_elements_and_sums_are_found() {
    let good = trace(&values(None), true);
    for at in [0, BLOCK, 2 * BLOCK + 7] {
        let damaged = trace(&values(None), true);
        let path = damaged.path().join(ELEMENTS);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = compared(good.path(), damaged.path()).unwrap_err();
        assert!(error.to_string().contains("contradict their record"), "{error}");
    }
    let path = good.path().join(RECORDS);
    let text = fs::read_to_string(&path).unwrap();
    let begin = text.find("\"blocks\":[\"").unwrap() + "\"blocks\":[\"".len();
    let digit = if &text[begin..=begin] == "0" { "1" } else { "0" };
    fs::write(&path, format!("{}{digit}{}", &text[..begin], &text[begin + 1..])).unwrap();
    let error = Trace::open(good.path()).unwrap_err();
    assert!(error.to_string().contains("has 3 blocks, which do not fit"), "{error}");
}
