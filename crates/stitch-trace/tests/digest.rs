//! Hashes and statistics of large tensors, computed in parts.

use std::fs;

use sha2::{Digest as _, Sha256};
use stitch_trace::{BLOCK, Digest, Dtype, Place, Trace, Writer};

#[test]
fn hashes_do_not_depend_on_the_parts() {
    let bytes: Vec<u8> = (0..5 * BLOCK / 2).map(|i| (i % 251) as u8).collect();
    let of = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(bytes).into() };
    let blocks: Vec<[u8; 32]> = bytes.chunks(BLOCK).map(of).collect();
    let expected = data_encoding::HEXLOWER.encode(&of(blocks.as_flattened()));
    for length in [1000, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, bytes.len()] {
        let mut digest = Digest::default();
        bytes.chunks(length).for_each(|part| digest.update(part));
        let found = digest.finish();
        assert_eq!(found.sha256, expected, "{length}");
        assert_eq!(found.blocks.map(|blocks| blocks.len()), Some(3));
    }
    for length in [0, 1, BLOCK] {
        let mut digest = Digest::default();
        digest.update(&bytes[..length]);
        let found = digest.finish();
        assert_eq!(found.sha256, data_encoding::HEXLOWER.encode(&of(&bytes[..length])));
        assert!(found.blocks.is_none());
    }
}

/// Records one tensor without its elements; returns its statistics as JSON.
fn statistics(dtype: Dtype, bytes: &[u8]) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let mut trace = Writer::create(folder.path(), "").unwrap();
    trace.keep_up_to(0);
    let shape = [bytes.len() / dtype.size()];
    trace.record("w", "w", Place::RUN, dtype, &shape, bytes).unwrap();
    trace.finish().unwrap();
    assert!(Trace::open(folder.path()).unwrap().is_complete());
    let text = fs::read_to_string(folder.path().join("trace.jsonl")).unwrap();
    let record: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    record.get("statistics").cloned().unwrap_or_default()
}

#[test]
fn statistics_are_of_the_finite_elements() {
    let floats = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let mut values = vec![3.0, f32::NAN, -4.0, f32::INFINITY, f32::NEG_INFINITY];
    values.extend([0.0; 20]);
    let found = statistics(Dtype::F32, &floats(&values));
    let expected =
        serde_json::json!({"inf": 2, "min": -4.0, "max": 3.0, "mean": -1.0 / 22.0, "norm": 5.0});
    assert_eq!(found, expected);
    let found = statistics(Dtype::F32, &floats(&[f32::NAN, f32::INFINITY]));
    assert_eq!(found, serde_json::json!({"inf": 1}));
    let integers: Vec<u8> = [-3i64, 1].iter().flat_map(|x| x.to_le_bytes()).collect();
    let found = statistics(Dtype::I64, &integers);
    assert_eq!((&found["min"], &found["mean"]), (&(-3.0).into(), &(-1.0).into()));
    // 1.5, -448 and NaN.
    let found = statistics(Dtype::F8_E4M3FN, &[0x3c, 0xfe, 0x7f]);
    assert_eq!((&found["min"], &found["max"]), (&(-448.0).into(), &1.5.into()));
    assert!(statistics(Dtype::C64, &floats(&[1.0, 2.0])).is_null());
}
