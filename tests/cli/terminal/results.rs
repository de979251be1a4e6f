//! What stands on the screen when a command has ended.

use std::path::Path;

use stitch::dataset::classes;

use super::{Terminal, common, folder_with_data};

const LENET5: &str = "models/lenet5/state_dict.pt";

fn evaluate(size: (u16, u16), flags: &[&str], variables: &[(&str, &str)]) -> Terminal {
    let folder = folder_with_data();
    let file = common::root().join(LENET5);
    let arguments = [&["evaluate", file.to_str().unwrap(), "--data", "data"], flags].concat();
    let mut terminal = Terminal::start(folder.path(), size, &arguments, variables);
    assert_eq!(terminal.finish(), 0);
    terminal
}

#[test]
fn reproduce_ends_on_a_screen_that_tells_the_result() {
    let folder = folder_with_data();
    let arguments = ["reproduce", "--data", "data", "--threads", "1"];
    let mut terminal = Terminal::start(folder.path(), (80, 24), &arguments, &[]);
    assert_eq!(terminal.finish(), 0);
    // The prompt has the last of the 24 rows.
    let text = terminal.text();
    assert_eq!(text.len(), 23, "{text:#?}");
    let at = |what: &str| {
        let found = text.iter().position(|row| row.contains(what));
        found.unwrap_or_else(|| panic!("no {what}: {text:#?}"))
    };
    assert!(text.last().unwrap().contains("runs/reproduce"));
    let table = at("difference");
    assert!(text[table].contains("paper") && text[table].contains("port"));
    assert!(text[table + 2].contains("mlp") && text[table + 2].contains("0.8709"));
    assert!(text[table + 3].contains("lenet5") && text[table + 3].contains("0.8953"));
    assert!(at("lenet5: the paper does not give") > table);
    let heat = at("lenet5 confusion matrix (rows: true class");
    for (i, name) in classes::NAMES.iter().enumerate() {
        assert!(text[heat + 2 + i].starts_with(&format!("{i} {name}")), "{text:#?}");
    }
}

#[test]
fn tables_and_heat_table_stay_whole_on_a_narrow_terminal() {
    // That no line is wrapped is seen to wherever a screen is read.
    for columns in [40, 60, 80] {
        let terminal = evaluate((columns, 100), &[], &[]);
        let text = terminal.text().join("\n");
        for name in classes::NAMES {
            assert!(text.matches(name).count() >= 2, "{name}: {text}");
        }
        for word in ["precision", "recall", "f1-score", "support", "weighted avg"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}

#[test]
fn the_heat_table_has_the_colours_that_the_terminal_has() {
    let has = |terminal: &Terminal, start: &str| {
        terminal.colours().iter().any(|code| code.starts_with(start))
    };
    let indexed = evaluate((80, 60), &["--quiet"], &[]);
    assert!(has(&indexed, "48;5;") && !has(&indexed, "48;2;"));
    let full = evaluate((80, 60), &["--quiet"], &[("COLORTERM", "truecolor")]);
    assert!(has(&full, "48;2;") && !has(&full, "48;5;"));
    assert_eq!(indexed.text(), full.text());
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    let flag = evaluate((80, 60), &["--color", "never"], &[]);
    assert_eq!(flag.colours(), [""; 0]);
    // A build server (it sets `CI`) has no better terminal than others have.
    for variables in
        [&[("NO_COLOR", "1")][..], &[("TERM", "dumb")], &[("TERM", "dumb"), ("CI", "true")]]
    {
        let terminal = evaluate((80, 60), &[], variables);
        assert_eq!(terminal.colours(), [""; 0], "{variables:?}");
    }
    // An empty variable is none, and a flag beats a variable.
    assert_ne!(evaluate((80, 60), &[], &[("NO_COLOR", "")]).colours(), [""; 0]);
    let flag = evaluate((80, 60), &["--color", "always"], &[("NO_COLOR", "1")]);
    assert_ne!(flag.colours(), [""; 0]);
}

#[test]
fn errors_begin_with_a_coloured_word_on_a_terminal() {
    let shown = |variables: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["evaluate", "nowhere.pt"];
        let mut terminal = Terminal::start(folder.path(), (80, 24), &arguments, variables);
        assert_eq!(terminal.finish(), 2);
        assert!(terminal.text()[0].starts_with("error: nowhere.pt cannot be read"));
        !terminal.colours().is_empty()
    };
    assert!(shown(&[]));
    assert!(!shown(&[("NO_COLOR", "1")]));
}

#[test]
fn parity_and_data_are_in_colour_too() {
    let model = common::root().join(LENET5);
    let model = model.to_str().unwrap();
    let folder = folder_with_data();
    for arguments in [&["parity", model, model][..], &["data", "--data", "data"]] {
        let shown = |variables: &[(&str, &str)]| {
            let mut terminal = Terminal::start(folder.path(), (120, 24), arguments, variables);
            assert_eq!(terminal.finish(), 0);
            terminal.colours().len()
        };
        assert!(shown(&[]) > 0, "{arguments:?}");
        assert_eq!(shown(&[("NO_COLOR", "1")]), 0, "{arguments:?}");
    }
}

#[test]
fn json_on_a_terminal_is_json() {
    let terminal = evaluate((200, 1000), &["--json", "--quiet"], &[]);
    let document: serde_json::Value = serde_json::from_slice(&terminal.raw).unwrap();
    assert!(Path::new(document["file"].as_str().unwrap()).ends_with(LENET5));
}
