//! Sides from memory: what is compared, and what is an error.

use std::path::Path;

use stitch_parity::{
    AppliedTolerance, Dtype, Options, Outcome, Overrides, Pattern, Place, Side, SideError, compare,
    stage,
};

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// A side with one tensor per step: `w` after the update.
fn side(steps: &[[f32; 2]]) -> Side {
    let mut side = Side::new(Path::new("side"));
    for (step, values) in (1..).zip(steps) {
        let place = Place::step(step);
        side.push(stage::PARAMETER, place, "w", Dtype::F32, &[2], bytes(values)).unwrap();
    }
    side
}

#[test]
fn the_first_difference_is_a_sentence_with_step_index_and_values() {
    let (mut reference, mut candidate) =
        (side(&[[1.0, 2.0], [1.0, 2.0]]), side(&[[1.0, 2.0], [1.0, 2.5]]));
    let report = compare(&mut reference, &mut candidate, &Options::default()).unwrap();
    assert_eq!(report.verdict(), "PARITY: DIFFERENT (1 of 2)");
    assert_eq!(
        report.first_difference().unwrap().to_string(),
        "step 2, w[1] after the optimizer step: expected 2.0 (0x40000000), got 2.5 (0x40200000); 1 of 2 \
         elements differ"
    );
    let cause = report.causes.last().cloned().unwrap();
    assert!(cause.starts_with("the gradients match but the update differs"), "{cause}");
}

#[test]
fn a_tolerance_of_the_caller_is_reported_without_the_names_of_flags() {
    let (mut reference, mut candidate) = (side(&[[1.0, 2.0]]), side(&[[1.0, 2.5]]));
    let overrides =
        Overrides { by_name: vec![(Pattern::of_name("w"), 0.5, 0.0)], ..Overrides::default() };
    let options = Options { overrides, ..Options::default() };
    let report = compare(&mut reference, &mut candidate, &options).unwrap();
    assert!(report.is_equal() && report.first_difference().is_none());
    assert!(report.causes.is_empty());
    let tensor = &report.tensors[0];
    assert!(matches!(tensor.outcome, Outcome::Within(_)));
    let applied = tensor.tolerance.clone().unwrap();
    assert_eq!(applied, AppliedTolerance::Named { name: "w".into(), atol: 0.5, rtol: 0.0 });
    assert_eq!(serde_json::to_value(&applied).unwrap(), "atol 5e-1, rtol 0e0 for w");
}

#[test]
fn two_tensors_with_one_key_are_an_error_on_either_side() {
    let twice = || {
        let mut side = side(&[[1.0, 2.0]]);
        let place = Place::step(1);
        side.push(stage::PARAMETER, place, "w", Dtype::F32, &[2], bytes(&[3.0, 4.0])).unwrap();
        side
    };
    let once = || side(&[[1.0, 2.0]]);
    for (mut reference, mut candidate) in [(twice(), once()), (once(), twice())] {
        let error = compare(&mut reference, &mut candidate, &Options::default()).unwrap_err();
        assert!(matches!(error, SideError::Duplicate { .. }));
        assert_eq!(error.to_string(), "side: step 1, w after the optimizer step is there twice");
    }
}

#[test]
fn bytes_that_do_not_fit_the_shape_are_an_error() {
    let mut side = side(&[]);
    for shape in [vec![3], vec![], vec![usize::MAX, 2]] {
        let error =
            side.push(stage::FINAL, Place::RUN, "w", Dtype::F32, &shape, bytes(&[1.0, 2.0]));
        let error = error.unwrap_err();
        assert!(matches!(error, SideError::Size { bytes: 8, .. }), "{error}");
    }
    assert!(side.items.is_empty());
}

#[test]
fn nothing_to_compare_is_not_equal() {
    let report = compare(&mut side(&[]), &mut side(&[]), &Options::default()).unwrap();
    assert!(!report.is_equal());
    assert_eq!(report.verdict(), "PARITY: DIFFERENT (0 of 0)");
}

/// A side with one scalar for each stage, step and name.
fn scalars(records: &[(&str, usize, &str)]) -> Side {
    let mut side = Side::new(Path::new("side"));
    for &(stage, step, name) in records {
        side.push(stage, Place::step(step), name, Dtype::F32, &[], bytes(&[1.0])).unwrap();
    }
    side
}

#[test]
fn a_stage_of_one_side_alone_is_not_compared_unless_stages_are_strict() {
    let all =
        [("forward", 1, "fc1"), ("loss", 1, "loss"), ("loss", 2, "loss"), ("forward", 2, "fc1")];
    let strict = Options { strict_stages: true, ..Options::default() };
    for swapped in [false, true] {
        let sides = || {
            let (one, other) = (scalars(&all), scalars(&all[1..3]));
            if swapped { (other, one) } else { (one, other) }
        };
        let (mut reference, mut candidate) = sides();
        let report = compare(&mut reference, &mut candidate, &Options::default()).unwrap();
        assert_eq!(report.verdict(), "PARITY: EQUAL (bit for bit), not compared: forward");
        assert_eq!(report.one_sided_stages, ["forward"]);
        let side = if swapped { "candidate" } else { "reference" };
        let only = format!("recorded by the {side} only: forward (2 tensors)");
        assert!(report.not_compared.contains(&only), "{:?}", report.not_compared);
        let (mut reference, mut candidate) = sides();
        let report = compare(&mut reference, &mut candidate, &strict).unwrap();
        assert_eq!(report.verdict(), "PARITY: DIFFERENT (2 of 4)");
    }
    let labels = [("batch", 1, "images"), ("batch", 1, "labels")];
    let (mut reference, mut candidate) = (scalars(&labels), scalars(&labels[..1]));
    let report = compare(&mut reference, &mut candidate, &Options::default()).unwrap();
    assert_eq!(report.verdict(), "PARITY: EQUAL (bit for bit), not compared: batch labels");
    // A record of a stage that both sides have stays a difference, as do stages if none is common.
    for records in [&all[2..], &[("init", 1, "w")][..], &[]] {
        let mut candidate = scalars(records);
        let report = compare(&mut scalars(&all[..2]), &mut candidate, &Options::default()).unwrap();
        assert!(!report.is_equal(), "{records:?}");
        assert!(report.one_sided_stages.is_empty(), "{records:?}");
    }
}

#[test]
fn what_follows_from_the_first_difference_is_inherited_and_batches_are_not() {
    let all = [
        ("batch", 1, "images"),
        ("forward", 1, "conv1"),
        ("forward", 1, "fc1"),
        ("learning_rate", 1, "0"),
        ("batch", 2, "images"),
        ("logits", 2, "logits"),
    ];
    let side = |value: f32| {
        let mut side = Side::new(Path::new("side"));
        for (i, (stage, step, name)) in all.into_iter().enumerate() {
            let value = if i == 0 { 1.0 } else { value };
            side.push(stage, Place::step(step), name, Dtype::F32, &[1], bytes(&[value])).unwrap();
        }
        side
    };
    let report = compare(&mut side(1.0), &mut side(1.5), &Options::default()).unwrap();
    assert_eq!(report.first_difference().unwrap().name, "conv1");
    let inherited: Vec<bool> = report.tensors.iter().map(|tensor| tensor.inherited).collect();
    assert_eq!(inherited, [false, false, true, false, false, true]);
    let layers: Vec<(&str, f64, Option<f64>)> =
        report.layers.iter().map(|it| (it.name.as_str(), it.error, it.before)).collect();
    assert_eq!(layers.len(), 2);
    assert!((layers[0].1 - 0.5).abs() < 1e-12 && layers[0].2.is_none(), "{layers:?}");
    assert!(layers[1].2.is_some_and(|before| (before - 0.5).abs() < 1e-12), "{layers:?}");
    let said = report.consequences().unwrap();
    assert!(
        said.ends_with("4 tensors after it differ, 2 of them inherit the difference"),
        "{said}"
    );
}

#[test]
fn a_record_without_a_counterpart_is_listed_with_its_closest_match() {
    let mut reference = scalars(&[
        ("gradient", 1, "conv.weight"),
        ("gradient", 1, "fc.weight"),
        ("loss", 1, "loss"),
    ]);
    let mut candidate = scalars(&[
        ("gradient", 1, "conv/kernel"),
        ("gradient", 0, "fc.weight"),
        ("loss", 1, "loss"),
        ("logits", 1, "x"),
    ]);
    let report = compare(&mut reference, &mut candidate, &Options::default()).unwrap();
    let lines: Vec<String> =
        report.tensors.iter().filter(|t| !t.passes()).map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "step 1, gradient of conv/kernel: unexpected, the reference has no such tensor; closest match: conv.weight []",
            "step 0, gradient of fc.weight: unexpected, the reference has no such tensor; closest match: fc.weight [] of step 1",
            "step 1, gradient of conv.weight: missing in the candidate; closest match: conv/kernel []",
            "step 1, gradient of fc.weight: missing in the candidate; closest match: fc.weight [] of step 0",
        ]
    );
    let json = serde_json::to_value(&report).unwrap();
    let closest = &json["tensors"][2]["closest"];
    assert_eq!(closest["name"], "conv/kernel");
}
