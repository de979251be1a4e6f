//! Command lines that are not understood: numbers that are none, flags of other programs, mistyped subcommands.

use std::ffi::OsString;

use super::parse_words;

/// The message about a command line, and what the shell shows before the usage.
fn error(line: &str, more: &[&str]) -> String {
    let words = ["stitch"].into_iter().chain(line.split(' ')).chain(more.iter().copied());
    let words: Vec<OsString> = words.map(OsString::from).collect();
    let (error, _) = parse_words(&words).expect_err(line);
    assert_eq!(error.exit_code(), 2, "{line}");
    error.render().to_string().split("\n\nUsage:").next().unwrap().to_owned()
}

/// Every flag that takes a number: its command, and what is expected.
const NUMBERS: [(&str, &str, &str); 38] = [
    ("train mlp", "--epochs", "an integer of at least 1"),
    ("train mlp", "--batch-size", "an integer of at least 1"),
    ("train mlp", "--lr", "a number above 0"),
    ("train mlp", "--seed", "an integer from 0 to 18446744073709551615"),
    ("train mlp", "--val", "an integer of at least 1, or off"),
    ("train mlp", "--patience", "an integer of at least 1, or off"),
    ("train lenet5", "--dropout", "a number from 0 to 1"),
    ("train lenet5", "--classes", "an integer from 1 to 256"),
    ("train lenet5", "--momentum", "a number of at least 0"),
    ("train lenet5", "--weight-decay", "a number of at least 0"),
    ("train lenet5", "--label-smoothing", "a number from 0 to 1"),
    ("train mlp", "--threads", "an integer from 1 to 4096"),
    ("train mlp", "--checkpoint-every", "a number of seconds (30s)"),
    ("train mlp --trace", "--trace-steps", "a list of steps from 1 on"),
    ("reproduce", "--threads", "an integer from 1 to 4096"),
    ("reproduce", "--checkpoint-every", "a number of seconds (30s)"),
    ("evaluate a.pt", "--threads", "an integer from 1 to 4096"),
    ("predict a.png", "--threads", "an integer from 1 to 4096"),
    ("predict a.png", "--top-k", "an integer from 1 to 256"),
    ("predict a.png", "--index", "N or N..M with M above N"),
    ("predict a.png", "--image-size", "HEIGHTxWIDTH"),
    ("export a.pt -f npz -o b", "--image-size", "HEIGHTxWIDTH"),
    ("report run", "--threads", "an integer from 1 to 4096"),
    ("parity a b", "--atol", "a number of at least 0"),
    ("parity a b", "--rtol", "a number of at least 0"),
    ("parity a b", "--ulp", "an integer of at least 0"),
    ("parity a b", "--tol", "NAME=ATOL"),
    ("data import a -o b", "--size", "HEIGHTxWIDTH"),
    ("data import a -o b", "--channels", "1, 3"),
    ("data import a -o b", "--test-last", "an integer from 1 to 4294967295"),
    ("data fetch", "--timeout", "an integer from 1 to 3600"),
    ("study plan --model mlp --seeds 0 -o s", "--batch-size", "an integer of at least 1"),
    ("study plan --model mlp --seeds 0 -o s", "--lr", "a number above 0"),
    ("study plan --model mlp --seeds 0 -o s", "--epochs", "an integer of at least 1"),
    ("study plan --model mlp --seeds 0 -o s", "--threads", "an integer from 1 to 4096"),
    ("study run s", "--jobs", "an integer from 1 to 4096"),
    ("study run s", "--row", "an integer of at least 0"),
    ("study run s", "--rows", "N or N..M with M above N"),
];

#[test]
fn a_flag_of_numbers_says_what_was_found_and_what_is_expected() {
    for (command, flag, expected) in NUMBERS {
        for found in ["abc", "1.5", "-1", "99999999999999999999", ""] {
            let is_number = ["a number above 0", "a number of at least 0", "a number from 0 to 1"];
            // The range is checked with all settings, see the tests of `stitch train`.
            if is_number.contains(&expected) && found.parse::<f64>().is_ok() {
                continue;
            }
            let error = error(command, &[flag, found]);
            for part in [flag, found, expected] {
                assert!(error.contains(part), "{command} {flag} {found:?}: no {part:?} in {error}");
            }
            for jargon in ["invalid digit", "float literal", "cannot parse", "is not in "] {
                assert!(!error.contains(jargon), "{error}");
            }
        }
    }
}

#[test]
fn flags_of_other_programs_are_answered_with_those_that_do_the_same() {
    for (command, flag, tip) in [
        ("train lenet5", "--learning-rate", "use '--lr'"),
        ("train lenet5", "--learning_rate", "use '--lr'"),
        ("train lenet5", "--epoch", "use '--epochs'"),
        ("train lenet5", "--num-epochs", "use '--epochs'"),
        ("train lenet5", "--n_epochs", "use '--epochs'"),
        ("train lenet5", "--batch", "use '--batch-size'"),
        ("train lenet5", "--bs", "use '--batch-size'"),
        ("train lenet5", "--batch_size", "use '--batch-size'"),
        ("train lenet5", "--opt", "use '--optimizer'"),
        ("train lenet5", "--optim", "use '--optimizer'"),
        ("train lenet5", "--wd", "use '--weight-decay'"),
        ("train lenet5", "--scheduler", "use '--lr-schedule'"),
        ("train lenet5", "--criterion", "use '--loss'"),
        ("train lenet5", "--random-state", "use '--seed'"),
        ("train lenet5", "--manual_seed", "use '--seed'"),
        ("train lenet5", "--n-jobs", "use '--threads'"),
        ("train lenet5", "--gpu", "use '--device cuda'"),
        ("train lenet5", "--cuda", "use '--device cuda'"),
        ("train lenet5", "--no-cuda", "use '--device cpu'"),
        ("train lenet5", "--output", "use '--out'"),
        ("train lenet5", "-o", "use '--out'"),
        ("train lenet5", "--output_dir", "use '--out'"),
        ("train lenet5", "--data-dir", "use '--data'"),
        ("train lenet5", "--early-stopping", "use '--patience'"),
        ("train lenet5", "--gamma", "use '--lr-schedule step:EVERY,GAMMA'"),
        ("train lenet5", "--workers", "the data set is in memory"),
        ("train lenet5", "--num-workers", "the data set is in memory"),
        ("train lenet5", "--pin-memory", "the data set is in memory"),
        ("train lenet5", "--amp", "a model is trained in its own type"),
        ("train lenet5", "--betas", "PyTorch's defaults"),
        ("train lenet5", "--deterministic", "every run is deterministic"),
        ("reproduce", "--output", "use '--out'"),
        ("evaluate a.pt", "-o", "use '--out'"),
        ("evaluate a.pt", "--cuda", "use '--device cuda'"),
        ("predict a.png", "--top", "use '--top-k'"),
        ("export a.pt -f npz", "--out", "use '--output'"),
        ("report a", "--out", "use '--output'"),
        ("parity a b", "--abs-tol", "use '--atol'"),
        ("data fetch", "--output", "use '--to'"),
        ("study plan", "--out", "use '--output'"),
        ("study plan", "--learning-rate", "use '--lr'"),
        ("study run s", "--workers", "use '--jobs'"),
    ] {
        let error = error(command, &[flag, "1"]);
        let start = if tip.starts_with("use ") { "" } else { "there is no such flag: " };
        assert!(
            error.starts_with(&format!("error: unexpected argument '{flag}' found")),
            "{error}"
        );
        assert!(error.contains(&format!("tip: {start}")) && error.contains(tip), "{error}");
        assert_eq!(error.matches("tip: ").count(), 1, "{error}");
    }
    assert!(error("train mlp --learning-rate=1", &[]).contains("tip: use '--lr'"));
}

#[test]
fn a_command_without_the_flag_suggests_none() {
    for line in ["parity a b --learning-rate 1", "models --workers 1", "train mlp --xyzzy"] {
        let error = error(line, &[]);
        assert!(!error.contains("tip: use '--") && !error.contains("no such flag"), "{error}");
    }
}

#[test]
fn a_mistyped_subcommand_is_refused_with_the_one_that_was_meant() {
    for (line, meant) in [
        ("study rn", "'run'"),
        ("study colect s", "'collect'"),
        ("data verfy", "'verify'"),
        ("data ftech", "'fetch'"),
        ("help trian", "'train'"),
        ("help study rn", "'run'"),
        ("help data verfy", "'verify'"),
        ("trian lenet5", "'train'"),
    ] {
        let error = error(line, &[]);
        assert!(error.contains("unrecognized subcommand") && error.contains(meant), "{error}");
    }
    for line in ["help xyzzy", "xyzzy"] {
        assert!(!error(line, &[]).contains("tip: "), "{line}");
    }
}
